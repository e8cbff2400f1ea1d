//! The body of an answer that comes part by part, each asked for when the client took the one before.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// Where the parts come from.
pub(super) trait Parts: Sized + Send + 'static {
    /// The next part; `None` at the end. After an error nothing more is asked for.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

type Asked<P> = Pin<Box<dyn Future<Output = (P, io::Result<Option<Bytes>>)> + Send>>;

fn ask<P: Parts>(mut parts: P) -> Asked<P> {
    Box::pin(async move {
        let part = parts.next().await;
        (parts, part)
    })
}

/// Parts on their way to a client.
pub(super) struct PartsBody<P> {
    asked: Option<Asked<P>>,
    /// Bytes that the client was not given yet, if it is known how many there will be.
    left: Option<u64>,
    /// Its place among the downloads.
    _place: OwnedSemaphorePermit,
}

impl<P: Parts> PartsBody<P> {
    /// A body of `len` bytes, if that is known.
    pub(super) fn new(parts: P, len: Option<u64>, place: OwnedSemaphorePermit) -> Self {
        Self { asked: Some(ask(parts)), left: len, _place: place }
    }
}

impl<P: Parts> Body for PartsBody<P> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(asked) = &mut self.asked else { return Poll::Ready(None) };
        let (parts, part) = ready!(asked.as_mut().poll(context));
        self.asked = None;
        let Some(bytes) = part.transpose() else { return Poll::Ready(None) };
        if let Ok(bytes) = &bytes {
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(bytes.len() as u64);
            }
            self.asked = Some(ask(parts));
        }
        Poll::Ready(Some(bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) || self.asked.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
