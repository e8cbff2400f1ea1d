//! The state as a block in the making sees it: the tables, with the block's changes laid over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::account::Account;
use crate::calendar;
use crate::chain::Chain;
use crate::crypto::PublicKey;
use crate::event::{LedgerEvent, ReputationCause};
use crate::ids::{NodeId, NodeIndex};
use crate::layer::Layer;
use crate::lifecycle::{self, Step};
use crate::merkle::Frontier;
use crate::node::{Node, NodeKind, NodeStatus, StatusReason};
use crate::rating::{Rating, RatingKey};
use crate::reputation::Reputation;
use crate::state::{AttestationKey, Changes, Member, Meta, State, Tally, TrustRecord};
use crate::tx::Observation;

/// The state with changes over it.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub chain: &'a Chain,
    pub base: &'a State,
    pub meta: Meta,
    pub log: Frontier,
    pub accounts: Layer<'a, PublicKey, Account>,
    pub nodes: Layer<'a, NodeIndex, Node>,
    pub reputations: Layer<'a, NodeIndex, Reputation>,
    pub trust: Layer<'a, NodeIndex, TrustRecord>,
    /// Ratings of this block, to append.
    pub ratings: BTreeMap<RatingKey, Vec<Rating>>,
    pub attestations: Layer<'a, AttestationKey, Vec<Observation>>,
    pub admissions: Layer<'a, NodeIndex, Vec<NodeIndex>>,
    pub ids: Layer<'a, NodeId, NodeIndex>,
    pub names: Layer<'a, String, NodeIndex>,
    pub keys: Layer<'a, PublicKey, NodeIndex>,
    pub tallies: Layer<'a, NodeIndex, Tally>,
    /// ACTIVE validators with their power.
    pub active: Cow<'a, BTreeMap<NodeIndex, u64>>,
    pub events: Vec<LedgerEvent>,
}

impl<'a> Work<'a> {
    pub fn over(chain: &'a Chain, base: &'a State) -> Self {
        Self {
            chain,
            base,
            meta: base.meta.clone(),
            log: base.log.clone(),
            accounts: Layer::over(&base.accounts),
            nodes: Layer::over(&base.nodes),
            reputations: Layer::over(&base.reputations),
            trust: Layer::over(&base.trust),
            ratings: BTreeMap::new(),
            attestations: Layer::over(&base.attestations),
            admissions: Layer::over(&base.admissions),
            ids: Layer::over(&base.ids),
            names: Layer::over(&base.names),
            keys: Layer::over(&base.keys),
            tallies: Layer::over(&base.tallies),
            active: Cow::Borrowed(&base.active),
            events: Vec::new(),
        }
    }

    /// The calendar month of the block.
    pub fn month(&self) -> u32 {
        calendar::month_of(calendar::day_of(self.meta.time_ms))
    }

    /// The epoch of the block.
    pub fn epoch(&self) -> u64 {
        self.chain.params.epoch_of(self.meta.time_ms)
    }

    /// A node by its id.
    pub fn node(&self, id: &NodeId) -> Option<(NodeIndex, &Node)> {
        let index = *self.ids.get(id)?;
        Some((index, self.nodes.get(&index)?))
    }

    /// The node that has `key` as its validator key.
    pub fn validator_by_key(&self, key: &PublicKey) -> Option<NodeIndex> {
        let index = *self.keys.get(key)?;
        let node = self.nodes.get(&index)?;
        (node.validator_key == Some(*key)).then_some(index)
    }

    /// The current rating of a key.
    pub fn current_rating(&self, key: &RatingKey) -> Option<&Rating> {
        let list = self.ratings.get(key).or_else(|| self.base.ratings.get(key))?;
        list.last()
    }

    /// All current ratings.
    pub fn current_ratings(&self) -> impl Iterator<Item = (&RatingKey, &Rating)> {
        let unchanged = self.base.ratings.iter().filter(|(key, _)| !self.ratings.contains_key(*key));
        unchanged.chain(&self.ratings).filter_map(|(key, list)| Some((key, list.last()?)))
    }

    /// Adds a node with a fresh reputation.
    pub fn add_node(&mut self, node: Node) {
        let index = self.meta.nodes;
        self.meta.nodes += 1;
        self.ids.set(node.id, index);
        self.names.set(node.name.clone(), index);
        for key in node.node_key.iter().chain(&node.validator_key) {
            self.keys.set(*key, index);
        }
        if node.is_active_validator() {
            self.active.to_mut().insert(index, node.power);
        }
        self.reputations.set(index, Reputation::new(self.chain.params.initial_reputation));
        self.events.push(LedgerEvent::Registered {
            node: index,
            id: node.id,
            name: node.name.clone(),
            kind: node.kind,
        });
        self.nodes.set(index, node);
    }

    /// Takes a step in a node's life; nothing happens where the step is not possible.
    pub fn step(&mut self, index: NodeIndex, step: Step, reason: StatusReason) {
        let time_ms = self.meta.time_ms;
        let Some((from, to)) =
            self.nodes.get(&index).and_then(|n| Some((n.status, lifecycle::next(n.status, step)?)))
        else {
            return;
        };
        let Some(node) = self.nodes.modify(&index) else { return };
        node.status = to;
        node.status_reason = reason;
        node.status_since_ms = time_ms;
        if node.kind == NodeKind::Validator {
            let power = node.power;
            if to == NodeStatus::Active {
                self.active.to_mut().insert(index, power);
            } else if self.active.contains_key(&index) {
                self.active.to_mut().remove(&index);
            }
        }
        if from == NodeStatus::Pending && self.admissions.contains(&index) {
            self.admissions.remove(index);
        }
        self.events.push(LedgerEvent::Status { node: index, from, to, reason });
    }

    /// Changes a reputation and bans the node if it becomes too low.
    pub fn change_reputation(
        &mut self,
        index: NodeIndex,
        cause: ReputationCause,
        change: impl FnOnce(&mut Reputation),
    ) {
        let Some(before) = self.reputations.get(&index).copied() else { return };
        let mut after = before;
        change(&mut after);
        if after == before {
            return;
        }
        self.reputations.set(index, after);
        let (before_mp, after_mp) = (before.total_mp(), after.total_mp());
        if before_mp != after_mp {
            self.events.push(LedgerEvent::Reputation { node: index, before_mp, after_mp, cause });
        }
        if after.is_too_low() {
            self.step(index, Step::Ban, StatusReason::LowReputation);
        }
    }

    /// Whether a node is at work, so that its reputation moves.
    pub fn is_active(&self, index: NodeIndex) -> bool {
        self.nodes.get(&index).is_some_and(Node::is_active)
    }

    /// The set that decides the next height: the ACTIVE validators. If there is none left, because the
    /// rules banned the last ones, the set stays as it is: the bans stand in the records, but a chain
    /// without validators could never repair itself.
    pub fn members(&self) -> Vec<Member> {
        if self.active.is_empty() {
            return self.base.members.clone();
        }
        self.active.iter().map(|(node, power)| Member { node: *node, power: *power }).collect()
    }

    /// Ends the work: what changed, and what happened.
    pub fn into_changes(self) -> (Changes, Vec<LedgerEvent>) {
        let members = self.members();
        let changes = Changes {
            members: (members != self.base.members).then_some(members),
            meta: self.meta,
            log: self.log,
            accounts: self.accounts.into_changed(),
            nodes: self.nodes.into_changed(),
            reputations: self.reputations.into_changed(),
            trust: self.trust.into_changed(),
            ratings: self.ratings,
            attestations: self.attestations.into_changed(),
            admissions: self.admissions.into_changed(),
        };
        (changes, self.events)
    }
}
