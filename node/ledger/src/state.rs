//! The ledger's tables, and what is derived from them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::crypto::{Hash32, PublicKey};
use crate::ids::{NodeId, NodeIndex};
use crate::layer::{Changed, absorb};
use crate::merkle::Frontier;
use crate::node::Node;
use crate::rating::{Category, Rating, RatingKey};
use crate::reputation::Reputation;
use crate::tx::Observation;

/// Where the chain stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Which chain: the hash of its genesis.
    pub genesis: Hash32,
    /// Height of the last block; 0 at the genesis.
    pub height: u64,
    /// Time of the last block, Unix milliseconds.
    pub time_ms: u64,
    /// Nodes registered so far, and so the next number.
    pub nodes: u32,
    /// All epochs below this one are final.
    pub settled_epochs: u64,
    /// The uptime of all UTC days below this one is final.
    pub settled_days: u32,
    /// Height at which trust was computed last.
    pub trust_height: u64,
    /// UTC day as of which it was computed.
    pub trust_day: u32,
    /// Standing of a full vote at that time.
    pub tau: u64,
    /// All standing at that time.
    pub total_standing: u64,
}

/// A node's trust, as computed last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrustRecord {
    pub standing: u64,
    pub weight: u32,
    pub score: u16,
    pub confidence: u8,
    pub categories: [u16; 3],
}

/// A member of the set that decides the next height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub node: NodeIndex,
    pub power: u64,
}

/// Counts of a node's current ratings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Received, by category.
    pub received: [u32; 3],
    /// Sum of the stars received.
    pub stars: u64,
    /// Given.
    pub given: u32,
}

/// An attestation that waits for its epoch's end: epoch and attester.
pub(crate) type AttestationKey = (u64, NodeIndex);

/// The tables (each entry is a leaf), then what follows from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub meta: Meta,
    pub log: Frontier,
    pub accounts: BTreeMap<PublicKey, Account>,
    pub nodes: BTreeMap<NodeIndex, Node>,
    pub reputations: BTreeMap<NodeIndex, Reputation>,
    pub trust: BTreeMap<NodeIndex, TrustRecord>,
    /// All ratings ever, the current one last.
    pub ratings: BTreeMap<RatingKey, Vec<Rating>>,
    pub attestations: BTreeMap<AttestationKey, Vec<Observation>>,
    /// Who has consented to a newcomer, ascending.
    pub admissions: BTreeMap<NodeIndex, Vec<NodeIndex>>,
    /// Who decides the next height.
    pub members: Vec<Member>,

    // Derived: not leaves.
    pub ids: BTreeMap<NodeId, NodeIndex>,
    pub names: BTreeMap<String, NodeIndex>,
    /// Node and validator keys.
    pub keys: BTreeMap<PublicKey, NodeIndex>,
    pub operators: BTreeMap<PublicKey, Vec<NodeIndex>>,
    /// (rater, rated, category) of every rating key.
    pub given: BTreeSet<(NodeIndex, NodeIndex, Category)>,
    pub tallies: BTreeMap<NodeIndex, Tally>,
    /// ACTIVE validators with their power.
    pub active: BTreeMap<NodeIndex, u64>,
    /// ACTIVE nodes that send heartbeats, with their network identity.
    pub heartbeaters: BTreeMap<NodeIndex, PublicKey>,
    /// Nodes with a trust score, the best first.
    pub ranking: Vec<NodeIndex>,
    /// Place in the ranking, from 1.
    pub ranks: BTreeMap<NodeIndex, u32>,
}

/// Everything that a block changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub meta: Meta,
    pub log: Frontier,
    pub accounts: Changed<PublicKey, Account>,
    pub nodes: Changed<NodeIndex, Node>,
    pub reputations: Changed<NodeIndex, Reputation>,
    pub trust: Changed<NodeIndex, TrustRecord>,
    /// Ratings to append.
    pub ratings: BTreeMap<RatingKey, Vec<Rating>>,
    pub attestations: Changed<AttestationKey, Vec<Observation>>,
    pub admissions: Changed<NodeIndex, Vec<NodeIndex>>,
    /// The new set, if it is another.
    pub members: Option<Vec<Member>>,
}

