//! Proof that a validator signed two different things for one slot.

use serde::{Deserialize, Serialize};
use trustnet_bft as bft;
use trustnet_ledger::crypto::{PublicKey, Signature};

use crate::block::{proposal_sign_bytes, vote_sign_bytes};
use crate::verifier::Verifier;

/// Evidence older than this many blocks is refused: the culprit's set is long gone.
pub const MAX_EVIDENCE_AGE_BLOCKS: u64 = 100_000;

/// Two contradicting signatures by one validator key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// Two votes of one kind, height and round for different values.
    Votes {
        /// The culprit's validator key.
        validator: PublicKey,
        /// Whether the votes are precommits (else prevotes).
        precommit: bool,
        /// Height of both.
        height: u64,
        /// Round of both.
        round: u32,
        /// The values (nil is `None`) with their signatures; the smaller value first.
        votes: [(Option<[u8; 32]>, Signature); 2],
    },
    /// Two proposals of one height and round that differ in value or proof-of-lock round.
    Proposals {
        /// The culprit's validator key.
        validator: PublicKey,
        /// Height of both.
        height: u64,
        /// Round of both.
        round: u32,
        /// Value, proof-of-lock round and signature; the smaller pair first.
        proposals: [([u8; 32], Option<u32>, Signature); 2],
    },
}

impl Evidence {
    /// From two votes that the core found contradicting.
    pub fn from_votes(validator: PublicKey, first: &bft::SignedVote, second: &bft::SignedVote) -> Self {
        let side = |signed: &bft::SignedVote| {
            (signed.vote.value.map(|value| value.0), Signature(signed.signature.0))
        };
        let mut votes = [side(first), side(second)];
        votes.sort_by_key(|(value, _)| *value);
        Self::Votes {
            validator,
            precommit: first.vote.kind == bft::VoteKind::Precommit,
            height: first.vote.height,
            round: first.vote.round,
            votes,
        }
    }

    /// From two proposals that the core found contradicting.
    pub fn from_proposals(
        validator: PublicKey,
        first: &bft::SignedProposal,
        second: &bft::SignedProposal,
    ) -> Self {
        let side = |signed: &bft::SignedProposal| {
            (signed.proposal.value.0, signed.proposal.pol_round, Signature(signed.signature.0))
        };
        let mut proposals = [side(first), side(second)];
        proposals.sort_by_key(|(value, pol_round, _)| (*value, *pol_round));
        Self::Proposals { validator, height: first.proposal.height, round: first.proposal.round, proposals }
    }

    /// The culprit.
    pub fn validator(&self) -> PublicKey {
        match self {
            Self::Votes { validator, .. } | Self::Proposals { validator, .. } => *validator,
        }
    }

    /// The height at which it happened.
    pub fn height(&self) -> u64 {
        match self {
            Self::Votes { height, .. } | Self::Proposals { height, .. } => *height,
        }
    }

    /// Whether this proves what it claims: in order, different, and both signatures valid.
    pub fn proves(&self, chain_id: &str, verifier: &dyn Verifier) -> bool {
        match self {
            Self::Votes { validator, precommit, height, round, votes } => {
                let kind = if *precommit { bft::VoteKind::Precommit } else { bft::VoteKind::Prevote };
                votes[0].0 < votes[1].0
                    && votes.iter().all(|(value, signature)| {
                        let vote = bft::Vote {
                            kind,
                            height: *height,
                            round: *round,
                            value: value.map(bft::ValueId),
                            validator: 0,
                        };
                        verifier.verify(validator, &vote_sign_bytes(chain_id, &vote), signature)
                    })
            }
            Self::Proposals { validator, height, round, proposals } => {
                let order = |p: &([u8; 32], Option<u32>, Signature)| (p.0, p.1);
                order(&proposals[0]) < order(&proposals[1])
                    && proposals.iter().all(|(value, pol_round, signature)| {
                        let proposal = bft::Proposal {
                            height: *height,
                            round: *round,
                            value: bft::ValueId(*value),
                            pol_round: *pol_round,
                            proposer: 0,
                        };
                        verifier.verify(validator, &proposal_sign_bytes(chain_id, &proposal), signature)
                    })
            }
        }
    }
}
