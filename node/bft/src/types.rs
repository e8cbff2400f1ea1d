//! The words of the protocol: heights, rounds, values, votes, proposals, timeouts, and what a validator remembers.

/// Number of a block in the chain. One instance of consensus decides one height.
pub type Height = u64;

/// Attempt within a height, counted from 0.
pub type Round = u32;

/// Voting power of a validator, in the caller's units.
pub type Power = u64;

/// Position of a validator in the [`ValidatorSet`](crate::ValidatorSet) of the height.
pub type Index = u16;

/// Last round of a height. Messages that name a later round are ignored, and a validator that has reached this
/// round stays in it, so no arithmetic on rounds can overflow. At one round a second it is 34 years away.
pub const MAX_ROUND: Round = 1 << 30;

/// Largest validator set that a core can be compiled for (`N` of [`Core`](crate::Core)). A larger `N` does not compile:
///
/// ```compile_fail
/// let set = trustnet_bft::ValidatorSet::<129>::new(&[1]);
/// ```
pub const MAX_VALIDATORS: usize = 128;

/// Identity of a proposed value: its hash. The core compares ids and never looks inside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ValueId(pub [u8; 32]);

/// A signature that the caller has made or verified. The core stores it and hands it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature(pub [u8; 64]);

/// Which of the two voting steps a vote belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VoteKind {
    /// First vote of a round: "I could accept this value".
    Prevote,
    /// Second vote of a round: "I have seen more than 2/3 prevote it, and lock on it".
    Precommit,
}

/// A vote, as it is signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// Height that is being decided.
    pub height: Height,
    /// Round of the height.
    pub round: Round,
    /// The value voted for, or `None` for nil ("no value in this round").
    pub value: Option<ValueId>,
    /// Who votes.
    pub validator: Index,
}

/// A vote with its signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedVote {
    /// What is signed.
    pub vote: Vote,
    /// The validator's signature.
    pub signature: Signature,
}

/// A proposal, as it is signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Proposal {
    /// Height that is being decided.
    pub height: Height,
    /// Round of the height.
    pub round: Round,
    /// The value proposed.
    pub value: ValueId,
    /// For a value proposed again: the earlier round in which it won more than 2/3 of the prevotes (the paper's
    /// `validRound`; `None` is its -1).
    pub pol_round: Option<Round>,
    /// Who proposes.
    pub proposer: Index,
}

/// A proposal with its signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedProposal {
    /// What is signed.
    pub proposal: Proposal,
    /// The proposer's signature.
    pub signature: Signature,
}

/// Step of a round, in the order in which a round goes through them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// Waiting for the proposal.
    Propose,
    /// Prevoted; waiting for the prevotes of others.
    Prevote,
    /// Precommitted; waiting for the precommits of others.
    Precommit,
}

/// A timer of one step of one round. The caller picks the duration, and must let it grow with the round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timeout {
    /// Height that it belongs to.
    pub height: Height,
    /// Round that it belongs to.
    pub round: Round,
    /// Step that it ends.
    pub step: Step,
}

/// What this validator has signed and must remember across a crash: the signer record.
///
/// The caller makes it durable after every [`Core::step`](crate::Core::step) that emitted
/// [`Action::Propose`](crate::Action::Propose) or [`Action::Vote`](crate::Action::Vote), and before it signs them.
/// `proposed`, `prevoted` and `precommitted` are those of `round`; `locked` and `valid` hold for the height.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Height being decided.
    pub height: Height,
    /// Round that we are in.
    pub round: Round,
    /// Step that we are in.
    pub step: Step,
    /// Value and `pol_round` that we proposed in this round.
    pub proposed: Option<(ValueId, Option<Round>)>,
    /// Our prevote of this round; `Some(None)` is a vote for nil.
    pub prevoted: Option<Option<ValueId>>,
    /// Our precommit of this round; `Some(None)` is a vote for nil.
    pub precommitted: Option<Option<ValueId>>,
    /// The paper's `lockedRound` and `lockedValue`.
    pub locked: Option<(Round, ValueId)>,
    /// The paper's `validRound` and `validValue`.
    pub valid: Option<(Round, ValueId)>,
}
