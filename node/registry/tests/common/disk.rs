//! A disk whose free space a test sets.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trustnet_registry::{Entry, FileHandle, Files, OsFiles, Space};

/// Files on a disk that says it has so much free of 1,000,000 bytes.
#[derive(Debug)]
pub struct Disk {
    pub files: OsFiles,
    pub free: Arc<AtomicU64>,
}

impl Files for Disk {
    fn create(&self, name: &str) -> io::Result<Box<dyn FileHandle>> {
        self.files.create(name)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn FileHandle>> {
        self.files.open(name, write)
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
