//! What of a [`MemDir`](crate::MemDir) reaches the medium: names, the bytes of a file, and what a power cut may
//! leave of them.

use std::collections::{BTreeMap, BTreeSet};

/// What the medium writes at once, in bytes, unless a test says otherwise.
pub(crate) const SECTOR_BYTES: usize = 512;
/// Contents kept for one unflushed sector: the medium's, and those that were written over since. Later ones in
/// between are not remembered: the first and the newest are.
const MAX_KEPT_CONTENTS: usize = 4;

/// What an unflushed sector held before its newest content.
#[derive(Clone)]
struct Unflushed {
    /// What the medium holds, then what was written over it, oldest first.
    before: Vec<Vec<u8>>,
    /// A flush failed or was swallowed: no later flush writes it, though the process goes on seeing the new content.
    forsaken: bool,
}

/// The bytes of a file: as the process sees them, and what a power cut could make of them.
#[derive(Default, Clone)]
pub(crate) struct Content {
    live: Vec<u8>,
    /// Length on the medium, in bytes.
    flushed_len: usize,
    unflushed: BTreeMap<usize, Unflushed>,
    /// Sectors that cannot be read.
    unreadable: BTreeSet<usize>,
}

/// What may become of an unflushed sector: `contents` of them, the oldest first and the newest last, and after it
/// garbage if that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) contents: usize,
    pub(crate) garbage: bool,
}

impl Question {
    /// Two outcomes: not done, done.
    pub(crate) const DONE_OR_NOT: Self = Self { contents: 2, garbage: false };

    pub(crate) fn outcomes(self) -> usize {
        self.contents + usize::from(self.garbage)
    }
}

impl Content {
    /// A file that is on the medium with these bytes.
    pub(crate) fn flushed(bytes: Vec<u8>) -> Self {
        Self { flushed_len: bytes.len(), live: bytes, ..Self::default() }
    }

    /// What the process sees.
    pub(crate) fn live(&self) -> &[u8] {
        &self.live
    }

    /// What the medium holds.
    pub(crate) fn on_medium(&self) -> Vec<u8> {
        let mut copy = self.clone();
        copy.settle(SECTOR_BYTES, false, &mut |_| 0);
        copy.live
    }

    /// Remembers what the sectors between two offsets hold, before they are changed.
    fn remember(&mut self, start: usize, end: usize, sector_bytes: usize) {
        for sector in start / sector_bytes..end.div_ceil(sector_bytes) {
            let from = (sector * sector_bytes).min(self.live.len());
            let held = self.live[from..(from + sector_bytes).min(self.live.len())].to_vec();
            let fresh = Unflushed { before: Vec::new(), forsaken: false };
            let unflushed = self.unflushed.entry(sector).or_insert(fresh);
            if unflushed.before.len() < MAX_KEPT_CONTENTS {
                unflushed.before.push(held);
            }
            // Written again, so the next flush writes it.
            unflushed.forsaken = false;
            self.unreadable.remove(&sector);
        }
    }

    pub(crate) fn write(&mut self, off: usize, bytes: &[u8], sector_bytes: usize) {
        self.remember(off, off + bytes.len(), sector_bytes);
        let end = off + bytes.len();
        if end > self.live.len() {
            self.live.resize(end, 0);
        }
        self.live[off..end].copy_from_slice(bytes);
    }

    pub(crate) fn set_len(&mut self, len: usize, sector_bytes: usize) {
        if len < self.live.len() {
            self.remember(len, self.live.len(), sector_bytes);
        }
        self.live.resize(len, 0);
    }

    /// Whether every sector between two offsets can be read.
    pub(crate) fn is_readable(&self, start: usize, end: usize, sector_bytes: usize) -> bool {
        self.unreadable.range(start / sector_bytes..end.div_ceil(sector_bytes)).next().is_none()
    }

    pub(crate) fn make_unreadable(&mut self, sector: usize) {
        self.unreadable.insert(sector);
    }

