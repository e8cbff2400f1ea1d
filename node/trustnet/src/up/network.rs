//! A local network's folder: `network.json`, one home a node, the import's seed, and a lock.
//!
//! ```text
//! DIR/network.json     names, ids and ports of the nodes; written last, so that it marks a whole network
//! DIR/network.lock     held while `up` runs
//! DIR/import.seed      keys of imported people (0600)
//! DIR/node-1 ..        a home each
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ports::Ports;
use crate::home::{Home, HomeError};

/// What `network.json` calls its format.
const FORMAT: &str = "trustnet-up-v1";
/// The file that describes a network.
const NETWORK_FILE: &str = "network.json";
/// The file that is locked while `up` runs.
const LOCK_FILE: &str = "network.lock";
/// Stands in the folder while a network is being made: what lies there then is half a network of ours.
const MAKING_FILE: &str = "network.making";
/// The file with the secret of imported people.
pub const SEED_FILE: &str = "import.seed";
/// The longest `network.json`, in bytes.
const MAX_NETWORK_BYTES: u64 = 64 * 1024;
/// The most nodes of a local network.
pub const MAX_NODES: usize = 16;

/// A node of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name on the ledger and of its folder.
    pub name: String,
    /// Its node key, 64 hex digits: how peers know it.
    pub id: String,
    /// Its ports on this machine.
    pub ports: Ports,
}

impl Member {
    /// Where its RPC listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.rpc)
    }
}

/// What `network.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The format of this file.
    format: String,
    /// The chain.
    pub chain_id: String,
    /// The nodes.
    pub nodes: Vec<Member>,
    /// The UTC day of the last imported rating, counted from 1970-01-01.
    #[serde(default)]
    pub ratings_day: Option<u32>,
}

/// Why a folder cannot be used for a local network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It holds something else.
    #[error("{} holds {found}, not a local network of `trustnet up`", dir.display())]
    OtherKind {
        /// The folder.
        dir: PathBuf,
        /// What was found.
        found: String,
    },
    /// `network.json` cannot be understood.
    #[error("{} cannot be used: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another `up` runs it.
    #[error("the network in {} is running already", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The disk is full.
    #[error("the disk that holds {} is full", path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// It may not be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// What could not be written.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl NetworkError {
    fn write(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path: path.into() },
            _ => Self::Unwritable { path: path.into(), source },
        }
    }

    /// What to do about it.
    pub fn next(&self) -> String {
        match self {
            Self::OtherKind { .. } => "choose another folder with --home DIR".to_owned(),
            Self::Damaged { .. } => "start afresh with --fresh, or choose another folder with --home DIR".to_owned(),
            Self::InUse { .. } => {
                "use it (trustnet status), stop it where it runs (q), or choose another folder with --home DIR".to_owned()
            }
            Self::Full { .. } => "free some space, or choose a folder on another disk with --home DIR".to_owned(),
            Self::Unwritable { .. } => "choose a folder that you may write with --home DIR".to_owned(),
        }
    }
}

/// A folder that this process has locked.
#[derive(Debug)]
pub struct NetworkDir {
    dir: PathBuf,
    /// Unlocked by the system when it is closed, however the process ends.
    _lock: File,
}

