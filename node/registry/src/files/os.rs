//! [`Files`] over a real directory.

use std::any::Any;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;

use super::{Entry, FileHandle, Files, Space, folder_of};

/// Files belong to the registry's user; its group may read them.
const FILE_MODE: u32 = 0o640;
/// As for files.
const DIR_MODE: u32 = 0o750;

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct OsFiles(PathBuf);

impl OsFiles {
    /// The directory at `path`; it is created when the registry is opened.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn at(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }
}

#[derive(Debug)]
struct OsFile(File);

impl FileHandle for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, off)
    }

    #[cfg(target_os = "linux")]
    fn read_cached(&self, buf: &mut [u8], off: u64) -> usize {
        use rustix::io::{ReadWriteFlags, preadv2};
        // An error also stands for a file system that cannot say what is in memory.
        preadv2(&self.0, &mut [io::IoSliceMut::new(buf)], off, ReadWriteFlags::NOWAIT).unwrap_or(0)
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
    fn forget_cached(&self) {
        // Advice only: a file system that does not take it is read through its cache.
        let _ = rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed);
    }
}

impl Files for OsFiles {
    fn create(&self, name: &str) -> io::Result<Box<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(FILE_MODE);
        Ok(Box::new(OsFile(options.open(self.at(name))?)))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn FileHandle>> {
        Ok(Box::new(OsFile(OpenOptions::new().read(true).write(write).open(self.at(name))?)))
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        let path = self.at(name);
        if path.is_dir() {
            return Ok(());
        }
        if name.is_empty() {
            return DirBuilder::new().recursive(true).mode(DIR_MODE).create(path);
        }
        let folder = folder_of(name);
        self.make_dir(folder)?;
        match DirBuilder::new().mode(DIR_MODE).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // Also when another thread was quicker: its flush may still be to come.
            _ => self.sync_dir(folder),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let entries = match fs::read_dir(self.at(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(Entry { name, is_dir: entry.file_type()?.is_dir() });
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

    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(self.at(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let found = rustix::fs::statvfs(&self.0)?;
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        Ok(Some(Space { free: found.f_bavail.saturating_mul(found.f_frsize), total }))
    }

    fn describe(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }
}
