//! Keys and certificates on disk: each file is there whole, or as it was before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::error::{Result, TlsError};

/// Longest file that is read, in bytes. Chains of public authorities have about 6,000.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Most files of one name that are set aside; the oldest is replaced then.
const MAX_ASIDE: u32 = 10;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner only.
    Secret,
    /// Everyone who may enter the folder.
    Open,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Secret => 0o600,
            Self::Open => 0o644,
        }
    }
}

/// A folder of such files.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Opens a folder, creating it and those above it.
    pub(crate) fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let created = fs::DirBuilder::new().recursive(true).mode(0o750).create(&path);
        created.map_err(|error| TlsError::io("create", path.display().to_string(), error))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The full path of `name`, for messages.
    pub(crate) fn describe(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Reads a file; `None` if there is none. A secret that others could read is closed to them.
    pub(crate) fn read(&self, name: &str, access: Access) -> Result<Option<Vec<u8>>> {
        let failed = |error| TlsError::io("read", self.describe(name), error);
        let file = match File::open(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if access == Access::Secret && mode & 0o077 != 0 {
            tracing::warn!(path = self.describe(name), "a secret key was open to others; it no longer is");
            file.set_permissions(fs::Permissions::from_mode(access.mode())).map_err(failed)?;
        }
        let mut content = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is far too long")));
        }
        Ok(Some(content))
    }

    /// Writes a file, durably: a crash leaves the old one or the new one.
    pub(crate) fn write(&self, name: &str, content: &[u8], access: Access) -> Result<()> {
        write_file(&self.path(name), content, access)
            .map_err(|error| TlsError::io("write", self.describe(name), error))
    }

    /// Gives a file another name, with the word `what` in it, so that a person can look at it; gives that name.
    pub(crate) fn set_aside(&self, name: &str, what: &str) -> Result<String> {
        let aside = |n: u32| format!("{name}.{what}-{n}");
        let number = (1..MAX_ASIDE).find(|n| !self.path(&aside(*n)).exists()).unwrap_or(MAX_ASIDE);
        let renamed = fs::rename(self.path(name), self.path(&aside(number))).and_then(|()| sync_dir(&self.0));
        renamed.map_err(|error| TlsError::io("set aside", self.describe(name), error))?;
        Ok(self.describe(&aside(number)))
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a file through one beside it that takes its place when it is whole and flushed.
pub(super) fn write_file(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let new = folder.join(name);
    // Left over by a crash, and perhaps open to others.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(access.mode());
    let mut file = options.open(&new)?;
    // The process may have a mask that takes more away than we want.
    file.set_permissions(fs::Permissions::from_mode(access.mode()))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_dir(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn secrets_are_their_owners() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("a/tls")).unwrap();
        // What a crash left, open to all.
        fs::write(folder.path("key.new"), "half").unwrap();
        folder.write("key", b"secret", Access::Secret).unwrap();
        folder.write("certificate", b"open", Access::Open).unwrap();
        assert_eq!((mode(&folder.path("key")), mode(&folder.path("certificate"))), (0o600, 0o644));
        assert!(!folder.path("key.new").exists());
        fs::set_permissions(folder.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(folder.read("key", Access::Secret).unwrap().unwrap(), b"secret");
        assert_eq!(mode(&folder.path("key")), 0o600);
        assert!(folder.read("other", Access::Open).unwrap().is_none());
    }

    #[test]
    fn what_is_far_too_long_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        fs::write(folder.path("key"), vec![b'x'; MAX_FILE_BYTES as usize + 1]).unwrap();
        assert!(matches!(folder.read("key", Access::Open), Err(TlsError::Io { .. })));
    }

    #[test]
    fn what_is_set_aside_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        for n in 0..MAX_ASIDE + 2 {
            folder.write("key", n.to_string().as_bytes(), Access::Secret).unwrap();
            assert!(folder.set_aside("key", "damaged").unwrap().contains("key.damaged-"));
        }
        assert!(!folder.path("key").exists());
        assert_eq!(fs::read_to_string(folder.path("key.damaged-1")).unwrap(), "0");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), MAX_ASIDE as usize);
    }
}
