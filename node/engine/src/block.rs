//! Blocks, commits and their hashes.
//!
//! A header carries the state root *after* its own block: every validator executes a block before it
//! prevotes for it, so a divergence stops at the vote, and an idle chain needs no further block to
//! prove what it says.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trustnet_bft as bft;
use trustnet_ledger::codec::{self, CodecError};
use trustnet_ledger::crypto::{Hash32, PublicKey, Signature, SignatureCheck, domain, hash, sign_bytes};
use trustnet_ledger::merkle;

use crate::evidence::Evidence;

/// The most validators a chain can have.
pub const MAX_VALIDATORS: usize = 128;
/// The largest block, encoded, in bytes.
pub const MAX_BLOCK_BYTES: usize = 2 * 1024 * 1024;
/// The most bytes of transactions that a proposer packs into a block; the rest is room for the header,
/// the commit and evidence.
pub const MAX_BLOCK_TX_BYTES: usize = MAX_BLOCK_BYTES - 256 * 1024;
/// The most transactions in a block.
pub const MAX_BLOCK_TXS: usize = 8_192;
/// The most pieces of evidence in a block.
pub const MAX_BLOCK_EVIDENCE: usize = 16;
/// Version of the block format.
pub const BLOCK_VERSION: u8 = 1;

/// What a block says about itself and about the state after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`BLOCK_VERSION`].
    pub version: u8,
    /// Hash of the genesis: which chain this is.
    pub genesis: Hash32,
    /// Height, from 1.
    pub height: u64,
    /// Proposer's clock, Unix milliseconds; strictly later than the previous block's.
    pub time_ms: u64,
    /// Id of the previous block; zero at height 1.
    pub last_block: Hash32,
    /// Hash of the commit of the previous block, as carried in this block.
    pub last_commit: Hash32,
    /// RFC 6962 root of this block's transactions.
    pub txs_root: Hash32,
    /// How many transactions this block holds.
    pub tx_count: u32,
    /// Hash of this block's evidence.
    pub evidence: Hash32,
    /// Hash of the validators that decide this height.
    pub validators: Hash32,
    /// Hash of the validators that decide the next height.
    pub next_validators: Hash32,
    /// Root of the ledger's state after this block.
    pub state_root: Hash32,
    /// RFC 6962 root of the log of all transactions up to and with this block.
    pub log_root: Hash32,
    /// Transactions in that log.
    pub log_size: u64,
    /// Hash of what the transactions did.
    pub results: Hash32,
    /// Validator key of the proposer that built the block.
    pub proposer: PublicKey,
}

impl Header {
    /// The block's id.
    pub fn id(&self) -> Hash32 {
        hash(domain::BLOCK_ID, &[&codec::encode(self)])
    }
}

/// The precommits of more than two thirds of the power for one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Height of the block.
    pub height: u64,
    /// Round in which it was decided.
    pub round: u32,
    /// Its id.
    pub block: Hash32,
    /// Signatures with the signer's position in the validator set, ascending.
    pub signatures: Vec<(u16, Signature)>,
}

/// The largest encoded commit, in bytes.
pub const MAX_COMMIT_BYTES: usize = 64 + MAX_VALIDATORS * 68;

/// Why a commit was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Not ascending, not members, or too little power.
    #[error("the commit of height {0} has not the signatures of more than two thirds of the power")]
    Power(u64),
    /// A signature does not verify; one is enough to refuse all (Malachite 961fa4e0).
    #[error("the commit of height {0} holds an invalid signature")]
    Signature(u64),
    /// It commits to another block or height.
    #[error("the commit is for another block than the one of height {0}")]
    OtherBlock(u64),
}

impl Commit {
    /// The commit that stands before height 1: of no block, signed by nobody.
    pub fn none() -> Self {
        Self { height: 0, round: 0, block: Hash32::default(), signatures: Vec::new() }
    }

    /// The hash that the next header carries.
    pub fn hash(&self) -> Hash32 {
        hash(domain::COMMIT, &[&codec::encode(self)])
    }

    /// From the core's certificate.
    pub fn from_certificate(certificate: &bft::Certificate<MAX_VALIDATORS>) -> Self {
        Self {
            height: certificate.height,
            round: certificate.round,
            block: Hash32(certificate.value.map_or([0; 32], |value| value.0)),
            signatures: certificate.signatures.iter().map(|(i, s)| (*i, Signature(s.0))).collect(),
        }
    }

