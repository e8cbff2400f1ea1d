//! Bodies of answers: a file, read in parts, one ahead, never more; and bytes that take a place while they are in memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::files::FileHandle;
use crate::limits::READ_BYTES;

/// Part of a file on its way to a client.
pub(super) struct FileBody {
    file: Arc<dyn FileHandle>,
    /// The next byte to be read.
    offset: u64,
    /// The byte after the last.
    end: u64,
    /// Bytes that the client was not given yet.
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// Its place among the downloads.
    _place: OwnedSemaphorePermit,
}

impl FileBody {
    pub(super) fn new(
        file: Box<dyn FileHandle>,
        (start, end): (u64, u64),
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { file: file.into(), offset: start, end, left: end - start, reading: None, _place: place }
    }

    fn read_ahead(&mut self) {
        if self.offset < self.end {
            let (file, offset) = (Arc::clone(&self.file), self.offset);
            let len = (self.end - offset).min(READ_BYTES as u64);
            self.offset += len;
            self.reading = Some(spawn_blocking(move || {
                let mut part = vec![0; len as usize];
                file.read_at(&mut part, offset)?;
                Ok(part.into())
            }));
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.reading.is_none() {
            self.read_ahead();
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let part = ready!(Pin::new(reading).poll(context)).map_err(io::Error::other).and_then(|part| part);
        self.reading = None;
        if let Ok(part) = &part {
            self.left -= part.len() as u64;
            self.read_ahead();
        } else {
            // The connection ends here: a client must never take a part for the whole.
            self.offset = self.end;
        }
        Poll::Ready(Some(part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Bytes on their way to a client, with their place among the downloads.
pub(super) struct PlacedBody {
    bytes: Option<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl PlacedBody {
    pub(super) fn new(bytes: Bytes, place: OwnedSemaphorePermit) -> Self {
        Self { bytes: Some(bytes), _place: place }
    }
}

impl Body for PlacedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(bytes) = self.bytes.as_mut().filter(|bytes| !bytes.is_empty()) else {
            return Poll::Ready(None);
        };
        // In parts, and as copies: once hyper has the last one it drops this body and with it the place, and a part of the
        // whole would keep all of it in memory.
        let len = bytes.len().min(READ_BYTES);
        let part = Bytes::copy_from_slice(&bytes.split_to(len));
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
