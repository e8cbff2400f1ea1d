//! A connection that ends itself when its client takes nothing of an answer for too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::store::Store;

/// What has to be taken in [`crate::Limits::write_time`], in bytes.
const MIN_TAKEN_BYTES: usize = 64 * 1024;

/// A connection with its place among the connections.
pub(super) struct Connection<S> {
    stream: S,
    deadline: Pin<Box<Sleep>>,
    /// Whether the deadline runs: bytes wait to be taken.
    is_waiting: bool,
    /// Bytes taken since it runs.
    taken: usize,
    write_time: Duration,
    meter: Meter,
    _place: OwnedSemaphorePermit,
}

/// Counts a connection while it is open, and its bytes.
struct Meter(Option<Arc<Store>>);

impl Meter {
    fn new(store: Option<Arc<Store>>) -> Self {
        if let Some(store) = &store {
            store.metrics.connections.add(1);
            store.metrics.connections_open.add(1);
        }
        Self(store)
    }

    fn received(&self, bytes: usize) {
        if let Some(store) = &self.0 {
            store.metrics.received_bytes.add(bytes as u64);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(store) = &self.0 {
            store.metrics.connections_open.sub(1);
        }
    }
}

impl<S> Connection<S> {
    /// A connection whose bytes the metrics of `store` count, if there is one.
    pub(super) fn new(
        stream: S,
        write_time: Duration,
        place: OwnedSemaphorePermit,
        store: Option<Arc<Store>>,
    ) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + write_time));
        Self {
            stream,
            deadline,
            is_waiting: false,
            taken: 0,
            write_time,
            meter: Meter::new(store),
            _place: place,
        }
    }

    /// Counts bytes that were taken.
    fn sent(&self, result: &Poll<io::Result<usize>>) {
        if let (Poll::Ready(Ok(bytes)), Some(store)) = (result, &self.meter.0) {
            store.metrics.sent_bytes.add(*bytes as u64);
        }
    }

    /// Notes whether enough was taken; an error once it was not for too long. `taken`: bytes, or all that there are.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> Option<usize>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = &result {
            let taken = done.as_ref().map_or(None, taken);
            self.taken = self.taken.saturating_add(taken.unwrap_or(MIN_TAKEN_BYTES));
            // A byte now and then must not keep a place for ever.
            if self.taken >= MIN_TAKEN_BYTES {
                (self.is_waiting, self.taken) = (false, 0);
            }
            return result;
        }
        if !self.is_waiting {
            (self.is_waiting, self.taken) = (true, 0);
            let until = Instant::now() + self.write_time;
            self.deadline.as_mut().reset(until);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.meter.received(buffer.filled().len() - before);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(&result);
        self.watch(context, result, |bytes| Some(*bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.sent(&result);
        self.watch(context, result, |bytes| Some(*bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, result, |()| None)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