impl NetworkDir {
    /// Makes the folder if need be and locks it. A folder with other things in it is left untouched.
    ///
    /// # Errors
    /// [`NetworkError`]: other kind, in use, unwritable, full.
    pub fn open(dir: &Path) -> Result<Self, NetworkError> {
        if let Some(found) = foreign(dir) {
            return Err(NetworkError::OtherKind { dir: dir.into(), found });
        }
        fs::create_dir_all(dir).map_err(|source| NetworkError::write(dir, source))?;
        let path = dir.join(LOCK_FILE);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|source| NetworkError::write(&path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(NetworkError::InUse { dir: dir.into() }),
            Err(TryLockError::Error(source)) => Err(NetworkError::Unwritable { path, source }),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The home of a node.
    pub fn home(&self, member: &Member) -> Home {
        Home::at(self.dir.join(&member.name))
    }

    /// The file with the secret of imported people.
    pub fn seed_file(&self) -> PathBuf {
        self.dir.join(SEED_FILE)
    }

    /// The network, if there is one.
    ///
    /// # Errors
    /// [`NetworkError::Damaged`] when the file cannot be understood.
    pub fn load(&self) -> Result<Option<Network>, NetworkError> {
        let path = self.dir.join(NETWORK_FILE);
        let damaged = |problem: String| NetworkError::Damaged { path: path.clone(), problem };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(damaged(error.to_string())),
            Ok(meta) if meta.len() > MAX_NETWORK_BYTES => return Err(damaged("it is too long".to_owned())),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&path).map_err(|error| damaged(error.to_string()))?;
        Network::parse(&text).map(Some).map_err(damaged)
    }

    /// Writes `network.json`, whole or not at all.
    ///
    /// # Errors
    /// [`NetworkError`]: unwritable, full.
    pub fn save(&self, network: &Network) -> Result<(), NetworkError> {
        // Strings, numbers and lists always have a JSON form.
        let text = serde_json::to_string_pretty(network).unwrap_or_default() + "\n";
        write_file(&self.dir.join(NETWORK_FILE), &text)
    }

    /// Marks the folder as one in which a network is being made, and clears away an earlier attempt.
    ///
    /// # Errors
    /// [`NetworkError`]: unwritable, full.
    pub fn begin(&self) -> Result<(), NetworkError> {
        write_file(&self.dir.join(MAKING_FILE), "")?;
        self.clear()
    }

    /// Writes `network.json` and takes the mark of [`Self::begin`] away.
    ///
    /// # Errors
    /// [`NetworkError`]: unwritable, full.
    pub fn complete(&self, network: &Network) -> Result<(), NetworkError> {
        self.save(network)?;
        let path = self.dir.join(MAKING_FILE);
        fs::remove_file(&path).map_err(|source| NetworkError::Unwritable { path, source })
    }

    /// Removes the network: homes of nodes and `network.json`. The import's seed stays, so that the
    /// same file of ratings gives the same people the same ids again.
    ///
    /// # Errors
    /// [`NetworkError::Unwritable`].
    pub fn clear(&self) -> Result<(), NetworkError> {
        let unwritable = |path: &Path, source| NetworkError::Unwritable { path: path.into(), source };
        let file = self.dir.join(NETWORK_FILE);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritable(&file, error)),
            _ => {}
        }
        for entry in fs::read_dir(&self.dir).map_err(|error| unwritable(&self.dir, error))?.flatten() {
            let name = entry.file_name();
            // A link in place of a folder is not followed: what it points at is not ours.
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir && name.to_str().is_some_and(is_member_name) {
                fs::remove_dir_all(entry.path()).map_err(|error| unwritable(&entry.path(), error))?;
            }
        }
        Ok(())
    }
}

impl Network {
    /// Reads the text of `network.json`, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let network: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if network.format != FORMAT {
            return Err(format!("its format is `{}`, this program knows `{FORMAT}`", network.format));
        }
        if network.nodes.is_empty() || network.nodes.len() > MAX_NODES {
            return Err(format!("it names {} nodes; 1 to {MAX_NODES} are possible", network.nodes.len()));
        }
        if let Some(member) = network.nodes.iter().find(|member| !is_member_name(&member.name)) {
            return Err(format!("`{}` is not the name of a node's folder", member.name));
        }
        Ok(network)
    }

    /// A network of these nodes.
    pub fn new(chain_id: String, nodes: Vec<Member>) -> Self {
        Self { format: FORMAT.to_owned(), chain_id, nodes, ratings_day: None }
    }
}

/// Writes a file whole or not at all, with a full disk told apart.
///
/// # Errors
/// [`NetworkError`]: unwritable, full.
pub fn write_file(path: &Path, text: &str) -> Result<(), NetworkError> {
    Home::write_file(path, text).map_err(|error| match error {
        HomeError::Unwritable { path, source } => NetworkError::write(&path, source),
        other => NetworkError::Unwritable { path: path.into(), source: io::Error::other(other.to_string()) },
    })
}

/// The name of the `number`-th node (from 1).
pub fn member_name(number: usize) -> String {
    format!("node-{number}")
}

fn is_member_name(name: &str) -> bool {
    let number = name.strip_prefix("node-").and_then(|digits| digits.parse::<usize>().ok());
    number.is_some_and(|number| (1..=MAX_NODES).contains(&number) && name == member_name(number))
}

/// What stands in the folder that does not belong to a local network.
fn foreign(dir: &Path) -> Option<String> {
    if dir.is_file() {
        return Some("a file".to_owned());
    }
    if Home::at(dir).check_vacant().is_err() {
        return Some("the home of a single node".to_owned());
    }
    if [NETWORK_FILE, MAKING_FILE].iter().any(|name| dir.join(name).exists()) {
        return None;
    }
    let used = |number| {
        fs::read_dir(dir.join(member_name(number)).join("data")).is_ok_and(|mut data| data.next().is_some())
    };
    if (1..=MAX_NODES).any(used) {
        return Some(format!("nodes without {NETWORK_FILE}"));
    }
    let ours = |name: &str| {
        [LOCK_FILE, SEED_FILE].contains(&name)
            || is_member_name(name)
            || name.starts_with('.')
            || name.starts_with(NETWORK_FILE)
    };
    let entries = fs::read_dir(dir).ok()?;
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| !ours(name)).map(|name| format!("other files (`{}`)", crate::output::harmless(&name)))
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
