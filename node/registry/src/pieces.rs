//! BLAKE3 over pieces of 1 MiB: which piece of a blob is damaged, and what its whole BLAKE3 hash is.
//!
//! Each piece's chaining value is kept in a file beside the blob. Folded together they give the ordinary BLAKE3 hash
//! of the content, so a peer that knows only that hash can check the list, and then every piece as it arrives.
//!
//! The file: `TNPIECE1`, the content's length (8 bytes, little-endian), its BLAKE3 hash (32 bytes), then 32 bytes for
//! each piece. It is never flushed on its own: one that a power cut spoilt does not fold to its hash, and is made
//! again from the content. Content of one piece needs no list.

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

/// Length of a piece, in bytes.
pub const PIECE_BYTES: u64 = 1024 * 1024;

const MAGIC: &[u8; 8] = b"TNPIECE1";
const HEAD_BYTES: usize = 48;
const VALUE_BYTES: usize = 32;

/// The chaining values of a content's pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceList {
    len: u64,
    root: [u8; 32],
    values: Vec<ChainingValue>,
}

/// Gives the BLAKE3 hash of `len` bytes from the chaining values of their pieces, more than one.
fn fold(values: &[ChainingValue], len: u64) -> Option<[u8; 32]> {
    fn subtree(values: &[ChainingValue], len: u64) -> Option<ChainingValue> {
        if len <= PIECE_BYTES {
            return if let [value] = values { Some(*value) } else { None };
        }
        let (left, right) = children(values, len)?;
        Some(merge_subtrees_non_root(&left, &right, Mode::Hash))
    }
    fn children(values: &[ChainingValue], len: u64) -> Option<(ChainingValue, ChainingValue)> {
        let left_len = left_subtree_len(len);
        let (left, right) = values.split_at_checked((left_len / PIECE_BYTES) as usize)?;
        Some((subtree(left, left_len)?, subtree(right, len - left_len)?))
    }
    if len <= PIECE_BYTES {
        return None;
    }
    let (left, right) = children(values, len)?;
    Some(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes())
}

impl PieceList {
    /// Reads a list; `None` if it is not one, or does not fold to its own hash, or is for another length.
    pub fn decode(bytes: &[u8], len: u64) -> Option<Self> {
        let (head, values) = bytes.split_at_checked(HEAD_BYTES)?;
        if &head[..8] != MAGIC || head[8..16] != len.to_le_bytes() || values.len() % VALUE_BYTES != 0 {
            return None;
        }
        let root = head[16..].try_into().ok()?;
        let values: Vec<ChainingValue> =
            values.chunks_exact(VALUE_BYTES).filter_map(|value| value.try_into().ok()).collect();
        (fold(&values, len)? == root).then_some(Self { len, root, values })
    }

    /// The list as it stands in its file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.values.len() * VALUE_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.len.to_le_bytes());
        bytes.extend_from_slice(&self.root);
        self.values.iter().for_each(|value| bytes.extend_from_slice(value));
        bytes
    }

    /// Length of the file of a list for `len` bytes of content.
    pub fn encoded_bytes(len: u64) -> u64 {
        HEAD_BYTES as u64 + len.div_ceil(PIECE_BYTES) * VALUE_BYTES as u64
    }

    /// The BLAKE3 hash of the whole content.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// The pieces, by their number, in which `other`, a list of the same length, differs.
    pub fn difference(&self, other: &Self) -> Vec<u32> {
        let differ = |(number, (ours, theirs)): (usize, (&ChainingValue, &ChainingValue))| {
            (ours != theirs).then_some(number as u32)
        };
        self.values.iter().zip(&other.values).enumerate().filter_map(differ).collect()
    }
}

/// A list in the making.
#[derive(Clone)]
pub struct PieceHasher {
    done: Vec<ChainingValue>,
    current: Hasher,
    current_len: u64,
}

impl Default for PieceHasher {
    fn default() -> Self {
        Self { done: Vec::new(), current: Hasher::new(), current_len: 0 }
    }
}

impl PieceHasher {
    /// Adds `content` at the end.
    pub fn update(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            // The last piece stays open until there is more: only then is it known not to be the only one.
            if self.current_len == PIECE_BYTES {
                self.done.push(self.current.finalize_non_root());
                self.current = Hasher::new();
                self.current.set_input_offset(self.done.len() as u64 * PIECE_BYTES);
                self.current_len = 0;
            }
            let room = (PIECE_BYTES - self.current_len) as usize;
            let (now, later) = content.split_at(room.min(content.len()));
            self.current.update(now);
            self.current_len += now.len() as u64;
            content = later;
        }
    }

    /// The list of everything added; `None` for content of one piece.
    pub fn finish(mut self) -> Option<PieceList> {
        let len = self.done.len() as u64 * PIECE_BYTES + self.current_len;
        if len <= PIECE_BYTES {
            return None;
        }
        self.done.push(self.current.finalize_non_root());
        let root = fold(&self.done, len)?;
        Some(PieceList { len, root, values: self.done })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(content: &[u8], step: usize) -> Option<PieceList> {
        let mut hasher = PieceHasher::default();
        content.chunks(step).for_each(|part| hasher.update(part));
        hasher.finish()
    }

    #[test]
    fn folds_to_the_ordinary_hash() {
        let piece = PIECE_BYTES as usize;
        let content: Vec<u8> = (0..5 * piece + 7).map(|i| (i * 31 % 251) as u8).collect();
        for len in [piece + 1, 2 * piece - 1, 2 * piece, 2 * piece + 1, 3 * piece, 4 * piece, 5 * piece + 7] {
            let content = &content[..len];
            let pieces = list(content, 100_003).unwrap();
            assert_eq!(&pieces.root(), blake3::hash(content).as_bytes(), "{len}");
            assert_eq!(PieceList::decode(&pieces.encode(), len as u64), Some(pieces.clone()), "{len}");
            assert_eq!(pieces.encode().len() as u64, PieceList::encoded_bytes(len as u64));
        }
        for len in [0, 1, piece] {
            assert_eq!(list(&content[..len], 65_536), None, "{len}");
        }
    }

    #[test]
    fn a_flipped_bit_is_pinned_to_its_piece() {
        let mut content = vec![7; 3 * PIECE_BYTES as usize + 5];
        let before = list(&content, 1 << 20).unwrap();
        content[2 * PIECE_BYTES as usize + 1] ^= 4;
        let after = list(&content, 1 << 20).unwrap();
        assert_eq!(before.difference(&after), [2]);
    }

    #[test]
    fn a_spoilt_list_is_none() {
        let len = PIECE_BYTES + 9;
        let good = list(&vec![1; len as usize], 4096).unwrap().encode();
        for at in [0, 9, 20, 50, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(PieceList::decode(&bad, len), None, "{at}");
        }
        assert_eq!(PieceList::decode(&good, len + 1), None);
        assert_eq!(PieceList::decode(&good[..good.len() - 32], len), None);
        assert_eq!(PieceList::decode(&[], len), None);
        assert_eq!(PieceList::decode(&vec![0; good.len()], len), None);
    }
}
