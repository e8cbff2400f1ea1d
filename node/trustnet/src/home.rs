//! A node's home directory: where its settings, keys, data and logs lie.
//!
//! ```text
//! HOME/config/config.toml genesis.json node.key validator.key operator.key
//! HOME/data/              the store; data/peers is the address book
//! HOME/logs/
//! ```
//! `config.toml` is written last: a folder that has it is a finished home.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use trustnet_ledger::crypto::SecretKey;

use crate::config::{Config, ConfigError};
use crate::keys::{self, KeyError, Role};

/// Where a node image keeps its node (DESIGN section 8).
const IMAGE_HOME: &str = "/opt/trustnet/node";

/// A node's home directory. Making one touches no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why a home could not be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither `XDG_DATA_HOME` nor `HOME` says where homes lie.
    #[error("neither XDG_DATA_HOME nor HOME is set, so there is no default home")]
    NoDefault,
    /// There is no node in the folder.
    #[error("there is no node in {}", root.display())]
    NotANode {
        /// The folder.
        root: PathBuf,
    },
    /// The folder holds a node already.
    #[error("{} holds a node already", root.display())]
    Exists {
        /// The folder.
        root: PathBuf,
    },
    /// The folder holds parts of a node: its creation was interrupted, or somebody removed files.
    #[error("{} holds parts of a node ({found}) but no config/config.toml", root.display())]
    Unfinished {
        /// The folder.
        root: PathBuf,
        /// The first part found.
        found: String,
    },
    /// A folder or file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Home {
    /// The home at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The home of a single node when none is named: the image's if it can be written, else
    /// `$XDG_DATA_HOME/trustnet/node`.
    ///
    /// # Errors
    /// [`HomeError::NoDefault`].
    pub fn default_single() -> Result<Self, HomeError> {
        let image = Path::new(IMAGE_HOME);
        if writable_dir(image) {
            return Ok(Self::at(image));
        }
        Ok(Self::at(data_dir()?.join("node")))
    }

    /// The home itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of settings, genesis and keys.
    pub fn config_dir(&self) -> PathBuf {
        self.root.join("config")
    }

    /// The settings.
    pub fn config_file(&self) -> PathBuf {
        self.config_dir().join("config.toml")
    }

    /// The chain's genesis.
    pub fn genesis_file(&self) -> PathBuf {
        self.config_dir().join("genesis.json")
    }

    /// The key file of `role`.
    pub fn key_file(&self, role: Role) -> PathBuf {
        self.config_dir().join(role.file_name())
    }

    /// The store's folder.
    pub fn data_dir(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The peers' address book.
    pub fn peers_file(&self) -> PathBuf {
        self.data_dir().join("peers")
    }

    /// The folder of logs.
    pub fn logs_dir(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Whether there is a finished node.
    pub fn exists(&self) -> bool {
        self.config_file().exists()
    }

    /// The settings.
    ///
    /// # Errors
    /// [`HomeError::NotANode`], [`HomeError::Config`].
    pub fn config(&self) -> Result<Config, HomeError> {
        if !self.exists() {
            self.check_vacant()?;
            return Err(HomeError::NotANode { root: self.root.clone() });
        }
        Ok(Config::load(&self.config_file())?)
    }

    /// The node's key of `role`.
    ///
    /// # Errors
    /// [`HomeError::Key`].
    pub fn key(&self, role: Role) -> Result<SecretKey, HomeError> {
        Ok(keys::load(&self.key_file(role), Some(role))?.1)
    }

    /// Requires that no node, nor a part of one, lies here yet.
    ///
    /// # Errors
    /// [`HomeError::Exists`], [`HomeError::Unfinished`].
    pub fn check_vacant(&self) -> Result<(), HomeError> {
        if self.exists() {
            return Err(HomeError::Exists { root: self.root.clone() });
        }
        let keys = Role::ALL.map(|role| self.key_file(role));
        let mut parts = keys.into_iter().chain([self.genesis_file(), self.data_dir().join("vote.lock")]);
        match parts.find(|path| path.exists()) {
            None => Ok(()),
            Some(path) => {
                let found = path.strip_prefix(&self.root).unwrap_or(&path).display().to_string();
                Err(HomeError::Unfinished { root: self.root.clone(), found })
            }
        }
    }

    /// Makes the folders (`config` and `data` for the owner only).
    ///
    /// # Errors
    /// [`HomeError::Unwritable`].
    pub fn create_dirs(&self) -> Result<(), HomeError> {
        for dir in [self.root.clone(), self.config_dir(), self.data_dir(), self.logs_dir()] {
            fs::create_dir_all(&dir).map_err(|source| unwritable(&dir, source))?;
        }
        for dir in [self.config_dir(), self.data_dir()] {
            make_private(&dir).map_err(|source| unwritable(&dir, source))?;
        }
        Ok(())
    }

    /// Writes `text` to the file `path`: first beside it, then renamed, so that a power cut leaves
    /// the old file or the new one, never half of one.
    ///
    /// # Errors
    /// [`HomeError::Unwritable`].
    pub fn write_file(path: &Path, text: &str) -> Result<(), HomeError> {
        use io::Write as _;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let written = fs::File::create(&partial).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&partial, path)?;
            match path.parent() {
                Some(dir) => fs::File::open(dir)?.sync_all(),
                None => Ok(()),
            }
        });
        written.map_err(|source| unwritable(path, source))
    }
}

