//! One record of the log, byte by byte.
//!
//! A record starts at a multiple of 4096 bytes, is padded with zeros to a multiple of them, and never crosses the end
//! of its segment. All integers are little endian.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 4 | magic `TNLR` |
//! | 4 | 1 | format version, 1 |
//! | 5 | 1 | kind: 1 vote, 2 block, 3 commit, 4 roll |
//! | 6 | 2 | zero |
//! | 8 | 4 | length of the payload in bytes |
//! | 12 | 4 | length of the signer record in bytes; 0 but in a vote |
//! | 16 | 8 | height |
//! | 24 | 8 | seq: number of this record, rising; one counter for the log and `vote.lock` |
//! | 32 | 8 | durable: seq of the last log record that was flushed when this one was written (0: none) |
//! | 40 | 8 | signer: seq of the newest signer record that was flushed when this one was written (0: none) |
//! | 48 | 16 | first half of the previous record's hash (zeros in the first record) |
//! | 64 | 32 | hash: keyed BLAKE3 over bytes 0..64, then the payload |
//! | 96 | length | payload ([`crate::payload`]) |
//!
//! The last page of a vote ends with an [echo](crate::echo) of its signer record.
//!
//! `seq` and the previous hash tell a live record from a stale one in a recycled segment. `durable` tells a write that
//! a crash cut short (nothing that follows vouches for it) from damage to what had been acknowledged. `signer` shows
//! at the next start that `vote.lock` lost or was rolled back past a record that had been acknowledged.
//!
//! The hash is keyed with 32 random bytes that stay in the data directory (`state.redb`). Blocks come from strangers:
//! without the key somebody could put bytes into a transaction that look like a record, wait for the real header
//! above them to be torn by a crash, and so plant a vote or fake damage.

use crate::echo::{ECHO_BYTES, Echo};

/// Everything on disk starts at a multiple of this many bytes: the kernel writes whole pages anyway, and a padded
/// record is never touched again, so a torn page can only hurt the record being written.
pub const PAGE_BYTES: usize = 4096;
/// The longest record, header and payload, in bytes: 4 MiB, twice the largest block.
pub const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// The longest signer record, in bytes: it must fit into one slot of `vote.lock`.
pub const MAX_SIGN_BYTES: usize = PAGE_BYTES - HEADER_BYTES;
/// What the medium writes at once, at the least, in bytes.
pub(crate) const SECTOR_BYTES: usize = 512;
/// Length of a record's header in bytes.
pub(crate) const HEADER_BYTES: usize = 96;
/// Version of the record's layout.
pub(crate) const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"TNLR";
/// The hash covers the header up to here.
const HASHED_BYTES: usize = 64;
/// Length of a hash in bytes.
pub(crate) const HASH_BYTES: usize = 32;

/// Key of the log's checksums.
pub(crate) type LogKey = [u8; 32];

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A signer record, with the block that is voted for if the log did not have it.
    Vote = 1,
    /// A block.
    Block = 2,
    /// A commit certificate.
    Commit = 3,
    /// The log goes on in the next segment.
    Roll = 4,
}

impl Kind {
    /// The kind that `byte` stands for, if it is known here.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Vote, Self::Block, Self::Commit, Self::Roll].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The end of the chain of records: what the next record must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Link {
    /// Seq of the last record; the next one's is higher.
    pub(crate) seq: u64,
    /// First half of its hash.
    pub(crate) hash: [u8; 16],
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u8,
    /// The raw byte: a kind unknown here may be known to a later version.
    pub(crate) kind: u8,
    /// Length of the payload in bytes.
    pub(crate) len: u32,
    /// Length of the signer record in bytes.
    pub(crate) sign_len: u32,
    pub(crate) height: u64,
    pub(crate) seq: u64,
    pub(crate) durable: u64,
    pub(crate) signer: u64,
    pub(crate) prev: [u8; 16],
    pub(crate) hash: [u8; 32],
}

