//! What is known of connected peers.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use trustnet_ledger::crypto::PublicKey;

use crate::message::{MAX_MESSAGE_BYTES, Status};

/// The most messages of the coming height that are kept for one peer until this node gets there.
const MAX_EARLY_MESSAGES: usize = 32;
/// The most bytes of those.
const MAX_EARLY_BYTES: usize = MAX_MESSAGE_BYTES;

/// One connected peer.
#[derive(Default)]
pub struct Peer {
    /// Its last status.
    pub status: Option<Status>,
    /// The highest height that it has shown to have committed.
    pub height: u64,
    /// The height at which it was last helped along with a commit.
    pub helped_at_height: u64,
    /// When it may be helped so at the same height again, monotonic milliseconds.
    pub help_again_ms: u64,
    /// Height and round of the vote of ours that it was last asked to give back, and when, monotonic milliseconds.
    pub asked_for_vote: Option<((u64, u32), u64)>,
    /// Messages for the height after the current one; they cannot be judged yet.
    early: VecDeque<(u64, Bytes)>,
    early_bytes: usize,
    /// When block sync may ask it again, monotonic milliseconds.
    pub sync_after_ms: u64,
}

impl Peer {
    /// Keeps a message until `height`; the oldest go when there are too many.
    pub fn keep_early(&mut self, height: u64, bytes: Bytes) {
        self.early_bytes += bytes.len();
        self.early.push_back((height, bytes));
        while self.early.len() > MAX_EARLY_MESSAGES || self.early_bytes > MAX_EARLY_BYTES {
            let Some((_, oldest)) = self.early.pop_front() else { break };
            self.early_bytes -= oldest.len();
        }
    }

    /// How many messages of coming heights are kept, and their bytes.
    pub fn early(&self) -> (usize, usize) {
        (self.early.len(), self.early_bytes)
    }

    /// Takes what was kept for `height`, and forgets what was kept for earlier ones.
    pub fn take_early(&mut self, height: u64) -> Vec<Bytes> {
        let mut due = Vec::new();
        let mut later = VecDeque::new();
        for (of, bytes) in self.early.drain(..) {
            match of.cmp(&height) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => due.push(bytes),
                std::cmp::Ordering::Greater => later.push_back((of, bytes)),
            }
        }
        self.early_bytes = later.iter().map(|(_, bytes)| bytes.len()).sum();
        self.early = later;
        due
    }
}

/// All connected peers, by node key.
pub type Peers = BTreeMap<PublicKey, Peer>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_messages_are_bounded_by_count_and_bytes_and_come_back_once() {
        let mut peer = Peer::default();
        for i in 0..100u8 {
            peer.keep_early(5, Bytes::from(vec![i; 10]));
        }
        assert_eq!(peer.early.len(), MAX_EARLY_MESSAGES);
        peer.keep_early(5, Bytes::from(vec![0; MAX_EARLY_BYTES]));
        assert_eq!(peer.early.len(), 1);
        peer.keep_early(6, Bytes::from_static(b"x"));
        assert_eq!(peer.take_early(5).len(), 0, "the large one went when the small one came");
        assert_eq!(peer.take_early(6).len(), 1);
        assert_eq!(peer.take_early(6).len(), 0);
    }
}
