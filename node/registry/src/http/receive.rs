//! Bodies on their way to disk: gathered into batches, written and hashed on another thread while the next batch
//! arrives. Two batches of a request are in memory, in buffers that it keeps to its end.
//!
//! Parts are copied together. A part that waited for its turn would keep its buffer from the connection, which then has the
//! system make new ones, page by page; that costs more than the copy, and so do writing and hashing in small pieces.

use std::future::poll_fn;
use std::mem::replace;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::error::{RegistryError, Result};
use crate::limits::{DRAIN_BYTES, UPLOAD_BATCH_BYTES};

/// How long the rest of a refused body is waited for.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Where batches go.
pub(super) trait Sink: Send + 'static {
    /// Writes a batch.
    fn append(&mut self, batch: &[u8]) -> Result<()>;
}

/// How a body is received.
pub(super) struct Terms<'a> {
    /// Most bytes that are taken.
    pub(super) max_bytes: u64,
    /// The error when there are more.
    pub(super) too_long: RegistryError,
    /// How many there have to be, if the client said so.
    pub(super) exact: Option<u64>,
    /// How long a batch may take to arrive.
    pub(super) batch_time: Duration,
    /// Ends the body early when another request wants its place.
    pub(super) takeover: Option<&'a Notify>,
}

/// The next part of a body; `None` at its end.
pub(super) async fn next(body: &mut Body) -> Option<Result<Bytes>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            Err(_) => return Some(Err(RegistryError::BodyBroken)),
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
        }
    }
}

async fn taken_over(takeover: Option<&Notify>) {
    match takeover {
        Some(takeover) => takeover.notified().await,
        None => std::future::pending().await,
    }
}

/// Gathers a batch into `batch`; `rest` is what did not fit into the last one. Says whether there is more, or why not.
async fn gather(body: &mut Body, terms: &Terms<'_>, rest: &mut Bytes, batch: &mut Vec<u8>) -> Result<bool> {
    // One alarm for the batch, set when it has to wait: one for each part would wake the thread that keeps the time.
    let mut is_late = pin!(sleep(terms.batch_time));
    let mut is_taken_over = pin!(taken_over(terms.takeover));
    loop {
        let room = UPLOAD_BATCH_BYTES - batch.len();
        batch.extend_from_slice(&rest.split_to(room.min(rest.len())));
        if batch.len() == UPLOAD_BATCH_BYTES {
            return Ok(true);
        }
        let part = tokio::select! {
            biased;
            () = &mut is_taken_over => {
                return Err(RegistryError::UploadInvalid("another request goes on with this upload"));
            }
            part = next(body) => part,
            () = &mut is_late => return Err(RegistryError::TooSlow),
        };
        match part {
            None => return Ok(false),
            Some(part) => *rest = part?,
        }
    }
}

/// Where the sink is: here with a buffer for the next batch but one, or with the thread that writes the last batch.
enum Place<S> {
    Here(S, Vec<u8>),
    Writing(JoinHandle<(S, Vec<u8>, Result<()>)>),
}

impl<S: Sink> Place<S> {
    fn write(mut sink: S, mut batch: Vec<u8>) -> Self {
        Self::Writing(spawn_blocking(move || {
            let result = sink.append(&batch);
            batch.clear();
            (sink, batch, result)
        }))
    }

    async fn settle(self) -> Result<(S, Vec<u8>)> {
        match self {
            Self::Here(sink, spare) => Ok((sink, spare)),
            Self::Writing(writing) => {
                let (sink, spare, result) = writing.await.map_err(|_| RegistryError::Interrupted)?;
                result.map(|()| (sink, spare))
            }
        }
    }
}

