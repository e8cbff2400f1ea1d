//! What a block did: for its results hash, and for whoever listens.

use serde::Serialize;

use crate::ids::{NodeId, NodeIndex};
use crate::node::{NodeKind, NodeStatus, StatusReason};
use crate::rating::Category;

/// Why a reputation moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReputationCause {
    /// Full thousands of transactions validated.
    Validated,
    /// A day of good uptime.
    Uptime,
    /// 24 hours of heartbeats missed.
    Downtime,
    /// Invalid transactions or network abuse.
    Misconduct,
    /// Double-signing.
    DoubleSign,
    /// A new trust score.
    Peers,
}

/// One thing that happened in a block, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerEvent {
    /// A node was registered.
    Registered {
        /// Its number.
        node: NodeIndex,
        /// Its id.
        id: NodeId,
        /// Its name.
        name: String,
        /// What it does.
        kind: NodeKind,
    },
    /// A node's status changed.
    Status {
        /// The node.
        node: NodeIndex,
        /// The old status.
        from: NodeStatus,
        /// The new status.
        to: NodeStatus,
        /// Why.
        reason: StatusReason,
    },
    /// A node rated another.
    Rated {
        /// The rater.
        from: NodeIndex,
        /// The rated.
        to: NodeIndex,
        /// What about.
        category: Category,
        /// 1 to 5.
        stars: u8,
        /// Whether an earlier rating was replaced.
        replaced: bool,
    },
    /// A validator consented to a newcomer.
    Admitted {
        /// The newcomer.
        node: NodeIndex,
        /// Who consented.
        validator: NodeIndex,
    },
    /// A validator attested an epoch.
    Attested {
        /// Who.
        validator: NodeIndex,
        /// Which epoch.
        epoch: u64,
    },
    /// An epoch is final.
    EpochSettled {
        /// Which.
        epoch: u64,
        /// For how many nodes it counted.
        nodes: u32,
    },
    /// A node's reputation moved.
    Reputation {
        /// The node.
        node: NodeIndex,
        /// Before, milli-points.
        before_mp: u32,
        /// After, milli-points.
        after_mp: u32,
        /// Why.
        cause: ReputationCause,
    },
    /// Trust was computed anew.
    Trust {
        /// As of which UTC day.
        day: u32,
        /// How many nodes have a score.
        nodes: u32,
        /// How many scores are not as before.
        changed: u32,
        /// Standing of a full vote.
        tau: u64,
    },
    /// The validators of the next height differ from this one's.
    Validators {
        /// How many there are.
        count: u32,
        /// Their power.
        power: u64,
    },
}
