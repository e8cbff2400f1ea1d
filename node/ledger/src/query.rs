//! Questions about nodes and accounts, for the RPC, the command line and the engine. Reading only.

use serde::Serialize;

use crate::calendar;
use crate::crypto::PublicKey;
use crate::ids::{NodeId, NodeIndex};
use crate::ledger::Ledger;
use crate::node::{Node, NodeKind, NodeStatus};

/// A signing key's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Number of its last transaction; the next has one more.
    pub nonce: u64,
    /// The nodes that it operates, in order of registration.
    pub nodes: Vec<NodeId>,
}

/// A node's trust as of the last trust epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NodeTrust {
    /// The score, centi-points.
    pub score: u16,
    /// How much evidence the score has, percent.
    pub confidence: u8,
    /// Scores for reliability, performance, honesty, centi-points.
    pub categories: [u16; 3],
    /// Weight of its vote; 65,536 is a full one.
    pub weight: u32,
    /// Trust that reached it from the roots.
    pub standing: u64,
    /// Place by score, from 1; 0 for a node without ratings.
    pub rank: u32,
    /// How many are ranked.
    pub of: u32,
}

/// All about a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Its number, in order of registration.
    pub index: NodeIndex,
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Who runs it, in their words.
    pub owner: String,
    /// What it does.
    pub kind: NodeKind,
    /// Where it stands.
    pub status: NodeStatus,
    /// Why it stands there.
    pub status_reason: String,
    /// Since when, Unix milliseconds.
    pub status_since_ms: u64,
    /// The key that signs for it.
    pub operator: PublicKey,
    /// Its network identity.
    pub node_key: Option<PublicKey>,
    /// Its voting key.
    pub validator_key: Option<PublicKey>,
    /// Voting power that it has while ACTIVE.
    pub power: u64,
    /// When it was registered, Unix milliseconds.
    pub registered_ms: u64,
    /// Nonce of its registration.
    pub registration_nonce: u64,
    /// Reputation `R`, milli-points.
    pub reputation_mp: u32,
    /// Ledger reputation `L`, milli-points.
    pub ledger_mp: u32,
    /// What peers add or take, centi-points.
    pub peer_centi: i32,
    /// What the network thinks of it.
    pub trust: NodeTrust,
    /// Its weight as a root today; 0 if it is none.
    pub root_weight: u64,
    /// The plain mean of all stars received, milli-stars; nothing without ratings.
    pub stars_mean_milli: Option<u64>,
    /// Current ratings received.
    pub ratings_in: u32,
    /// Current ratings given.
    pub ratings_out: u32,
    /// Uptime of the last settled UTC day in which it counted, thousandths.
    pub uptime: Option<u16>,
    /// Reputation gained in this calendar month, milli-points.
    pub gained_this_month_mp: u32,
    /// Transactions in blocks that it signed.
    pub txs_validated: u64,
    /// Heartbeats missed in all its time.
    pub missed_heartbeats: u64,
}

impl Ledger {
    /// The account of a key; of a key that never signed, the empty one.
    pub fn account(&self, key: &PublicKey) -> AccountView {
        let nodes = self.state.operators.get(key).into_iter().flatten();
        AccountView {
            nonce: self.nonce_of(key),
            nodes: nodes.filter_map(|index| Some(self.state.nodes.get(index)?.id)).collect(),
        }
    }

    /// How many nodes are registered.
    pub fn node_count(&self) -> u32 {
        self.state.meta.nodes
    }

    /// How many current ratings there are.
    pub fn rating_count(&self) -> u64 {
        self.state.ratings.len() as u64
    }

    /// Height at which trust was computed last.
    pub fn trust_epoch_height(&self) -> u64 {
        self.state.meta.trust_height
    }

    /// UTC day as of which trust was computed last.
    pub fn trust_epoch_day(&self) -> u32 {
        self.state.meta.trust_day
    }

    /// A node by its number.
    pub fn node_by_index(&self, index: NodeIndex) -> Option<NodeView> {
        self.state.nodes.get(&index).map(|node| self.view(index, node))
    }

    /// A node by its id.
    pub fn node_by_id(&self, id: &NodeId) -> Option<NodeView> {
        self.node_by_index(*self.state.ids.get(id)?)
    }

    /// A node by its name.
    pub fn node_by_name(&self, name: &str) -> Option<NodeView> {
        self.node_by_index(*self.state.names.get(name)?)
    }