/// Receives a body into `sink`, and gives it back. What arrived before an error is in the sink all the same.
pub(super) async fn receive<S: Sink>(body: &mut Body, sink: S, terms: Terms<'_>) -> Result<S> {
    let limit = terms.exact.unwrap_or(u64::MAX).min(terms.max_bytes);
    let buffer_bytes = limit.min(UPLOAD_BATCH_BYTES as u64) as usize;
    let (mut place, mut received) = (Place::Here(sink, Vec::new()), 0);
    let (mut rest, mut batch) = (Bytes::new(), Vec::new());
    loop {
        batch.reserve_exact(buffer_bytes);
        let more = gather(body, &terms, &mut rest, &mut batch).await;
        let (sink, spare) = place.settle().await?;
        let room = limit - received;
        let is_longer = batch.len() as u64 > room;
        if is_longer {
            batch.truncate(room as usize);
        }
        received += batch.len() as u64;
        let is_empty = batch.is_empty();
        place =
            if is_empty { Place::Here(sink, spare) } else { Place::write(sink, replace(&mut batch, spare)) };
        if is_longer {
            place.settle().await?;
            return Err(if limit < terms.max_bytes { RegistryError::SizeInvalid } else { terms.too_long });
        }
        let result = match more {
            Ok(true) => continue,
            Ok(false) if terms.exact.is_none_or(|exact| exact == received) => Ok(()),
            Ok(false) => Err(RegistryError::SizeInvalid),
            Err(error) => Err(error),
        };
        let (sink, _) = place.settle().await?;
        return result.map(|()| sink);
    }
}

/// Reads the rest of a refused body, if it is short: a client that is still sending when the connection closes may
/// never see the answer. One that waits to be told to send has not begun.
pub(super) async fn drain(headers: &HeaderMap, body: &mut Body) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let drained = async {
        let mut bytes = 0;
        while let Some(Ok(part)) = next(body).await {
            bytes += part.len();
            if bytes > DRAIN_BYTES {
                break;
            }
        }
    };
    // Out of time is out of patience: the answer goes out all the same.
    let _ = timeout(DRAIN_TIME, drained).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    #[derive(Default)]
    struct Kept(Vec<u8>);

    impl Sink for Kept {
        fn append(&mut self, batch: &[u8]) -> Result<()> {
            assert!(!batch.is_empty() && batch.len() <= UPLOAD_BATCH_BYTES);
            self.0.extend_from_slice(batch);
            Ok(())
        }
    }

    async fn take(sent: usize, max_bytes: u64, exact: Option<u64>) -> Result<Vec<u8>> {
        let mut body = Body::from(vec![1; sent]);
        let (too_long, batch_time) = (RegistryError::ManifestTooLarge, Duration::from_secs(60));
        let terms = Terms { max_bytes, too_long, exact, batch_time, takeover: None };
        receive(&mut body, Kept::default(), terms).await.map(|kept| kept.0)
    }

    /// A body in parts of its own choice.
    struct Listed(VecDeque<Bytes>);

    impl http_body::Body for Listed {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
        }
    }

    #[tokio::test]
    async fn every_byte_arrives_once_however_the_parts_lie_across_batches() {
        let batch = UPLOAD_BATCH_BYTES;
        for lengths in [
            vec![batch],
            vec![batch - 1, 2],
            vec![batch + 1],
            vec![3 * batch + 7, 5, 2 * batch],
            vec![0, 1, 0, batch, 0],
            vec![60_000; 20],
        ] {
            // Each byte is the number of its part.
            let parts = lengths.iter().zip(0_u8..).map(|(len, number)| Bytes::from(vec![number; *len]));
            let parts: VecDeque<Bytes> = parts.collect();
            let whole = parts.iter().flatten().copied().collect::<Vec<u8>>();
            let mut body = Body::new(Listed(parts));
            let terms = Terms {
                max_bytes: u64::MAX,
                too_long: RegistryError::ManifestTooLarge,
                exact: Some(whole.len() as u64),
                batch_time: Duration::from_secs(60),
                takeover: None,
            };
            let kept = receive(&mut body, Kept::default(), terms).await.unwrap();
            assert!(kept.0 == whole, "{lengths:?}");
        }
    }

    #[tokio::test]
    async fn lengths_are_kept() {
        assert!(take(0, 10, None).await.unwrap().is_empty());
        assert_eq!(take(10, 10, Some(10)).await.unwrap().len(), 10);
        assert_eq!(take(600_000, 1_000_000, None).await.unwrap().len(), 600_000);
        assert!(matches!(take(11, 10, None).await, Err(RegistryError::ManifestTooLarge)));
        assert!(matches!(take(5, 10, Some(4)).await, Err(RegistryError::SizeInvalid)));
        assert!(matches!(take(3, 10, Some(4)).await, Err(RegistryError::SizeInvalid)));
    }
}
