//! The state tree: a binary Merkle tree over the hashes of leaf keys, path-compressed.
//!
//! - position of a key: `hash(STATE_KEY, key)`, read as 256 bits, highest first;
//! - leaf: `hash(STATE_LEAF, position | value)`;
//! - inner node: `hash(STATE_INNER, bit | left | right)`, where `bit` (one byte) is the first bit in
//!   which the positions below differ: 0 goes left, 1 goes right;
//! - the empty tree is 32 zero bytes.
//!
//! An inner node names its bit because a proof of absence needs it: without, a prover could lead the
//! search for a present key along another path to another leaf.
//!
//! Trees share their unchanged parts, so a candidate state costs only what it changes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::crypto::{Hash32, domain, hash};

/// A key's place in the tree.
type Position = [u8; 32];
/// Bits of a position.
const POSITION_BITS: u16 = 256;

/// A change of one leaf: its key and its new value, or `None` when it goes.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// A Merkle tree over leaves of opaque keys and values. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    root: Option<Arc<Subtree>>,
}

#[derive(Debug)]
enum Subtree {
    Leaf {
        position: Position,
        hash: Hash32,
        value: Box<[u8]>,
    },
    /// Both children hold at least one leaf; all positions below agree in the bits before `bit`.
    Inner {
        bit: u8,
        hash: Hash32,
        /// Any position below, to compare the bits before `bit` with.
        sample: Position,
        left: Arc<Subtree>,
        right: Arc<Subtree>,
    },
}

/// A change on its way into the tree.
#[derive(Clone, Copy)]
struct Update<'a> {
    position: Position,
    value: Option<&'a [u8]>,
}

/// Changes by position, each position once: of several changes to one key the last.
fn sorted(changes: &[Change]) -> Vec<Update<'_>> {
    let positions: Vec<Position> = changes.iter().map(|(key, _)| position(key)).collect();
    // Sorting small pairs moves a quarter of the bytes; the first eight bytes nearly always decide.
    let mut order: Vec<(u64, usize)> = positions
        .iter()
        .enumerate()
        .map(|(index, at)| (at.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)), index))
        .collect();
    order.sort_unstable_by(|(a, i), (b, j)| {
        a.cmp(b).then_with(|| positions[*i].cmp(&positions[*j])).then(j.cmp(i))
    });
    let mut updates: Vec<Update<'_>> = order
        .into_iter()
        .map(|(_, index)| Update { position: positions[index], value: changes[index].1.as_deref() })
        .collect();
    updates.dedup_by(|later, kept| later.position == kept.position);
    updates
}

fn position(key: &[u8]) -> Position {
    hash(domain::STATE_KEY, &[key]).0
}

fn leaf_hash(position: &Position, value: &[u8]) -> Hash32 {
    hash(domain::STATE_LEAF, &[position, value])
}

fn inner_hash(bit: u8, left: &Hash32, right: &Hash32) -> Hash32 {
    hash(domain::STATE_INNER, &[&[bit], &left.0, &right.0])
}

fn goes_right(position: &Position, bit: u8) -> bool {
    position[usize::from(bit / 8)] >> (7 - bit % 8) & 1 == 1
}

/// The first bit in which two positions differ; 256 when they are equal.
fn first_difference(a: &Position, b: &Position) -> u16 {
    a.iter().zip(b).position(|(x, y)| x != y).map_or(POSITION_BITS, |byte| {
        u16::try_from(byte * 8).unwrap_or(POSITION_BITS) + (a[byte] ^ b[byte]).leading_zeros() as u16
    })
}

impl Subtree {
    fn hash(&self) -> &Hash32 {
        match self {
            Self::Leaf { hash, .. } | Self::Inner { hash, .. } => hash,
        }
    }

    fn sample(&self) -> &Position {
        match self {
            Self::Leaf { position, .. } => position,
            Self::Inner { sample, .. } => sample,
        }
    }

    fn leaf(update: &Update<'_>) -> Option<Arc<Self>> {
        let value = update.value?;
        let hash = leaf_hash(&update.position, value);
        Some(Arc::new(Self::Leaf { position: update.position, hash, value: value.into() }))
    }

    fn join(bit: u8, left: Option<Arc<Self>>, right: Option<Arc<Self>>) -> Option<Arc<Self>> {
        match (left, right) {
            (Some(left), Some(right)) => {
                let hash = inner_hash(bit, left.hash(), right.hash());
                let sample = *left.sample();
                Some(Arc::new(Self::Inner { bit, hash, sample, left, right }))
            }
            (one, None) | (None, one) => one,
        }
    }

