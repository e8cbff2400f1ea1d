//! Bodies on their way to disk: gathered into batches, written and hashed on another thread while the next batch
//! arrives. At most two batches of a request are in memory.

use std::future::poll_fn;
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
    fn append(&mut self, batch: &[Bytes]) -> Result<()>;
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

/// Gathers a batch. Gives what arrived, and whether there is more, or why not.
async fn gather(body: &mut Body, terms: &Terms<'_>) -> (Vec<Bytes>, Result<bool>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    // One alarm for the batch, set when it has to wait: one for each part would wake the thread that keeps the time.
    let mut is_late = pin!(sleep(terms.batch_time));
    let mut is_taken_over = pin!(taken_over(terms.takeover));
    while bytes < UPLOAD_BATCH_BYTES {
        let part = tokio::select! {
            biased;
            () = &mut is_taken_over => {
                return (batch, Err(RegistryError::UploadInvalid("another request goes on with this upload")));
            }
            part = next(body) => part,
            () = &mut is_late => return (batch, Err(RegistryError::TooSlow)),
        };
        match part {
            None => return (batch, Ok(false)),
            Some(Err(error)) => return (batch, Err(error)),
            Some(Ok(part)) => {
                bytes += part.len();
                batch.push(part);
            }
        }
    }
    (batch, Ok(true))
}

/// Cuts a batch to `room` bytes; says whether it was longer.
fn cut(batch: &mut Vec<Bytes>, mut room: u64) -> bool {
    for (index, part) in batch.iter_mut().enumerate() {
        if part.len() as u64 > room {
            part.truncate(room as usize);
            batch.truncate(index + 1);
            return true;
        }
        room -= part.len() as u64;
    }
    false
}

/// Where the sink is: here, or with the thread that writes the last batch.
enum Place<S> {
    Here(S),
    Writing(JoinHandle<(S, Result<()>)>),
}

impl<S: Sink> Place<S> {
    fn write(mut sink: S, batch: Vec<Bytes>) -> Self {
        Self::Writing(spawn_blocking(move || {
            let result = sink.append(&batch);
            (sink, result)
        }))
    }

    async fn settle(self) -> Result<S> {
        match self {
            Self::Here(sink) => Ok(sink),
            Self::Writing(writing) => {
                let (sink, result) = writing.await.map_err(|_| RegistryError::Interrupted)?;
                result.map(|()| sink)
            }
        }
    }
}

/// Receives a body into `sink`, and gives it back. What arrived before an error is in the sink all the same.
pub(super) async fn receive<S: Sink>(body: &mut Body, sink: S, terms: Terms<'_>) -> Result<S> {
    let limit = terms.exact.unwrap_or(u64::MAX).min(terms.max_bytes);
    let (mut place, mut received) = (Place::Here(sink), 0);
    loop {
        let (mut batch, more) = gather(body, &terms).await;
        let sink = place.settle().await?;
        let is_longer = cut(&mut batch, limit - received);
        received += batch.iter().map(|part| part.len() as u64).sum::<u64>();
        place = if batch.is_empty() { Place::Here(sink) } else { Place::write(sink, batch) };
        if is_longer {
            place.settle().await?;
            return Err(if limit < terms.max_bytes { RegistryError::SizeInvalid } else { terms.too_long });
        }
        match more {
            Ok(true) => {}
            Ok(false) if terms.exact.is_none_or(|exact| exact == received) => return place.settle().await,
            Ok(false) => return place.settle().await.and(Err(RegistryError::SizeInvalid)),
            Err(error) => return place.settle().await.and(Err(error)),
        }
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
    use super::*;

    #[derive(Default)]
    struct Kept(Vec<u8>);

    impl Sink for Kept {
        fn append(&mut self, batch: &[Bytes]) -> Result<()> {
            self.0.extend(batch.iter().flatten());
            Ok(())
        }
    }

    async fn take(sent: usize, max_bytes: u64, exact: Option<u64>) -> Result<Vec<u8>> {
        let mut body = Body::from(vec![1; sent]);
        let (too_long, batch_time) = (RegistryError::ManifestTooLarge, Duration::from_secs(60));
        let terms = Terms { max_bytes, too_long, exact, batch_time, takeover: None };
        receive(&mut body, Kept::default(), terms).await.map(|kept| kept.0)
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