/// The folder of the local network that `trustnet up` runs: `$XDG_DATA_HOME/trustnet/up`.
///
/// # Errors
/// [`HomeError::NoDefault`].
pub fn up_dir() -> Result<PathBuf, HomeError> {
    Ok(data_dir()?.join("up"))
}

/// The registry's directory when none is named: `$XDG_DATA_HOME/trustnet/registry`.
///
/// # Errors
/// [`HomeError::NoDefault`].
pub fn registry_dir() -> Result<PathBuf, HomeError> {
    Ok(data_dir()?.join("registry"))
}

/// The homes of the local network in `dir`: its sub-folders that hold a node, in the order of their
/// names (`node-2` before `node-10`).
pub fn network_homes(dir: &Path) -> Vec<Home> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut homes: Vec<Home> =
        entries.flatten().map(|entry| Home::at(entry.path())).filter(Home::exists).collect();
    homes.sort_by_key(|home| (home.root.as_os_str().len(), home.root.clone()));
    homes
}

fn data_dir() -> Result<PathBuf, HomeError> {
    data_dir_of(env::var_os("XDG_DATA_HOME").map(PathBuf::from), env::var_os("HOME").map(PathBuf::from))
        .ok_or(HomeError::NoDefault)
}

/// The XDG rules: a relative or empty `XDG_DATA_HOME` counts as not set.
fn data_dir_of(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let home = home.filter(|dir| !dir.as_os_str().is_empty()).map(|dir| dir.join(".local/share"));
    Some(xdg.filter(|dir| dir.is_absolute()).or(home)?.join("trustnet"))
}

fn unwritable(path: &Path, source: io::Error) -> HomeError {
    HomeError::Unwritable { path: path.into(), source }
}

#[cfg(unix)]
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether `dir` is a folder that this process may write, judged from its permission bits: a trial
/// file would wear the card at every command.
#[cfg(unix)]
fn writable_dir(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(dir), Ok(me)) = (fs::metadata(dir), fs::metadata("/proc/self")) else { return false };
    let allowed = me.uid() == 0
        || dir.mode() & 0o002 != 0
        || (dir.uid() == me.uid() && dir.mode() & 0o200 != 0)
        || (dir.gid() == me.gid() && dir.mode() & 0o020 != 0);
    dir.is_dir() && allowed
}

#[cfg(not(unix))]
fn writable_dir(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_default_follows_the_xdg_rules() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(data_dir_of(path("/data"), path("/home/a")), path("/data/trustnet"));
        assert_eq!(data_dir_of(path("relative"), path("/home/a")), path("/home/a/.local/share/trustnet"));
        assert_eq!(data_dir_of(path(""), path("/home/a")), path("/home/a/.local/share/trustnet"));
        assert_eq!(data_dir_of(None, path("")), None);
    }

    #[test]
    fn an_empty_folder_is_vacant_and_no_node() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.check_vacant().unwrap();
        assert!(matches!(home.config(), Err(HomeError::NotANode { .. })));
    }

    #[test]
    fn a_half_made_home_is_told_from_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("new/node"));
        home.create_dirs().unwrap();
        keys::save(&home.key_file(Role::Validator), Role::Validator, &SecretKey::from_seed(&[1; 32]))
            .unwrap();
        let message = home.config().unwrap_err().to_string();
        assert!(message.contains("holds parts of a node (config/validator.key)"), "{message}");
        Home::write_file(&home.config_file(), "name = \"a\"\n").unwrap();
        assert!(matches!(home.check_vacant(), Err(HomeError::Exists { .. })));
        assert_eq!(home.config().unwrap().name, "a");
        assert!(!home.config_dir().join("config.toml.partial").exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(home.config_dir()).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_home_below_a_file_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Home::at(file.join("node")).create_dirs().unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
    }

    #[test]
    fn homes_of_a_network_come_in_the_order_of_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["node-10", "node-2", "node-1"] {
            let home = Home::at(dir.path().join(name));
            home.create_dirs().unwrap();
            Home::write_file(&home.config_file(), "").unwrap();
        }
        fs::create_dir(dir.path().join("other")).unwrap();
        let homes = network_homes(dir.path());
        let names: Vec<_> = homes.iter().map(|home| home.root().file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["node-1", "node-2", "node-10"]);
        assert!(network_homes(&dir.path().join("absent")).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_of_ones_own_is_writable_and_a_missing_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(writable_dir(dir.path()));
        assert!(!writable_dir(&dir.path().join("absent")));
    }
}
