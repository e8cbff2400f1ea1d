//! Why a transaction is refused.
//!
//! Each reason has a number that never changes ([`TxError::code`]); 0 means success.

use crate::codec::CodecError;
use crate::crypto::PublicKey;
use crate::ids::{NodeId, NodeIndex};
use crate::node::{NodeKind, NodeStatus};
use crate::tx::KeyRole;

/// Why a transaction is refused: what happened, to what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// Code 1.
    #[error("the transaction cannot be read: {0}; build and sign it again with a current trustnet")]
    Malformed(CodecError),
    /// Code 2.
    #[error("the transaction has {len} bytes, more than the {max} allowed for its kind; shorten it")]
    TooLarge {
        /// Its bytes.
        len: usize,
        /// The most allowed.
        max: usize,
    },
    /// Code 3.
    #[error("the signature does not match; sign with the key named as signer, for this chain's id")]
    BadSignature,
    /// Code 4.
    #[error("nonce {nonce} is used already (a replay?); the signer's next nonce is {next}")]
    NonceUsed {
        /// The transaction's nonce.
        nonce: u64,
        /// The next free one.
        next: u64,
    },
    /// Code 5.
    #[error("nonce {nonce} leaves a gap; the signer's next nonce is {next}, send that one first")]
    NonceGap {
        /// The transaction's nonce.
        nonce: u64,
        /// The next free one.
        next: u64,
    },
    /// Code 6.
    #[error("dated {time_ms} ms, later than its block ({block_ms} ms); check the signer's clock")]
    FutureDated {
        /// The transaction's time, Unix milliseconds.
        time_ms: u64,
        /// The block's time, Unix milliseconds.
        block_ms: u64,
    },
    /// Code 7.
    #[error("no node has the id {0}; check it with `trustnet nodes`")]
    UnknownNode(NodeId),
    /// Code 8.
    #[error("the signer may not act for node {0}; sign with its operator key")]
    NotOperator(NodeId),
    /// Code 9.
    #[error("node {node} is {status} and so cannot {action}; that takes {needed}")]
    WrongStatus {
        /// The node.
        node: NodeId,
        /// Its status.
        status: NodeStatus,
        /// What was to be done.
        action: &'static str,
        /// The status or statuses in which it can be done.
        needed: &'static str,
    },
    /// Code 10.
    #[error("node {0} would rate itself or a node of the same operator; ratings come from others")]
    SelfRating(NodeId),
    /// Code 11.
    #[error("the name {0:?} is taken, and names are for ever; choose another")]
    NameTaken(String),
    /// Code 12.
    #[error("the key {0} is registered already; make a new key for each node and role")]
    KeyTaken(PublicKey),
    /// Code 13.
    #[error(
        "{0} is not an acceptable public key (not a point of the curve, or of small order); make a new one"
    )]
    BadKey(PublicKey),
    /// Code 14.
    #[error("a {kind} registers with a {role} key; add it with its proof")]
    KeyMissing {
        /// The kind of node.
        kind: NodeKind,
        /// The key that is missing.
        role: KeyRole,
    },
    /// Code 15.
    #[error("a {kind} has no {role} key; leave it out")]
    KeyNotAllowed {
        /// The kind of node.
        kind: NodeKind,
        /// The key that is too much.
        role: KeyRole,
    },
    /// Code 16.
    #[error(
        "the proof of the {0} key does not match; sign it with that key for this chain, signer, nonce and time"
    )]
    BadProof(KeyRole),
    /// Code 17.
    #[error("a name is 1 to 32 of a-z 0-9 . _ -")]
    BadName,
    /// Code 18.
    #[error("an owner is at most 64 bytes of printable text")]
    BadOwner,
    /// Code 19.
    #[error("{0} stars; a rating has 1 to 5")]
    BadStars(u8),
    /// Code 20.
    #[error("a reason is at most 200 bytes of text without control characters")]
    BadReason,
    /// Code 21.
    #[error("node {node} is {status}; only nodes that can still act are rated")]
    TargetGone {
        /// The node to be rated.
        node: NodeId,
        /// Its status.
        status: NodeStatus,
    },
    /// Code 22.
    #[error(
        "node {0} has received the most ratings that a category holds; only known raters can update theirs"
    )]
    RatingsFull(NodeId),
    /// Code 23.
    #[error("node {0} is not an ACTIVE validator; only those admit and attest")]
    NotValidator(NodeId),
    /// Code 24.
    #[error("node {0} is the last ACTIVE validator; the chain would stop, so admit another first")]
    LastValidator(NodeId),
    /// Code 25.
    #[error("validator {0} has admitted this node already; others have to follow")]
    AlreadyAdmitted(NodeId),
    /// Code 26.
    #[error("the chain has its {0} validators; one must leave first")]
    ValidatorsFull(usize),
    /// Code 27.
    #[error("attests epoch {epoch}, but only epoch {expected} can be attested at its block's time")]
    WrongEpoch {
        /// The epoch attested.
        epoch: u64,
        /// The only one possible; the block's own epoch less one.
        expected: u64,
    },
    /// Code 28.
    #[error("validator {validator} has attested epoch {epoch} already; once is enough")]
    AlreadyAttested {
        /// The validator.
        validator: NodeId,
        /// The epoch.
        epoch: u64,
    },
    /// Code 29.
    #[error("epoch {0} is settled; wait for the next")]
    EpochSettled(u64),
    /// Code 30.
    #[error("the observations are not in order: {0}")]
    BadObservations(&'static str),
    /// Code 31.
    #[error("no node has the number {0}; observe registered nodes only")]
    UnknownIndex(NodeIndex),
    /// Code 32.
    #[error("node {0} is a validator: other validators admit it, its operator does not start it")]
    NeedsAdmission(NodeId),
    /// Code 33.
    #[error("node {0} is not a validator: its operator starts it, nobody admits it")]
    NeedsNoAdmission(NodeId),
    /// Code 34.
    #[error("the ledger holds the most nodes that it can number")]
    NodesFull,
}

