//! The secret from which the keys of imported people are derived.
//!
//! One line `trustnet-import-seed-v1 <64 hex digits>` in a file that only its owner can read. Whoever
//! has it can sign for every imported person; with it, ids and transactions are a pure function of
//! the ratings file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use trustnet_ledger::crypto::{SecretKey, domain, hash};

/// First word of a seed file.
const TAG: &str = "trustnet-import-seed-v1";
/// A seed file longer than this (bytes) is none.
const MAX_SEED_FILE_BYTES: u64 = 1024;

/// Why a seed file could not be used or made.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The file cannot be read.
    #[error("cannot read the seed file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot make the seed file {}: {source}; choose another place with --seed-file", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("the seed file {} is open to other users (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a seed file. The message never quotes it: it may hold a secret.
    #[error("{} is not a seed file: expected one line `{TAG} <64 hex digits>`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no randomness.
    #[error("the system gave no randomness for a new seed: {0}")]
    NoRandomness(String),
}

/// The seed of an import. Never shown.
#[derive(Clone)]
pub struct ImportSeed([u8; 32]);

impl ImportSeed {
    /// A seed of known bytes, for tests and for callers that keep it elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the seed file, or makes it (mode 0600, durable) if there is none. The flag says whether it was made.
    ///
    /// # Errors
    /// [`SeedError`]; an existing file is never overwritten.
    pub fn load_or_create(path: &Path) -> Result<(Self, bool), SeedError> {
        match fs::File::open(path) {
            Ok(file) => Ok((Self::load(path, file)?, false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Self::create(path)?, true)),
            Err(source) => Err(SeedError::Unreadable { path: path.into(), source }),
        }
    }

    fn load(path: &Path, file: fs::File) -> Result<Self, SeedError> {
        let unreadable = |source| SeedError::Unreadable { path: path.into(), source };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                return Err(SeedError::OpenToOthers { path: path.into(), mode });
            }
        }
        let mut text = Vec::new();
        file.take(MAX_SEED_FILE_BYTES).read_to_end(&mut text).map_err(unreadable)?;
        Self::parse(&text).ok_or_else(|| SeedError::Malformed { path: path.into() })
    }

    /// Reads the bytes of a seed file.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let digits = str::from_utf8(text).ok()?.trim().strip_prefix(TAG)?.trim();
        let mut seed = [0; 32];
        hex::decode_to_slice(digits, &mut seed).ok()?;
        Some(Self(seed))
    }

    fn create(path: &Path) -> Result<Self, SeedError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| SeedError::NoRandomness(error.to_string()))?;
        let unwritable = |source| SeedError::Unwritable { path: path.into(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let line = format!("{TAG} {}\n", hex::encode(seed));
        let written = options.open(path).and_then(|mut file| {
            file.write_all(line.as_bytes())?;
            file.sync_all()
        });
        if let Err(source) = written {
            if source.kind() != io::ErrorKind::AlreadyExists {
                // Half a seed would be refused on the next run; the failure to remove it changes nothing.
                let _ = fs::remove_file(path);
            }
            return Err(unwritable(source));
        }
        Ok(Self(seed))
    }

    /// The key of the person with this number.
    pub fn key_of(&self, person: u64) -> SecretKey {
        SecretKey::from_seed(&hash(domain::DERIVE_IMPORT, &[&self.0, &person.to_be_bytes()]).0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_use_makes_a_private_file_and_later_uses_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/import.seed");
        let (first, made) = ImportSeed::load_or_create(&path).unwrap();
        let (again, made_again) = ImportSeed::load_or_create(&path).unwrap();
        assert!(made && !made_again);
        assert_eq!(first.0, again.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let message = ImportSeed::load_or_create(&path).err().unwrap().to_string();
            assert!(message.contains("mode 0644") && message.contains("chmod 600"), "{message}");
        }
    }

    #[test]
    fn a_file_that_holds_something_else_is_left_alone_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "secret", "trustnet-import-seed-v1 abc", "trustnet-key-v1 node 00"] {
            let path = dir.path().join("s");
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
            let message = ImportSeed::load_or_create(&path).err().unwrap().to_string();
            assert!(message.contains("is not a seed file") && !message.contains("secret"), "{message}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn keys_depend_on_seed_and_number_and_nothing_else() {
        let a = ImportSeed::from_bytes([1; 32]);
        assert_eq!(a.key_of(7).public(), ImportSeed::from_bytes([1; 32]).key_of(7).public());
        assert_ne!(a.key_of(7).public(), a.key_of(8).public());
        assert_ne!(a.key_of(7).public(), ImportSeed::from_bytes([2; 32]).key_of(7).public());
    }
}
