//! [`Dir`] over a real directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::disk::{Dir, Disk, LockError};

/// Longest text read from a lock file: a process id.
const MAX_PID_DIGITS: u64 = 20;
/// Files belong to the node's user alone: they say what it signed.
const FILE_MODE: u32 = 0o600;

/// A directory of the operating system. Created by the caller.
#[derive(Debug, Clone)]
pub struct OsDir(PathBuf);

impl OsDir {
    /// The directory at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn at(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }
}

/// An open file of an [`OsDir`].
#[derive(Debug)]
pub struct OsFile(File);

impl Disk for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, off)
    }

    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()> {
        self.0.write_all_at(buf, off)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn forget_cached(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?)
    }
}

/// Holds the lock of an [`OsDir`]. The kernel releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct OsLock(#[expect(dead_code, reason = "held open for its lock")] File);

impl Dir for OsDir {
    type File = OsFile;
    type Lock = OsLock;

    fn open(&self, name: &str, create: bool) -> io::Result<OsFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create).truncate(false).mode(FILE_MODE);
        Ok(OsFile(options.open(self.at(name))?))
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        let path = self.at(name);
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&path)?;
        // The directory's own entry: `sync_dir` reaches only what is inside it.
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(folder))? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        File::open(self.at(folder))?.sync_all()
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.at(name).try_exists()
    }

    fn try_lock(&self, name: &str) -> Result<OsLock, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let mut file = options.open(self.at(name)).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = (&mut file).take(MAX_PID_DIGITS).read_to_string(&mut text);
                return Err(LockError::Held(read.ok().and_then(|_| text.trim().parse().ok())));
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // The process id serves a message only: a failure to write it changes nothing.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "{}", std::process::id());
        Ok(OsLock(file))
    }

    fn describe(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }
}

/// Share of the file system at `path` that is free for this user: 0.0 full, 1.0 empty.
///
/// # Errors
/// Those of the operating system.
pub fn free_ratio(path: &Path) -> io::Result<f64> {
    let stat = rustix::fs::statvfs(path)?;
    // Ratios of block counts: the precision lost above 2^52 blocks does not matter.
    #[expect(clippy::cast_precision_loss)]
    Ok(if stat.f_blocks == 0 { 1.0 } else { stat.f_bavail as f64 / stat.f_blocks as f64 })
}
