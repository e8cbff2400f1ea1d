//! What a validator must never forget: what it signed last, on disk before a signature leaves the machine.

use serde::{Deserialize, Serialize};
use trustnet_bft as bft;
use trustnet_ledger::codec::{self, CodecError};
use trustnet_ledger::crypto::{Hash32, Signature};

use crate::block::MAX_VALIDATORS;

/// Version of the signer record.
pub const SIGN_RECORD_VERSION: u8 = 2;
/// The largest encoded signer record, in bytes.
pub const MAX_SIGN_RECORD_BYTES: usize = 4_000;
/// The most signatures of a polka that a record carries, so that it fits one page of the disk with the
/// rest: a quorum of 80 equal validators. Larger sets rely on peers that did not crash at the same time.
pub const MAX_POLKA_SIGNATURES: usize = 55;

/// What this validator last signed, and what it is locked on: enough never to contradict itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignRecord {
    /// [`SIGN_RECORD_VERSION`].
    pub version: u8,
    /// Height of the last signature.
    pub height: u64,
    /// Round of the last signature.
    pub round: u32,
    /// Proposal signed in that round: value and proof-of-lock round.
    pub proposed: Option<(Hash32, Option<u32>)>,
    /// Prevote signed in that round (inner `None` is nil).
    pub prevoted: Option<Option<Hash32>>,
    /// Precommit signed in that round (inner `None` is nil).
    pub precommitted: Option<Option<Hash32>>,
    /// Locked round and value of the height.
    pub locked: Option<(u32, Hash32)>,
    /// Valid round and value of the height.
    pub valid: Option<(u32, Hash32)>,
    /// The prevotes that made it valid, as in [`crate::block::Commit`]; empty when there are none or too
    /// many. Without them a network whose nodes all crashed at once could not prove a lock to those that
    /// had not seen it, and two halves could refuse each other's proposals for ever.
    pub polka: Vec<(u16, Signature)>,
    /// The last precommit for a block at an earlier height. The block log may have lost that height's commit in the
    /// same torn flush that this record came through; if every log has, nobody can go on unless all say it again.
    pub before: Option<Precommit>,
}

/// A precommit for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precommit {
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// The block.
    pub block: Hash32,
}

impl SignRecord {
    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a record from disk.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are not a record of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let record: Self = codec::decode(bytes, MAX_SIGN_RECORD_BYTES)?;
        if record.version == SIGN_RECORD_VERSION {
            Ok(record)
        } else {
            Err(CodecError::Version(record.version))
        }
    }

    /// The proof of the valid value, for the restored core.
    pub fn polka_certificate(&self) -> Option<bft::Certificate<MAX_VALIDATORS>> {
        let (round, value) = self.valid?;
        let mut signatures = heapless::Vec::new();
        for (index, signature) in &self.polka {
            signatures.push((*index, bft::Signature(signature.0))).ok()?;
        }
        (!signatures.is_empty()).then_some(bft::Certificate {
            kind: bft::VoteKind::Prevote,
            height: self.height,
            round,
            value: Some(bft::ValueId(value.0)),
            signatures,
        })
    }

    /// The precommit of this record that a later height's must carry.
    pub(crate) fn precommit(&self) -> Option<Precommit> {
        let block = self.precommitted.flatten()?;
        Some(Precommit { height: self.height, round: self.round, block })
    }

    /// As the memory with which the consensus core is restored.
    pub fn memory(&self) -> bft::Memory {
        let value = |hash: Hash32| bft::ValueId(hash.0);
        let step = match (self.prevoted, self.precommitted) {
            (_, Some(_)) => bft::Step::Precommit,
            (Some(_), None) => bft::Step::Prevote,
            (None, None) => bft::Step::Propose,
        };
        bft::Memory {
            height: self.height,
            round: self.round,
            step,
            proposed: self.proposed.map(|(hash, pol_round)| (value(hash), pol_round)),
            prevoted: self.prevoted.map(|vote| vote.map(value)),
            precommitted: self.precommitted.map(|vote| vote.map(value)),
            locked: self.locked.map(|(round, hash)| (round, value(hash))),
            valid: self.valid.map(|(round, hash)| (round, value(hash))),
        }
    }
}
