//! What nodes say to each other: the engine's wire messages.
//!
//! Every message is a version byte and the canonical postcard encoding of one [`Message`]. Limits are
//! checked on the bytes before decoding, and again on counts after it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trustnet_ledger::codec::{self, CodecError};
use trustnet_ledger::crypto::{Hash32, Signature};

use crate::block::{
    Commit, Header, MAX_BLOCK_BYTES, MAX_BLOCK_EVIDENCE, MAX_BLOCK_TXS, MAX_VALIDATORS, evidence_hash,
};
use crate::evidence::Evidence;

/// Version of the wire format.
pub const MESSAGE_VERSION: u8 = 1;
/// The largest message, in bytes: a whole block and its wrapping.
pub const MAX_MESSAGE_BYTES: usize = MAX_BLOCK_BYTES + 64 * 1024;
/// The most transactions in one gossip message.
pub const MAX_GOSSIP_TXS: usize = 512;
/// The most bytes of transactions in one gossip message.
pub const MAX_GOSSIP_BYTES: usize = 128 * 1024;
/// The most blocks that one sync answer carries.
pub const MAX_SYNC_BLOCKS: u32 = 256;
/// The most bytes of blocks that one sync answer carries (one block always fits).
pub const MAX_SYNC_BYTES: usize = 3 * 1024 * 1024;

/// On which stream a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Votes, proposals and what completes them: at once, never dropped.
    Consensus,
    /// Transactions: gathered, dropped when the peer is slow.
    Gossip,
    /// Heartbeats and status.
    Control,
}

/// First eight bytes of a transaction id: names a transaction within one block proposal.
pub type ShortId = [u8; 8];

/// A vote on the wire; height and round as in Algorithm 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireVote {
    /// Whether a precommit (else a prevote).
    pub precommit: bool,
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// Block id, or nil.
    pub value: Option<Hash32>,
    /// Position in the validator set.
    pub validator: u16,
    /// Signature over [`crate::block::vote_sign_bytes`].
    pub signature: Signature,
}

/// Votes of more than two thirds for one value in one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireCertificate {
    /// Whether of precommits (else of prevotes).
    pub precommit: bool,
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// Block id, or nil.
    pub value: Option<Hash32>,
    /// Positions and signatures, ascending.
    pub signatures: Vec<(u16, Signature)>,
}

/// A proposal with its block in compact form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireProposal {
    /// Round of this proposal; the height is the header's.
    pub round: u32,
    /// Round of the proof of lock, for a re-proposal.
    pub pol_round: Option<u32>,
    /// Position of the proposer.
    pub proposer: u16,
    /// Signature over [`crate::block::proposal_sign_bytes`].
    pub signature: Signature,
    /// The block's header.
    pub header: Header,
    /// The block's commit of its predecessor.
    pub last_commit: Commit,
    /// The block's evidence.
    pub evidence: Vec<Evidence>,
    /// Its transactions, by short id.
    pub txs: Vec<ShortId>,
    /// The prevotes of `pol_round`: without them a restarted peer could not accept a re-proposal.
    pub polka: Option<WireCertificate>,
}

impl WireProposal {
    /// Whether commit, evidence and number of transactions are those that the header names. The header alone is signed.
    pub fn fits_header(&self) -> bool {
        self.header.tx_count as usize == self.txs.len()
            && self.header.last_commit == self.last_commit.hash()
            && self.header.evidence == evidence_hash(&self.evidence)
    }
}

/// Where a node stands. Sent when a connection comes up, after commits, and on request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Height of the last committed block.
    pub height: u64,
    /// Its id.
    pub block: Hash32,
    /// Lowest height that this node can serve.
    pub earliest: u64,
    /// Round of consensus at `height + 1`; `None` when it has not begun.
    pub round: Option<u32>,
    /// The highest (height, round) in which this node has seen a vote of the receiver.
    pub your_vote: Option<(u64, u32)>,
}

/// What a node holds of one round, so that neighbours can push what it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// Whether the proposal's whole block is held.
    pub proposal: bool,
    /// Bit i: prevote of validator i is held.
    pub prevotes: [u64; MAX_VALIDATORS / 64],
    /// Bit i: precommit of validator i is held.
    pub precommits: [u64; MAX_VALIDATORS / 64],
}

/// A sign of life, signed by the node key. Counted by the receiver, never relayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Number of the heartbeat interval since 1970.
    pub slot: u64,
    /// Height of the sender's last block.
    pub height: u64,
    /// Signature by the sender's node key over [`heartbeat_sign_bytes`].
    pub signature: Signature,
}

/// What a heartbeat's signature covers.
pub fn heartbeat_sign_bytes(chain_id: &str, slot: u64, height: u64) -> Vec<u8> {
    trustnet_ledger::crypto::sign_bytes(
        trustnet_ledger::crypto::domain::SIGN_HEARTBEAT,
        chain_id,
        &[&slot.to_be_bytes(), &height.to_be_bytes()],
    )
}

