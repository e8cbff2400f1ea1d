//! `state.sum`: a checksum of every page of `state.redb`, so that redb never sees a page that it did not write.
//!
//! redb trusts its pages: it panics on some that are damaged, and answers from others. This file is a list of
//! records, each starting at a multiple of 4096 bytes and padded with zeros to the next. Integers are little endian.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 4 | magic `TNSS` |
//! | 4 | 1 | format version, 1 |
//! | 5 | 3 | zero |
//! | 8 | 4 | number of entries |
//! | 12 | 4 | length of `state.redb` in pages of 4096 bytes |
//! | 16 | 8 | seq: number of this record, one more than the one before |
//! | 24 | 8 | checksum of page 0 before the flush that follows this record |
//! | 32 | 32 | hash: BLAKE3 over bytes 0..32, then the entries |
//! | 64 | 12 each | page number (4 bytes) and checksum (8 bytes) |
//!
//! A checksum is the first 8 bytes of BLAKE3 over the page's number (4 bytes) and the page. The first record of a file
//! has all pages, every other one those that were written since the one before. A page that no record has holds zeros.
//!
//! A record is durable before page 0 is written, and page 0 decides which pages redb believes in: all others are
//! written to places that the page 0 on the medium does not lead to. So after a power cut page 0 is as the last whole
//! record has it, or as it was before that record, and every page that it leads to is as the records have it. A last
//! record that is not whole was cut short, and then page 0 was not written.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::disk::{Dir, Disk};
use crate::record::PAGE_BYTES;

/// Name of the file, relative to the data directory.
pub(crate) const SUMS_FILE: &str = "state.sum";
const UNFINISHED: &str = "state.sum.new";
const MAGIC: [u8; 4] = *b"TNSS";
const VERSION: u8 = 1;
const HASHED_BYTES: usize = 32;
const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 12;
/// A file shorter than this is never written anew, in bytes.
const MIN_REWRITE_BYTES: u64 = 256 * 1024;
/// The most entries of a record: `state.redb` of 256 GiB.
const MAX_ENTRIES: u32 = 1 << 26;

/// Checksum of a page.
pub(crate) type Sum = [u8; 8];

/// The checksum of a page's content.
pub(crate) fn sum(page: u32, bytes: &[u8]) -> Sum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&page.to_le_bytes()).update(bytes);
    let mut sum = [0; 8];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    sum
}

/// Why the file cannot be used.
#[derive(Debug)]
pub(crate) enum BadSums {
    Io(io::Error),
    Newer(u8),
    Damaged,
}

impl From<io::Error> for BadSums {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Io(error),
        }
    }
}

/// What one record says.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    pages: u32,
    seq: u64,
    first_before: Sum,
    entries: Vec<(u32, Sum)>,
}

fn padded_bytes(entries: usize) -> usize {
    (HEADER_BYTES + entries * ENTRY_BYTES).next_multiple_of(PAGE_BYTES)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Record {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(padded_bytes(self.entries.len()));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.first_before);
        out.extend_from_slice(&[0; HEADER_BYTES - HASHED_BYTES]);
        for (page, sum) in &self.entries {
            out.extend_from_slice(&page.to_le_bytes());
            out.extend_from_slice(sum);
        }
        let hash = hash(&out);
        out[HASHED_BYTES..HEADER_BYTES].copy_from_slice(&hash);
        out.resize(padded_bytes(self.entries.len()), 0);
        out
    }

    /// Reads the record at the start of `bytes`. `None` if there is no whole one.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, BadSums> {
        if bytes.len() < PAGE_BYTES || bytes[..4] != MAGIC {
            return Ok(None);
        }
        let count = u32::from_le_bytes(number(bytes, 8));
        let end = HEADER_BYTES + count.min(MAX_ENTRIES) as usize * ENTRY_BYTES;
        if count > MAX_ENTRIES
            || end > bytes.len()
            || hash(&bytes[..end]) != bytes[HASHED_BYTES..HEADER_BYTES]
        {
            return Ok(None);
        }
        if bytes[4] != VERSION {
            return Err(BadSums::Newer(bytes[4]));
        }
        let entries = bytes[HEADER_BYTES..end].chunks_exact(ENTRY_BYTES);
        let entries = entries.map(|entry| (u32::from_le_bytes(number(entry, 0)), number(entry, 4)));
        Ok(Some(Self {
            pages: u32::from_le_bytes(number(bytes, 12)),
            seq: u64::from_le_bytes(number(bytes, 16)),
            first_before: number(bytes, 24),
            entries: entries.collect(),
        }))
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(&bytes[..HASHED_BYTES]).update(&bytes[HEADER_BYTES..]).finalize().as_bytes()
}

