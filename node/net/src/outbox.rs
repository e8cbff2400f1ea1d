//! The queue of one class towards one peer, and the task that writes it to its stream.
//!
//! Whoever sends never waits: it pushes and wakes the writer. Consensus and control go out at once; gossip
//! is collected for up to 10 ms or 16 KiB, because on a small board each packet costs more than its bytes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::config::QueueLimit;
use crate::event::{Class, QueueInfo};
use crate::frame::{HEADER_BYTES, Kind, header};
use crate::lock::lock;
use crate::queue::{Pushed, SendQueue, WhenFull};

/// Gossip waits this long for company.
const GOSSIP_DELAY: Duration = Duration::from_millis(10);
/// Gossip of this size does not wait.
const GOSSIP_BATCH_BYTES: usize = 16 << 10;
/// Bytes written at a time.
const BATCH_BYTES: usize = 64 << 10;
/// Payloads up to this size are copied together; longer ones are passed on as they are.
const COPY_BYTES: usize = 2 << 10;

/// Frames of one class on their way to one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    class: Class,
    queue: Mutex<SendQueue>,
    wake: Notify,
    closing: AtomicBool,
}

impl Outbox {
    pub(crate) fn new(class: Class, limit: QueueLimit) -> Self {
        let when_full = if class == Class::Gossip { WhenFull::DropOldest } else { WhenFull::Refuse };
        let queue = Mutex::new(SendQueue::new(limit, when_full));
        Self { class, queue, wake: Notify::new(), closing: AtomicBool::new(false) }
    }

    /// Adds a frame.
    pub(crate) fn push(&self, kind: Kind, payload: Bytes) -> Pushed {
        let (pushed, wake) = {
            let mut queue = lock(&self.queue);
            let before = (queue.is_empty(), queue.bytes());
            let pushed = queue.push(kind, payload);
            let crossed = before.1 < GOSSIP_BATCH_BYTES && queue.bytes() >= GOSSIP_BATCH_BYTES;
            (pushed, before.0 || crossed)
        };
        if wake {
            self.wake.notify_one();
        }
        pushed
    }

    /// Lets the writer end once the queue is empty.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn info(&self) -> QueueInfo {
        lock(&self.queue).info()
    }

    /// Waits for the next frames to write; `None` once the outbox is closed and empty.
    pub(crate) async fn next(&self) -> Option<Vec<(Kind, Bytes)>> {
        loop {
            if !lock(&self.queue).is_empty() {
                break;
            }
            if self.is_closing() {
                return None;
            }
            self.wake.notified().await;
        }
        if self.class == Class::Gossip {
            self.wait_for_company().await;
        }
        Some(lock(&self.queue).take(BATCH_BYTES))
    }

    async fn wait_for_company(&self) {
        let deadline = Instant::now() + GOSSIP_DELAY;
        while lock(&self.queue).bytes() < GOSSIP_BATCH_BYTES && !self.is_closing() {
            if timeout_at(deadline, self.wake.notified()).await.is_err() {
                return;
            }
        }
    }
}

/// The bytes of `frames` on the wire, in as few pieces as copying little allows.
pub(crate) fn pieces(frames: Vec<(Kind, Bytes)>) -> Vec<Bytes> {
    let copied: usize =
        frames.iter().map(|(_, p)| HEADER_BYTES + if p.len() <= COPY_BYTES { p.len() } else { 0 }).sum();
    let mut buffer = BytesMut::with_capacity(copied);
    let mut pieces = Vec::new();
    for (kind, payload) in frames {
        buffer.extend_from_slice(&header(kind, payload.len()));
        if payload.len() <= COPY_BYTES {
            buffer.extend_from_slice(&payload);
        } else {
            pieces.push(buffer.split().freeze());
            pieces.push(payload);
        }
    }
    if !buffer.is_empty() {
        pieces.push(buffer.freeze());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: QueueLimit = QueueLimit { frames: 1000, bytes: 1 << 20 };

    #[test]
    fn the_pieces_are_the_frames_in_order() {
        let frames = vec![
            (Kind::Gossip, Bytes::from_static(b"one")),
            (Kind::Gossip, Bytes::from(vec![7; 3000])),
            (Kind::Gossip, Bytes::new()),
        ];
        let pieces = pieces(frames);
        assert_eq!(pieces.len(), 3, "only the long payload stands alone");
        let wire = pieces.concat();
        let mut expected = b"\x02\0\0\x03one\x02\0\x0b\xb8".to_vec();
        expected.extend_from_slice(&[7; 3000]);
        expected.extend_from_slice(b"\x02\0\0\0");
        assert_eq!(wire, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn gossip_waits_ten_milliseconds_for_company_and_consensus_does_not() {
        let gossip = Outbox::new(Class::Gossip, LIMIT);
        gossip.push(Kind::Gossip, Bytes::from_static(b"1"));
        let start = Instant::now();
        let (batch, ()) = tokio::join!(gossip.next(), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            gossip.push(Kind::Gossip, Bytes::from_static(b"2"));
        });
        assert_eq!(batch.unwrap().len(), 2);
        assert!(start.elapsed() >= GOSSIP_DELAY);

        let consensus = Outbox::new(Class::Consensus, LIMIT);
        consensus.push(Kind::Consensus, Bytes::from_static(b"1"));
        let start = Instant::now();
        assert_eq!(consensus.next().await.unwrap().len(), 1);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn much_gossip_does_not_wait() {
        let gossip = Outbox::new(Class::Gossip, LIMIT);
        let start = Instant::now();
        gossip.push(Kind::Gossip, vec![0; GOSSIP_BATCH_BYTES].into());
        assert!(gossip.next().await.is_some());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_outbox_gives_what_it_has_and_then_ends() {
        let gossip = Outbox::new(Class::Gossip, LIMIT);
        gossip.push(Kind::Gossip, Bytes::from_static(b"last"));
        gossip.close();
        let start = Instant::now();
        assert!(gossip.next().await.is_some());
        assert!(gossip.next().await.is_none());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
