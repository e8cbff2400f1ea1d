//! `log/key`: the key of the log's checksums, again. The log is read with the key in the state; if the state is lost,
//! this one still opens the log, so that the state can be made from it.
//!
//! 8192 bytes: two copies, at 0 and 4096, each padded with zeros.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 4 | magic `TNLK` |
//! | 4 | 1 | format version, 1 |
//! | 5 | 3 | zero |
//! | 8 | 32 | chain: hash of the genesis |
//! | 40 | 32 | key |
//! | 72 | 32 | hash: BLAKE3 over bytes 0..72 |

use crate::disk::{Dir, Disk};
use crate::error::{Result, StoreError};
use crate::record::{LogKey, PAGE_BYTES};
use crate::segment::sync_folder;

/// Name of the file, relative to the data directory.
pub(crate) const KEY_FILE: &str = "log/key";
const UNFINISHED: &str = "log/key.new";
const HEAD: [u8; 8] = *b"TNLK\x01\0\0\0";
const HASHED_BYTES: usize = 72;
const COPY_BYTES: usize = 104;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyFile {
    pub(crate) chain: [u8; 32],
    pub(crate) key: LogKey,
}

impl KeyFile {
    fn encode(&self) -> Vec<u8> {
        let mut out = [HEAD.as_slice(), &self.chain, &self.key].concat();
        let hash = *blake3::hash(&out).as_bytes();
        out.extend_from_slice(&hash);
        out.resize(PAGE_BYTES, 0);
        out.repeat(2)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut chain, mut key) = ([0; 32], [0; 32]);
        if bytes.len() < COPY_BYTES || bytes[..8] != HEAD {
            return None;
        }
        if *blake3::hash(&bytes[..HASHED_BYTES]).as_bytes() != bytes[HASHED_BYTES..COPY_BYTES] {
            return None;
        }
        chain.copy_from_slice(&bytes[8..40]);
        key.copy_from_slice(&bytes[40..HASHED_BYTES]);
        Some(Self { chain, key })
    }

    /// Writes the file. Durable when it returns.
    pub(crate) fn write<D: Dir>(&self, dir: &D) -> Result<()> {
        let failed = |e| StoreError::io("write", dir.describe(KEY_FILE), e);
        let file = dir.open(UNFINISHED, true).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        file.write_at(&self.encode(), 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        dir.rename(UNFINISHED, KEY_FILE).map_err(failed)?;
        sync_folder(dir)
    }

    /// Reads the file: what it says, and whether both copies are whole. `None` if it is missing or neither is.
    pub(crate) fn read<D: Dir>(dir: &D) -> Option<(Self, bool)> {
        let file = dir.open(KEY_FILE, false).ok()?;
        let copies = [0, PAGE_BYTES].map(|at| {
            let mut bytes = [0; COPY_BYTES];
            file.read_at(&mut bytes, at as u64).ok().and_then(|()| Self::decode(&bytes))
        });
        let [first, second] = copies;
        Some((first.or(second)?, first == second))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::memdir::MemDir;
    use crate::segment::LOG_FOLDER;

    const FILE: KeyFile = KeyFile { chain: [1; 32], key: [2; 32] };

    #[test]
    fn bytes_of_the_file_never_change() {
        let bytes = FILE.encode();
        assert_eq!(bytes[..40], [b"TNLK\x01\0\0\0".as_slice(), &[1; 32]].concat());
        assert_eq!(bytes[40..72], [2; 32]);
        assert_eq!(bytes[72..104], *blake3::hash(&bytes[..72]).as_bytes());
        assert!(bytes[104..4096].iter().all(|byte| *byte == 0));
        assert_eq!(bytes[4096..], bytes[..4096]);
    }

    #[test]
    fn one_bad_copy_is_no_loss_and_two_are() {
        let dir = MemDir::new();
        dir.make_dir(LOG_FOLDER).unwrap();
        assert_eq!(KeyFile::read(&dir), None);
        FILE.write(&dir).unwrap();
        assert_eq!(KeyFile::read(&dir), Some((FILE, true)));
        let whole = dir.bytes(KEY_FILE).unwrap();
        for at in (0..COPY_BYTES).chain(PAGE_BYTES..PAGE_BYTES + COPY_BYTES) {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            dir.set_bytes(KEY_FILE, bytes.clone());
            assert_eq!(KeyFile::read(&dir), Some((FILE, false)), "{at}");
            bytes[(at + PAGE_BYTES) % (2 * PAGE_BYTES)] ^= 4;
            dir.set_bytes(KEY_FILE, bytes);
            assert_eq!(KeyFile::read(&dir), None, "{at}");
        }
        for len in 0..whole.len() {
            dir.set_bytes(KEY_FILE, whole[..len].to_vec());
            let expected = (len >= COPY_BYTES).then_some((FILE, len >= PAGE_BYTES + COPY_BYTES));
            assert_eq!(KeyFile::read(&dir), expected, "{len}");
        }
    }
}