/// `N` bytes from `at` on, which the caller knows to be there.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Header {
    /// Reads the header at the start of `page`, of at least [`HEADER_BYTES`]. `None` if there cannot be one: the
    /// length is checked, so a caller may allocate it.
    pub(crate) fn parse(page: &[u8]) -> Option<Self> {
        if page.len() < HEADER_BYTES || page[..4] != MAGIC {
            return None;
        }
        let len = u32::from_le_bytes(array(page, 8));
        let sign_len = u32::from_le_bytes(array(page, 12));
        if len as usize > MAX_RECORD_BYTES - HEADER_BYTES || sign_len as usize > MAX_SIGN_BYTES {
            return None;
        }
        Some(Self {
            version: page[4],
            kind: page[5],
            len,
            sign_len,
            height: u64::from_le_bytes(array(page, 16)),
            seq: u64::from_le_bytes(array(page, 24)),
            durable: u64::from_le_bytes(array(page, 32)),
            signer: u64::from_le_bytes(array(page, 40)),
            prev: array(page, 48),
            hash: array(page, HASHED_BYTES),
        })
    }

    /// Whether `bytes` begins with anything that claims to be a record.
    pub(crate) fn has_magic(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Length on disk, padding included, in bytes.
    pub(crate) fn padded(&self) -> u64 {
        let echo = (self.kind == Kind::Vote as u8).then_some(self.sign_len as usize);
        padded_bytes(self.len as usize, echo)
    }

    /// Header and payload, in bytes.
    pub(crate) fn total(&self) -> usize {
        HEADER_BYTES + self.len as usize
    }

    /// Whether `record` (header and payload) carries this header's hash.
    pub(crate) fn is_sealed(&self, key: &LogKey, record: &[u8]) -> bool {
        record.len() == self.total()
            && hash(key, &record[..HASHED_BYTES], &[&record[HEADER_BYTES..]]) == self.hash
    }

    /// What a record after this one must follow.
    pub(crate) fn link(&self) -> Link {
        Link { seq: self.seq, hash: array(&self.hash, 0) }
    }

    /// Whether this record follows `link`.
    pub(crate) fn follows(&self, link: &Link) -> bool {
        self.seq > link.seq && self.prev == link.hash
    }
}

/// Length on disk of a record with `payload` bytes, in bytes; of a vote with the echo of so many bytes.
pub(crate) fn padded_bytes(payload: usize, echo: Option<usize>) -> u64 {
    let echo = echo.map_or(0, |sign| ECHO_BYTES + sign);
    ((HEADER_BYTES + payload).next_multiple_of(SECTOR_BYTES) + echo).next_multiple_of(PAGE_BYTES) as u64
}

/// The checksum of a record or an echo: over `head`, then `parts`.
pub(crate) fn hash(key: &LogKey, head: &[u8], parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(head);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// What goes into a new record's header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) height: u64,
    pub(crate) seq: u64,
    pub(crate) durable: u64,
    pub(crate) signer: u64,
    pub(crate) prev: [u8; 16],
}

