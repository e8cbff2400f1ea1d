//! What of a [`MemDir`](crate::MemDir) reaches the medium: names, sectors, and the seeded choice between them.

use std::collections::{BTreeMap, BTreeSet};

/// What the medium writes at once, in bytes.
pub(crate) const SECTOR_BYTES: usize = 512;

#[derive(Default, Clone)]
pub(crate) struct Content {
    /// What the process sees.
    pub(crate) live: Vec<u8>,
    /// What a crash leaves.
    pub(crate) medium: Vec<u8>,
    /// Sectors written since the last flush.
    pub(crate) dirty: BTreeSet<usize>,
}

#[derive(Clone)]
pub(crate) enum Change {
    Add { name: String, file: u64 },
    Remove { name: String },
    Rename { from: String, to: String },
    Folder { name: String },
}

impl Change {
    pub(crate) fn folder(&self) -> &str {
        let (Self::Add { name, .. }
        | Self::Remove { name }
        | Self::Folder { name }
        | Self::Rename { to: name, .. }) = self;
        parent(name)
    }
}

pub(crate) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[derive(Default, Clone)]
pub(crate) struct Names {
    pub(crate) files: BTreeMap<String, u64>,
    pub(crate) folders: BTreeSet<String>,
}

impl Names {
    /// Applies a change if what it rests on is there.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Add { name, file } => {
                self.files.insert(name.clone(), *file);
            }
            Change::Remove { name } => {
                self.files.remove(name);
            }
            Change::Rename { from, to } => {
                if let Some(file) = self.files.remove(from) {
                    self.files.insert(to.clone(), file);
                }
            }
            Change::Folder { name } => {
                self.folders.insert(name.clone());
            }
        }
    }
}

/// Decides which unflushed sectors of a file reached the medium.
pub(crate) fn settle(content: &mut Content, seed: u64, random: &mut Random, garble: bool) {
    let mut medium = std::mem::take(&mut content.medium);
    if medium.len() != content.live.len() && random.keeps(seed) {
        medium.resize(content.live.len(), 0);
    }
    for sector in std::mem::take(&mut content.dirty) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(medium.len()).min(content.live.len());
        if start >= end {
            continue;
        }
        if random.keeps(seed) {
            medium[start..end].copy_from_slice(&content.live[start..end]);
        } else if garble && random.next().is_multiple_of(4) {
            medium[start..end].fill_with(|| random.next() as u8);
        }
    }
    content.live.clone_from(&medium);
    content.medium = medium;
}

/// `SplitMix64`: small, seeded, good enough to choose sectors.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn keeps(&mut self, seed: u64) -> bool {
        match seed % 4 {
            0 => false,
            1 => true,
            _ => self.next() & 1 == 0,
        }
    }
}