    /// As the core's certificate; `None` when it holds more signatures than a set has members.
    pub fn to_certificate(&self) -> Option<bft::Certificate<MAX_VALIDATORS>> {
        let mut signatures = heapless::Vec::new();
        for (index, signature) in &self.signatures {
            signatures.push((*index, bft::Signature(signature.0))).ok()?;
        }
        Some(bft::Certificate {
            kind: bft::VoteKind::Precommit,
            height: self.height,
            round: self.round,
            value: Some(bft::ValueId(self.block.0)),
            signatures,
        })
    }
}

/// What a vote's signature covers: domain of its kind, chain id, height and round big-endian, then a
/// flag byte and the value id (zeros for nil).
pub fn vote_sign_bytes(chain_id: &str, vote: &bft::Vote) -> Vec<u8> {
    let domain = match vote.kind {
        bft::VoteKind::Prevote => domain::SIGN_PREVOTE,
        bft::VoteKind::Precommit => domain::SIGN_PRECOMMIT,
    };
    let (flag, value) = vote.value.map_or((0, [0; 32]), |value| (1, value.0));
    sign_bytes(domain, chain_id, &[&vote.height.to_be_bytes(), &vote.round.to_be_bytes(), &[flag], &value])
}

/// What a proposal's signature covers: domain, chain id, height, round, value id, then a flag byte and
/// the proof-of-lock round (zero when there is none).
pub fn proposal_sign_bytes(chain_id: &str, proposal: &bft::Proposal) -> Vec<u8> {
    let (flag, pol_round) = proposal.pol_round.map_or((0, 0), |round| (1, round));
    sign_bytes(
        domain::SIGN_PROPOSAL,
        chain_id,
        &[
            &proposal.height.to_be_bytes(),
            &proposal.round.to_be_bytes(),
            &proposal.value.0,
            &[flag],
            &pol_round.to_be_bytes(),
        ],
    )
}

/// The signatures of a certificate as checks against the keys of `validators`, in its order.
/// `None` when a signer is not in the set.
pub fn certificate_checks(
    chain_id: &str,
    certificate: &bft::Certificate<MAX_VALIDATORS>,
    validators: &[PublicKey],
) -> Option<Vec<SignatureCheck>> {
    certificate
        .signatures
        .iter()
        .map(|(index, signature)| {
            let vote = bft::Vote {
                kind: certificate.kind,
                height: certificate.height,
                round: certificate.round,
                value: certificate.value,
                validator: *index,
            };
            Some(SignatureCheck {
                key: *validators.get(usize::from(*index))?,
                message: vote_sign_bytes(chain_id, &vote),
                signature: Signature(signature.0),
            })
        })
        .collect()
}

/// A block: what was agreed at one height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header; its hash is the block's id.
    pub header: Header,
    /// The commit of the previous block.
    pub last_commit: Commit,
    /// Proofs of double-signing.
    pub evidence: Vec<Evidence>,
    /// Signed transactions, as received.
    #[serde(deserialize_with = "codec::at_most::<_, _, MAX_BLOCK_TXS>")]
    pub txs: Vec<Bytes>,
}

impl Block {
    /// Encodes the block.
    pub fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    /// Decodes a block that a peer or the disk gave.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are not a block of this version within all limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let block: Self = codec::decode(bytes, MAX_BLOCK_BYTES)?;
        if block.header.version != BLOCK_VERSION {
            return Err(CodecError::Version(block.header.version));
        }
        let counts_fit = block.evidence.len() <= MAX_BLOCK_EVIDENCE
            && block.last_commit.signatures.len() <= MAX_VALIDATORS;
        if counts_fit { Ok(block) } else { Err(CodecError::Malformed) }
    }

    /// Whether the parts are those that the header names.
    pub fn matches_header(&self) -> bool {
        self.header.tx_count as usize == self.txs.len()
            && self.header.last_commit == self.last_commit.hash()
            && self.header.evidence == evidence_hash(&self.evidence)
            && self.header.txs_root == txs_root(&self.txs)
    }
}

/// RFC 6962 root of a block's transactions.
pub fn txs_root(txs: &[Bytes]) -> Hash32 {
    Hash32(merkle::root(txs.iter().map(AsRef::as_ref)))
}

/// Hash of a block's evidence.
pub fn evidence_hash(evidence: &[Evidence]) -> Hash32 {
    hash(domain::EVIDENCE_LIST, &[&codec::encode(&evidence)])
}

/// A decided block with its commit, as handed to storage, peers and clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBlock {
    /// Its id.
    pub id: Hash32,
    /// The block.
    pub block: Block,
    /// The commit that decided it.
    pub commit: Commit,
}