/// Writes the whole padded record into `out` (emptied first) and returns its header. The payload is the signer record
/// `sign` (empty but in a vote) and then `parts`. The caller has checked that they do not exceed [`MAX_RECORD_BYTES`]
/// less the header, nor `sign` [`MAX_SIGN_BYTES`].
pub(crate) fn seal(out: &mut Vec<u8>, key: &LogKey, draft: &Draft, sign: &[u8], parts: &[&[u8]]) -> Header {
    let len = sign.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    debug_assert!(len <= MAX_RECORD_BYTES - HEADER_BYTES && sign.len() <= MAX_SIGN_BYTES);
    let is_vote = draft.kind == Kind::Vote;
    let padded = padded_bytes(len, is_vote.then_some(sign.len())) as usize;
    out.clear();
    out.reserve(padded);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, draft.kind as u8, 0, 0]);
    out.extend_from_slice(&(len as u32).to_le_bytes());
    out.extend_from_slice(&(sign.len() as u32).to_le_bytes());
    for number in [draft.height, draft.seq, draft.durable, draft.signer] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&draft.prev);
    let parts = [&[sign], parts].concat();
    let hash = hash(key, out, &parts);
    out.extend_from_slice(&hash);
    for part in parts {
        out.extend_from_slice(part);
    }
    if is_vote {
        let echo = Echo { seq: draft.seq, sign }.encode(key);
        out.resize(padded - echo.len(), 0);
        out.extend_from_slice(&echo);
    } else {
        out.resize(padded, 0);
    }
    Header {
        version: VERSION,
        kind: draft.kind as u8,
        len: len as u32,
        sign_len: sign.len() as u32,
        height: draft.height,
        seq: draft.seq,
        durable: draft.durable,
        signer: draft.signer,
        prev: draft.prev,
        hash,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::payload::{BlockPart, Payload};

    const KEY: LogKey = [7; 32];

    fn draft(kind: Kind) -> Draft {
        Draft { kind, height: 0x0102, seq: 0x0304, durable: 0x0303, signer: 0x0301, prev: [0xaa; 16] }
    }

    #[test]
    fn bytes_of_a_record_never_change() {
        let mut out = Vec::new();
        seal(&mut out, &KEY, &draft(Kind::Commit), &[], &[&[0xbb; 32], b"certificate"]);
        assert_eq!(out.len(), PAGE_BYTES);
        let hex = |bytes: &[u8]| blake3_hex(bytes);
        assert_eq!(
            hex(&out[..64]),
            concat!(
                "544e4c52",
                "01",
                "03",
                "0000",
                "2b000000",
                "00000000",
                "0201000000000000",
                "0403000000000000",
                "0303000000000000",
                "0103000000000000",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            )
        );
        assert_eq!(hex(&out[64..96]), GOLDEN_HASH);
        assert_eq!(out[96..128], [0xbb; 32]);
        assert_eq!(&out[128..139], b"certificate");
        assert!(out[139..].iter().all(|byte| *byte == 0));
    }

    const GOLDEN_HASH: &str = "a81a296c10ae4f3b2bbeabcfb5ea221e2185127777cb8a6da36061714037ea16";

    fn blake3_hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let mut out = Vec::new();
        for payload in [0, 1, PAGE_BYTES - HEADER_BYTES, PAGE_BYTES - HEADER_BYTES + 1, 3 * PAGE_BYTES] {
            let bytes = vec![0x5a; payload];
            let header = seal(&mut out, &KEY, &draft(Kind::Block), &[], &[&[1; 32], &bytes]);
            assert_eq!(out.len() as u64, header.padded());
            assert_eq!(Header::parse(&out), Some(header));
            assert!(header.is_sealed(&KEY, &out[..header.total()]));
            let part = BlockPart { hash: [1; 32], bytes: &bytes };
            let payload = Payload::parse(&header, &out[HEADER_BYTES..header.total()]);
            assert_eq!(payload, Some(Payload::Block(part)));
        }
    }

    #[test]
    fn any_flipped_bit_breaks_the_seal_or_the_parse() {
        let mut out = Vec::new();
        let total = seal(&mut out, &KEY, &draft(Kind::Vote), b"abc", &[]).total();
        for bit in 0..total * 8 {
            let mut bad = out[..total].to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let sealed = Header::parse(&bad).is_some_and(|header| header.is_sealed(&KEY, &bad));
            assert!(!sealed, "bit {bit}");
        }
    }

    #[test]
    fn another_directorys_key_does_not_open_it() {
        let mut out = Vec::new();
        let header = seal(&mut out, &KEY, &draft(Kind::Block), &[], &[&[1; 32]]);
        assert!(!header.is_sealed(&[8; 32], &out[..header.total()]));
    }

    #[test]
    fn an_impossible_length_is_refused_before_allocation() {
        let mut out = Vec::new();
        seal(&mut out, &KEY, &draft(Kind::Block), &[], &[&[1; 32]]);
        out[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Header::parse(&out), None);
        assert_eq!(Header::parse(&out[..HEADER_BYTES - 1]), None);
    }
}