impl State {
    /// Carries a block's changes in.
    pub fn absorb(&mut self, changes: Changes) {
        self.meta = changes.meta;
        self.log = changes.log;
        absorb(&mut self.accounts, changes.accounts);
        for (index, node) in changes.nodes {
            // Nodes stay for ever; a change always carries a record.
            if let Some(node) = node {
                self.put_node(index, node);
            }
        }
        absorb(&mut self.reputations, changes.reputations);
        let ranks_stale = !changes.trust.is_empty();
        absorb(&mut self.trust, changes.trust);
        for (key, ratings) in changes.ratings {
            self.put_ratings(key, ratings);
        }
        absorb(&mut self.attestations, changes.attestations);
        absorb(&mut self.admissions, changes.admissions);
        if let Some(members) = changes.members {
            self.members = members;
        }
        if ranks_stale {
            self.rank();
        }
    }

    /// Stores a node's record and keeps the indexes in step.
    pub fn put_node(&mut self, index: NodeIndex, node: Node) {
        if node.is_active_validator() {
            self.active.insert(index, node.power);
        } else {
            self.active.remove(&index);
        }
        match node.node_key.filter(|_| node.is_active() && node.kind.heartbeats()) {
            Some(key) => self.heartbeaters.insert(index, key),
            None => self.heartbeaters.remove(&index),
        };
        if !self.nodes.contains_key(&index) {
            self.ids.insert(node.id, index);
            self.names.insert(node.name.clone(), index);
            for key in node.node_key.iter().chain(&node.validator_key) {
                self.keys.insert(*key, index);
            }
            self.operators.entry(node.operator).or_default().push(index);
        }
        self.nodes.insert(index, node);
    }

    /// Appends ratings of one key and keeps the counts in step.
    pub fn put_ratings(&mut self, key: RatingKey, ratings: Vec<Rating>) {
        let Some(new) = ratings.last().map(|r| r.stars) else { return };
        let old = match self.ratings.entry(key) {
            Entry::Vacant(first) => {
                first.insert(ratings);
                self.given.insert((key.from, key.to, key.category));
                self.tallies.entry(key.from).or_default().given += 1;
                None
            }
            Entry::Occupied(list) => {
                let list = list.into_mut();
                let old = list.last().map(|r| r.stars);
                list.extend(ratings);
                old
            }
        };
        self.tallies.entry(key.to).or_default().receive(key.category, old, new);
    }

    /// Sorts the nodes with a trust score by (score descending, name ascending).
    pub fn rank(&mut self) {
        let mut list: Vec<_> = self
            .trust
            .iter()
            .filter_map(|(index, trust)| {
                let name = &self.nodes.get(index)?.name;
                Some((std::cmp::Reverse(trust.score), NameOrder::of(name), *index))
            })
            .collect();
        list.sort_unstable();
        self.ranking = list.iter().map(|(_, _, index)| *index).collect();
        self.ranks = (1..).zip(&self.ranking).map(|(rank, index)| (*index, rank)).collect();
    }

    /// The node's trust; that of an unknown node if none was computed.
    pub fn trust_of(&self, index: NodeIndex) -> TrustRecord {
        let unknown = TrustRecord { score: 5_000, categories: [5_000; 3], ..TrustRecord::default() };
        self.trust.get(&index).copied().unwrap_or(unknown)
    }
}

impl Tally {
    /// Counts a rating of `new` stars that replaces one of `old` stars.
    pub fn receive(&mut self, category: Category, old: Option<u8>, new: u8) {
        match old {
            Some(old) => self.stars -= u64::from(old),
            None => self.received[category.index()] += 1,
        }
        self.stars += u64::from(new);
    }

    /// Current ratings received in all categories.
    pub fn received_in_all(&self) -> u32 {
        self.received.iter().sum()
    }
}

/// Names that are numbers come first, in numeric order; then the others by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NameOrder<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> NameOrder<'a> {
    pub fn of(name: &'a str) -> Self {
        match name.parse() {
            // "007" is another name than "7": only the usual form of a number is one.
            Ok(number) if name == "0" || !name.starts_with(['0', '+']) => Self::Number(number),
            _ => Self::Text(name),
        }
    }
}
