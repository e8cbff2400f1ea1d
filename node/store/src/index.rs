//! Where the blocks are that the last checkpoint does not know yet. Rebuilt from the log at every start.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::Placed;
use crate::meta::Row;
use crate::state::TxId;

/// A block with its certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    pub(crate) hash: [u8; 32],
    pub(crate) block: Placed,
    pub(crate) commit: Placed,
}

impl Committed {
    pub(crate) fn row(&self) -> Row {
        Row { hash: self.hash, block: self.block.pos, commit: self.commit.pos }
    }
}

/// What a commit record means for the index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CommitFit {
    /// It commits the next height.
    Next,
    /// The height is committed above the checkpoint, with this block.
    Again([u8; 32]),
    /// At or below the checkpoint.
    Old,
    /// It would leave a gap.
    Gap,
}

/// Blocks and transactions above the last checkpoint, and records written again below it.
#[derive(Debug, Default)]
pub(crate) struct Index {
    state_height: u64,
    /// Every stored block above the checkpoint, committed or not.
    blocks: BTreeMap<(u64, [u8; 32]), Placed>,
    /// Contiguous from the checkpoint on.
    committed: BTreeMap<u64, Committed>,
    /// Rows at or below the checkpoint whose block or certificate was damaged and written again.
    repaired: BTreeMap<u64, Row>,
    txs: BTreeSet<TxId>,
}

impl Index {
    pub(crate) fn new(state_height: u64) -> Self {
        Self { state_height, ..Self::default() }
    }

    /// Height of the last checkpoint.
    pub(crate) fn state_height(&self) -> u64 {
        self.state_height
    }

    /// The last height up to which every block is stored with its certificate.
    pub(crate) fn last_commit(&self) -> u64 {
        self.committed.last_key_value().map_or(self.state_height, |(height, _)| *height)
    }

    /// Notes a block above the checkpoint.
    pub(crate) fn add_block(&mut self, height: u64, hash: [u8; 32], placed: Placed) {
        if let Some(committed) = self.committed.get_mut(&height).filter(|committed| committed.hash == hash) {
            committed.block = placed;
        }
        self.blocks.insert((height, hash), placed);
    }

    /// Place of a block above the checkpoint.
    pub(crate) fn block(&self, height: u64, hash: [u8; 32]) -> Option<Placed> {
        self.blocks.get(&(height, hash)).copied()
    }

    /// What a commit record for `height` would mean.
    pub(crate) fn fit(&self, height: u64) -> CommitFit {
        if let Some(committed) = self.committed.get(&height) {
            return CommitFit::Again(committed.hash);
        }
        if height <= self.state_height {
            CommitFit::Old
        } else if height == self.last_commit() + 1 {
            CommitFit::Next
        } else {
            CommitFit::Gap
        }
    }

    /// Notes the certificate of the next height, or a new place of a known one. False if its block is not stored.
    pub(crate) fn add_commit(&mut self, height: u64, hash: [u8; 32], commit: Placed) -> bool {
        let Some(block) = self.block(height, hash) else { return false };
        self.committed.insert(height, Committed { hash, block, commit });
        true
    }

    /// A committed block above the checkpoint.
    pub(crate) fn committed(&self, height: u64) -> Option<&Committed> {
        self.committed.get(&height)
    }

    /// The lowest height committed above the checkpoint.
    pub(crate) fn first_committed(&self) -> Option<u64> {
        self.committed.first_key_value().map(|(height, _)| *height)
    }

    /// Height of a committed block above the checkpoint.
    pub(crate) fn height_of(&self, hash: &[u8; 32]) -> Option<u64> {
        self.committed.iter().find(|(_, committed)| committed.hash == *hash).map(|(height, _)| *height)
    }

    /// Forgets repaired rows that need a segment below `first_segment`.
    pub(crate) fn pruned(&mut self, first_segment: u64) {
        self.repaired.retain(|_, row| row.first_segment() >= first_segment);
    }

    /// Points a row at or below the checkpoint elsewhere, until the next checkpoint stores that.
    pub(crate) fn repair(&mut self, height: u64, row: Row) {
        self.repaired.insert(height, row);
    }

    /// The repaired row of a height.
    pub(crate) fn repaired(&self, height: u64) -> Option<Row> {
        self.repaired.get(&height).copied()
    }

    /// Blocks stored above the last committed height.
    pub(crate) fn undecided(&self) -> Vec<(u64, [u8; 32])> {
        self.blocks.range((self.last_commit() + 1, [0; 32])..).map(|(key, _)| *key).collect()
    }

    /// Notes the place of a transaction.
    pub(crate) fn note_tx(&mut self, tx: TxId) {
        self.txs.insert(tx);
    }

    /// Places of noted transactions.
    pub(crate) fn find_tx(&self, prefix: [u8; 8]) -> impl Iterator<Item = (u64, u32)> {
        self.txs
            .range((prefix, 0, 0)..=(prefix, u64::MAX, u32::MAX))
            .map(|(_, height, index)| (*height, *index))
    }

    /// Noted transactions up to `height`.
    pub(crate) fn txs_to(&self, height: u64) -> impl Iterator<Item = TxId> {
        self.txs.iter().copied().filter(move |(_, at, _)| *at <= height)
    }

    /// Rows that a checkpoint at `height` has to store.
    pub(crate) fn rows_to(&self, height: u64) -> Vec<(u64, Row)> {
        let repaired = self.repaired.iter().map(|(height, row)| (*height, *row));
        let committed = self.committed.range(..=height).map(|(height, committed)| (*height, committed.row()));
        repaired.chain(committed).collect()
    }

    /// The first record that is still needed after a checkpoint at `height`: where a start has to begin to read.
    pub(crate) fn floor_after(&self, height: u64) -> Option<Placed> {
        let blocks = self.blocks.iter().filter(|((at, _), _)| *at > height).map(|(_, placed)| *placed);
        let commits = self.committed.iter().filter(|(at, _)| **at > height).map(|(_, at)| at.commit);
        blocks.chain(commits).min_by_key(|placed| placed.pos)
    }

    /// Drops what a checkpoint at `height` has stored, and blocks that lost.
    pub(crate) fn checkpointed(&mut self, height: u64) {
        self.state_height = height;
        self.blocks.retain(|(at, _), _| *at > height);
        self.committed.retain(|at, _| *at > height);
        self.repaired.clear();
        self.txs.retain(|(_, at, _)| *at > height);
    }
}