    /// A node by its network identity, its voting key, or its operator's key (then the operator's first
    /// node; [`Ledger::account`] lists all).
    pub fn node_by_key(&self, key: &PublicKey) -> Option<NodeView> {
        let operated = || self.state.operators.get(key).and_then(|nodes| nodes.first());
        self.node_by_index(*self.state.keys.get(key).or_else(operated)?)
    }

    /// The number of the node that a person means by a name, an id (`0x...`) or a number, tried in
    /// this order.
    pub fn find_node(&self, text: &str) -> Option<NodeIndex> {
        let by_id = || text.parse::<NodeId>().ok().and_then(|id| self.state.ids.get(&id).copied());
        let by_number = || text.parse().ok().filter(|index| self.state.nodes.contains_key(index));
        self.state.names.get(text).copied().or_else(by_id).or_else(by_number)
    }

    /// Up to `limit` nodes in order of registration, after number `after`.
    pub fn nodes(&self, after: Option<NodeIndex>, limit: usize) -> Vec<NodeView> {
        let Some(first) = after.map_or(Some(0), |after| after.checked_add(1)) else { return Vec::new() };
        self.state.nodes.range(first..).take(limit).map(|(index, node)| self.view(*index, node)).collect()
    }

    /// The epoch of a time, Unix milliseconds.
    pub fn epoch_of(&self, time_ms: u64) -> u64 {
        self.chain.params.epoch_of(time_ms)
    }

    /// The epoch that the validator with this voting key should attest at `now_ms`, if any: the last
    /// one, when it is old enough, was a whole epoch of this chain, and is neither attested nor final.
    pub fn attestation_due(&self, key: &PublicKey, now_ms: u64) -> Option<u64> {
        let (index, node) = self.validator_by_key(key)?;
        let params = &self.chain.params;
        let now = params.epoch_of(now_ms);
        let epoch = now.checked_sub(1)?;
        let due = node.is_active_validator()
            && now_ms - now * params.epoch_ms >= params.attestation_grace_ms
            && epoch * params.epoch_ms >= self.chain.genesis_ms
            && epoch >= self.state.meta.settled_epochs
            && !self.state.attestations.contains_key(&(epoch, index));
        due.then_some(epoch)
    }

    /// The ACTIVE nodes that send heartbeats, with their network identity, ascending by number. An
    /// attestation holds 1,024 at most.
    pub fn expected_heartbeaters(&self) -> Vec<(NodeIndex, PublicKey)> {
        self.state.heartbeaters.iter().map(|(index, key)| (*index, *key)).collect()
    }

    fn view(&self, index: NodeIndex, node: &Node) -> NodeView {
        let state = &self.state;
        let initial = crate::reputation::Reputation::new(self.chain.params.initial_reputation);
        let reputation = state.reputations.get(&index).copied().unwrap_or(initial);
        let trust = state.trust_of(index);
        let tally = state.tallies.get(&index).copied().unwrap_or_default();
        let ratings_in = tally.received_in_all();
        let today = calendar::day_of(self.time_ms());
        NodeView {
            index,
            id: node.id,
            name: node.name.clone(),
            owner: node.owner.clone(),
            kind: node.kind,
            status: node.status,
            status_reason: node.status_reason.to_string(),
            status_since_ms: node.status_since_ms,
            operator: node.operator,
            node_key: node.node_key,
            validator_key: node.validator_key,
            power: node.power,
            registered_ms: node.registered_ms,
            registration_nonce: node.registration_nonce,
            reputation_mp: reputation.total_mp(),
            ledger_mp: reputation.ledger_mp,
            peer_centi: reputation.peer_centi,
            trust: NodeTrust {
                score: trust.score,
                confidence: trust.confidence,
                categories: trust.categories,
                weight: trust.weight,
                standing: trust.standing,
                rank: state.ranks.get(&index).copied().unwrap_or(0),
                of: u32::try_from(state.ranking.len()).unwrap_or(u32::MAX),
            },
            root_weight: self.chain.root_weight(&node.id, today),
            stars_mean_milli: (tally.stars * 1_000).checked_div(u64::from(ratings_in)),
            ratings_in,
            ratings_out: tally.given,
            uptime: reputation.last_day_permille,
            gained_this_month_mp: reputation.gained_in(calendar::month_of(today)),
            txs_validated: reputation.txs_validated,
            missed_heartbeats: reputation.missed_heartbeats,
        }
    }
}
