//! Key files: one line `trustnet-key-v1 <role> <64 hex seed>`, readable by their owner only, with
//! the public half beside them in `<file>.pub`.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use trustnet_ledger::crypto::{PublicKey, SecretKey};

/// First word of a key file.
const SECRET_TAG: &str = "trustnet-key-v1";
/// First word of a public key file.
const PUBLIC_TAG: &str = "trustnet-public-v1";
/// A word of a key file longer than this (bytes) is never shown: it may be the secret.
const LONGEST_QUOTE_BYTES: usize = 16;
/// A key file longer than this (bytes) is none.
const MAX_KEY_FILE_BYTES: u64 = 1024;

/// What a key is for. A key of one role is refused in the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Identifies the node to its peers (its TLS identity).
    Node,
    /// Signs votes and blocks.
    Validator,
    /// Signs the operator's transactions: ratings, registration, lifecycle.
    Operator,
}

impl Role {
    /// All roles, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Node, Self::Validator, Self::Operator];

    /// The role as the word in the key file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Validator => "validator",
            Self::Operator => "operator",
        }
    }

    /// The file's name in a home's `config` folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Node => "node.key",
            Self::Validator => "validator.key",
            Self::Operator => "operator.key",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            format!("there is no key role `{text}`; the roles are node, validator and operator")
        })
    }
}

/// Why a key file could not be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such file.
    #[error("there is no key file {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read the key file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("the key file {} is open to other users (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key file.
    #[error("{} line 1: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with the line. Never quotes the line: it may hold a secret.
        problem: String,
    },
    /// The key has another role than the one needed.
    #[error("{} holds a {found} key, but a {expected} key is needed here", path.display())]
    WrongRole {
        /// The file.
        path: PathBuf,
        /// The role needed.
        expected: Role,
        /// The role found.
        found: Role,
    },
    /// The file exists; keys are never overwritten.
    #[error("{} exists already, and keys are never overwritten; move it away or choose another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The system gave no randomness for a new key.
    #[error("the system gave no randomness for a new key: {0}")]
    NoRandomness(String),
}

/// A fresh key from the system's randomness.
///
/// # Errors
/// [`KeyError::NoRandomness`].
pub fn generate() -> Result<SecretKey, KeyError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
    Ok(SecretKey::from_seed(&seed))
}

/// The public file that belongs to the key file `path`: the same name with `.pub` added.
pub fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// Writes `key` to the new file `path` (mode 0600, durable) and its public half beside it.
///
/// # Errors
/// [`KeyError::Exists`] when there is a file already, [`KeyError::Unwritable`].
pub fn save(path: &Path, role: Role, key: &SecretKey) -> Result<(), KeyError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let unwritable = |path: &Path, source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.into() },
        _ => KeyError::Unwritable { path: path.into(), source },
    };
    let line = format!("{SECRET_TAG} {role} {}\n", hex::encode(key.seed()));
    let written = options.open(path).and_then(|mut file| {
        file.write_all(line.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| unwritable(path, source))?;
    let public = public_path(path);
    let line = format!("{PUBLIC_TAG} {role} {}\n", key.public());
    fs::write(&public, line).map_err(|source| unwritable(&public, source))
}

/// Reads the key file `path`, which must hold a key of role `expected` (any role if `None`).
///
/// # Errors
/// [`KeyError`]: missing, unreadable, open to other users, malformed, wrong role.
pub fn load(path: &Path, expected: Option<Role>) -> Result<(Role, SecretKey), KeyError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.into() },
        _ => KeyError::Unreadable { path: path.into(), source },
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    // The permissions of the opened file, not of the path: the path may be exchanged in between.
    check_mode(path, &file)?;
    let mut text = String::new();
    file.take(MAX_KEY_FILE_BYTES + 1).read_to_string(&mut text).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => malformed(path, "it is not text"),
        _ => unreadable(source),
    })?;
    let (role, key) = parse(&text).map_err(|problem| malformed(path, problem))?;
    match expected {
        Some(expected) if expected != role => {
            Err(KeyError::WrongRole { path: path.into(), expected, found: role })
        }
        _ => Ok((role, key)),
    }
}

