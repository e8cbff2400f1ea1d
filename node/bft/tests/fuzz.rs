//! Random events, sensible and not: nothing panics, and what must always hold does.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::collections::BTreeMap;
use trustnet_bft::{
    Action, Actions, Certificate, Core, Event, Index, MAX_ACTIONS, MAX_ROUND, Memory, Proposal, Round,
    Signature, Step, Timeout, ValidatorSet, ValueId, Vote, VoteKind,
};

/// What a validator has said in this height, over all its lives.
#[derive(Default)]
struct Said {
    votes: BTreeMap<(VoteKind, Round), Option<ValueId>>,
    proposals: BTreeMap<Round, (ValueId, Option<Round>)>,
    decided: Option<(Round, ValueId)>,
}

/// Makes events up.
struct Inventor {
    rng: Lcg,
    members: usize,
}

impl Inventor {
    fn round(&mut self, current: Round) -> Round {
        match self.rng.below(12) {
            0 => [MAX_ROUND, MAX_ROUND - 1, MAX_ROUND + 1, Round::MAX][self.rng.below(4)],
            1 => self.rng.below(40) as Round,
            2 | 3 => current.saturating_add(self.rng.below(6) as Round),
            4 | 5 => current.saturating_sub(self.rng.below(6) as Round),
            _ => current,
        }
    }

    fn value(&mut self) -> Option<ValueId> {
        [None, Some(A), Some(A), Some(B), Some(value(3))][self.rng.below(5)]
    }

    fn height(&mut self) -> u64 {
        if self.rng.one_in(30) { [0, HEIGHT - 1, HEIGHT + 1, u64::MAX][self.rng.below(4)] } else { HEIGHT }
    }

    fn index(&mut self) -> Index {
        if self.rng.one_in(30) { self.rng.next() as Index } else { self.rng.below(self.members) as Index }
    }

    fn kind(&mut self) -> VoteKind {
        if self.rng.one_in(2) { Prevote } else { Precommit }
    }

    fn vote(&mut self, current: Round) -> Vote {
        Vote {
            kind: self.kind(),
            height: self.height(),
            round: self.round(current),
            value: self.value(),
            validator: self.index(),
        }
    }

    fn proposal(&mut self, core: &Core<N>) -> Proposal {
        let round = self.round(core.round());
        let pol_round = if self.rng.one_in(2) { None } else { Some(self.round(round.saturating_sub(1))) };
        let proposer = if self.rng.one_in(20) { self.index() } else { core.proposer(round) };
        Proposal { height: self.height(), round, value: self.value().unwrap_or(A), pol_round, proposer }
    }

    fn certificate(&mut self, current: Round) -> Certificate<N> {
        let mut certificate = certificate(self.kind(), self.round(current), self.value(), []);
        certificate.height = self.height();
        let messy = self.rng.one_in(8);
        for index in 0..self.members as Index {
            if !self.rng.one_in(5) {
                let index = if messy { self.index() } else { index };
                let vote = Vote {
                    kind: certificate.kind,
                    height: certificate.height,
                    round: certificate.round,
                    value: certificate.value,
                    validator: index,
                };
                certificate.signatures.push((index, sign(vote).signature)).unwrap();
            }
        }
        certificate
    }

    fn timeout(&mut self, current: Round) -> Timeout {
        let step = [Step::Propose, Step::Prevote, Step::Precommit][self.rng.below(3)];
        Timeout { height: self.height(), round: self.round(current), step }
    }
}

/// Everything about the votes that a caller can see, for the rounds around the current one.
fn visible(core: &Core<N>) -> Vec<Option<Certificate<N>>> {
    let rounds = core.round().saturating_sub(6)..=core.round().saturating_add(6);
    rounds
        .flat_map(|round| [Prevote, Precommit].map(|kind| (kind, round)))
        .map(|(kind, round)| core.certificate(kind, round))
        .collect()
}

fn invariants(core: &Core<N>) {
    let memory = core.memory();
    if let Some((locked, _)) = memory.locked {
        assert!(memory.valid.is_some_and(|(valid, _)| valid >= locked), "valid is never older than locked");
        assert!(locked <= memory.round);
    }
    assert!(memory.round <= MAX_ROUND);
    for certificate in visible(core).into_iter().flatten() {
        assert_eq!(certificate.check_shape(core.set()), Ok(()));
    }
    if let Some((round, value)) = core.decided() {
        let commit = core.commit_certificate().unwrap();
        assert_eq!((commit.kind, commit.round, commit.value), (Precommit, round, Some(value)));
        assert_eq!(commit.check_shape(core.set()), Ok(()));
    }
}

