//! Who was heard, and what an attestation says of it.
//!
//! Heartbeats travel between peers and are counted here; once an epoch the count becomes one signed
//! transaction. Memory is bounded: three epochs, and only nodes that the ledger expects to hear.

use std::collections::BTreeMap;

use trustnet_ledger::crypto::PublicKey;
use trustnet_ledger::tx::Observation;

/// Epochs that are remembered: the current one, the one being attested, and one for late clocks.
const EPOCHS_KEPT: usize = 3;
/// Heartbeat intervals of one epoch that fit the bit set.
const MAX_SLOTS_PER_EPOCH: u64 = 128;
/// How far a sender's clock may be off, in heartbeat intervals.
const MAX_SLOT_SKEW: u64 = 2;
/// The most nodes whose heartbeats are counted.
const MAX_WATCHED_NODES: usize = 1_024;

/// What was seen of one node in one epoch.
#[derive(Clone, Copy, Default)]
struct Seen {
    slots: u128,
    invalid: u8,
    abuse: u8,
}

/// A fault of a peer that its reputation answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// It passed on a transaction that no honest node lets through.
    InvalidTransaction,
    /// It flooded or sent garbage.
    NetworkAbuse,
}

/// Counts what this node hears of the others.
pub struct Uptime {
    epoch_ms: u64,
    heartbeat_ms: u64,
    epochs: BTreeMap<u64, BTreeMap<PublicKey, Seen>>,
}

impl Uptime {
    /// A counter for epochs of `epoch_ms` with a heartbeat each `heartbeat_ms`.
    pub fn new(epoch_ms: u64, heartbeat_ms: u64) -> Self {
        Self { epoch_ms: epoch_ms.max(1), heartbeat_ms: heartbeat_ms.max(1), epochs: BTreeMap::new() }
    }

    /// The heartbeat interval that `unix_ms` lies in.
    pub fn slot(&self, unix_ms: u64) -> u64 {
        unix_ms / self.heartbeat_ms
    }

    /// Milliseconds from `unix_ms` to the start of the next interval.
    pub fn until_next_slot_ms(&self, unix_ms: u64) -> u64 {
        self.heartbeat_ms - unix_ms % self.heartbeat_ms
    }

    /// Counts a heartbeat once per node and interval; one far from this node's clock does not count.
    pub fn heard(&mut self, node: PublicKey, slot: u64, unix_ms: u64) -> bool {
        if slot.abs_diff(self.slot(unix_ms)) > MAX_SLOT_SKEW {
            return false;
        }
        let start_ms = slot.saturating_mul(self.heartbeat_ms);
        let epoch = start_ms / self.epoch_ms;
        let position = (start_ms % self.epoch_ms) / self.heartbeat_ms;
        if position >= MAX_SLOTS_PER_EPOCH {
            return false;
        }
        let Some(seen) = self.seen(epoch, node) else { return false };
        let bit = 1u128 << position;
        let new = seen.slots & bit == 0;
        seen.slots |= bit;
        new
    }

    /// Notes a fault of `node`.
    pub fn misbehaved(&mut self, node: PublicKey, what: Misbehaviour, unix_ms: u64) {
        if let Some(seen) = self.seen(unix_ms / self.epoch_ms, node) {
            let count = match what {
                Misbehaviour::InvalidTransaction => &mut seen.invalid,
                Misbehaviour::NetworkAbuse => &mut seen.abuse,
            };
            *count = count.saturating_add(1);
        }
    }

    /// What to attest of `epoch` about the `expected` nodes, in their order.
    pub fn observations(&self, epoch: u64, expected: &[(u32, PublicKey)]) -> Vec<Observation> {
        let seen = self.epochs.get(&epoch);
        expected
            .iter()
            .map(|(node, key)| {
                let seen = seen.and_then(|nodes| nodes.get(key)).copied().unwrap_or_default();
                Observation {
                    node: *node,
                    heartbeats: seen.slots.count_ones() as u8,
                    invalid: seen.invalid,
                    abuse: seen.abuse,
                }
            })
            .collect()
    }

    fn seen(&mut self, epoch: u64, node: PublicKey) -> Option<&mut Seen> {
        let nodes = self.epochs.entry(epoch).or_default();
        if nodes.len() >= MAX_WATCHED_NODES && !nodes.contains_key(&node) {
            return None;
        }
        nodes.entry(node).or_default();
        while self.epochs.len() > EPOCHS_KEPT {
            self.epochs.pop_first();
        }
        self.epochs.get_mut(&epoch)?.get_mut(&node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const NODE: PublicKey = PublicKey([1; 32]);

    #[test]
    fn a_full_hour_of_heartbeats_counts_120_and_repeats_count_once() {
        let mut uptime = Uptime::new(HOUR_MS, 30_000);
        let start = 500_000 * HOUR_MS;
        for i in 0..120 {
            let now = start + i * 30_000 + 5;
            assert!(uptime.heard(NODE, uptime.slot(now), now));
            assert!(!uptime.heard(NODE, uptime.slot(now), now), "a repeat");
        }
        let seen = uptime.observations(500_000, &[(3, NODE), (4, PublicKey([2; 32]))]);
        assert_eq!((seen[0].node, seen[0].heartbeats), (3, 120));
        assert_eq!((seen[1].node, seen[1].heartbeats), (4, 0));
    }

    #[test]
    fn heartbeats_far_from_the_clock_do_not_count() {
        let mut uptime = Uptime::new(HOUR_MS, 30_000);
        let now = 500_000 * HOUR_MS;
        let slot = uptime.slot(now);
        assert!(!uptime.heard(NODE, slot + 3, now));
        assert!(!uptime.heard(NODE, slot - 3, now));
        assert!(!uptime.heard(NODE, u64::MAX, now));
        assert!(uptime.heard(NODE, slot - 2, now));
    }

    #[test]
    fn memory_stays_bounded_over_epochs_and_nodes() {
        let mut uptime = Uptime::new(HOUR_MS, 30_000);
        for epoch in 0..50 {
            for i in 0..2_000u32 {
                let mut key = [0; 32];
                key[..4].copy_from_slice(&i.to_be_bytes());
                uptime.misbehaved(PublicKey(key), Misbehaviour::NetworkAbuse, epoch * HOUR_MS);
            }
        }
        assert!(uptime.epochs.len() <= EPOCHS_KEPT);
        assert!(uptime.epochs.values().all(|nodes| nodes.len() <= MAX_WATCHED_NODES));
    }
}
