//! The core: one validator's state machine for one height.

use crate::bits::Bits;
use crate::certificate::Certificate;
use crate::events::{Actions, Event};
use crate::types::{Height, Index, Memory, Round, SignedProposal, SignedVote, Step, ValueId, Vote, VoteKind};
use crate::validators::ValidatorSet;

/// One validator's consensus on one height.
pub struct Core<const N: usize> {
    height: Height,
    set: ValidatorSet<N>,
    me: Option<Index>,
    silent: bool,
    memory: Memory,
}

impl<const N: usize> Core<N> {
    /// A core for a height, before [`Event::Start`]. `me` is our own index, or `None` to observe only.
    pub fn new(height: Height, set: ValidatorSet<N>, me: Option<Index>) -> Self {
        let memory = Memory {
            height,
            round: 0,
            step: Step::Propose,
            proposed: None,
            prevoted: None,
            precommitted: None,
            locked: None,
            valid: None,
        };
        Self { height, set, me, silent: false, memory }
    }

    /// A core that goes on after a crash.
    pub fn restore(set: ValidatorSet<N>, me: Option<Index>, memory: Memory) -> Self {
        let mut core = Self::new(memory.height, set, me);
        core.memory = memory;
        core
    }

    /// Observe, never propose or vote.
    pub fn silence(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// Handles one event. `actions` is emptied first and then holds what the caller must do.
    pub fn step(&mut self, _event: Event<'_, N>, actions: &mut Actions) {
        actions.clear();
    }

    /// What must be durable before the votes and proposals of the last step are signed.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Height being decided.
    pub fn height(&self) -> Height {
        self.height
    }

    /// Current round.
    pub fn round(&self) -> Round {
        self.memory.round
    }

    /// Current step.
    pub fn current_step(&self) -> Step {
        self.memory.step
    }

    /// The validators of this height.
    pub fn set(&self) -> &ValidatorSet<N> {
        &self.set
    }

    /// Our own index.
    pub fn me(&self) -> Option<Index> {
        self.me
    }

    /// Round and value decided.
    pub fn decided(&self) -> Option<(Round, ValueId)> {
        None
    }

    /// Who proposes in a round of this height.
    pub fn proposer(&self, round: Round) -> Index {
        self.set.proposer(self.height, round)
    }

    /// The precommits that decided.
    pub fn commit_certificate(&self) -> Option<Certificate<N>> {
        None
    }

    /// The prevotes that made a value valid in a round.
    pub fn polka_certificate(&self, _round: Round) -> Option<Certificate<N>> {
        None
    }

    /// Start over for the next height, in place.
    pub fn next_height(&mut self, set: ValidatorSet<N>, me: Option<Index>) {
        *self = Self::new(self.height.saturating_add(1), set, me);
    }

    /// A stored vote.
    pub fn vote_of(&self, _kind: VoteKind, _round: Round, _index: Index) -> Option<SignedVote> {
        None
    }

    /// The stored votes of a round.
    pub fn votes(&self, _kind: VoteKind, _round: Round) -> impl Iterator<Item = SignedVote> + '_ {
        core::iter::empty()
    }

    /// Whose votes of a round are stored.
    pub fn vote_bitmap(&self, _kind: VoteKind, _round: Round) -> Bits<N> {
        Bits::EMPTY
    }

    /// Cheap check before the signature is verified: could this vote change anything?
    pub fn is_new(&self, _vote: &Vote) -> bool {
        true
    }

    /// The paper's locked round and value.
    pub fn locked(&self) -> Option<(Round, ValueId)> {
        self.memory.locked
    }

    /// The paper's valid round and value.
    pub fn valid(&self) -> Option<(Round, ValueId)> {
        self.memory.valid
    }

    /// The first proposal of a round.
    pub fn proposal(&self, _round: Round) -> Option<SignedProposal> {
        None
    }
}