/// Checks one step's actions against all that was said before.
fn check(node: &Node, said: &mut Said, before: &Memory, actions: &[Action]) {
    let mut scheduled = Vec::new();
    for action in actions {
        match *action {
            Action::Vote(vote) => {
                let known = *said.votes.entry((vote.kind, vote.round)).or_insert(vote.value);
                assert_eq!(known, vote.value, "two votes");
                assert_eq!((Some(vote.validator), vote.height), (node.core.me(), HEIGHT));
            }
            Action::Propose(proposal) => {
                let now = (proposal.value, proposal.pol_round);
                let known = *said.proposals.entry(proposal.round).or_insert(now);
                assert_eq!(known, now, "two proposals");
                assert_eq!(node.core.proposer(proposal.round), node.me);
            }
            Action::Decide { round, value } => {
                assert_eq!(*said.decided.get_or_insert((round, value)), (round, value), "two decisions");
            }
            Action::Schedule(timeout) => {
                assert!(!scheduled.contains(&timeout));
                scheduled.push(timeout);
            }
            Action::NewRound { round } => assert!(round >= before.round),
            Action::GetValue { round, .. } => assert_eq!(round, node.core.round()),
            Action::Equivocation { first, second } => {
                assert_ne!(first.vote.value, second.vote.value);
                assert_eq!(Vote { value: None, ..first.vote }, Vote { value: None, ..second.vote });
            }
            Action::ProposalEquivocation { first, second } => {
                assert_ne!(first.proposal, second.proposal);
                assert_eq!(first.proposal.round, second.proposal.round);
            }
        }
    }
}

/// One life after another of one validator; `wild` also restores memories that never were.
fn run(seed: u64) {
    let mut rng = Lcg::new(seed);
    let members = 1 + rng.below(N);
    let powers: Vec<u64> = (0..members).map(|_| 1 + rng.below(3) as u64).collect();
    let set = weighted(&powers);
    let me = rng.below(members) as Index;
    let mut node = Node::fresh(set.clone(), me);
    let mut said = Said::default();
    let mut inventor = Inventor { rng, members };
    for _ in 0..400 {
        let before = node.core.memory();
        let current = before.round;
        let actions = match inventor.rng.below(40) {
            0 => node.feed(Event::Start),
            1 => {
                node.core.silence(inventor.rng.one_in(2));
                Vec::new()
            }
            2 => {
                if said.decided.is_none() {
                    node = Node::restored(set.clone(), me, before);
                }
                Vec::new()
            }
            3..=9 => {
                let proposal = inventor.proposal(&node.core);
                let new = node.core.is_new_proposal(&proposal);
                let valid = !inventor.rng.one_in(4);
                let votes = visible(&node.core);
                let actions = node.feed(Event::Proposal { proposal: sign_proposal(proposal), valid });
                if !new {
                    // A proposer fresh from silence may speak at any event.
                    assert!(
                        actions.iter().all(|a| matches!(a, Action::GetValue { .. } | Action::Propose(_)))
                    );
                    assert_eq!(visible(&node.core), votes);
                }
                actions
            }
            10..=14 => {
                let certificate = inventor.certificate(current);
                node.feed(Event::Certificate(&certificate))
            }
            15 => {
                let round = inventor.round(current);
                node.feed(Event::Value { round, value: value(9) })
            }
            16 => {
                let round = inventor.round(current);
                node.feed(Event::Standstill { round })
            }
            17..=21 => {
                let timeout = inventor.timeout(current);
                node.feed(Event::Timeout(timeout))
            }
            _ => {
                let vote = inventor.vote(current);
                // A copy of us would say things that we have not said: see pitfall 26.
                if vote.validator == me {
                    continue;
                }
                let new = node.core.is_new(&vote);
                let actions = node.feed(Event::Vote(sign(vote)));
                if !new {
                    assert!(
                        actions.iter().all(|a| matches!(a, Action::GetValue { .. } | Action::Propose(_)))
                    );
                }
                assert!(!node.core.is_new(&vote), "taken, known, or not of interest");
                actions
            }
        };
        check(&node, &mut said, &before, &actions);
        // Our own messages come back, mostly.
        for action in actions {
            let before = node.core.memory();
            let more = match action {
                Action::Vote(vote) if !inventor.rng.one_in(10) => node.feed(Event::Vote(sign(vote))),
                Action::Propose(proposal) if !inventor.rng.one_in(10) => {
                    node.feed(Event::Proposal { proposal: sign_proposal(proposal), valid: true })
                }
                Action::GetValue { round, .. } => node.feed(Event::Value { round, value: value(7) }),
                _ => continue,
            };
            check(&node, &mut said, &before, &more);
        }
        invariants(&node.core);
    }
}

#[test]
fn random_events_never_panic_and_break_no_promise() {
    for seed in 0..2500 {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "the failing seed is {seed}");
    }
}

