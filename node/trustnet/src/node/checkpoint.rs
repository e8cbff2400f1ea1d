//! When the state goes to disk: rarely, and merged, because that is kindest to an SD card.
//!
//! The log alone makes blocks durable. The state is what replaying it gives, so a checkpoint only
//! shortens the next start (net-storage.md, section 2.1).

use std::collections::BTreeMap;

use trustnet_engine::io::Leaves;
use trustnet_ledger::crypto::Hash32;

/// A checkpoint at the latest after this many blocks.
const MAX_BLOCKS: u64 = 256;
/// Or after this many bytes of changed leaves and transaction ids.
const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;
/// Or this long after the first change.
const MAX_AGE_MS: u64 = 60_000;
/// Bytes that one entry of the transaction index takes.
const TX_INDEX_BYTES: usize = 20;

/// An entry of the transaction index: id prefix, height, position.
pub type TxPlace = ([u8; 8], u64, u32);

/// What a checkpoint writes.
pub struct Changes {
    /// Height of the state.
    pub height: u64,
    /// Leaves that changed; `None` deletes.
    pub leaves: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Where new transactions are.
    pub txs: Vec<TxPlace>,
}

/// Changes since the last checkpoint.
#[derive(Default)]
pub struct Pending {
    leaves: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    txs: Vec<TxPlace>,
    bytes: usize,
    blocks: u64,
    height: u64,
    since_ms: Option<u64>,
}

impl Pending {
    /// Adds what a block changed.
    pub fn add(&mut self, height: u64, leaves: Leaves, tx_ids: &[Hash32], now_mono_ms: u64) {
        self.height = height;
        self.blocks += 1;
        self.since_ms.get_or_insert(now_mono_ms);
        for (key, value) in leaves {
            let size = value.as_ref().map_or(0, Vec::len);
            self.bytes += key.len() + size;
            if let Some(old) = self.leaves.insert(key, value) {
                self.bytes -= old.map_or(0, |old| old.len());
            }
        }
        for (index, id) in (0u32..).zip(tx_ids) {
            let mut prefix = [0; 8];
            prefix.copy_from_slice(&id.0[..8]);
            self.txs.push((prefix, height, index));
        }
        self.bytes += tx_ids.len() * TX_INDEX_BYTES;
    }

    /// Whether it is time.
    pub fn is_due(&self, now_mono_ms: u64) -> bool {
        self.blocks >= MAX_BLOCKS
            || self.bytes >= MAX_PENDING_BYTES
            || self.due_ms().is_some_and(|due| due <= now_mono_ms)
    }

    /// When it will be time at the latest.
    pub fn due_ms(&self) -> Option<u64> {
        self.since_ms.map(|since| since + MAX_AGE_MS)
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.since_ms.is_none()
    }

    /// Takes all changes.
    pub fn take(&mut self) -> Changes {
        let pending = std::mem::take(self);
        Changes { height: pending.height, leaves: pending.leaves, txs: pending.txs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(key: u8, size: usize) -> Leaves {
        vec![(vec![key], Some(vec![0; size]))]
    }

    #[test]
    fn a_checkpoint_is_due_by_blocks_bytes_or_age() {
        let mut by_blocks = Pending::default();
        for height in 1..=MAX_BLOCKS {
            assert!(!by_blocks.is_due(0));
            by_blocks.add(height, leaf(1, 1), &[], 0);
        }
        assert!(by_blocks.is_due(0));

        let mut by_bytes = Pending::default();
        by_bytes.add(1, leaf(1, MAX_PENDING_BYTES), &[], 0);
        assert!(by_bytes.is_due(0));

        let mut by_age = Pending::default();
        by_age.add(1, leaf(1, 1), &[], 5);
        assert!(!by_age.is_due(5 + MAX_AGE_MS - 1));
        assert!(by_age.is_due(5 + MAX_AGE_MS));
    }

    #[test]
    fn changes_of_one_leaf_merge_and_an_idle_node_has_nothing_to_write() {
        let mut pending = Pending::default();
        assert!(pending.is_empty());
        assert!(!pending.is_due(u64::MAX));
        pending.add(1, leaf(1, 100), &[Hash32([1; 32])], 0);
        pending.add(2, leaf(1, 50), &[], 0);
        let changes = pending.take();
        assert_eq!((changes.height, changes.leaves.len(), changes.txs.len()), (2, 1, 1));
        assert!(pending.is_empty());
    }
}
