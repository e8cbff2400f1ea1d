//! Trust as of any day, for people: computed from the history of ratings, off the ledger's thread if
//! need be.

use std::cmp::Reverse;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::epoch::Roll;
use super::rootflow::{TrustParams, TrustScores, rootflow};
use super::{TrustGraph, sponsors_needed};
use crate::calendar;
use crate::crypto::Hash32;
use crate::ids::{NodeId, NodeIndex};
use crate::ledger::Ledger;
use crate::node::NodeStatus;
use crate::rating::Rating;
use crate::state::NameOrder;

/// A snapshot of all that trust on one day follows from. Owns its data: compute on any thread.
#[derive(Clone, Debug)]
pub struct TrustInput {
    day: u32,
    params: TrustParams,
    graph: TrustGraph,
    /// The nodes of the graph, in the order of their names.
    nodes: Vec<(NodeIndex, NodeId, String)>,
    roots: Vec<RootView>,
}

/// A root on the day of a [`TrustView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// Its weight on that day.
    pub weight: u64,
}

/// One node's trust on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustRow {
    /// Its number.
    pub index: NodeIndex,
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The score, centi-points.
    pub score: u16,
    /// How much evidence the score has, percent.
    pub confidence: u8,
    /// Weight of its vote; 65,536 is a full one.
    pub weight: u32,
    /// Trust that reached it from the roots.
    pub standing: u64,
    /// Scores for reliability, performance, honesty, centi-points.
    pub categories: [u16; 3],
    /// Current ratings received from nodes that are not banned.
    pub ratings: u32,
    /// How many of them have no vote.
    pub voteless: u32,
    /// The plain mean of their stars, milli-stars; nothing without ratings.
    pub stars_mean_milli: Option<u64>,
}

/// Trust of all nodes that are roots or appear in a rating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustView {
    /// As of which UTC day.
    pub day: u32,
    /// Standing of a full vote.
    pub tau: u64,
    /// All standing.
    pub total: u64,
    /// How many sponsors a voter needs.
    pub sponsors_needed: u32,
    /// The roots of that day.
    pub roots: Vec<RootView>,
    /// How many ratings counted.
    pub ratings: u32,
    /// The nodes by name: numbers in numeric order first, then the others by their bytes.
    pub rows: Vec<TrustRow>,
}

impl Ledger {
    /// Trust as of a UTC day (today's, by the last block, if none is given): of the ratings whose own
    /// time is not after that day, the last ones committed.
    pub fn trust_at(&self, day: Option<u32>) -> TrustView {
        self.trust_input(day).compute()
    }

    /// What [`Ledger::trust_at`] computes from, for computing it elsewhere.
    pub fn trust_input(&self, day: Option<u32>) -> TrustInput {
        let day = day.unwrap_or_else(|| calendar::day_of(self.time_ms()));
        let (chain, state) = (&self.chain, &self.state);
        let last_by = |list: &'_ [Rating]| list.iter().rposition(|rating| rating.day() <= day);
        let mut roll = Roll::new(
            state.meta.nodes,
            &chain.trust.category_weights,
            chain.roots.keys().filter_map(|id| state.ids.get(id).copied()),
            state.ratings.iter().filter_map(|(key, list)| Some((key, list.get(last_by(list)?)?))),
        );
        let name = |index: NodeIndex| state.nodes.get(&index).map_or("", |n| n.name.as_str());
        roll.sort_by(|index| NameOrder::of(name(index)));
        let nodes: Vec<(NodeIndex, NodeId, String)> = roll
            .members
            .iter()
            .filter_map(|index| state.nodes.get(index).map(|n| (*index, n.id, n.name.clone())))
            .collect();
        let weight = |id: &NodeId| chain.root_weight(id, day);
        let roots = nodes
            .iter()
            .filter(|(_, id, _)| weight(id) > 0)
            .map(|(_, id, name)| RootView { name: name.clone(), id: *id, weight: weight(id) })
            .collect();
        let banned = roll.members.iter().map(|index| {
            state
                .nodes
                .get(index)
                .is_some_and(|n| n.status == NodeStatus::Banned && calendar::day_of(n.status_since_ms) <= day)
        });
        let root_weights = nodes.iter().map(|(_, id, _)| weight(id)).collect();
        let graph = TrustGraph::new(root_weights, banned.collect(), &roll.edges());
        TrustInput { day, params: chain.trust, graph, nodes, roots }
    }
}