    /// Sectors are of another size from now on; one with an unreadable part cannot be read.
    pub(crate) fn resize_sectors(&mut self, before: usize, now: usize) {
        let unreadable = std::mem::take(&mut self.unreadable).into_iter();
        let parts =
            unreadable.flat_map(|sector| sector * before / now..((sector + 1) * before).div_ceil(now));
        self.unreadable = parts.collect();
    }

    pub(crate) fn flush(&mut self) {
        self.unflushed.retain(|_, sector| sector.forsaken);
        self.flushed_len = self.live.len();
    }

    /// A flush that wrote nothing, and after which nobody will try again.
    pub(crate) fn forsake(&mut self) {
        for sector in self.unflushed.values_mut() {
            sector.before.truncate(1);
            sector.forsaken = true;
        }
    }

    /// Makes the process see what the medium holds, where no flush will change that.
    pub(crate) fn forget_cached(&mut self, sector_bytes: usize) {
        let forsaken = self.unflushed.extract_if(.., |_, unflushed| unflushed.forsaken);
        for (sector, unflushed) in forsaken {
            put(&mut self.live, sector * sector_bytes, sector_bytes, &unflushed.before[0]);
        }
    }

    /// What a power cut has to decide about this file, in the order in which [`Content::settle`] asks.
    pub(crate) fn questions(&self, garbage: bool) -> impl Iterator<Item = Question> {
        let length = (self.flushed_len != self.live.len()).then_some(Question::DONE_OR_NOT);
        let unflushed = self.unflushed.values().filter(|sector| !sector.forsaken);
        let sectors = unflushed.map(move |sector| Question { contents: sector.before.len() + 1, garbage });
        length.into_iter().chain(sectors)
    }

    /// Cuts the power: `choose` gives one of the outcomes of each question.
    pub(crate) fn settle(
        &mut self,
        sector_bytes: usize,
        garbage: bool,
        choose: &mut impl FnMut(Question) -> usize,
    ) {
        let keeps_len = self.flushed_len == self.live.len() || choose(Question::DONE_OR_NOT) == 1;
        let len = if keeps_len { self.live.len() } else { self.flushed_len };
        self.live.resize(len, 0);
        for (sector, unflushed) in std::mem::take(&mut self.unflushed) {
            let question = Question { contents: unflushed.before.len() + 1, garbage };
            let outcome = if unflushed.forsaken { 0 } else { choose(question) };
            if let Some(held) = unflushed.before.get(outcome) {
                put(&mut self.live, sector * sector_bytes, sector_bytes, held);
            } else if outcome >= question.contents {
                let mut random = Random(sector as u64);
                let garbage = (0..sector_bytes).map(|_| random.next() as u8).collect::<Vec<_>>();
                put(&mut self.live, sector * sector_bytes, sector_bytes, &garbage);
            }
        }
        self.flushed_len = len;
    }
}

/// Fills a sector with `bytes`, then zeros, as far as the file reaches.
fn put(file: &mut [u8], start: usize, sector_bytes: usize, bytes: &[u8]) {
    let end = (start + sector_bytes).min(file.len());
    if let Some(place) = file.get_mut(start..end) {
        let len = bytes.len().min(place.len());
        place[..len].copy_from_slice(&bytes[..len]);
        place[len..].fill(0);
    }
}

#[derive(Clone)]
pub(crate) enum Change {
    Add { name: String, file: u64 },
    Remove { name: String },
    Rename { from: String, to: String },
    Folder { name: String },
}

impl Change {
    /// The folder whose `sync_dir` makes it durable.
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

    /// The outcome of a question: of a seed that is a multiple of 4 the oldest content, of one more the newest, of
    /// any other seed every second time the newest, else something older or garbage.
    pub(crate) fn answer(&mut self, seed: u64, question: Question) -> usize {
        let newest = question.contents - 1;
        match seed % 4 {
            0 => 0,
            1 => newest,
            _ if self.next() & 1 == 0 => newest,
            _ if question.garbage && self.next().is_multiple_of(4) => question.contents,
            _ => (self.next() % newest as u64) as usize,
        }
    }
}