/// A message between engines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Where the sender stands.
    Status(Status),
    /// A proposal in compact form.
    Proposal(Box<WireProposal>),
    /// One vote.
    Vote(WireVote),
    /// Votes that belong together.
    Certificate(WireCertificate),
    /// What the sender holds of a round.
    Holding(Holding),
    /// Asks for transactions of a proposed block, by position.
    GetBlockTxs {
        /// The block.
        block: Hash32,
        /// Positions, ascending.
        positions: Vec<u16>,
    },
    /// Answers [`Message::GetBlockTxs`], in the order asked.
    BlockTxs {
        /// The block.
        block: Hash32,
        /// The transactions.
        #[serde(deserialize_with = "codec::at_most::<_, _, MAX_BLOCK_TXS>")]
        txs: Vec<Bytes>,
    },
    /// Transactions for the pool.
    Txs(#[serde(deserialize_with = "codec::at_most::<_, _, MAX_GOSSIP_TXS>")] Vec<Bytes>),
    /// A sign of life.
    Heartbeat(Heartbeat),
    /// Proofs of double-signing for the next proposer.
    Evidence(Vec<Evidence>),
}

impl Message {
    /// The stream it travels on.
    pub fn class(&self) -> Class {
        match self {
            Self::Txs(_) => Class::Gossip,
            Self::Heartbeat(_) | Self::Status(_) => Class::Control,
            _ => Class::Consensus,
        }
    }

    /// Encodes the message with its version.
    pub fn encode(&self) -> Bytes {
        codec::encode(&(MESSAGE_VERSION, self)).into()
    }

    /// Decodes a message of a peer.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are not one message of this version within all limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        match bytes.first() {
            Some(&MESSAGE_VERSION) => {}
            Some(&other) => return Err(CodecError::Version(other)),
            None => return Err(CodecError::Malformed),
        }
        let message: Self = codec::decode(&bytes[1..], MAX_MESSAGE_BYTES)?;
        if message.within_limits() { Ok(message) } else { Err(CodecError::Malformed) }
    }

    fn within_limits(&self) -> bool {
        let certificate_fits = |c: &WireCertificate| c.signatures.len() <= MAX_VALIDATORS;
        match self {
            Self::Proposal(proposal) => {
                proposal.txs.len() <= MAX_BLOCK_TXS
                    && proposal.evidence.len() <= MAX_BLOCK_EVIDENCE
                    && proposal.last_commit.signatures.len() <= MAX_VALIDATORS
                    && proposal.polka.as_ref().is_none_or(certificate_fits)
            }
            Self::Certificate(certificate) => certificate_fits(certificate),
            Self::GetBlockTxs { positions, .. } => {
                positions.len() <= MAX_BLOCK_TXS && positions.is_sorted_by(|a, b| a < b)
            }
            Self::Txs(txs) => txs.iter().map(Bytes::len).sum::<usize>() <= 2 * MAX_GOSSIP_BYTES,
            Self::Evidence(evidence) => evidence.len() <= MAX_BLOCK_EVIDENCE,
            // What is short, and lists that are counted while they are read.
            Self::BlockTxs { .. }
            | Self::Status(_)
            | Self::Vote(_)
            | Self::Holding(_)
            | Self::Heartbeat(_) => true,
        }
    }
}

/// Asks a peer for committed blocks (a bulk request, answered with [`SyncResponse`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// First height wanted.
    pub from: u64,
    /// How many blocks at the most.
    pub count: u32,
}

/// Blocks from the asked height on, contiguous, each with its commit; as many as fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncResponse {
    /// Encoded block and encoded commit.
    #[serde(deserialize_with = "codec::at_most::<_, _, { MAX_SYNC_BLOCKS as usize }>")]
    pub blocks: Vec<(Bytes, Bytes)>,
}

impl SyncRequest {
    /// Encodes with the version.
    pub fn encode(&self) -> Bytes {
        codec::encode(&(MESSAGE_VERSION, self)).into()
    }

    /// Decodes a peer's request.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are not such a request.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (version, request): (u8, Self) = codec::decode(bytes, 64)?;
        if version == MESSAGE_VERSION { Ok(request) } else { Err(CodecError::Version(version)) }
    }
}

impl SyncResponse {
    /// Encodes with the version.
    pub fn encode(&self) -> Bytes {
        codec::encode(&(MESSAGE_VERSION, self)).into()
    }

    /// Decodes a peer's answer.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are not such an answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (version, response): (u8, Self) = codec::decode(bytes, MAX_SYNC_BYTES + MAX_MESSAGE_BYTES)?;
        if version != MESSAGE_VERSION {
            return Err(CodecError::Version(version));
        }
        Ok(response)
    }
}
