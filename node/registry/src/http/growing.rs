//! The body of an answer that is still being fetched: what has arrived in the file goes out, the last byte only when all
//! of it is verified and kept. A client of content that turns out wrong sees the connection break, never a whole body.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::spawn_blocking;

use crate::files::FileHandle;
use crate::limits::READ_BYTES;
use crate::upstream::Progress;

/// Bytes that are held back until the content is verified.
const HELD_BACK_BYTES: u64 = 1;

struct Reader {
    file: Arc<dyn FileHandle>,
    progress: watch::Receiver<Progress>,
    /// The next byte to be read.
    offset: u64,
}

type Part = Pin<Box<dyn Future<Output = (Reader, io::Result<Option<Bytes>>)> + Send>>;

impl Reader {
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

    async fn part(&mut self) -> io::Result<Option<Bytes>> {
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

    fn next(mut self) -> Part {
        Box::pin(async move {
            let part = self.part().await;
            (self, part)
        })
    }
}

/// A file that grows, on its way to a client.
pub(super) struct GrowingBody {
    part: Option<Part>,
    /// Bytes that the client was not given yet, if it is known how many there will be.
    left: Option<u64>,
    /// Its place among the downloads.
    _place: OwnedSemaphorePermit,
}

impl GrowingBody {
    pub(super) fn new(
        file: Arc<dyn FileHandle>,
        len: Option<u64>,
        progress: watch::Receiver<Progress>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let part = Reader { file, progress, offset: 0 }.next();
        Self { part: Some(part), left: len, _place: place }
    }
}

impl Body for GrowingBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(part) = &mut self.part else { return Poll::Ready(None) };
        let (reader, part) = ready!(part.as_mut().poll(context));
        self.part = None;
        let Some(bytes) = part.transpose() else { return Poll::Ready(None) };
        if let Ok(bytes) = &bytes {
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(bytes.len() as u64);
            }
            self.part = Some(reader.next());
        }
        Poll::Ready(Some(bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) || self.part.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