/// Whether a page from which a whole record newer than `seq` can be read follows: then the record that should be there
/// was not cut short, but damaged later.
fn holds_record_after(bytes: &[u8], seq: u64) -> Result<bool, BadSums> {
    for at in (0..bytes.len()).step_by(PAGE_BYTES) {
        if Record::decode(&bytes[at..])?.is_some_and(|record| record.seq > seq) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The checksums of all pages, and the file that they are kept in.
pub(crate) struct Sums<D: Dir> {
    dir: Arc<D>,
    file: D::File,
    /// Where the next record goes, in bytes.
    end: u64,
    seq: u64,
    /// By page; `None` for a page that was never written.
    table: Vec<Option<Sum>>,
    /// Pages written since the last record.
    fresh: BTreeMap<u32, Sum>,
}

impl<D: Dir> Sums<D> {
    /// Starts an empty file.
    pub(crate) fn create(dir: Arc<D>) -> io::Result<Self> {
        let file = dir.open(SUMS_FILE, true)?;
        file.set_len(0)?;
        Ok(Self { dir, file, end: 0, seq: 0, table: Vec::new(), fresh: BTreeMap::new() })
    }

    /// Reads the file, for a `state.redb` of `pages` pages. Also gives the checksums that page 0 may have.
    pub(crate) fn open(dir: Arc<D>, pages: u32) -> Result<(Self, Vec<Sum>), BadSums> {
        let file = dir.open(SUMS_FILE, false)?;
        file.sync()?;
        file.forget_cached()?;
        if dir.exists(UNFINISHED)? {
            dir.remove(UNFINISHED)?;
        }
        let len = file.len()? as usize / PAGE_BYTES * PAGE_BYTES;
        let mut bytes = vec![0; len];
        file.read_at(&mut bytes, 0)?;
        let (mut end, mut seq, mut table, mut first) = (0, 0, Vec::new(), Vec::new());
        while let Some(record) = Record::decode(&bytes[end..])? {
            if seq != 0 && record.seq != seq + 1 {
                break;
            }
            seq = record.seq;
            end += padded_bytes(record.entries.len());
            table.resize(record.pages as usize, None);
            first = vec![record.first_before];
            for (page, sum) in record.entries {
                match table.get_mut(page as usize) {
                    Some(entry) => *entry = Some(sum),
                    None => return Err(BadSums::Damaged),
                }
                if page == 0 {
                    first.push(sum);
                }
            }
        }
        if seq == 0 || holds_record_after(&bytes[end..], seq)? {
            return Err(BadSums::Damaged);
        }
        table.resize(pages as usize, None);
        Ok((Self { dir, file, end: end as u64, seq, table, fresh: BTreeMap::new() }, first))
    }

    /// Whether a page, but for page 0, holds what was written to it.
    pub(crate) fn fits(&self, page: u32, bytes: &[u8]) -> bool {
        match self.table.get(page as usize).copied().flatten() {
            Some(expected) => sum(page, bytes) == expected,
            None => bytes.iter().all(|byte| *byte == 0),
        }
    }

    /// Notes that a page was written.
    pub(crate) fn note(&mut self, page: u32, bytes: &[u8]) {
        let sum = sum(page, bytes);
        let index = page as usize;
        if self.table.len() <= index {
            self.table.resize(index + 1, None);
        }
        self.table[index] = Some(sum);
        self.fresh.insert(page, sum);
    }

    /// Notes a new length of `state.redb` in pages.
    pub(crate) fn set_pages(&mut self, pages: u32) {
        self.table.resize(pages as usize, None);
        self.fresh.retain(|page, _| *page < pages);
    }

    /// Makes what was noted durable. `first_before` is the checksum of page 0 as it is on the medium.
    pub(crate) fn flush(&mut self, first_before: Sum) -> io::Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let (seq, pages) = (self.seq + 1, self.table.len() as u32);
        let known = self.table.iter().filter(|sum| sum.is_some()).count();
        let limit = MIN_REWRITE_BYTES.max(2 * padded_bytes(known) as u64);
        if self.end == 0 || self.end >= limit {
            let entries = (0..).zip(&self.table).filter_map(|(page, sum)| Some((page, (*sum)?))).collect();
            self.rewrite(&Record { pages, seq, first_before, entries }.encode())?;
        } else {
            let entries = self.fresh.iter().map(|(page, sum)| (*page, *sum)).collect();
            let bytes = Record { pages, seq, first_before, entries }.encode();
            self.file.write_at(&bytes, self.end)?;
            self.file.sync()?;
            self.end += bytes.len() as u64;
        }
        self.seq = seq;
        self.fresh.clear();
        Ok(())
    }

    fn rewrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.dir.open(UNFINISHED, true)?;
        file.set_len(0)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        self.dir.rename(UNFINISHED, SUMS_FILE)?;
        self.dir.sync_dir("")?;
        (self.file, self.end) = (file, bytes.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::memdir::MemDir;

    const BEFORE: Sum = [0xbe; 8];

    fn page(fill: u8) -> Vec<u8> {
        vec![fill; PAGE_BYTES]
    }

    fn open(dir: &MemDir, pages: u32) -> Result<(Sums<MemDir>, Vec<Sum>), BadSums> {
        Sums::open(Arc::new(dir.clone()), pages)
    }

    /// A file of three records: pages 0 and 1, then page 2, then page 1 again.
    fn three_records() -> MemDir {
        let dir = MemDir::new();
        let mut sums = Sums::create(Arc::new(dir.clone())).unwrap();
        sums.set_pages(4);
        for written in [vec![(0, 1), (1, 2)], vec![(2, 3)], vec![(1, 4)]] {
            for (number, fill) in written {
                sums.note(number, &page(fill));
            }
            sums.flush(BEFORE).unwrap();
        }
        dir
    }

    #[test]
    fn bytes_of_a_record_never_change() {
        let record = Record { pages: 9, seq: 0x0102, first_before: BEFORE, entries: vec![(7, [0xcc; 8])] };
        let bytes = record.encode();
        assert_eq!(bytes.len(), PAGE_BYTES);
        assert_eq!(bytes[..16], *b"TNSS\x01\0\0\0\x01\0\0\0\x09\0\0\0");
        assert_eq!(bytes[16..32], *b"\x02\x01\0\0\0\0\0\0\xbe\xbe\xbe\xbe\xbe\xbe\xbe\xbe");
        let digest = blake3::hash(&[&bytes[..32], &bytes[64..76]].concat());
        assert_eq!(bytes[32..64], *digest.as_bytes());
        assert_eq!(bytes[64..76], *b"\x07\0\0\0\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc");
        assert!(bytes[76..].iter().all(|byte| *byte == 0));
        assert_eq!(Record::decode(&bytes).unwrap(), Some(record));
        assert_eq!(sum(7, b"page")[..], blake3::hash(b"\x07\0\0\0page").as_bytes()[..8]);
    }

    #[test]
    fn every_page_is_known_again_and_unwritten_ones_hold_zeros() {
        let dir = three_records();
        dir.crash(0);
        let (sums, first) = open(&dir, 4).unwrap();
        assert!(sums.fits(1, &page(4)) && sums.fits(2, &page(3)) && sums.fits(3, &page(0)));
        assert!(!sums.fits(1, &page(2)) && !sums.fits(3, &page(1)) && !sums.fits(2, &page(4)));
        assert!(!sums.fits(1, &page(3)), "the content of page 2");
        assert!(sums.fits(9, &page(0)) && !sums.fits(9, &page(1)));
        assert_eq!(first, [BEFORE]);
    }

    #[test]
    fn a_torn_last_record_is_as_if_it_had_not_been_written() {
        let dir = three_records();
        let whole = dir.bytes(SUMS_FILE).unwrap();
        for len in 2 * PAGE_BYTES..3 * PAGE_BYTES {
            dir.set_bytes(SUMS_FILE, whole[..len].to_vec());
            let (mut sums, _) = open(&dir, 4).unwrap();
            assert!(sums.fits(1, &page(2)), "{len}");
            sums.note(3, &page(5));
            sums.flush(BEFORE).unwrap();
            let (sums, _) = open(&dir, 4).unwrap();
            assert!(sums.fits(3, &page(5)) && sums.fits(1, &page(2)), "{len}");
        }
    }

    #[test]
    fn damage_before_the_last_record_and_a_missing_file_are_refused() {
        let dir = three_records();
        let whole = dir.bytes(SUMS_FILE).unwrap();
        for at in 0..2 * PAGE_BYTES {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            dir.set_bytes(SUMS_FILE, bytes);
            let entries = 2 - at / PAGE_BYTES;
            match open(&dir, 4) {
                Err(bad) => assert!(matches!(bad, BadSums::Damaged), "{at}: {bad:?}"),
                Ok((sums, _)) => {
                    assert!(at % PAGE_BYTES >= HEADER_BYTES + entries * ENTRY_BYTES, "{at} is no padding");
                    assert!(sums.fits(1, &page(4)), "{at}");
                }
            }
        }
        dir.remove(SUMS_FILE).unwrap();
        assert!(matches!(open(&dir, 4), Err(BadSums::Damaged)));
        dir.set_bytes(SUMS_FILE, Vec::new());
        assert!(matches!(open(&dir, 4), Err(BadSums::Damaged)));
    }

    #[test]
    fn a_record_of_a_later_format_is_told_from_damage() {
        let dir = three_records();
        let mut bytes = dir.bytes(SUMS_FILE).unwrap();
        bytes[4] = 2;
        let end = HEADER_BYTES + 2 * ENTRY_BYTES;
        let digest = hash(&bytes[..end]);
        bytes[HASHED_BYTES..HEADER_BYTES].copy_from_slice(&digest);
        dir.set_bytes(SUMS_FILE, bytes);
        assert!(matches!(open(&dir, 4), Err(BadSums::Newer(2))));
    }

    #[test]
    fn a_page_beyond_the_end_that_a_record_names_is_damage() {
        let record = Record { pages: 1, seq: 1, first_before: BEFORE, entries: vec![(1, [0; 8])] };
        let dir = MemDir::new();
        dir.set_bytes(SUMS_FILE, record.encode());
        assert!(matches!(open(&dir, 4), Err(BadSums::Damaged)));
    }

    #[test]
    fn the_file_is_written_anew_before_it_grows_for_ever() {
        let dir = MemDir::new();
        let mut sums = Sums::create(Arc::new(dir.clone())).unwrap();
        sums.set_pages(2);
        for round in 0..1000u32 {
            sums.note(1, &page(round as u8));
            sums.note(0, &page(round as u8));
            sums.flush(BEFORE).unwrap();
            assert!(dir.bytes(SUMS_FILE).unwrap().len() as u64 <= MIN_REWRITE_BYTES);
        }
        let (sums, first) = open(&dir, 2).unwrap();
        assert!(sums.fits(1, &page(999u32 as u8)));
        assert_eq!(first, [BEFORE, sum(0, &page(999u32 as u8))]);
    }

    #[test]
    fn what_an_interrupted_rewrite_left_is_removed() {
        let dir = three_records();
        dir.set_bytes(UNFINISHED, vec![7; 100]);
        open(&dir, 4).unwrap();
        assert!(!dir.exists(UNFINISHED).unwrap());
    }
}