impl TrustInput {
    /// The day.
    pub fn day(&self) -> u32 {
        self.day
    }

    /// Computes trust.
    pub fn compute(&self) -> TrustView {
        let scores = rootflow(&self.graph, &self.params, self.day);
        let mut rows: Vec<TrustRow> =
            self.nodes.iter().enumerate().map(|(place, node)| row(node, place, &scores)).collect();
        let mut stars = vec![0_u64; rows.len()];
        let mut counted = 0;
        for edge in self.graph.ratings() {
            if self.params.category_weights[usize::from(edge.category)] == 0 {
                continue;
            }
            counted += 1;
            let place = edge.to as usize;
            rows[place].ratings += 1;
            rows[place].voteless += u32::from(scores.weight[edge.from as usize] == 0);
            stars[place] += u64::from(edge.stars);
        }
        for (row, stars) in rows.iter_mut().zip(stars) {
            row.stars_mean_milli = (stars * 1_000).checked_div(u64::from(row.ratings));
        }
        let needed = sponsors_needed(self.graph.voting_roots());
        TrustView {
            day: self.day,
            tau: scores.tau,
            total: scores.total,
            sponsors_needed: u32::try_from(needed).unwrap_or(u32::MAX),
            roots: self.roots.clone(),
            ratings: counted,
            rows,
        }
    }
}

fn row((index, id, name): &(NodeIndex, NodeId, String), place: usize, scores: &TrustScores) -> TrustRow {
    TrustRow {
        index: *index,
        id: *id,
        name: name.clone(),
        score: scores.score[place],
        confidence: scores.confidence[place],
        weight: scores.weight[place],
        standing: scores.standing[place],
        categories: scores.categories[place],
        ratings: 0,
        voteless: 0,
        stars_mean_milli: None,
    }
}

impl TrustView {
    /// The row of a node.
    pub fn row(&self, name: &str) -> Option<&TrustRow> {
        let at = self.rows.binary_search_by_key(&NameOrder::of(name), |row| NameOrder::of(&row.name));
        self.rows.get(at.ok()?)
    }

    /// The rows by score, the best first; equal scores by name.
    pub fn best_first(&self) -> Vec<&TrustRow> {
        let mut rows: Vec<&TrustRow> = self.rows.iter().collect();
        rows.sort_by_key(|row| Reverse(row.score));
        rows
    }

    /// SHA-256 over the rows, each `id | u64 standing | u32 weight | u16 score | u8 confidence`, big
    /// endian: two computations agree if and only if these do. If all names are numbers the id is the
    /// number as 8 bytes, in numeric order; otherwise it is the name, in the order of the bytes.
    pub fn checksum(&self) -> Hash32 {
        let number = |row: &TrustRow| match NameOrder::of(&row.name) {
            NameOrder::Number(number) => Some(number.to_be_bytes()),
            NameOrder::Text(_) => None,
        };
        let mut rows: Vec<&TrustRow> = self.rows.iter().collect();
        let numeric = rows.iter().all(|row| number(row).is_some());
        if !numeric {
            rows.sort_by_key(|row| row.name.as_bytes());
        }
        let mut hasher = Sha256::new();
        for row in rows {
            match number(row).filter(|_| numeric) {
                Some(number) => hasher.update(number),
                None => hasher.update(row.name.as_bytes()),
            }
            hasher.update(row.standing.to_be_bytes());
            hasher.update(row.weight.to_be_bytes());
            hasher.update(row.score.to_be_bytes());
            hasher.update([row.confidence]);
        }
        Hash32(hasher.finalize().into())
    }
}
