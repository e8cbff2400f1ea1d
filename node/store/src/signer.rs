//! `vote.lock`: what this validator last signed, in two slots written in turn.
//!
//! The file is 16384 bytes, written whole before it gets its name. Slot 0 is at offset 0, slot 1 at 8192. A slot holds
//! its record twice, at its start and at the next multiple of 2048 (two copies of a short record share a page, and one
//! write and one flush bring both to the medium). A new record always goes over the older slot, so a crash can only
//! tear the record that was never acknowledged. Integers are little endian, offsets those in a copy.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 4 | magic `TNVL` |
//! | 4 | 1 | format version, 1 |
//! | 5 | 1 | kind: 0 fresh (nothing was ever signed), 1 signed, 2 lost (the key is older than the directory) |
//! | 6 | 2 | zero |
//! | 8 | 4 | length of the signer record in bytes, at most 4000 |
//! | 12 | 4 | zero |
//! | 16 | 8 | seq: number of this record; one counter for the log and `vote.lock` |
//! | 24 | 8 | seq of the last log record that was flushed when this was written |
//! | 32 | 32 | chain: hash of the genesis |
//! | 64 | 32 | hash: BLAKE3 over bytes 0..64, then the signer record |
//! | 96 | length | signer record |
//!
//! A slot of which no copy is whole is taken for the write that a crash tore, and the other one answers. So one bad
//! sector never brings back an older record, but damage that hits both copies of the newest one alone does look like a
//! write cut short; it is noticed if any log record or checkpoint was flushed after it, because they name the seq of
//! the newest flushed signer record, and then the record is reported as lost.
//!
//! The rest of a slot is zero, or what a longer record left. The first signature of a directory goes into both slots,
//! so that damage to one can never bring "fresh" back.

use std::io;
use std::sync::Arc;

use crate::disk::{Dir, Disk};
use crate::error::{Result, StoreError};
use crate::record::{HEADER_BYTES, MAX_SIGN_BYTES, PAGE_BYTES};

/// Name of the file, relative to the data directory.
pub(crate) const VOTE_LOCK: &str = "vote.lock";
const UNFINISHED: &str = "vote.lock.new";
const MAGIC: [u8; 4] = *b"TNVL";
const VERSION: u8 = 1;
const HASHED_BYTES: usize = 64;
const SLOTS: usize = 2;
const SLOT_BYTES: usize = 2 * PAGE_BYTES;
/// A copy begins at a multiple of this many bytes.
const COPY_STEP_BYTES: usize = PAGE_BYTES / 2;

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mark {
    Fresh = 0,
    Signed = 1,
    Lost = 2,
}

/// One slot's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) mark: Mark,
    pub(crate) seq: u64,
    /// Seq of the last log record that was flushed when this was written.
    pub(crate) log_durable: u64,
    pub(crate) chain: [u8; 32],
    pub(crate) sign: Vec<u8>,
}

/// Why a copy was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Torn, damaged, or never written.
    Bad,
    /// Whole, and of a later format.
    Newer(u8),
}

