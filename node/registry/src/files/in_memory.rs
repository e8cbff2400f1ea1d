//! A short file that is in memory already, for those who read files.

use std::io;

use bytes::Bytes;

use super::FileHandle;

/// A file that holds these bytes, and never others.
#[derive(Debug)]
pub(crate) struct InMemory(pub(crate) Bytes);

impl FileHandle for InMemory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        let from = usize::try_from(off).ok().and_then(|off| self.0.get(off..));
        let part = from.and_then(|from| from.get(..buf.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(part);
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
