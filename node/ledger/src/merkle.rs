//! RFC 6962 (Certificate Transparency) trees over SHA-256: the log of all transactions and the
//! transactions of one block.
//!
//! Leaf `SHA-256(0x00 | bytes)`, inner node `SHA-256(0x01 | left | right)`, the left subtree of `n`
//! leaves holds the largest power of two below `n`, the empty tree is `SHA-256("")`. Other people's
//! verifiers for Certificate Transparency work on these proofs.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Sha = [u8; 32];

/// The hash of one leaf's bytes.
pub fn leaf_hash(bytes: &[u8]) -> Sha {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(bytes);
    hasher.finalize().into()
}

fn inner_hash(left: &Sha, right: &Sha) -> Sha {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// The root of the tree over `leaves` (their bytes, in order).
pub fn root<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Sha {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(leaf_hash(leaf));
    }
    frontier.root()
}

/// The root over leaf hashes.
pub fn root_of_hashes(hashes: &[Sha]) -> Sha {
    match hashes {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(split(hashes.len()));
            inner_hash(&root_of_hashes(left), &root_of_hashes(right))
        }
    }
}

/// The largest power of two below `n`, for `n` of at least 2.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// A growing tree, kept as the roots of its complete subtrees: enough to append and to give the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One root for every bit set in `size`, the largest subtree first.
    peaks: Vec<Sha>,
}

impl Frontier {
    /// From a size and its peaks; `None` when their number does not fit the size.
    pub fn from_parts(size: u64, peaks: Vec<Sha>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    pub fn peaks(&self) -> &[Sha] {
        &self.peaks
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Sha) {
        let mut node = leaf;
        // As in adding one to a binary number: every trailing one merges with the carry.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = inner_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Sha {
        let mut peaks = self.peaks.iter().rev();
        let Some(&last) = peaks.next() else {
            return root_of_hashes(&[]);
        };
        peaks.fold(last, |right, left| inner_hash(left, &right))
    }
}

/// The proof that leaf `index` is in the tree over `hashes`: the siblings from the leaf upward.
/// `None` when there is no such leaf.
pub fn inclusion_proof(hashes: &[Sha], index: usize) -> Option<Vec<Sha>> {
    if index >= hashes.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut part, mut index) = (hashes, index);
    while part.len() > 1 {
        let (left, right) = part.split_at(split(part.len()));
        if index < left.len() {
            proof.push(root_of_hashes(right));
            part = left;
        } else {
            proof.push(root_of_hashes(left));
            index -= left.len();
            part = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that leaf number `index` of a tree of `size` leaves and root `root` has the
/// hash `leaf` (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(root: &Sha, size: u64, index: u64, leaf: &Sha, proof: &[Sha]) -> bool {
    if index >= size {
        return false;
    }
    let (mut index, mut last, mut node) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            node = inner_hash(sibling, &node);
            // A right edge without siblings below: climb to where there is one.
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            node = inner_hash(&node, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && node == *root
}

/// The proof that the tree over the first `old` of `hashes` is a beginning of the whole tree.
/// `None` unless `1 <= old <= hashes.len()`.
pub fn consistency_proof(hashes: &[Sha], old: usize) -> Option<Vec<Sha>> {
    if old == 0 || old > hashes.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut part, mut old, mut whole) = (hashes, old, true);
    while old < part.len() {
        let (left, right) = part.split_at(split(part.len()));
        if old <= left.len() {
            proof.push(root_of_hashes(right));
            part = left;
        } else {
            proof.push(root_of_hashes(left));
            old -= left.len();
            part = right;
            whole = false;
        }
    }
    if !whole {
        proof.push(root_of_hashes(part));
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that the tree of `old_size` leaves with `old_root` is the beginning of the
/// tree of `new_size` leaves with `new_root` (RFC 9162, 2.1.4.2).
pub fn verify_consistency(
    old_root: &Sha,
    old_size: u64,
    new_root: &Sha,
    new_size: u64,
    proof: &[Sha],
) -> bool {
    if old_size == 0 || old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    let mut path = proof.iter();
    let start = if old_size.is_power_of_two() { Some(old_root) } else { path.next() };
    let Some(start) = start else { return false };
    let (mut old_index, mut last) = (old_size - 1, new_size - 1);
    while old_index & 1 == 1 {
        old_index >>= 1;
        last >>= 1;
    }
    let (mut old_node, mut new_node) = (*start, *start);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if old_index & 1 == 1 || old_index == last {
            old_node = inner_hash(sibling, &old_node);
            new_node = inner_hash(sibling, &new_node);
            while old_index & 1 == 0 && old_index != 0 {
                old_index >>= 1;
                last >>= 1;
            }
        } else {
            new_node = inner_hash(&new_node, sibling);
        }
        old_index >>= 1;
        last >>= 1;
    }
    last == 0 && old_node == *old_root && new_node == *new_root
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hashes(count: usize) -> Vec<Sha> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// The leaves and roots that Certificate Transparency implementations test themselves with.
    #[test]
    fn the_roots_are_those_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let expected = [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (count, root_hex) in expected {
            assert_eq!(hex::encode(root(leaves[..count].iter().copied())), root_hex, "{count} leaves");
        }
    }

    #[test]
    fn the_frontier_gives_the_recursive_root_at_every_size() {
        let all = hashes(70);
        let mut frontier = Frontier::default();
        for (count, leaf) in all.iter().enumerate() {
            assert_eq!(frontier.root(), root_of_hashes(&all[..count]), "{count} leaves");
            let again = Frontier::from_parts(frontier.size(), frontier.peaks().to_vec());
            assert_eq!(again.as_ref(), Some(&frontier));
            frontier.push(*leaf);
        }
        assert_eq!(Frontier::from_parts(3, vec![[0; 32]]), None);
    }

    #[test]
    fn inclusion_is_proven_for_every_leaf_and_refused_for_every_other() {
        for count in 1..40 {
            let all = hashes(count);
            let root = root_of_hashes(&all);
            for index in 0..count {
                let mut proof = inclusion_proof(&all, index).unwrap();
                let ok = |i: usize, leaf: &Sha, proof: &[Sha]| {
                    verify_inclusion(&root, count as u64, i as u64, leaf, proof)
                };
                assert!(ok(index, &all[index], &proof), "{index} of {count}");
                assert!(!ok(index, &leaf_hash(b"x"), &proof));
                assert!(!ok(count, &all[index], &proof));
                if count > 1 {
                    assert!(!ok((index + 1) % count, &all[index], &proof));
                    assert!(!ok(index, &all[index], &proof[1..]));
                }
                proof.push([0; 32]);
                assert!(!ok(index, &all[index], &proof));
            }
            assert_eq!(inclusion_proof(&all, count), None);
        }
    }

    #[test]
    fn consistency_is_proven_for_every_pair_of_sizes_and_refused_for_changed_history() {
        for new in 1..36 {
            let all = hashes(new);
            let new_root = root_of_hashes(&all);
            for old in 1..=new {
                let old_root = root_of_hashes(&all[..old]);
                let proof = consistency_proof(&all, old).unwrap();
                let ok = |old_root: &Sha, proof: &[Sha]| {
                    verify_consistency(old_root, old as u64, &new_root, new as u64, proof)
                };
                assert!(ok(&old_root, &proof), "{old} of {new}");
                assert!(!ok(&leaf_hash(b"other history"), &proof));
                if !proof.is_empty() {
                    assert!(!ok(&old_root, &proof[1..]));
                }
            }
            assert_eq!(consistency_proof(&all, 0), None);
            assert_eq!(consistency_proof(&all, new + 1), None);
        }
    }
}
