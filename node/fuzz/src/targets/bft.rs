//! The consensus core under arbitrary events, crashes and silence.
//!
//! Whatever arrives, a validator never contradicts itself, never decides twice, and shows only certificates that hold.
//! The same events go to a core for 4 validators and to one for 128: both must act alike.

use std::collections::BTreeMap;

use trustnet_bft::{
    Action, Actions, Certificate, Core, Event, MAX_ROUND, Memory, Proposal, Round, Signature, SignedProposal,
    SignedVote, Step, Timeout, ValidatorSet, ValueId, Vote, VoteKind,
};

use crate::script::Script;

const HEIGHT: u64 = 7;
const SMALL: usize = 4;
const LARGE: usize = 128;
const KINDS: [VoteKind; 2] = [VoteKind::Prevote, VoteKind::Precommit];

/// What one validator has said over all its lives.
#[derive(Default)]
struct Said {
    votes: BTreeMap<(VoteKind, Round), Option<ValueId>>,
    proposals: BTreeMap<Round, (ValueId, Option<Round>)>,
    decided: Option<(Round, ValueId)>,
}

struct Machine {
    small: Box<Core<SMALL>>,
    large: Box<Core<LARGE>>,
    powers: Vec<u64>,
    me: Option<u16>,
    said: Said,
    actions: Box<Actions>,
    other: Box<Actions>,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let members = 1 + script.below(SMALL);
    let powers: Vec<u64> = (0..members).map(|_| 1 + u64::from(script.byte() % 4)).collect();
    let me = script.below(members + 1);
    let me = (me < members).then_some(me as u16);
    let mut machine = Machine::new(powers, me);
    while !script.is_over() {
        machine.step(&mut script);
    }
}

fn set<const N: usize>(powers: &[u64]) -> ValidatorSet<N> {
    ValidatorSet::new(powers).expect("a few small powers make a set")
}

