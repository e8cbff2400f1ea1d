//! `vote.lock`: what this validator last signed, in two slots written in turn.
//!
//! The file is 8192 bytes, written whole before it gets its name. Slot 0 is at offset 0, slot 1 at 4096. A new record
//! always goes over the older slot, so a crash can only tear the record that was never acknowledged. Integers are
//! little endian.
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
//! A slot that is not whole is taken for the write that a crash tore, and the other one answers. Damage that hits the
//! newest slot alone looks the same; it is noticed if any log record or checkpoint was flushed after it, because they
//! name the seq of the newest flushed signer record, and then the record is reported as lost.
//!
//! The rest of a slot is zero. The first signature of a directory goes into both slots, so that damage to one can
//! never bring "fresh" back.

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

/// Why a slot was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Torn, damaged, or never written.
    Bad,
    /// Whole, and of a later format.
    Newer(u8),
}

impl Slot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAGE_BYTES);
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
        debug_assert!(out.len() <= PAGE_BYTES);
        out.resize(PAGE_BYTES, 0);
        out
    }

    pub(crate) fn decode(page: &[u8; PAGE_BYTES]) -> Result<Self, Unread> {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&page[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        // The upper half of this word is the zero field, which the hash covers.
        let len = number(8) as u32 as usize;
        if page[..4] != MAGIC || len > MAX_SIGN_BYTES {
            return Err(Unread::Bad);
        }
        let sign = &page[HEADER_BYTES..HEADER_BYTES + len];
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
    pub(crate) fn reseal(page: &mut [u8; PAGE_BYTES]) {
        let mut len = [0; 4];
        len.copy_from_slice(&page[8..12]);
        let len = (u32::from_le_bytes(len) as usize).min(MAX_SIGN_BYTES);
        let sealed = hash(&page[..HASHED_BYTES], &page[HEADER_BYTES..HEADER_BYTES + len]);
        page[HASHED_BYTES..HEADER_BYTES].copy_from_slice(&sealed);
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
    /// The slots that are whole, newest first, and whether one is not.
    Slots {
        newest: Slot,
        other: Option<Slot>,
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
        let page = slot.encode();
        file.set_len(0).map_err(failed)?;
        file.write_at(&[page.as_slice(), &page].concat(), 0).map_err(failed)?;
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
        let len = file.len().map_err(failed)?;
        let mut whole = Vec::new();
        for index in 0..SLOTS {
            let at = (index * PAGE_BYTES) as u64;
            let mut page = [0; PAGE_BYTES];
            if at + PAGE_BYTES as u64 <= len {
                file.read_at(&mut page, at).map_err(failed)?;
            }
            match Slot::decode(&page) {
                Ok(slot) => whole.push((index, slot)),
                Err(Unread::Bad) => {}
                Err(Unread::Newer(version)) => {
                    return Err(StoreError::NewerFormat { path: dir.describe(VOTE_LOCK), version });
                }
            }
        }
        if let Some((_, slot)) = whole.iter().find(|(_, slot)| slot.chain != chain) {
            return Err(StoreError::OtherChain { found: slot.chain, expected: chain });
        }
        whole.sort_by_key(|(_, slot)| std::cmp::Reverse(slot.seq));
        let mut whole = whole.into_iter();
        let Some((newest, slot)) = whole.next() else {
            return Ok((Self { dir, chain, file: Some(file), newest: 0 }, Found::Damaged));
        };
        let other = whole.next().map(|(_, slot)| slot);
        Ok((Self { dir, chain, file: Some(file), newest }, Found::Slots { newest: slot, other }))
    }

    /// Writes a signer record over the older slot. Durable when it returns: one fdatasync.
    pub(crate) fn write(&mut self, seq: u64, log_durable: u64, sign: &[u8]) -> Result<()> {
        let slot = self.slot(seq, log_durable, sign);
        let failed = |e| StoreError::io("write to", self.dir.describe(VOTE_LOCK), e);
        let Some(file) = &self.file else { return self.write_both(seq, log_durable, sign) };
        let older = (self.newest + 1) % SLOTS;
        file.write_at(&slot.encode(), (older * PAGE_BYTES) as u64).map_err(failed)?;
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
        assert!(page[102..].iter().all(|byte| *byte == 0));
    }

    const GOLDEN_HASH: &str = "13e0c8c7004d17abd344bfae86b63d04e84a83da4e38bd8934a196db7a7adea6";

    #[test]
    fn a_slot_reads_back_as_written_at_every_length() {
        for len in [0, 1, MAX_SIGN_BYTES] {
            let slot = slot(9, &vec![3; len]);
            let page = slot.encode().try_into().unwrap();
            assert_eq!(Slot::decode(&page), Ok(slot));
        }
    }

    #[test]
    fn any_flipped_bit_makes_a_slot_bad() {
        let page = slot(9, b"signed").encode();
        for bit in 0..(HEADER_BYTES + 6) * 8 {
            let mut bad: [u8; PAGE_BYTES] = page.clone().try_into().unwrap();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Slot::decode(&bad), Err(Unread::Bad), "bit {bit}");
        }
    }

    #[test]
    fn a_slot_of_a_later_format_is_refused_not_lost() {
        let (dir, _) = created();
        let mut page = slot(9, b"").encode();
        page[4] = 2;
        let digest = hash(&page[..64], b"");
        page[64..96].copy_from_slice(&digest);
        dir.set_bytes(VOTE_LOCK, [page.as_slice(), &page].concat());
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
                let range = slot * PAGE_BYTES..(slot + 1) * PAGE_BYTES;
                before[range.clone()] == after[range]
            });
            let page: [u8; PAGE_BYTES] =
                after[kept.unwrap() * PAGE_BYTES..][..PAGE_BYTES].try_into().unwrap();
            assert_eq!(Slot::decode(&page).unwrap().seq, (seq - 1).max(1));
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
        assert!(matches!(found(&dir), Found::Slots { other: None, .. }));
    }

    #[test]
    fn another_chains_file_is_refused() {
        let (dir, _) = created();
        let opened = VoteLock::open(Arc::new(dir), [1; 32]);
        assert!(matches!(opened.err(), Some(StoreError::OtherChain { .. })));
    }
}
