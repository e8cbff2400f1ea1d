//! An answer that is still being fetched: what has arrived in the file goes out, the last byte only when all of it is
//! verified and kept. A client of content that turns out wrong sees the connection break, never a whole body.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::parts::Parts;
use crate::files::FileHandle;
use crate::limits::READ_BYTES;
use crate::upstream::Progress;

/// Bytes that are held back until the content is verified.
const HELD_BACK_BYTES: u64 = 1;

/// A file that grows, read as far as it has.
pub(super) struct Growing {
    file: Arc<dyn FileHandle>,
    progress: watch::Receiver<Progress>,
    /// The next byte to be read.
    offset: u64,
}

impl Growing {
    pub(super) fn new(file: Arc<dyn FileHandle>, progress: watch::Receiver<Progress>) -> Self {
        Self { file, progress, offset: 0 }
    }

    /// Up to where the file may be read, once that is further than before; and whether that is its end.
    async fn readable(&mut self) -> io::Result<(u64, bool)> {
        let offset = self.offset;
        let is_news = |progress: &Progress| match progress {
            Progress::Asking => false,
            Progress::Growing(len) => len.saturating_sub(HELD_BACK_BYTES) > offset,
            Progress::Kept | Progress::Failed(_) => true,
        };
        let progress = self.progress.wait_for(is_news).await.map_err(io::Error::other)?.clone();
        match progress {
            Progress::Growing(len) => Ok((len - HELD_BACK_BYTES, false)),
            Progress::Kept => Ok((self.file.len()?, true)),
            Progress::Failed(error) => Err(io::Error::other(error)),
            Progress::Asking => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Parts for Growing {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let (end, is_all) = self.readable().await?;
        if is_all && self.offset >= end {
            return Ok(None);
        }
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let len = end.saturating_sub(offset).min(READ_BYTES as u64);
        let read = spawn_blocking(move || {
            let mut part = vec![0; len as usize];
            file.read_at(&mut part, offset)?;
            Ok::<_, io::Error>(part.into())
        });
        let part = read.await.map_err(io::Error::other)??;
        self.offset += len;
        Ok(Some(part))
    }
}
