//! A disk whose free space a test sets.

#![allow(dead_code)]

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trustnet_registry::{Entry, FileHandle, Files, OsFiles, Space};

/// Files on a disk that says it has so much free of 1,000,000 bytes.
#[derive(Clone, Debug)]
pub struct Disk {
    files: OsFiles,
    free: Arc<AtomicU64>,
    fills_up: bool,
}

#[derive(Debug)]
struct DiskFile {
    file: Box<dyn FileHandle>,
    disk: Disk,
}

impl Disk {
    /// One on which there is as much free as a test says, whatever is written.
    pub fn new(dir: &Path, free: u64) -> Self {
        Self { files: OsFiles::new(dir), free: Arc::new(AtomicU64::new(free)), fills_up: false }
    }

    /// One that fills up: each write takes some, and is refused when there is not enough.
    pub fn filling_up(dir: &Path, free: u64) -> Self {
        Self { fills_up: true, ..Self::new(dir, free) }
    }

    pub fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::SeqCst);
    }

    fn file(&self, file: Box<dyn FileHandle>) -> Box<dyn FileHandle> {
        Box::new(DiskFile { file, disk: self.clone() })
    }
}

impl FileHandle for DiskFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        self.file.read_at(buf, off)
    }

    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()> {
        let take = |free: u64| free.checked_sub(buf.len() as u64);
        if self.disk.fills_up
            && self.disk.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err()
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(buf, off)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

impl Files for Disk {
    fn create(&self, name: &str) -> io::Result<Box<dyn FileHandle>> {
        Ok(self.file(self.files.create(name)?))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn FileHandle>> {
        Ok(self.file(self.files.open(name, write)?))
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        self.files.make_dir(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        self.files.list(folder)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.files.sync_dir(folder)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.files.exists(name)
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.files.lock(name)
    }

    fn space(&self) -> io::Result<Option<Space>> {
        Ok(Some(Space { free: self.free.load(Ordering::SeqCst), total: 1_000_000 }))
    }

    fn describe(&self, name: &str) -> String {
        self.files.describe(name)
    }
}