fn malformed(path: &Path, problem: impl Into<String>) -> KeyError {
    KeyError::Malformed { path: path.into(), problem: problem.into() }
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &fs::File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata().map_err(|source| KeyError::Unreadable { path: path.into(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::OpenToOthers { path: path.into(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::File) -> Result<(), KeyError> {
    Ok(())
}

/// Reads the text of a key file; the problem never quotes it.
pub(crate) fn parse(text: &str) -> Result<(Role, SecretKey), String> {
    if text.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(format!("the file is longer than the {MAX_KEY_FILE_BYTES} bytes of a key file"));
    }
    let shape = format!("expected `{SECRET_TAG} <role> <64 hex digits>`");
    let mut words = text.split_ascii_whitespace();
    match words.next() {
        Some(SECRET_TAG) => {}
        Some(PUBLIC_TAG) => return Err(format!("this is the public half of a key; {shape}")),
        _ => return Err(shape),
    }
    let role = words.next().ok_or_else(|| shape.clone())?;
    if role.len() > LONGEST_QUOTE_BYTES {
        // The role was forgotten, and this is the secret.
        return Err(shape);
    }
    let role = role.parse::<Role>()?;
    let digits = words.next().ok_or_else(|| shape.clone())?;
    if words.next().is_some() {
        return Err(format!("there is more than one key in the file; {shape}"));
    }
    let mut seed = [0; 32];
    hex::decode_to_slice(digits, &mut seed)
        .map_err(|_| format!("the seed has {} characters that are not all hex; {shape}", digits.len()))?;
    Ok((role, SecretKey::from_seed(&seed)))
}

/// Reads a public key: 64 hex digits, or the text of a `.pub` file.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_public(text: &str) -> Result<PublicKey, String> {
    let digits = text.split_ascii_whitespace().last().unwrap_or_default();
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes)
        .map_err(|_| "a public key is 64 hex digits, as `trustnet keys show` prints it".to_owned())?;
    Ok(PublicKey(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_seed(&[7; 32])
    }

    #[test]
    fn a_key_survives_its_file_and_the_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.key");
        save(&path, Role::Operator, &key()).unwrap();
        let (role, loaded) = load(&path, Some(Role::Operator)).unwrap();
        assert_eq!((role, loaded.public()), (Role::Operator, key().public()));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("trustnet-key-v1 operator {}\n", "07".repeat(32)));
        let public = fs::read_to_string(dir.path().join("operator.key.pub")).unwrap();
        assert_eq!(parse_public(&public).unwrap(), key().public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        save(&path, Role::Node, &key()).unwrap();
        let error = save(&path, Role::Node, &SecretKey::from_seed(&[8; 32])).unwrap_err();
        assert!(matches!(error, KeyError::Exists { .. }), "{error}");
        assert_eq!(load(&path, None).unwrap().1.public(), key().public());
    }

    #[cfg(unix)]
    #[test]
    fn a_group_readable_key_is_refused_with_the_command_that_mends_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        save(&path, Role::Node, &key()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let message = load(&path, None).unwrap_err().to_string();
        assert!(message.contains("mode 0640"), "{message}");
        assert!(message.ends_with(&format!("run: chmod 600 {}", path.display())), "{message}");
    }

    #[test]
    fn malformed_files_are_refused_without_quoting_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let secret = "ab".repeat(31) + "zz";
        for (text, expected) in [
            (String::new(), "expected `trustnet-key-v1 <role> <64 hex digits>`"),
            (format!("trustnet-key-v1 operator {secret}"), "not all hex"),
            (format!("trustnet-key-v1 oprator {secret}"), "there is no key role `oprator`"),
            ("trustnet-key-v1 node".into(), "expected"),
            (format!("trustnet-key-v1 {secret}"), "expected `trustnet-key-v1 <role> <64 hex digits>`"),
            (format!("trustnet-key-v1 node {secret} {secret}"), "more than one key"),
            (format!("trustnet-public-v1 node {secret}"), "public half"),
            ("x".repeat(5000), "longer than"),
        ] {
            let path = dir.path().join("some.key");
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
            let message = load(&path, None).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("some.key line 1: "), "{message}");
            assert!(!message.contains(&secret), "{message}");
        }
    }

    #[test]
    fn a_key_of_another_role_and_a_missing_file_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("validator.key");
        let missing = load(&path, None).unwrap_err().to_string();
        assert!(missing.starts_with("there is no key file "), "{missing}");
        save(&path, Role::Node, &key()).unwrap();
        let message = load(&path, Some(Role::Validator)).unwrap_err().to_string();
        assert!(message.ends_with("holds a node key, but a validator key is needed here"), "{message}");
    }
}