impl Machine {
    fn new(powers: Vec<u64>, me: Option<u16>) -> Self {
        Self {
            small: Box::new(Core::new(HEIGHT, set(&powers), me)),
            large: Box::new(Core::new(HEIGHT, set(&powers), me)),
            powers,
            me,
            said: Said::default(),
            actions: Box::default(),
            other: Box::default(),
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let round = self.small.round();
        match script.byte() % 16 {
            0 => self.feed(Event::Start, script),
            1 => {
                let silent = script.flag();
                self.small.silence(silent);
                self.large.silence(silent);
            }
            2 => self.crash(),
            3..=5 => {
                let proposal = self.proposal(script, round);
                let valid = !script.byte().is_multiple_of(4);
                self.feed(Event::Proposal { proposal: sign_proposal(proposal), valid }, script);
            }
            6 | 7 => {
                let (small, large) = self.certificate(script, round);
                self.feed_certificate(&small, &large, script);
            }
            8 => {
                let event = Event::Value { round: some_round(script, round), value: value(script) };
                self.feed(event, script);
            }
            9 | 10 => {
                let step = script.pick(&[Step::Propose, Step::Prevote, Step::Precommit]);
                let timeout = Timeout { height: some_height(script), round: some_round(script, round), step };
                self.feed(Event::Timeout(timeout), script);
            }
            _ => {
                let vote = self.vote(script, round);
                // A second machine with our key says what we have not said; that is another target's business.
                if Some(vote.validator) != self.me {
                    let new = self.small.is_new(&vote);
                    assert_eq!(new, self.large.is_new(&vote));
                    self.feed(Event::Vote(sign(vote)), script);
                    assert!(!self.small.is_new(&vote), "taken, known, or of no interest");
                }
            }
        }
    }

    /// Ends the process; what it remembers is durable.
    fn crash(&mut self) {
        if self.said.decided.is_none() {
            let memory: Memory = self.small.memory();
            *self.small = Core::restore(set(&self.powers), self.me, memory);
            *self.large = Core::restore(set(&self.powers), self.me, memory);
        }
    }

    fn feed(&mut self, event: Event<'_, SMALL>, script: &mut Script<'_>) {
        let same = match event {
            Event::Start => Event::Start,
            Event::Proposal { proposal, valid } => Event::Proposal { proposal, valid },
            Event::Vote(vote) => Event::Vote(vote),
            Event::Value { round, value } => Event::Value { round, value },
            Event::Timeout(timeout) => Event::Timeout(timeout),
            Event::Certificate(_) => return,
        };
        self.run(event, same);
        self.feed_back(script);
    }

    fn feed_certificate(
        &mut self,
        small: &Certificate<SMALL>,
        large: &Certificate<LARGE>,
        script: &mut Script<'_>,
    ) {
        self.run(Event::Certificate(small), Event::Certificate(large));
        self.feed_back(script);
    }

    fn run(&mut self, small: Event<'_, SMALL>, large: Event<'_, LARGE>) {
        let before = self.small.memory();
        self.small.step(small, &mut self.actions);
        self.large.step(large, &mut self.other);
        assert_eq!(self.actions, self.other, "cores of two sizes act differently");
        assert_eq!(self.small.memory(), self.large.memory());
        self.check_actions(&before);
        self.check_state();
    }

    /// Our own messages come back, each unless the script says that it is lost.
    fn feed_back(&mut self, script: &mut Script<'_>) {
        let mut todo: Vec<Action> = self.actions.iter().copied().collect();
        let mut turns = 0;
        while !todo.is_empty() && turns < 16 {
            turns += 1;
            let action = todo.remove(0);
            let lost = |script: &mut Script<'_>| script.byte() % 16 == 15;
            match action {
                Action::Vote(vote) if !lost(script) => {
                    self.run(Event::Vote(sign(vote)), Event::Vote(sign(vote)));
                }
                Action::Propose(proposal) if !lost(script) => {
                    let proposal = sign_proposal(proposal);
                    self.run(
                        Event::Proposal { proposal, valid: true },
                        Event::Proposal { proposal, valid: true },
                    );
                }
                Action::GetValue { round, .. } if !lost(script) => {
                    let value = ValueId([9; 32]);
                    self.run(Event::Value { round, value }, Event::Value { round, value });
                }
                _ => continue,
            }
            todo.extend(self.actions.iter().copied());
        }
    }

    fn check_actions(&mut self, before: &Memory) {
        let mut scheduled = Vec::new();
        for action in &*self.actions {
            match *action {
                Action::Vote(vote) => {
                    let known = *self.said.votes.entry((vote.kind, vote.round)).or_insert(vote.value);
                    assert_eq!(known, vote.value, "two votes in one slot");
                    assert_eq!((Some(vote.validator), vote.height), (self.me, HEIGHT));
                }
                Action::Propose(proposal) => {
                    let now = (proposal.value, proposal.pol_round);
                    assert_eq!(
                        *self.said.proposals.entry(proposal.round).or_insert(now),
                        now,
                        "two proposals"
                    );
                    assert_eq!(Some(self.small.proposer(proposal.round)), self.me);
                }
                Action::Decide { round, value } => {
                    assert_eq!(
                        *self.said.decided.get_or_insert((round, value)),
                        (round, value),
                        "two decisions"
                    );
                }
                Action::Schedule(timeout) => {
                    assert!(!scheduled.contains(&timeout), "a timer set twice");
                    scheduled.push(timeout);
                }
                Action::NewRound { round } => assert!(round >= before.round, "back to round {round}"),
                Action::GetValue { round, .. } => assert_eq!(round, self.small.round()),
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

    fn check_state(&self) {
        let core = &self.small;
        let memory = core.memory();
        assert!(memory.round <= MAX_ROUND && memory.height == HEIGHT);
        if let Some((locked, _)) = memory.locked {
            assert!(
                memory.valid.is_some_and(|(valid, _)| valid >= locked),
                "valid is never older than locked"
            );
            assert!(locked <= memory.round);
        }
        for round in memory.round.saturating_sub(2)..=memory.round.saturating_add(1) {
            for kind in KINDS {
                if let Some(certificate) = core.certificate(kind, round) {
                    assert_eq!(certificate.check_shape(core.set()), Ok(()));
                }
            }
        }
        if let Some((round, value)) = core.decided() {
            let commit = core.commit_certificate().expect("a decision has its commit");
            assert_eq!((commit.kind, commit.round, commit.value), (VoteKind::Precommit, round, Some(value)));
            assert_eq!(commit.check_shape(core.set()), Ok(()));
        }
    }

    fn vote(&self, script: &mut Script<'_>, current: Round) -> Vote {
        Vote {
            kind: script.pick(&KINDS),
            height: some_height(script),
            round: some_round(script, current),
            value: maybe_value(script),
            validator: self.member(script),
        }
    }

    fn proposal(&self, script: &mut Script<'_>, current: Round) -> Proposal {
        let round = some_round(script, current);
        let pol_round = script.flag().then(|| some_round(script, round.saturating_sub(1)));
        let proposer =
            if script.byte() % 16 == 15 { self.member(script) } else { self.small.proposer(round) };
        Proposal { height: some_height(script), round, value: value(script), pol_round, proposer }
    }

    fn member(&self, script: &mut Script<'_>) -> u16 {
        let byte = script.byte();
        if byte == 255 { u16::MAX } else { u16::from(byte) % self.powers.len() as u16 }
    }

    fn certificate(
        &self,
        script: &mut Script<'_>,
        current: Round,
    ) -> (Certificate<SMALL>, Certificate<LARGE>) {
        let (kind, height, round) = (script.pick(&KINDS), some_height(script), some_round(script, current));
        let (value, who, messy) = (maybe_value(script), script.byte(), script.byte() % 16 == 15);
        let mut signatures = Vec::new();
        for index in (0..self.powers.len() as u16).filter(|index| who & (1 << index) != 0) {
            let validator = if messy { self.member(script) } else { index };
            let vote = Vote { kind, height, round, value, validator };
            signatures.push((validator, sign(vote).signature));
        }
        let small = heapless::Vec::from_slice(&signatures).expect("no more than members");
        let large = heapless::Vec::from_slice(&signatures).expect("no more than members");
        (
            Certificate { kind, height, round, value, signatures: small },
            Certificate { kind, height, round, value, signatures: large },
        )
    }
}

fn some_height(script: &mut Script<'_>) -> u64 {
    match script.byte() {
        255 => u64::MAX,
        254 => 0,
        253 => HEIGHT + 1,
        _ => HEIGHT,
    }
}

fn some_round(script: &mut Script<'_>, current: Round) -> Round {
    match script.byte() {
        byte @ 0..=127 => current.saturating_add(Round::from(byte % 4)),
        byte @ 128..=199 => current.saturating_sub(Round::from(byte % 4)),
        byte @ 200..=239 => Round::from(byte % 16),
        240..=247 => MAX_ROUND - 1 + Round::from(script.byte() % 3),
        _ => Round::MAX,
    }
}

fn value(script: &mut Script<'_>) -> ValueId {
    ValueId([script.byte() % 4; 32])
}

fn maybe_value(script: &mut Script<'_>) -> Option<ValueId> {
    let byte = script.byte();
    (byte % 4 != 3).then_some(ValueId([byte % 4; 32]))
}

/// Signatures are the caller's business; here they only have to differ where the votes do.
fn sign(vote: Vote) -> SignedVote {
    let mut signature = [vote.validator as u8; 64];
    signature[0] = vote.value.map_or(9, |value| value.0[0]);
    SignedVote { vote, signature: Signature(signature) }
}

fn sign_proposal(proposal: Proposal) -> SignedProposal {
    SignedProposal { proposal, signature: Signature([proposal.value.0[0]; 64]) }
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    // Four equal validators, we are the last; a proposal, prevotes and precommits for it.
    let head = [3, 0, 0, 0, 0, 3];
    let vote = |kind: u8, round: u8, value: u8, who: u8| [11, kind, 0, round, value, who];
    let proposal = [3, 0, 0, 0, 0, 1, 1, 0];
    let mut decide = [&head[..], &[0], &proposal].concat();
    for kind in 0..2 {
        for who in 0..3 {
            decide.extend(vote(kind, 0, 1, who));
        }
    }
    let mut nil = [&head[..], &[0]].concat();
    for kind in 0..2 {
        for who in 0..3 {
            nil.extend(vote(kind, 0, 3, who));
        }
    }
    nil.extend([9, 2, 0, 0]);
    let certificates = [&head[..], &[0], &[6, 0, 0, 0, 1, 7, 0], &[2, 0], &[6, 1, 0, 0, 1, 7, 0]].concat();
    let skip = [&head[..], &[0], &vote(0, 3, 3, 0), &vote(1, 2, 1, 1), &[2, 0], &proposal].concat();
    vec![decide, nil, certificates, skip, vec![0, 0, 0, 0], vec![1, 1, 2, 1, 0]]
}