    /// A new subtree of the leaves in `updates` (ascending, without repetition).
    fn build(updates: &[Update<'_>]) -> Option<Arc<Self>> {
        let (first, last) = (updates.first()?.position, updates.last()?.position);
        match u8::try_from(first_difference(&first, &last)) {
            Ok(bit) => {
                let (left, right) = split(updates, bit);
                Self::join(bit, Self::build(left), Self::build(right))
            }
            Err(_) => updates.first().and_then(Self::leaf),
        }
    }

    /// This subtree with `updates` (ascending, without repetition) applied.
    fn update(self: &Arc<Self>, updates: &[Update<'_>]) -> Option<Arc<Self>> {
        let (Some(first), Some(last)) = (updates.first(), updates.last()) else {
            return Some(Arc::clone(self));
        };
        // The updates are sorted, so the one that parts first from this subtree's way is at an end.
        let sample = self.sample();
        let parts_at =
            first_difference(&first.position, sample).min(first_difference(&last.position, sample));
        match &**self {
            Self::Inner { bit, left, right, .. } if parts_at >= u16::from(*bit) => {
                let (to_left, to_right) = split(updates, *bit);
                Self::join(*bit, left.update(to_left), right.update(to_right))
            }
            Self::Leaf { .. } | Self::Inner { .. } => match u8::try_from(parts_at) {
                Ok(bit) => {
                    let (to_left, to_right) = split(updates, bit);
                    if goes_right(sample, bit) {
                        Self::join(bit, Self::build(to_left), self.update(to_right))
                    } else {
                        Self::join(bit, self.update(to_left), Self::build(to_right))
                    }
                }
                // All positions are equal: this is the leaf, and the update is the only one.
                Err(_) => updates.first().and_then(Self::leaf),
            },
        }
    }
}

/// Splits updates that agree in the bits before `bit`.
fn split<'u, 'v>(updates: &'u [Update<'v>], bit: u8) -> (&'u [Update<'v>], &'u [Update<'v>]) {
    updates.split_at(updates.partition_point(|u| !goes_right(&u.position, bit)))
}

impl Tree {
    /// The root hash; 32 zero bytes for the empty tree.
    pub fn root(&self) -> Hash32 {
        self.root.as_ref().map_or_else(Hash32::default, |root| *root.hash())
    }

    /// The tree with `changes` applied; of several changes to one key the last counts. This tree
    /// stays as it is.
    #[must_use]
    pub fn with(&self, changes: &[Change]) -> Self {
        let updates = sorted(changes);
        let root = match &self.root {
            Some(root) => root.update(&updates),
            None => Subtree::build(&updates),
        };
        Self { root }
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let wanted = position(key);
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Subtree::Leaf { position, value, .. } => return (*position == wanted).then_some(&**value),
                Subtree::Inner { bit, left, right, .. } => {
                    node = if goes_right(&wanted, *bit) { right } else { left };
                }
            }
        }
    }

    /// The proof of what the tree holds under `key`: its value, or that there is none.
    pub fn prove(&self, key: &[u8]) -> Proof {
        let wanted = position(key);
        let mut path = Vec::new();
        let mut next = self.root.as_deref();
        while let Some(node) = next {
            match node {
                Subtree::Leaf { position, value, .. } => {
                    let other = (*position != wanted)
                        .then(|| OtherLeaf { position: Hash32(*position), value: value.to_vec() });
                    return Proof { path, other };
                }
                Subtree::Inner { bit, left, right, .. } => {
                    let (towards, away) =
                        if goes_right(&wanted, *bit) { (right, left) } else { (left, right) };
                    path.push(Step { bit: *bit, sibling: *away.hash() });
                    next = Some(towards);
                }
            }
        }
        Proof { path, other: None }
    }
}

/// One inner node on the way from the root to a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The bit at which the way forks.
    pub bit: u8,
    /// The hash of the side not taken.
    pub sibling: Hash32,
}

/// The leaf that the search for an absent key ends at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherLeaf {
    /// Its position.
    pub position: Hash32,
    /// Its value; hex in JSON.
    #[serde(with = "value_form")]
    pub value: Vec<u8>,
}

/// Bytes on the wire, hex for people.
mod value_form {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hex::encode(value))
        } else {
            value.serialize(serializer)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            hex::decode(text).map_err(|_| D::Error::custom("a leaf's value is written in hex digits"))
        } else {
            Vec::deserialize(deserializer)
        }
    }
}

/// Proof of a key's value, or of its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// From the root downward; the bits ascend.
    pub path: Vec<Step>,
    /// For an absent key, the leaf found in its place; none in the empty tree.
    pub other: Option<OtherLeaf>,
}

/// Whether `proof` shows that the tree with root `root` holds `value` under `key`, or, for `None`,
/// holds nothing there. Fit for proofs from strangers.
pub fn verify(root: &Hash32, key: &[u8], value: Option<&[u8]>, proof: &Proof) -> bool {
    let wanted = position(key);
    if !proof.path.is_sorted_by(|a, b| a.bit < b.bit) {
        return false;
    }
    let leaf = match (value, &proof.other) {
        (Some(value), None) => leaf_hash(&wanted, value),
        (None, Some(other)) if other.position.0 != wanted => leaf_hash(&other.position.0, &other.value),
        (None, None) => return proof.path.is_empty() && *root == Hash32::default(),
        _ => return false,
    };
    let top = proof.path.iter().rev().fold(leaf, |below, step| {
        if goes_right(&wanted, step.bit) {
            inner_hash(step.bit, &step.sibling, &below)
        } else {
            inner_hash(step.bit, &below, &step.sibling)
        }
    });
    top == *root
}

#[cfg(test)]
mod tests;
