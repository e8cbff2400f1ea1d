//! What waits to be sent to one peer in one class: bounded in frames and in bytes.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::config::QueueLimit;
use crate::event::QueueInfo;
use crate::frame::Kind;

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Old gossip is worth less than new gossip.
    DropOldest,
    /// Votes may not be lost silently; whoever cannot take them is disconnected.
    Refuse,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    Queued,
    /// It waits; this many older ones were dropped.
    DroppedOldest(u64),
    /// The queue is full; the frame was not taken.
    Full,
}

/// Frames of one class on their way to one peer.
#[derive(Debug)]
pub(crate) struct SendQueue {
    limit: QueueLimit,
    when_full: WhenFull,
    frames: VecDeque<(Kind, Bytes)>,
    /// Sum of the payloads in `frames`.
    bytes: usize,
    dropped: u64,
}

impl SendQueue {
    pub(crate) fn new(limit: QueueLimit, when_full: WhenFull) -> Self {
        Self { limit, when_full, frames: VecDeque::new(), bytes: 0, dropped: 0 }
    }

    /// Adds a frame. A single frame is always taken by an empty queue, whatever its size.
    pub(crate) fn push(&mut self, kind: Kind, payload: Bytes) -> Pushed {
        let mut dropped = 0;
        while !self.has_room(payload.len()) {
            if self.when_full == WhenFull::Refuse {
                return Pushed::Full;
            }
            if let Some((_, oldest)) = self.frames.pop_front() {
                self.bytes -= oldest.len();
                dropped += 1;
            }
        }
        self.bytes += payload.len();
        self.frames.push_back((kind, payload));
        self.dropped += dropped;
        if dropped == 0 { Pushed::Queued } else { Pushed::DroppedOldest(dropped) }
    }

    fn has_room(&self, more: usize) -> bool {
        self.frames.is_empty()
            || (self.frames.len() < self.limit.frames && self.bytes + more <= self.limit.bytes)
    }

    /// Takes frames in order until they hold at least `bytes`, or none is left.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<(Kind, Bytes)> {
        let mut taken = 0;
        let mut batch = Vec::new();
        while taken < bytes {
            let Some((kind, payload)) = self.frames.pop_front() else { break };
            taken += payload.len() + crate::frame::HEADER_BYTES;
            self.bytes -= payload.len();
            batch.push((kind, payload));
        }
        if self.frames.is_empty() {
            // A burst must not keep its memory for as long as the connection lives.
            self.frames.shrink_to(64);
        }
        batch
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn info(&self) -> QueueInfo {
        QueueInfo { frames: self.frames.len(), bytes: self.bytes, dropped: self.dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(frames: usize, bytes: usize, when_full: WhenFull) -> SendQueue {
        SendQueue::new(QueueLimit { frames, bytes }, when_full)
    }

    fn payload(byte: u8, len: usize) -> Bytes {
        vec![byte; len].into()
    }

    #[test]
    fn a_full_consensus_queue_refuses_and_keeps_what_it_has() {
        let mut queue = queue(2, 100, WhenFull::Refuse);
        assert_eq!(queue.push(Kind::Consensus, payload(1, 10)), Pushed::Queued);
        assert_eq!(queue.push(Kind::Consensus, payload(2, 10)), Pushed::Queued);
        assert_eq!(queue.push(Kind::Consensus, payload(3, 10)), Pushed::Full);
        assert_eq!(queue.info(), QueueInfo { frames: 2, bytes: 20, dropped: 0 });
    }

    #[test]
    fn a_full_gossip_queue_drops_the_oldest_by_frames_and_by_bytes() {
        let mut queue = queue(2, 100, WhenFull::DropOldest);
        queue.push(Kind::Gossip, payload(1, 40));
        queue.push(Kind::Gossip, payload(2, 40));
        assert_eq!(queue.push(Kind::Gossip, payload(3, 10)), Pushed::DroppedOldest(1));
        assert_eq!(queue.push(Kind::Gossip, payload(4, 95)), Pushed::DroppedOldest(2));
        assert_eq!(queue.info(), QueueInfo { frames: 1, bytes: 95, dropped: 3 });
        assert_eq!(queue.take(1000), [(Kind::Gossip, payload(4, 95))]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_frame_above_the_byte_limit_still_passes_through_an_empty_queue() {
        let mut queue = queue(4, 100, WhenFull::Refuse);
        assert_eq!(queue.push(Kind::Consensus, payload(1, 500)), Pushed::Queued);
        assert_eq!(queue.push(Kind::Consensus, payload(2, 1)), Pushed::Full);
        assert_eq!(queue.take(1).len(), 1);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn a_batch_ends_when_it_is_large_enough_and_keeps_the_order() {
        let mut queue = queue(10, 1000, WhenFull::Refuse);
        for byte in 0..5 {
            queue.push(Kind::Consensus, payload(byte, 96));
        }
        let batch = queue.take(200);
        assert_eq!(batch.iter().map(|(_, p)| p[0]).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(queue.take(usize::MAX).len(), 3);
    }
}
