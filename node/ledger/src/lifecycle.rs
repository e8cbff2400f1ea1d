//! The life of a node: which step leads from which status to which.
//!
//! ```text
//! PENDING --start / admitted--> INITIALIZING --ready--> ACTIVE --pause--> INACTIVE --resume--> ACTIVE
//! any but BANNED, DESTROYED --destroy--> DESTROYED          any but BANNED --ban--> BANNED
//! ```
//! People (`user`) have nothing to start: their registration leads straight to ACTIVE.

use crate::node::NodeStatus;

/// A step in a node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The operator starts a node that is not a validator.
    Start,
    /// Validators with more than two thirds of the power have admitted a validator.
    Admit,
    /// The operator declares the node ready.
    Ready,
    /// The operator pauses the node.
    Pause,
    /// The operator resumes the node.
    Resume,
    /// The operator ends the node.
    Destroy,
    /// The ledger's rules exclude the node.
    Ban,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 7] =
        [Self::Start, Self::Admit, Self::Ready, Self::Pause, Self::Resume, Self::Destroy, Self::Ban];

    /// What cannot be done when the step is refused, as in "cannot ...".
    pub fn verb(self) -> &'static str {
        match self {
            Self::Start => "be started",
            Self::Admit => "be admitted",
            Self::Ready => "become ready",
            Self::Pause => "be paused",
            Self::Resume => "be resumed",
            Self::Destroy => "be destroyed",
            Self::Ban => "be banned",
        }
    }

    /// The status or statuses in which the step is possible.
    pub fn needed(self) -> &'static str {
        match self {
            Self::Start | Self::Admit => "PENDING",
            Self::Ready => "INITIALIZING",
            Self::Pause => "ACTIVE",
            Self::Resume => "INACTIVE",
            Self::Destroy => "a node that is neither BANNED nor DESTROYED",
            Self::Ban => "a node that is not BANNED",
        }
    }
}

/// Where `step` leads from `status`; `None` when it is not possible there.
pub fn next(status: NodeStatus, step: Step) -> Option<NodeStatus> {
    use NodeStatus::{Active, Banned, Destroyed, Inactive, Initializing, Pending};
    match (status, step) {
        (Pending, Step::Start | Step::Admit) => Some(Initializing),
        (Initializing, Step::Ready) | (Inactive, Step::Resume) => Some(Active),
        (Active, Step::Pause) => Some(Inactive),
        (Pending | Initializing | Active | Inactive, Step::Destroy) => Some(Destroyed),
        // A double-signer does not escape by destroying itself first.
        (Pending | Initializing | Active | Inactive | Destroyed, Step::Ban) => Some(Banned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete() {
        // Columns: start, admit, ready, pause, resume, destroy, ban. P, I, A, N, B, D for the six
        // statuses in order, a dot where the step is refused.
        let table = [
            (NodeStatus::Pending, "II...DB"),
            (NodeStatus::Initializing, "..A..DB"),
            (NodeStatus::Active, "...N.DB"),
            (NodeStatus::Inactive, "....ADB"),
            (NodeStatus::Banned, "......."),
            (NodeStatus::Destroyed, "......B"),
        ];
        assert_eq!(table.len(), NodeStatus::ALL.len());
        for (status, row) in table {
            for (step, letter) in Step::ALL.into_iter().zip(row.chars()) {
                let expected = "PIANBD".find(letter).map(|i| NodeStatus::ALL[i]);
                assert_eq!(next(status, step), expected, "{status} {step:?}");
            }
        }
    }
}
