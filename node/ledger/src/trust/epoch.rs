//! The trust epoch: scores from the state of a block, and what they mean for reputation.

use crate::calendar;
use crate::event::{LedgerEvent, ReputationCause};
use crate::ids::NodeIndex;
use crate::node::NodeStatus;
use crate::rating::{Rating, RatingKey};
use crate::reputation::peer_centi;
use crate::state::TrustRecord;
use crate::trust::{RatingEdge, TrustGraph, rootflow};
use crate::work::Work;

/// Nodes that are roots or appear in a rating, with their ratings in compact form.
pub(crate) struct Roll {
    /// Place in the graph to number in the ledger.
    pub members: Vec<NodeIndex>,
    /// Number in the ledger to place in the graph; `u32::MAX` for who is not in it.
    places: Vec<u32>,
    ratings: Vec<(RatingKey, u8, u32)>,
}

impl Roll {
    /// From ratings (one for each key) and roots. Ratings in categories without weight do not count.
    pub fn new<'r>(
        nodes: u32,
        weights: &[u64; 3],
        roots: impl IntoIterator<Item = NodeIndex>,
        ratings: impl IntoIterator<Item = (&'r RatingKey, &'r Rating)>,
    ) -> Self {
        let mut places = vec![u32::MAX; nodes as usize];
        let mut members = Vec::new();
        let mut join = |node: NodeIndex| {
            if let Some(place) = places.get_mut(node as usize)
                && *place == u32::MAX
            {
                *place = 0;
                members.push(node);
            }
        };
        roots.into_iter().for_each(&mut join);
        let mut kept = Vec::new();
        for (key, rating) in ratings {
            if weights[key.category.index()] > 0 {
                join(key.from);
                join(key.to);
                kept.push((*key, rating.stars, rating.day()));
            }
        }
        let mut roll = Self { members, places, ratings: kept };
        roll.sort_by(|node| node);
        roll
    }

    /// Orders the members by a key.
    pub fn sort_by<K: Ord>(&mut self, key: impl Fn(NodeIndex) -> K) {
        self.members.sort_by_cached_key(|node| key(*node));
        for (place, node) in (0..).zip(&self.members) {
            self.places[*node as usize] = place;
        }
    }

    /// The ratings between places.
    pub fn edges(&self) -> Vec<RatingEdge> {
        let place = |node: NodeIndex| self.places[node as usize];
        self.ratings
            .iter()
            .map(|(key, stars, day)| RatingEdge {
                from: place(key.from),
                to: place(key.to),
                category: key.category as u8,
                stars: *stars,
                day: *day,
            })
            .collect()
    }
}

/// Computes trust as of the block's day from everything up to and with this block, and carries it
/// into the peers' part of the reputations. The reputation of a node that is paused, banned or gone
/// stands still; a paused one takes up its new part at the first trust epoch after its return.
pub(crate) fn recompute(work: &mut Work<'_>) {
    let day = calendar::day_of(work.meta.time_ms);
    let chain = work.chain;
    let roll = Roll::new(
        work.meta.nodes,
        &chain.trust.category_weights,
        chain.roots.keys().filter_map(|id| work.ids.get(id).copied()),
        work.current_ratings(),
    );
    let node = |index: &NodeIndex| work.nodes.get(index);
    let roots = roll.members.iter().map(|i| node(i).map_or(0, |n| chain.root_weight(&n.id, day))).collect();
    let banned =
        roll.members.iter().map(|i| node(i).is_none_or(|n| n.status == NodeStatus::Banned)).collect();
    let scores = rootflow(&TrustGraph::new(roots, banned, &roll.edges()), &chain.trust, day);

    let mut changed = 0;
    for (place, index) in roll.members.iter().enumerate() {
        let record = TrustRecord {
            standing: scores.standing[place],
            weight: scores.weight[place],
            score: scores.score[place],
            confidence: scores.confidence[place],
            categories: scores.categories[place],
        };
        if work.trust.get(index) != Some(&record) {
            changed += 1;
            work.trust.set(*index, record);
        }
        let moves = work.nodes.get(index).is_some_and(|n| {
            matches!(n.status, NodeStatus::Pending | NodeStatus::Initializing | NodeStatus::Active)
        });
        if moves {
            let peers = peer_centi(record.score, record.confidence);
            work.change_reputation(*index, ReputationCause::Peers, |r| r.peer_centi = peers);
        }
    }
    work.meta.trust_height = work.meta.height;
    work.meta.trust_day = day;
    work.meta.tau = scores.tau;
    work.meta.total_standing = scores.total;
    let nodes = u32::try_from(roll.members.len()).unwrap_or(u32::MAX);
    work.events.push(LedgerEvent::Trust { day, nodes, changed, tau: scores.tau });
}
