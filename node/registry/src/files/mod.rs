//! The small surface on which everything rests: files of one directory tree. Tests put a layer between that fails,
//! fills up or stops at any chosen step.
//!
//! Names are relative to the registry's directory, parts joined by `/`; the empty name is the directory itself.

mod in_memory;
mod os;
mod redb_file;

use std::any::Any;
use std::fmt::Debug;
use std::io;

pub use crate::policy::Space;
pub(crate) use in_memory::InMemory;
pub use os::OsFiles;
pub(crate) use redb_file::RedbFile;

/// One open file. Offsets and lengths are in bytes.
pub trait FileHandle: Debug + Send + Sync + 'static {
    /// Length of the file.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    ///
    /// # Errors
    /// Those of the operating system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `off` on.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before; else those of the operating system.
    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()>;

    /// Reads into `buf` from `off` on what is in memory already, without waiting for the medium; gives how many bytes those
    /// are. 0 says nothing: neither that there are none, nor that reading would fail.
    fn read_cached(&self, _buf: &mut [u8], _off: u64) -> usize {
        0
    }

    /// Writes all of `buf` at `off`, extending the file if need be. Not durable before `sync`.
    ///
    /// # Errors
    /// Those of the operating system. What the file holds at `off` and after is then unknown.
    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()>;

    /// Makes everything written so far durable (one fdatasync). After an error nothing is known about the content.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// Those of the operating system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Lets the next reads come from the medium. A help for those who look for damage; it may do nothing.
    fn forget_cached(&self) {}
}

/// What stands in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_dir: bool,
}

/// A tree of files.
pub trait Files: Debug + Send + Sync + 'static {
    /// Creates a file for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one; else those of the operating system.
    fn create(&self, name: &str) -> io::Result<Box<dyn FileHandle>>;

    /// Opens a file for reading, and for writing if `write`.
    ///
    /// # Errors
    /// `NotFound` if there is none; else those of the operating system.
    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn FileHandle>>;

    /// Creates a folder and those above it; no error if it is there. What it creates is durable when it returns.
    ///
    /// # Errors
    /// Those of the operating system.
    fn make_dir(&self, name: &str) -> io::Result<()>;

    /// What stands in `folder`, sorted; nothing if there is no such folder.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>>;

    /// Removes a file. Durable after `sync_dir` of its folder.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file, replacing what is at `to`. Durable after `sync_dir` of the folder of `to`.
    ///
    /// # Errors
    /// Those of the operating system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes creations, removals and renames in `folder` durable.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// Whether there is a file of this name.
    ///
    /// # Errors
    /// Those of the operating system.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Takes the lock file `name`, without waiting; held until what it gives is dropped.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it; else those of the operating system.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// How much space there is; `None` if that is not known.
    ///
    /// # Errors
    /// Those of the operating system.
    fn space(&self) -> io::Result<Option<Space>> {
        Ok(None)
    }

    /// The full path of `name`, for messages.
    fn describe(&self, name: &str) -> String;
}

/// Whether a text of `len` bytes ends with the end of a line, as one that a crash or a full disk cut short does not.
pub(crate) fn ends_line(file: &dyn FileHandle, len: u64) -> io::Result<bool> {
    let Some(at) = len.checked_sub(1) else { return Ok(true) };
    let mut last = [0];
    file.read_at(&mut last, at)?;
    Ok(last == *b"\n")
}

/// The folder that `name` stands in.
pub(crate) fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}
