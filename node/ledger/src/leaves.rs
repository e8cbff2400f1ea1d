//! The leaves: how each table's entries become the keys and values of the state tree.
//!
//! A key is one byte for the table, then the key's parts, numbers big-endian. A value is a version
//! byte (1), then the canonical postcard encoding.
//!
//! | table | key parts | value |
//! |---|---|---|
//! | 0 seal | | state root; written beside the tree, never in it |
//! | 1 meta | | genesis hash, height, time, counts, last trust epoch |
//! | 2 log | | size and subtree roots of the transparency log |
//! | 3 account | public key (32) | nonce |
//! | 4 node | number (4) | the record |
//! | 5 reputation | number (4) | ledger reputation, peers, counters, running day |
//! | 6 trust | number (4) | standing, weight, score, confidence, category scores |
//! | 7 rating | rated (4), rater (4), category (1), how-manieth (4) | stars, time, height, index, reason |
//! | 8 attestation | epoch (8), validator (4) | observations, until the epoch is final |
//! | 9 admission | newcomer (4) | validators that consented, until it joins |
//! | 10 members | | who decides the next height |
//!
//! Ratings of one rater, rated and category are numbered from 0; the last is the current one, and the
//! absence of the next number proves that.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::codec::{self, CodecError};
use crate::crypto::{Hash32, PublicKey};
use crate::ids::NodeIndex;
use crate::merkle::{Frontier, Sha};
use crate::node::Node;
use crate::rating::{Category, Rating, RatingKey};
use crate::reputation::Reputation;
use crate::state::{AttestationKey, Changes, Member, Meta, State, TrustRecord};
use crate::tree::Change;
use crate::tx::Observation;

/// Version of the values.
const LEAF_VERSION: u8 = 1;
/// The largest value, in bytes; the largest that exists is an attestation.
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Room that most values fit in.
const USUAL_VALUE_BYTES: usize = 48;

const SEAL: u8 = 0;
const META: u8 = 1;
const LOG: u8 = 2;
const ACCOUNT: u8 = 3;
const NODE: u8 = 4;
const REPUTATION: u8 = 5;
const TRUST: u8 = 6;
const RATING: u8 = 7;
const ATTESTATION: u8 = 8;
const ADMISSION: u8 = 9;
const MEMBERS: u8 = 10;

/// A leaf, read back.
#[derive(Debug, PartialEq)]
pub(crate) enum Leaf {
    Seal(Hash32),
    Meta(Meta),
    Log(Frontier),
    Account(PublicKey, Account),
    Node(NodeIndex, Box<Node>),
    Reputation(NodeIndex, Reputation),
    Trust(NodeIndex, TrustRecord),
    Rating(RatingKey, u32, Rating),
    Attestation(AttestationKey, Vec<Observation>),
    Admission(NodeIndex, Vec<NodeIndex>),
    Members(Vec<Member>),
}

/// How the log's frontier is written.
#[derive(Serialize, Deserialize)]
struct WireLog {
    size: u64,
    peaks: Vec<Sha>,
}

/// The key of an account's leaf.
pub fn account_key(key: &PublicKey) -> Vec<u8> {
    [&[ACCOUNT], key.0.as_slice()].concat()
}

/// The key of a node's record.
pub fn node_key(node: NodeIndex) -> Vec<u8> {
    numbered(NODE, node)
}

/// The key of a node's reputation.
pub fn reputation_key(node: NodeIndex) -> Vec<u8> {
    numbered(REPUTATION, node)
}

/// The key of a node's trust.
pub fn trust_key(node: NodeIndex) -> Vec<u8> {
    numbered(TRUST, node)
}

/// The key of the `count`-th (from 0) rating of `to` by `from` in a category.
pub fn rating_key(to: NodeIndex, from: NodeIndex, category: Category, count: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(14);
    key.push(RATING);
    key.extend_from_slice(&to.to_be_bytes());
    key.extend_from_slice(&from.to_be_bytes());
    key.push(category as u8);
    key.extend_from_slice(&count.to_be_bytes());
    key
}

/// The key of the leaf with height, time and counts.
pub fn meta_key() -> Vec<u8> {
    vec![META]
}

/// The key of the set that decides the next height.
pub fn members_key() -> Vec<u8> {
    vec![MEMBERS]
}

/// Whether a leaf is kept beside the state tree and not in it.
pub(crate) fn is_beside_the_tree(key: &[u8]) -> bool {
    key.first() == Some(&SEAL)
}

fn numbered(table: u8, node: NodeIndex) -> Vec<u8> {
    let mut key = Vec::with_capacity(5);
    key.push(table);
    key.extend_from_slice(&node.to_be_bytes());
    key
}

fn attestation_key((epoch, validator): AttestationKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(13);
    key.push(ATTESTATION);
    key.extend_from_slice(&epoch.to_be_bytes());
    key.extend_from_slice(&validator.to_be_bytes());
    key
}

fn value<T: Serialize>(content: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_VALUE_BYTES);
    bytes.push(LEAF_VERSION);
    postcard::to_extend(content, bytes).expect("postcard encodes every value of known length into a Vec")
}

fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        Some((&LEAF_VERSION, rest)) => codec::decode(rest, MAX_VALUE_BYTES),
        Some((version, _)) => Err(CodecError::Version(*version)),
        None => Err(CodecError::Malformed),
    }
}

