//! A file as redb's storage, so that the metadata's writes and flushes pass through the same layer as all others.

use std::io;

use redb::StorageBackend;

use super::FileHandle;

/// The file of the metadata.
#[derive(Debug)]
pub(crate) struct RedbFile(pub(crate) Box<dyn FileHandle>);

impl StorageBackend for RedbFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(data, offset)
    }
}