#[test]
fn a_core_that_is_used_again_behaves_as_a_new_one() {
    for seed in 0..300 {
        let mut inventor = Inventor { rng: Lcg::new(seed), members: 4 };
        let mut used = Node::fresh(equal(4), 3);
        let mut new = Node::fresh(equal(4), 3);
        for phase in 0..2 {
            for i in 0..120 {
                let current = used.core.round();
                let vote = sign(inventor.vote(current));
                let proposal = sign_proposal(inventor.proposal(&used.core));
                let certificate = inventor.certificate(current);
                let event = match inventor.rng.below(13) {
                    _ if i == 3 => Event::Start,
                    0..=6 => Event::Vote(vote),
                    7 | 8 => Event::Proposal { proposal, valid: true },
                    9 => Event::Certificate(&certificate),
                    10 => Event::Value { round: current, value: A },
                    11 => Event::Standstill { round: current },
                    _ => Event::Timeout(inventor.timeout(current)),
                };
                let actions = used.feed(event);
                if phase == 1 {
                    assert_eq!(actions, new.feed(event), "seed {seed}");
                    assert_eq!(used.core.memory(), new.core.memory(), "seed {seed}");
                }
            }
            if phase == 0 {
                used.core.reset(HEIGHT, equal(4), Some(3));
            }
        }
    }
}

#[test]
fn wild_memories_never_panic() {
    let rounds = [0, 1, 5, MAX_ROUND, MAX_ROUND + 1, Round::MAX];
    let mut rng = Lcg::new(7);
    let mut inventor = Inventor { rng: Lcg::new(8), members: 4 };
    for _ in 0..3000 {
        let mut round = || rounds[rng.below(6)];
        let memory = Memory {
            height: [0, HEIGHT, u64::MAX][round() as usize % 3],
            round: round(),
            step: [Step::Propose, Step::Prevote, Step::Precommit][round() as usize % 3],
            proposed: [None, Some((A, None)), Some((B, Some(round())))][round() as usize % 3],
            prevoted: [None, Some(None), Some(Some(A))][round() as usize % 3],
            precommitted: [None, Some(None), Some(Some(A))][round() as usize % 3],
            locked: [None, Some((round(), A))][round() as usize % 2],
            valid: [None, Some((round(), A))][round() as usize % 2],
        };
        let mut node = Node::restored(equal(4), 3, memory);
        node.feed(Event::Start);
        for _ in 0..30 {
            let vote = inventor.vote(node.core.round());
            node.feed(Event::Vote(sign(Vote { height: memory.height, ..vote })));
            let proposal = inventor.proposal(&node.core);
            let proposal = sign_proposal(Proposal { height: memory.height, ..proposal });
            node.feed(Event::Proposal { proposal, valid: true });
            let timeout = inventor.timeout(node.core.round());
            node.feed(Event::Timeout(Timeout { height: memory.height, ..timeout }));
        }
        node.core.next_height(equal(7), Some(1));
        assert_eq!(node.core.height(), memory.height.saturating_add(1));
        node.feed(Event::Start);
    }
}

#[test]
fn a_step_that_reports_everybody_still_has_room() {
    // 128 validators prevote 128 different values; then a certificate says that all of them prevoted another one.
    let set = ValidatorSet::<128>::new(&[1; 128]).unwrap();
    let mut core = Box::new(Core::<128>::new(0, set, Some(127)));
    let mut actions = Actions::new();
    core.step(Event::Start, &mut actions);
    let signature = Signature([7; 64]);
    for validator in 0..128 {
        let vote =
            Vote { kind: Prevote, height: 0, round: 0, value: Some(value(validator as u8)), validator };
        core.step(Event::Vote(trustnet_bft::SignedVote { vote, signature }), &mut actions);
    }
    let other = ValueId([0xCC; 32]);
    let proposal = Proposal { height: 0, round: 0, value: other, pol_round: None, proposer: 0 };
    let proposal = trustnet_bft::SignedProposal { proposal, signature };
    core.step(Event::Proposal { proposal, valid: true }, &mut actions);
    let certificate = Certificate {
        kind: Prevote,
        height: 0,
        round: 0,
        value: Some(other),
        signatures: (0..128).map(|index| (index, signature)).collect(),
    };
    core.step(Event::Certificate(&certificate), &mut actions);
    let evidence = actions.iter().filter(|action| matches!(action, Action::Equivocation { .. })).count();
    assert_eq!(evidence, 128);
    assert!(matches!(actions.last(), Some(Action::Vote(Vote { kind: Precommit, value: Some(_), .. }))));
    assert!(actions.len() < MAX_ACTIONS);
    core.step(Event::Certificate(&certificate), &mut actions);
    assert!(actions.is_empty(), "reported once");
}

#[test]
fn the_size_is_known_and_bounded() {
    let (core, actions) = (size_of::<Core<128>>(), size_of::<Actions>());
    assert!(core < 400_000, "Core<128> takes {core} bytes");
    assert!(size_of::<Core<4>>() < 20_000);
    assert!(actions < 40_000, "Actions takes {actions} bytes");
}