/// The leaf that seals a checkpoint with its root.
pub(crate) fn seal(root: &Hash32) -> (Vec<u8>, Vec<u8>) {
    (vec![SEAL], value(root))
}

/// Reads a leaf.
pub(crate) fn parse(key: &[u8], bytes: &[u8]) -> Result<Leaf, CodecError> {
    let (&table, mut parts) = key.split_first().ok_or(CodecError::Malformed)?;
    let leaf = match table {
        SEAL => Leaf::Seal(read(bytes)?),
        META => Leaf::Meta(read(bytes)?),
        LOG => {
            let log: WireLog = read(bytes)?;
            Leaf::Log(Frontier::from_parts(log.size, log.peaks).ok_or(CodecError::Malformed)?)
        }
        ACCOUNT => Leaf::Account(PublicKey(take(&mut parts)?), read(bytes)?),
        NODE => Leaf::Node(take_u32(&mut parts)?, read(bytes)?),
        REPUTATION => Leaf::Reputation(take_u32(&mut parts)?, read(bytes)?),
        TRUST => Leaf::Trust(take_u32(&mut parts)?, read(bytes)?),
        RATING => {
            let (to, from) = (take_u32(&mut parts)?, take_u32(&mut parts)?);
            let [category] = take(&mut parts)?;
            let category = Category::from_index(category).ok_or(CodecError::Malformed)?;
            Leaf::Rating(RatingKey { to, from, category }, take_u32(&mut parts)?, read(bytes)?)
        }
        ATTESTATION => {
            let epoch = u64::from_be_bytes(take(&mut parts)?);
            Leaf::Attestation((epoch, take_u32(&mut parts)?), read(bytes)?)
        }
        ADMISSION => Leaf::Admission(take_u32(&mut parts)?, read(bytes)?),
        MEMBERS => Leaf::Members(read(bytes)?),
        _ => return Err(CodecError::Malformed),
    };
    if parts.is_empty() { Ok(leaf) } else { Err(CodecError::Malformed) }
}

fn take<const N: usize>(parts: &mut &[u8]) -> Result<[u8; N], CodecError> {
    let (first, rest) = parts.split_first_chunk::<N>().ok_or(CodecError::Malformed)?;
    *parts = rest;
    Ok(*first)
}

fn take_u32(parts: &mut &[u8]) -> Result<u32, CodecError> {
    take(parts).map(u32::from_be_bytes)
}

fn wire_log(log: &Frontier) -> WireLog {
    WireLog { size: log.size(), peaks: log.peaks().to_vec() }
}

fn rating_leaf(key: &RatingKey, count: usize, rating: &Rating) -> (Vec<u8>, Vec<u8>) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (rating_key(key.to, key.from, key.category, count), value(rating))
}

impl Changes {
    /// The leaves that a block changes, over the state before it.
    pub fn leaves(&self, before: &State) -> Vec<Change> {
        let mut out =
            vec![(meta_key(), Some(value(&self.meta))), (vec![LOG], Some(value(&wire_log(&self.log))))];
        out.reserve(self.accounts.len() + self.ratings.len() + self.trust.len() + 2 * self.nodes.len());
        out.extend(self.accounts.iter().map(|(k, v)| (account_key(k), v.as_ref().map(value))));
        out.extend(self.nodes.iter().map(|(k, v)| (node_key(*k), v.as_ref().map(value))));
        out.extend(self.reputations.iter().map(|(k, v)| (reputation_key(*k), v.as_ref().map(value))));
        out.extend(self.trust.iter().map(|(k, v)| (trust_key(*k), v.as_ref().map(value))));
        for (key, ratings) in &self.ratings {
            let known = before.ratings.get(key).map_or(0, Vec::len);
            out.extend(ratings.iter().enumerate().map(|(i, rating)| {
                let (key, value) = rating_leaf(key, known + i, rating);
                (key, Some(value))
            }));
        }
        out.extend(self.attestations.iter().map(|(k, v)| (attestation_key(*k), v.as_ref().map(value))));
        out.extend(self.admissions.iter().map(|(k, v)| (numbered(ADMISSION, *k), v.as_ref().map(value))));
        if let Some(members) = &self.members {
            out.push((members_key(), Some(value(members))));
        }
        out
    }
}

impl State {
    /// All leaves of the tree.
    pub fn leaves(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        let single = [
            (meta_key(), value(&self.meta)),
            (vec![LOG], value(&wire_log(&self.log))),
            (members_key(), value(&self.members)),
        ];
        single
            .into_iter()
            .chain(self.accounts.iter().map(|(k, v)| (account_key(k), value(v))))
            .chain(self.nodes.iter().map(|(k, v)| (node_key(*k), value(v))))
            .chain(self.reputations.iter().map(|(k, v)| (reputation_key(*k), value(v))))
            .chain(self.trust.iter().map(|(k, v)| (trust_key(*k), value(v))))
            .chain(self.ratings.iter().flat_map(|(key, ratings)| {
                ratings.iter().enumerate().map(move |(i, rating)| rating_leaf(key, i, rating))
            }))
            .chain(self.attestations.iter().map(|(k, v)| (attestation_key(*k), value(v))))
            .chain(self.admissions.iter().map(|(k, v)| (numbered(ADMISSION, *k), value(v))))
    }
}

#[cfg(test)]
mod tests;
