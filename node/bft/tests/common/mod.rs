//! What the tests share: a validator under test, and short words for messages and actions.
#![allow(dead_code, clippy::unwrap_used)]

use trustnet_bft::{
    Action, Actions, Certificate, Core, Event, Height, Index, Memory, Power, Proposal, Round, Signature,
    SignedProposal, SignedVote, Step, Timeout, ValidatorSet, ValueId, Vote, VoteKind,
};

/// Room for the largest set of these tests.
pub const N: usize = 8;

/// A multiple of 1 to 8: with equal powers, validator `r mod n` proposes in round `r`.
pub const HEIGHT: Height = 840;

pub use VoteKind::{Precommit, Prevote};

/// Value number `i`.
pub const fn value(i: u8) -> ValueId {
    ValueId([i; 32])
}

pub const A: ValueId = value(0xA);
pub const B: ValueId = value(0xB);

/// `n` equal powers.
pub fn equal(n: usize) -> ValidatorSet<N> {
    ValidatorSet::new(&[1; N][..n]).unwrap()
}

pub fn weighted(powers: &[Power]) -> ValidatorSet<N> {
    ValidatorSet::new(powers).unwrap()
}

/// A vote; the "signature" depends on everything signed, as an Ed25519 signature does.
pub fn vote(kind: VoteKind, round: Round, validator: Index, value: Option<ValueId>) -> SignedVote {
    sign(Vote { kind, height: HEIGHT, round, value, validator })
}

pub fn sign(vote: Vote) -> SignedVote {
    let mut bytes = [0; 64];
    bytes[0] = 1 + vote.kind as u8;
    bytes[1..9].copy_from_slice(&vote.height.to_be_bytes());
    bytes[9..13].copy_from_slice(&vote.round.to_be_bytes());
    bytes[13..15].copy_from_slice(&vote.validator.to_be_bytes());
    if let Some(ValueId(id)) = vote.value {
        bytes[15] = 1;
        bytes[16..48].copy_from_slice(&id);
    }
    SignedVote { vote, signature: Signature(bytes) }
}

pub fn proposal(
    round: Round,
    proposer: Index,
    value: ValueId,
    pol_round: impl Into<Option<Round>>,
) -> SignedProposal {
    sign_proposal(Proposal { height: HEIGHT, round, value, pol_round: pol_round.into(), proposer })
}

pub fn sign_proposal(proposal: Proposal) -> SignedProposal {
    let mut bytes = [0; 64];
    bytes[1..9].copy_from_slice(&proposal.height.to_be_bytes());
    bytes[9..13].copy_from_slice(&proposal.round.to_be_bytes());
    bytes[13..15].copy_from_slice(&proposal.proposer.to_be_bytes());
    bytes[16..48].copy_from_slice(&proposal.value.0);
    if let Some(pol_round) = proposal.pol_round {
        bytes[48] = 1;
        bytes[49..53].copy_from_slice(&pol_round.to_be_bytes());
    }
    SignedProposal { proposal, signature: Signature(bytes) }
}

pub fn certificate(
    kind: VoteKind,
    round: Round,
    value: Option<ValueId>,
    signers: impl IntoIterator<Item = Index>,
) -> Certificate<N> {
    certificate_at(HEIGHT, kind, round, value, signers)
}

pub fn certificate_at(
    height: Height,
    kind: VoteKind,
    round: Round,
    value: Option<ValueId>,
    signers: impl IntoIterator<Item = Index>,
) -> Certificate<N> {
    let sign = |validator| (validator, sign(Vote { kind, height, round, value, validator }).signature);
    Certificate { kind, height, round, value, signatures: signers.into_iter().map(sign).collect() }
}

/// A locked or a valid value.
pub type At = Option<(Round, ValueId)>;

/// A validator under test.
pub struct Node {
    pub core: Box<Core<N>>,
    pub me: Index,
    actions: Actions,
}

impl Node {
    /// Validator `me` of a set, before the start.
    pub fn fresh(set: ValidatorSet<N>, me: Index) -> Self {
        Self { core: Box::new(Core::new(HEIGHT, set, Some(me))), me, actions: Actions::new() }
    }

    /// Validator `me` of a set, started, its first actions thrown away.
    pub fn started(set: ValidatorSet<N>, me: Index) -> Self {
        let mut node = Self::fresh(set, me);
        node.run(Event::Start);
        node
    }

    /// The usual one: validator 3 of four equals, started. It proposes in round 3.
    pub fn three_of_four() -> Self {
        Self::started(equal(4), 3)
    }

    pub fn restored(set: ValidatorSet<N>, me: Index, memory: Memory) -> Self {
        Self { core: Box::new(Core::restore(set, Some(me), memory)), me, actions: Actions::new() }
    }

