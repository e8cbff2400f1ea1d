//! The small surface on which everything rests: a file that can be read, written and flushed at an offset, and a
//! directory of such files. Tests put `MemDir` under it and cut the power at every flush.

use std::io;

/// One open file. Offsets and lengths are in bytes.
pub trait Disk: Send + 'static {
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

    /// Writes all of `buf` at `off`, extending the file if need be. Not durable before `sync`.
    ///
    /// # Errors
    /// Those of the operating system.
    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()>;

    /// Makes everything written so far durable (one fdatasync). After an error nothing is known about the file's
    /// content; the store never tries a second time.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// Those of the operating system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Lets the next reads come from the medium. After a failed flush Linux keeps the unwritten bytes in memory and
    /// calls them clean: a process that restarts and reads them would take for durable what is not.
    ///
    /// # Errors
    /// Those of the operating system.
    fn forget_cached(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its process id, if it wrote one.
    Held(Option<u32>),
    /// The lock file cannot be opened or locked at all.
    Io(io::Error),
}

/// A directory of files, and its sub-folders. Names are relative, parts joined by `/`; the empty name is the
/// directory itself.
pub trait Dir: Send + Sync + 'static {
    /// An open file of this directory.
    type File: Disk;
    /// Holds the directory's lock until dropped.
    type Lock: Send + 'static;

    /// Opens a file for reading and writing, creating it empty if `create` and it is not there.
    ///
    /// # Errors
    /// `NotFound` if it is not there and `create` is false; else those of the operating system.
    fn open(&self, name: &str, create: bool) -> io::Result<Self::File>;

    /// Creates a folder; no error if it is there.
    ///
    /// # Errors
    /// Those of the operating system.
    fn make_dir(&self, name: &str) -> io::Result<()>;

    /// Names (without the folder) of the files in `folder`, sorted.
    ///
    /// # Errors
    /// `NotFound` if there is no such folder; else those of the operating system.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Removes a file. Durable after `sync_dir` of its folder.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file within its folder, replacing what is at `to`. Durable after `sync_dir` of the folder.
    ///
    /// # Errors
    /// Those of the operating system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes creations, removals and renames in `folder` durable.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// Whether there is a file or folder of this name.
    ///
    /// # Errors
    /// Those of the operating system.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Takes the lock file `name`, without waiting.
    ///
    /// # Errors
    /// See [`LockError`].
    fn try_lock(&self, name: &str) -> Result<Self::Lock, LockError>;

    /// The full path of `name`, for messages.
    fn describe(&self, name: &str) -> String;
}