impl TxError {
    /// The reason's number, stable for ever: shown by the RPC as `code`.
    pub fn code(&self) -> u32 {
        match self {
            Self::Malformed(_) => 1,
            Self::TooLarge { .. } => 2,
            Self::BadSignature => 3,
            Self::NonceUsed { .. } => 4,
            Self::NonceGap { .. } => 5,
            Self::FutureDated { .. } => 6,
            Self::UnknownNode(_) => 7,
            Self::NotOperator(_) => 8,
            Self::WrongStatus { .. } => 9,
            Self::SelfRating(_) => 10,
            Self::NameTaken(_) => 11,
            Self::KeyTaken(_) => 12,
            Self::BadKey(_) => 13,
            Self::KeyMissing { .. } => 14,
            Self::KeyNotAllowed { .. } => 15,
            Self::BadProof(_) => 16,
            Self::BadName => 17,
            Self::BadOwner => 18,
            Self::BadStars(_) => 19,
            Self::BadReason => 20,
            Self::TargetGone { .. } => 21,
            Self::RatingsFull(_) => 22,
            Self::NotValidator(_) => 23,
            Self::LastValidator(_) => 24,
            Self::AlreadyAdmitted(_) => 25,
            Self::ValidatorsFull(_) => 26,
            Self::WrongEpoch { .. } => 27,
            Self::AlreadyAttested { .. } => 28,
            Self::EpochSettled(_) => 29,
            Self::BadObservations(_) => 30,
            Self::UnknownIndex(_) => 31,
            Self::NeedsAdmission(_) => 32,
            Self::NeedsNoAdmission(_) => 33,
            Self::NodesFull => 34,
        }
    }

    /// Whether transactions that wait before this one can make it succeed: it names a node that is
    /// to be registered, or a status that is to be reached.
    pub fn may_heal(&self) -> bool {
        matches!(
            self,
            Self::UnknownNode(_)
                | Self::WrongStatus { .. }
                | Self::NotValidator(_)
                | Self::LastValidator(_)
                | Self::ValidatorsFull(_)
                | Self::UnknownIndex(_)
        )
    }
}