    /// Feeds one event.
    pub fn feed(&mut self, event: Event<'_, N>) -> Vec<Action> {
        self.core.step(event, &mut self.actions);
        let round = self.core.memory().round;
        for action in &self.actions {
            match action {
                Action::Vote(vote) => {
                    assert_eq!(vote.round, round, "votes belong to the round of the memory");
                }
                Action::Propose(proposal) => assert_eq!(proposal.round, round),
                _ => {}
            }
        }
        self.actions.to_vec()
    }

    /// Feeds one event, and then our own proposals and votes as they come out, as a caller does.
    pub fn run(&mut self, event: Event<'_, N>) -> Vec<Action> {
        let mut all = self.feed(event);
        let mut next = 0;
        while let Some(&action) = all.get(next) {
            next += 1;
            all.extend(match action {
                Action::Vote(vote) => self.feed(Event::Vote(sign(vote))),
                Action::Propose(proposal) => {
                    self.feed(Event::Proposal { proposal: sign_proposal(proposal), valid: true })
                }
                _ => Vec::new(),
            });
        }
        all
    }

    /// A valid proposal arrives.
    pub fn propose(
        &mut self,
        round: Round,
        value: ValueId,
        pol_round: impl Into<Option<Round>>,
    ) -> Vec<Action> {
        self.judged(round, value, pol_round, true)
    }

    pub fn judged(
        &mut self,
        round: Round,
        value: ValueId,
        pol_round: impl Into<Option<Round>>,
        valid: bool,
    ) -> Vec<Action> {
        let proposal = proposal(round, self.core.proposer(round), value, pol_round);
        self.run(Event::Proposal { proposal, valid })
    }

    /// Votes arrive, one by one.
    pub fn votes(
        &mut self,
        kind: VoteKind,
        round: Round,
        value: Option<ValueId>,
        voters: impl IntoIterator<Item = Index>,
    ) -> Vec<Action> {
        voters.into_iter().flat_map(|voter| self.run(Event::Vote(vote(kind, round, voter, value)))).collect()
    }

    pub fn prevotes(
        &mut self,
        round: Round,
        value: impl Into<Option<ValueId>>,
        voters: impl IntoIterator<Item = Index>,
    ) -> Vec<Action> {
        self.votes(Prevote, round, value.into(), voters)
    }

    pub fn precommits(
        &mut self,
        round: Round,
        value: impl Into<Option<ValueId>>,
        voters: impl IntoIterator<Item = Index>,
    ) -> Vec<Action> {
        self.votes(Precommit, round, value.into(), voters)
    }

    pub fn certify(
        &mut self,
        kind: VoteKind,
        round: Round,
        value: impl Into<Option<ValueId>>,
        signers: impl IntoIterator<Item = Index>,
    ) -> Vec<Action> {
        self.run(Event::Certificate(&certificate(kind, round, value.into(), signers)))
    }

    /// A timer fires.
    pub fn expire(&mut self, round: Round, step: Step) -> Vec<Action> {
        self.run(Event::Timeout(Timeout { height: HEIGHT, round, step }))
    }

    /// Goes to the next round by timeouts, without having heard any prevote of the others.
    pub fn fail_round(&mut self) -> Vec<Action> {
        let round = self.core.round();
        self.expire(round, Step::Propose);
        let others: Vec<Index> = (0..self.core.set().len() as Index).filter(|&i| i != self.me).collect();
        self.precommits(round, None, others);
        self.expire(round, Step::Precommit)
    }

    /// The actions that we would emit for these votes.
    pub fn prevoted(&self, round: Round, value: impl Into<Option<ValueId>>) -> Action {
        Action::Vote(vote(Prevote, round, self.me, value.into()).vote)
    }

    pub fn precommitted(&self, round: Round, value: impl Into<Option<ValueId>>) -> Action {
        Action::Vote(vote(Precommit, round, self.me, value.into()).vote)
    }

    /// Round, step, locked and valid at once.
    pub fn state(&self) -> (Round, Step, At, At) {
        (self.core.round(), self.core.current_step(), self.core.locked(), self.core.valid())
    }
}

pub fn schedule(round: Round, step: Step) -> Action {
    Action::Schedule(Timeout { height: HEIGHT, round, step })
}

pub fn new_round(round: Round) -> Action {
    Action::NewRound { round }
}

pub fn decide(round: Round, value: ValueId) -> Action {
    Action::Decide { round, value }
}

pub fn proposed(
    round: Round,
    proposer: Index,
    value: ValueId,
    pol_round: impl Into<Option<Round>>,
) -> Action {
    Action::Propose(proposal(round, proposer, value, pol_round).proposal)
}

/// Numerical Recipes' generator, the upper half of the state.
pub struct Lcg(u64);

impl Lcg {
    pub fn new(seed: u64) -> Self {
        let mut lcg = Self(seed);
        for _ in 0..4 {
            lcg.next();
        }
        lcg
    }

    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
