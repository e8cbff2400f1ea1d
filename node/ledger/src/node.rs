//! A node as the ledger records it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto::PublicKey;
use crate::ids::{NodeId, NodeIndex};

/// What a node does for the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Decides blocks.
    Validator,
    /// Keeps all history.
    Archive,
    /// Answers questions.
    Rpc,
    /// Offers something else to the network.
    Service,
    /// A person who rates and is rated.
    User,
}

impl NodeKind {
    /// Whether nodes of this kind send heartbeats: all but people.
    pub fn heartbeats(self) -> bool {
        self != Self::User
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validator => "validator",
            Self::Archive => "archive",
            Self::Rpc => "rpc",
            Self::Service => "service",
            Self::User => "user",
        })
    }
}

/// Where a node stands in its life. `lifecycle` holds the rules of every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NodeStatus {
    /// Registered; a validator waits for its admission, others for their operator's start.
    Pending,
    /// Being set up; not counted on yet.
    Initializing,
    /// At work.
    Active,
    /// Paused by its operator; its reputation stands still.
    Inactive,
    /// Excluded by rule, for ever.
    Banned,
    /// Ended by its operator, for ever; the record stays.
    Destroyed,
}

impl NodeStatus {
    /// Every status, in the order of the wire numbers.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Initializing, Self::Active, Self::Inactive, Self::Banned, Self::Destroyed];

    /// Whether the node can never come back.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Banned | Self::Destroyed)
    }
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "PENDING",
            Self::Initializing => "INITIALIZING",
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Banned => "BANNED",
            Self::Destroyed => "DESTROYED",
        })
    }
}

/// Why a node has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusReason {
    /// Part of the genesis.
    Genesis,
    /// Its operator registered it.
    Registered,
    /// Its operator started it.
    Started,
    /// Validators with more than two thirds of the power admitted it.
    Admitted,
    /// Its operator declared it ready.
    Ready,
    /// Its operator paused it.
    Paused,
    /// Its operator took it back to work.
    Resumed,
    /// Its operator ended it.
    Destroyed,
    /// Its validator key signed two different things for one slot.
    DoubleSigned,
    /// Its reputation fell below the least that is borne.
    LowReputation,
}

impl fmt::Display for StatusReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Genesis => "part of the genesis",
            Self::Registered => "registered by its operator",
            Self::Started => "started by its operator",
            Self::Admitted => "admitted by validators with more than 2/3 of the power",
            Self::Ready => "declared ready by its operator",
            Self::Paused => "paused by its operator",
            Self::Resumed => "resumed by its operator",
            Self::Destroyed => "destroyed by its operator",
            Self::DoubleSigned => "its validator key signed twice for one slot",
            Self::LowReputation => "its reputation fell below 10 points",
        })
    }
}

/// The record of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its name, unique for ever.
    pub name: String,
    /// Who runs it, in their own words; may be empty.
    pub owner: String,
    /// What it does.
    pub kind: NodeKind,
    /// Where it stands.
    pub status: NodeStatus,
    /// Why it stands there.
    pub status_reason: StatusReason,
    /// Block time of the last change of status, Unix milliseconds.
    pub status_since_ms: u64,
    /// The only key that may sign for it.
    pub operator: PublicKey,
    /// Its network identity; people may have none.
    pub node_key: Option<PublicKey>,
    /// Its voting key; validators only.
    pub validator_key: Option<PublicKey>,
    /// Time of its registration, Unix milliseconds: part of the id.
    pub registered_ms: u64,
    /// Nonce of its registration: part of the id.
    pub registration_nonce: u64,
    /// Its voting power while it is an ACTIVE validator; 0 for other kinds.
    pub power: u64,
}

impl Node {
    /// Whether it is at work.
    pub fn is_active(&self) -> bool {
        self.status == NodeStatus::Active
    }

    /// Whether it is at work as a validator.
    pub fn is_active_validator(&self) -> bool {
        self.is_active() && self.kind == NodeKind::Validator
    }
}

/// A validator of the next height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValidatorEntry {
    /// Its number.
    pub node: NodeIndex,
    /// Its name.
    pub name: String,
    /// Its voting key.
    pub validator_key: PublicKey,
    /// Its network identity.
    pub node_key: PublicKey,
    /// Its voting power.
    pub power: u64,
}
