//! Transactions: what a signer asks the ledger to do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto::{PublicKey, SecretKey, Signature, domain, sign_bytes};
use crate::ids::{NodeId, NodeIndex};
use crate::node::NodeKind;
use crate::rating::Category;

/// The longest name of a node, in bytes.
pub const MAX_NAME_BYTES: usize = 32;
/// The longest owner text, in bytes.
pub const MAX_OWNER_BYTES: usize = 64;
/// The longest reason of a rating, in bytes.
pub const MAX_REASON_BYTES: usize = 200;
/// The most observations in one attestation.
pub const MAX_OBSERVATIONS: usize = 1_024;
/// The most heartbeats that an epoch can hold, and so an observation can count.
pub const MAX_HEARTBEATS: u8 = 120;

/// What is signed: who, the how-manieth, when, what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The key that signs.
    pub signer: PublicKey,
    /// 1, 2, 3 ... for each signer: a transaction runs once and in order.
    pub nonce: u64,
    /// The signer's clock, Unix milliseconds; never later than the block.
    pub time_ms: u64,
    /// What to do.
    pub action: Action,
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Adds a node; the signer becomes its operator.
    Register {
        /// Its name, 1 to 32 of `a-z 0-9 . _ -`, unique for ever.
        name: String,
        /// Who runs it; up to 64 bytes of printable text.
        owner: String,
        /// What it does.
        kind: NodeKind,
        /// Its network identity: needed by all but users.
        node_key: Option<KeyProof>,
        /// Its voting key: needed by validators, refused for others.
        validator_key: Option<KeyProof>,
    },
    /// Gives or replaces a rating. The transaction's time is the rating's own.
    Rate {
        /// The rater: a node of the signer.
        from: NodeId,
        /// The rated.
        to: NodeId,
        /// 1 (worst) to 5 (best).
        stars: u8,
        /// What about.
        category: Category,
        /// Why; up to 200 bytes without control characters.
        reason: String,
    },
    /// PENDING to INITIALIZING, for nodes that are not validators.
    Start {
        /// The node.
        node: NodeId,
    },
    /// A validator's consent that a new validator joins.
    Admit {
        /// The node that wants to join.
        node: NodeId,
        /// The ACTIVE validator that consents, run by the signer.
        validator: NodeId,
    },
    /// INITIALIZING to ACTIVE.
    Ready {
        /// The node.
        node: NodeId,
    },
    /// ACTIVE to INACTIVE.
    Pause {
        /// The node.
        node: NodeId,
    },
    /// INACTIVE to ACTIVE.
    Resume {
        /// The node.
        node: NodeId,
    },
    /// The end of a node, for ever.
    Destroy {
        /// The node.
        node: NodeId,
    },
    /// What a validator saw of others in an epoch. Signed by its operator or its validator key.
    Attest {
        /// The observing validator.
        validator: NodeId,
        /// The epoch observed.
        epoch: u64,
        /// What it saw, ascending by node, at most 1,024.
        observations: Vec<Observation>,
    },
}

impl Action {
    /// A short name for lists and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::Rate { .. } => "rate",
            Self::Start { .. } => "start",
            Self::Admit { .. } => "admit",
            Self::Ready { .. } => "ready",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Destroy { .. } => "destroy",
            Self::Attest { .. } => "attest",
        }
    }
}

/// What one validator saw of one node in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The node seen.
    pub node: NodeIndex,
    /// Heartbeats received, 0 to 120.
    pub heartbeats: u8,
    /// Invalid transactions that it sent.
    pub invalid: u8,
    /// Incidents of network abuse.
    pub abuse: u8,
}

/// What a registered key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// Network identity.
    Node = 1,
    /// Voting.
    Validator = 2,
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Validator => "validator",
        })
    }
}

/// A key with the proof that the registering operator holds its secret: without it somebody could
/// register another's key and block it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProof {
    /// The key.
    pub key: PublicKey,
    /// Its signature over [`possession_bytes`].
    pub proof: Signature,
}

impl KeyProof {
    /// Proves possession of `secret` for the registration that `signer` sends with `nonce` and `time_ms`.
    pub fn sign(
        secret: &SecretKey,
        role: KeyRole,
        chain_id: &str,
        signer: &PublicKey,
        nonce: u64,
        time_ms: u64,
    ) -> Self {
        let message = possession_bytes(role, chain_id, signer, nonce, time_ms);
        Self { key: secret.public(), proof: secret.sign(&message) }
    }

    /// Whether the proof belongs to this registration.
    pub fn is_valid(
        &self,
        role: KeyRole,
        chain_id: &str,
        signer: &PublicKey,
        nonce: u64,
        time_ms: u64,
    ) -> bool {
        self.key.verify(&possession_bytes(role, chain_id, signer, nonce, time_ms), &self.proof)
    }
}

/// What a proof of possession signs: role byte, signer, nonce and time (both 8 bytes big-endian).
pub fn possession_bytes(
    role: KeyRole,
    chain_id: &str,
    signer: &PublicKey,
    nonce: u64,
    time_ms: u64,
) -> Vec<u8> {
    sign_bytes(
        domain::SIGN_POSSESSION,
        chain_id,
        &[&[role as u8], &signer.0, &nonce.to_be_bytes(), &time_ms.to_be_bytes()],
    )
}