impl Slot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SLOT_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.mark as u8, 0, 0]);
        out.extend_from_slice(&(self.sign.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.log_durable.to_le_bytes());
        out.extend_from_slice(&self.chain);
        let hash = hash(&out, &self.sign);
        out.extend_from_slice(&hash);
        out.extend_from_slice(&self.sign);
        out.resize(self.second_copy(), 0);
        out.extend_from_within(..HEADER_BYTES + self.sign.len());
        out.resize(out.len().next_multiple_of(PAGE_BYTES), 0);
        debug_assert!(out.len() <= SLOT_BYTES);
        out
    }

    /// Where in the slot its second copy is.
    fn second_copy(&self) -> usize {
        (HEADER_BYTES + self.sign.len()).next_multiple_of(COPY_STEP_BYTES)
    }

    /// Reads a slot: the newest record in it, and whether both copies of it are whole.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, bool), Unread> {
        let mut copies = Vec::new();
        for at in (0..bytes.len()).step_by(COPY_STEP_BYTES) {
            match Self::decode(&bytes[at..]) {
                Ok(slot) => copies.push((at, slot)),
                Err(Unread::Bad) => {}
                Err(newer) => return Err(newer),
            }
        }
        let newest = copies.iter().map(|(_, slot)| slot).max_by_key(|slot| slot.seq).cloned();
        let newest = newest.ok_or(Unread::Bad)?;
        let places = copies.iter().filter(|(_, slot)| *slot == newest).map(|(at, _)| *at);
        let whole = places.eq([0, newest.second_copy()]);
        Ok((newest, whole))
    }

    /// Reads the copy at the start of `page`.
    fn decode(page: &[u8]) -> Result<Self, Unread> {
        if page.len() < HEADER_BYTES {
            return Err(Unread::Bad);
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&page[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        // The upper half of this word is the zero field, which the hash covers.
        let len = number(8) as u32 as usize;
        let sign = page[HEADER_BYTES..].get(..len).filter(|_| page[..4] == MAGIC && len <= MAX_SIGN_BYTES);
        let sign = sign.ok_or(Unread::Bad)?;
        if hash(&page[..HASHED_BYTES], sign) != page[HASHED_BYTES..HEADER_BYTES] {
            return Err(Unread::Bad);
        }
        let mark = [Mark::Fresh, Mark::Signed, Mark::Lost].into_iter().find(|mark| *mark as u8 == page[5]);
        let Some(mark) = mark.filter(|_| page[4] == VERSION) else {
            return Err(Unread::Newer(page[4]));
        };
        let mut chain = [0; 32];
        chain.copy_from_slice(&page[32..64]);
        Ok(Self { mark, seq: number(16), log_durable: number(24), chain, sign: sign.to_vec() })
    }
}

#[cfg(feature = "fuzzing")]
impl Slot {
    /// Gives a page the hash that its content asks for, so that a fuzzer gets past it.
    pub(crate) fn reseal(slot: &mut [u8]) {
        for at in (0..slot.len()).step_by(COPY_STEP_BYTES) {
            let copy = &mut slot[at..];
            let mut len = [0; 4];
            len.copy_from_slice(&copy[8..12]);
            let end = HEADER_BYTES + u32::from_le_bytes(len) as usize;
            if copy.starts_with(&MAGIC) && end <= copy.len() {
                let sealed = hash(&copy[..HASHED_BYTES], &copy[HEADER_BYTES..end]);
                copy[HASHED_BYTES..HEADER_BYTES].copy_from_slice(&sealed);
            }
        }
    }
}

fn hash(head: &[u8], sign: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(head).update(sign).finalize().as_bytes()
}

/// What was found at the place of `vote.lock`.
#[derive(Debug)]
pub(crate) enum Found {
    Missing,
    Damaged,
    Slots {
        newest: Slot,
        /// Highest seq of a log record that a slot says was flushed.
        log_durable: u64,
        /// Both copies of the newest record are whole, and the other slot can be read.
        whole: bool,
    },
}

/// The file, open for writing.
pub(crate) struct VoteLock<D: Dir> {
    dir: Arc<D>,
    chain: [u8; 32],
    /// `None` while the file is missing.
    file: Option<D::File>,
    /// The slot that must not be overwritten: it holds the newest record.
    newest: usize,
}

impl<D: Dir> VoteLock<D> {
    /// Creates the file with the same content in both slots. Durable when it returns.
    pub(crate) fn create(dir: &D, slot: &Slot) -> Result<()> {
        let failed = |e| StoreError::io("create", dir.describe(VOTE_LOCK), e);
        let file = dir.open(UNFINISHED, true).map_err(failed)?;
        let mut slot = slot.encode();
        slot.resize(SLOT_BYTES, 0);
        file.set_len(0).map_err(failed)?;
        file.write_at(&slot.repeat(SLOTS), 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        dir.rename(UNFINISHED, VOTE_LOCK).map_err(failed)?;
        dir.sync_dir("").map_err(failed)
    }

    /// Opens the file and reads both slots, from the medium.
    pub(crate) fn open(dir: Arc<D>, chain: [u8; 32]) -> Result<(Self, Found)> {
        let failed = |e| StoreError::io("read", dir.describe(VOTE_LOCK), e);
        let file = match dir.open(VOTE_LOCK, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self { dir, chain, file: None, newest: 0 }, Found::Missing));
            }
            Err(error) => return Err(failed(error)),
        };
        file.sync().map_err(failed)?;
        file.forget_cached().map_err(failed)?;
        let len = file.len().map_err(failed)? as usize;
        let mut readable = Vec::new();
        for index in 0..SLOTS {
            let start = index * SLOT_BYTES;
            let mut bytes = vec![0; SLOT_BYTES.min(len.saturating_sub(start))];
            if !bytes.is_empty() {
                file.read_at(&mut bytes, start as u64).map_err(failed)?;
            }
            match Slot::read(&bytes) {
                Ok((slot, whole)) => readable.push((index, slot, whole)),
                Err(Unread::Bad) => {}
                Err(Unread::Newer(version)) => {
                    return Err(StoreError::NewerFormat { path: dir.describe(VOTE_LOCK), version });
                }
            }
        }
        if let Some((_, slot, _)) = readable.iter().find(|(_, slot, _)| slot.chain != chain) {
            let path = dir.describe(VOTE_LOCK);
            return Err(StoreError::OtherChain { path, found: slot.chain, expected: chain });
        }
        let log_durable = readable.iter().map(|(_, slot, _)| slot.log_durable).max().unwrap_or(0);
        let both = readable.len() == SLOTS;
        let newest = readable.into_iter().max_by_key(|(_, slot, whole)| (slot.seq, *whole));
        let Some((newest, slot, whole)) = newest else {
            return Ok((Self { dir, chain, file: Some(file), newest: 0 }, Found::Damaged));
        };
        let found = Found::Slots { newest: slot, log_durable, whole: whole && both };
        Ok((Self { dir, chain, file: Some(file), newest }, found))
    }

    /// Writes a signer record over the older slot. Durable when it returns: one fdatasync.
    pub(crate) fn write(&mut self, seq: u64, log_durable: u64, sign: &[u8]) -> Result<()> {
        let slot = self.slot(seq, log_durable, sign);
        let failed = |e| StoreError::io("write to", self.dir.describe(VOTE_LOCK), e);
        let Some(file) = &self.file else { return self.write_both(seq, log_durable, sign) };
        let older = (self.newest + 1) % SLOTS;
        file.write_at(&slot.encode(), (older * SLOT_BYTES) as u64).map_err(failed)?;
        file.sync().map_err(failed)?;
        self.newest = older;
        Ok(())
    }

    /// Writes a signer record into both slots, one after the other, creating the file if it is missing.
    pub(crate) fn write_both(&mut self, seq: u64, log_durable: u64, sign: &[u8]) -> Result<()> {
        if self.file.is_some() {
            self.write(seq, log_durable, sign)?;
            return self.write(seq, log_durable, sign);
        }
        Self::create(self.dir.as_ref(), &self.slot(seq, log_durable, sign))?;
        let opened = self.dir.open(VOTE_LOCK, false);
        self.file = Some(opened.map_err(|e| StoreError::io("open", self.dir.describe(VOTE_LOCK), e))?);
        Ok(())
    }

    fn slot(&self, seq: u64, log_durable: u64, sign: &[u8]) -> Slot {
        Slot { mark: Mark::Signed, seq, log_durable, chain: self.chain, sign: sign.to_vec() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::memdir::MemDir;
    use crate::record::SECTOR_BYTES;

    const CHAIN: [u8; 32] = [0xcc; 32];

    fn slot(seq: u64, sign: &[u8]) -> Slot {
        Slot { mark: Mark::Signed, seq, log_durable: 5, chain: CHAIN, sign: sign.to_vec() }
    }

    fn created() -> (MemDir, VoteLock<MemDir>) {
        let dir = MemDir::new();
        VoteLock::create(&dir, &Slot { mark: Mark::Fresh, ..slot(1, b"") }).unwrap();
        let (lock, _) = VoteLock::open(Arc::new(dir.clone()), CHAIN).unwrap();
        (dir, lock)
    }

    fn newest(dir: &MemDir) -> Slot {
        match VoteLock::open(Arc::new(dir.clone()), CHAIN).unwrap().1 {
            Found::Slots { newest, .. } => newest,
            found => panic!("{found:?}"),
        }
    }

    #[test]
    fn bytes_of_a_slot_never_change() {
        let page = slot(0x0102, b"signed").encode();
        assert_eq!(page.len(), PAGE_BYTES);
        assert_eq!(page[..16], *b"TNVL\x01\x01\0\0\x06\0\0\0\0\0\0\0");
        assert_eq!(page[16..32], *b"\x02\x01\0\0\0\0\0\0\x05\0\0\0\0\0\0\0");
        assert_eq!(page[32..64], CHAIN);
        let digest = blake3::hash(&[&page[..64], b"signed"].concat());
        assert_eq!(page[64..96], *digest.as_bytes());
        assert_eq!(digest.to_hex().as_str(), GOLDEN_HASH);
        assert_eq!(&page[96..102], b"signed");
        assert!(page[102..2048].iter().all(|byte| *byte == 0));
        assert_eq!(page[..2048], page[2048..], "the second copy");
        let long = slot(3, &[9; 1953]).encode();
        assert_eq!(long.len(), SLOT_BYTES);
        assert_eq!(long[..PAGE_BYTES], long[PAGE_BYTES..]);
    }

    const GOLDEN_HASH: &str = "13e0c8c7004d17abd344bfae86b63d04e84a83da4e38bd8934a196db7a7adea6";

    #[test]
    fn a_slot_reads_back_as_written_at_every_length() {
        for len in [0, 1, 1951, 1952, 1953, MAX_SIGN_BYTES] {
            let slot = slot(9, &vec![3; len]);
            let bytes = slot.encode();
            assert_eq!(Slot::decode(&bytes), Ok(slot.clone()));
            assert_eq!(Slot::read(&bytes), Ok((slot, true)), "{len}");
        }
    }

    #[test]
    fn any_flipped_bit_makes_a_copy_bad() {
        let page = slot(9, b"signed").encode();
        for bit in 0..(HEADER_BYTES + 6) * 8 {
            let mut bad = page.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Slot::decode(&bad), Err(Unread::Bad), "bit {bit}");
        }
    }

    #[test]
    fn any_one_bad_sector_leaves_a_slot_readable_and_is_noticed() {
        for len in [6, 1800, 1952, 1953, MAX_SIGN_BYTES] {
            let slot = slot(9, &vec![3; len]);
            let bytes = slot.encode();
            for sector in 0..bytes.len() / SECTOR_BYTES {
                let mut bad = bytes.clone();
                let place = &mut bad[sector * SECTOR_BYTES..][..SECTOR_BYTES];
                let used = place.iter().any(|byte| *byte != 0);
                place.fill(0xff);
                assert_eq!(Slot::read(&bad), Ok((slot.clone(), !used)), "{len}, sector {sector}");
            }
        }
    }

    #[test]
    fn what_a_longer_record_left_in_a_slot_is_not_taken_for_the_newest() {
        let mut bytes = slot(5, &[5; 3000]).encode();
        let short = slot(7, b"seven");
        let page = short.encode();
        bytes[..page.len()].copy_from_slice(&page);
        assert_eq!(Slot::read(&bytes), Ok((short, true)));
        // Its own place is all that a slot has to say: the other slot has 6.
        bytes[..PAGE_BYTES].fill(0);
        assert_eq!(Slot::read(&bytes).unwrap().0.seq, 5);
    }

    #[test]
    fn a_slot_of_a_later_format_is_refused_not_lost() {
        let (dir, _) = created();
        let mut page = slot(9, b"").encode();
        page[4] = 2;
        let digest = hash(&page[..64], b"");
        page[64..96].copy_from_slice(&digest);
        dir.set_bytes(VOTE_LOCK, page);
        let opened = VoteLock::open(Arc::new(dir), CHAIN);
        assert!(matches!(opened.err(), Some(StoreError::NewerFormat { version: 2, .. })));
    }

    #[test]
    fn a_write_never_touches_the_newest_slot() {
        let (dir, mut lock) = created();
        for seq in 2..8u64 {
            let before = dir.bytes(VOTE_LOCK).unwrap();
            lock.write(seq, 0, &seq.to_le_bytes()).unwrap();
            let after = dir.bytes(VOTE_LOCK).unwrap();
            let kept = (0..SLOTS).find(|slot| {
                let range = slot * SLOT_BYTES..(slot + 1) * SLOT_BYTES;
                before[range.clone()] == after[range]
            });
            let kept = &after[kept.unwrap() * SLOT_BYTES..][..SLOT_BYTES];
            assert_eq!(Slot::read(kept).unwrap().0.seq, (seq - 1).max(1));
            assert_eq!(newest(&dir).seq, seq);
        }
    }

    #[test]
    fn a_torn_write_leaves_the_record_before_it() {
        for seed in 0..200 {
            let (dir, mut lock) = created();
            dir.garble(VOTE_LOCK);
            lock.write(2, 0, b"two").unwrap();
            dir.fail_at_sync(1);
            assert!(lock.write(3, 0, &[3; 4000]).is_err());
            dir.crash(seed);
            let seq = newest(&dir).seq;
            assert!(seq == 2 || seq == 3, "seed {seed}: {seq}");
        }
    }

    #[test]
    fn a_missing_or_short_or_damaged_file_is_told_apart() {
        let dir = MemDir::new();
        let found = |dir: &MemDir| VoteLock::open(Arc::new(dir.clone()), CHAIN).unwrap().1;
        assert!(matches!(found(&dir), Found::Missing));
        dir.set_bytes(VOTE_LOCK, vec![0; 2 * PAGE_BYTES]);
        assert!(matches!(found(&dir), Found::Damaged));
        dir.set_bytes(VOTE_LOCK, Vec::new());
        assert!(matches!(found(&dir), Found::Damaged));
        let one = slot(4, b"four").encode();
        dir.set_bytes(VOTE_LOCK, one);
        assert!(matches!(found(&dir), Found::Slots { whole: false, .. }));
    }

    #[test]
    fn another_chains_file_is_refused() {
        let (dir, _) = created();
        let opened = VoteLock::open(Arc::new(dir), [1; 32]);
        assert!(matches!(opened.err(), Some(StoreError::OtherChain { .. })));
    }
}
