//! The second copy of what a vote's record says was signed.
//!
//! A vote is the one record that nobody can give back, and the newest one of a log looks the same when it is damaged
//! as when it was never whole. So its signer record is there twice: the padding of its last page ends with an echo,
//! which shares no sector of 512 bytes with the record (there is one more page if there is no room).
//!
//! | offset from the end of the page | length | field |
//! |---|---|---|
//! | -48 - length | length | signer record |
//! | -48 | 4 | magic `TNLE` |
//! | -44 | 4 | length of the signer record in bytes |
//! | -40 | 8 | seq of the record |
//! | -32 | 32 | hash: keyed BLAKE3 over the 16 bytes before it, then the signer record |

use crate::record::{HASH_BYTES, LogKey, array, hash};

const ECHO_MAGIC: [u8; 4] = *b"TNLE";
/// An echo without its signer record, in bytes.
pub(crate) const ECHO_BYTES: usize = 48;

/// The second copy of a signer record, at the end of a vote's last page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Echo<'a> {
    pub(crate) seq: u64,
    pub(crate) sign: &'a [u8],
}

impl<'a> Echo<'a> {
    /// Its bytes, to stand at the very end of a page.
    pub(crate) fn encode(&self, key: &LogKey) -> Vec<u8> {
        let head = [ECHO_MAGIC.as_slice(), &(self.sign.len() as u32).to_le_bytes(), &self.seq.to_le_bytes()]
            .concat();
        let hash = hash(key, &head, &[self.sign]);
        [self.sign, &head, &hash].concat()
    }

    /// Reads the echo at the end of `page`. `None` if there is no whole one.
    pub(crate) fn parse(key: &LogKey, page: &'a [u8]) -> Option<Self> {
        let (before, foot) = page.split_at_checked(page.len().checked_sub(ECHO_BYTES)?)?;
        let len = u32::from_le_bytes(array(foot, 4)) as usize;
        if foot[..4] != ECHO_MAGIC || len > before.len() {
            return None;
        }
        let sign = &before[before.len() - len..];
        let head = &foot[..ECHO_BYTES - HASH_BYTES];
        let whole = hash(key, head, &[sign]) == foot[ECHO_BYTES - HASH_BYTES..];
        whole.then(|| Self { seq: u64::from_le_bytes(array(foot, 8)), sign })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::{Draft, Header, Kind, PAGE_BYTES, SECTOR_BYTES, seal};

    const KEY: LogKey = [7; 32];

    fn draft() -> Draft {
        Draft {
            kind: Kind::Vote,
            height: 0x0102,
            seq: 0x0304,
            durable: 0x0303,
            signer: 0x0301,
            prev: [0xaa; 16],
        }
    }

    #[test]
    fn bytes_of_an_echo_never_change() {
        let mut out = Vec::new();
        let header = seal(&mut out, &KEY, &draft(), b"signed", &[&[0xbb; 32], b"block"]);
        assert_eq!(header.sign_len, 6);
        assert_eq!(&out[96..102], b"signed");
        let echo = &out[PAGE_BYTES - 54..];
        assert_eq!(echo[..22], *b"signedTNLE\x06\0\0\0\x04\x03\0\0\0\0\0\0");
        let digest = blake3::keyed_hash(&KEY, b"TNLE\x06\0\0\0\x04\x03\0\0\0\0\0\0signed");
        assert_eq!(echo[22..], *digest.as_bytes());
    }

    #[test]
    fn a_vote_says_what_was_signed_when_any_one_sector_is_bad() {
        for (sign, block) in
            [(0, 0), (1, 0), (400, 0), (1900, 0), (1900, 100), (4000, 0), (700, 3300), (500, 9000)]
        {
            let sign = vec![5; sign];
            let block = vec![7; block];
            let mut out = Vec::new();
            let header = seal(&mut out, &KEY, &draft(), &sign, &[&[1; 32], &block]);
            assert_eq!(out.len() as u64, header.padded());
            for sector in 0..out.len() / SECTOR_BYTES {
                let mut bad = out.clone();
                bad[sector * SECTOR_BYTES..][..SECTOR_BYTES].fill(0xff);
                let sealed = Header::parse(&bad)
                    .is_some_and(|header| header.is_sealed(&KEY, &bad[..header.total().min(bad.len())]));
                let echo = Echo::parse(&KEY, &bad[bad.len() - PAGE_BYTES..]);
                assert!(sealed || echo == Some(Echo { seq: 0x0304, sign: &sign }), "sector {sector}");
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_an_echo_makes_it_none() {
        let mut out = Vec::new();
        seal(&mut out, &KEY, &draft(), b"abc", &[]);
        for bit in (PAGE_BYTES - ECHO_BYTES - 3) * 8..PAGE_BYTES * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Echo::parse(&KEY, &bad), None, "bit {bit}");
        }
        assert!(Echo::parse(&KEY, &out).is_some());
        assert_eq!(Echo::parse(&[8; 32], &out), None, "another directory's key");
        assert_eq!(Echo::parse(&KEY, &out[..ECHO_BYTES - 1]), None);
    }
}
