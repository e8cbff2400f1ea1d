//! Bodies of answers: a file, read in parts; and bytes that take a place while they are in memory.

use std::io;
use std::mem::take;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::files::FileHandle;
use crate::limits::READ_BYTES;

/// Buffers that wait to be used again: a new one for each part would be cleared first, and come from the system page by
/// page, which costs more than reading into it.
#[derive(Default)]
struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A buffer of at least `len` bytes.
    fn take(&self, len: usize) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.filter(|buffer| buffer.len() >= len).unwrap_or_else(|| vec![0; len])
    }

    fn put(&self, buffer: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// What was read, in a buffer that goes back once it was sent.
struct Part {
    buffer: Vec<u8>,
    len: usize,
    buffers: Arc<Buffers>,
}

impl Part {
    fn new(buffers: &Arc<Buffers>, len: usize) -> Self {
        Self { buffer: buffers.take(len), len, buffers: Arc::clone(buffers) }
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.buffers.put(take(&mut self.buffer));
    }
}

/// Part of a file on its way to a client. What the system has in memory is sent at once; what has to come from the medium
/// is read on another thread.
pub(super) struct FileBody {
    file: Arc<dyn FileHandle>,
    buffers: Arc<Buffers>,
    /// The next byte that the client is given.
    offset: u64,
    /// The byte after the last.
    end: u64,
    reading: Option<JoinHandle<io::Result<Part>>>,
    /// Its place among the downloads.
    _place: OwnedSemaphorePermit,
}

impl FileBody {
    pub(super) fn new(
        file: Box<dyn FileHandle>,
        (offset, end): (u64, u64),
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { file: file.into(), buffers: Arc::default(), offset, end, reading: None, _place: place }
    }

    fn left(&self) -> u64 {
        self.end - self.offset
    }

    /// What comes next, if that is in memory; else it is being read from now on.
    fn begin(&mut self) -> Option<Part> {
        let mut part = Part::new(&self.buffers, self.left().min(READ_BYTES as u64) as usize);
        let (file, offset, len) = (Arc::clone(&self.file), self.offset, part.len);
        part.len = file.read_cached(&mut part.buffer[..len], offset);
        if part.len > 0 {
            return Some(part);
        }
        part.len = len;
        self.reading = Some(spawn_blocking(move || {
            file.read_at(&mut part.buffer[..len], offset)?;
            Ok(part)
        }));
        None
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let begun = if self.reading.is_none() { self.begin() } else { None };
        let part = match (begun, &mut self.reading) {
            (Some(part), _) => Ok(part),
            (None, Some(reading)) => {
                ready!(Pin::new(reading).poll(context)).map_err(io::Error::other).and_then(|part| part)
            }
            (None, None) => return Poll::Ready(None),
        };
        self.reading = None;
        match &part {
            Ok(part) => self.offset += part.len as u64,
            // The connection ends here: a client must never take a part for the whole.
            Err(_) => self.end = self.offset,
        }
        Poll::Ready(Some(part.map(|part| Frame::data(Bytes::from_owner(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;

    use tokio::sync::Semaphore;

    use super::*;

    /// A file whose first bytes are in memory; the rest comes from a medium that may be broken.
    #[derive(Debug)]
    struct HalfCached {
        bytes: Vec<u8>,
        cached: usize,
        is_broken: bool,
    }

    impl FileHandle for HalfCached {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
            if self.is_broken {
                return Err(io::Error::other("broken"));
            }
            buf.copy_from_slice(&self.bytes[off as usize..][..buf.len()]);
            Ok(())
        }

        fn read_cached(&self, buf: &mut [u8], off: u64) -> usize {
            let here = &self.bytes[(off as usize).min(self.cached)..self.cached];
            let len = here.len().min(buf.len());
            buf[..len].copy_from_slice(&here[..len]);
            len
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

    async fn sent(file: HalfCached, range: (u64, u64)) -> (Vec<u8>, Option<io::Error>) {
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let mut body = FileBody::new(Box::new(file), range, place);
        let mut sent = Vec::new();
        loop {
            assert_eq!(body.size_hint().exact(), Some(body.left()));
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(frame)) => sent.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(error)) => return (sent, Some(error)),
                None => return (sent, None),
            }
        }
    }

    #[tokio::test]
    async fn every_byte_is_sent_once_wherever_it_comes_from() {
        let len = 3 * READ_BYTES + 17;
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        for cached in [0, 1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 2 * READ_BYTES + 100, len] {
            for (start, end) in [(0, len), (5, len - 5), (READ_BYTES, READ_BYTES + 1), (7, 7)] {
                let file = HalfCached { bytes: bytes.clone(), cached, is_broken: false };
                let (sent, error) = sent(file, (start as u64, end as u64)).await;
                assert!(error.is_none());
                assert!(sent == bytes[start..end], "{cached} cached, {start} to {end}");
            }
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_ends_the_body_with_an_error() {
        let file = HalfCached { bytes: vec![7; 1_000], cached: 400, is_broken: true };
        let (sent, error) = sent(file, (0, 1_000)).await;
        assert_eq!((sent.len(), error.map(|error| error.to_string())), (400, Some("broken".into())));
    }
}
