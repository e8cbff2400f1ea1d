//! A network of validators in one thread: virtual time, one seed, a chaotic phase and then a healed one.
//!
//! Until `HEAL`, messages are lost, late, out of order and doubled, and honest validators crash and come back with their
//! memory, and with their log of messages or without it. After it, messages arrive in time and nobody crashes any more,
//! but the Byzantine go on. Honest validators repeat what they know of their round and the one before on a timer, as
//! pitfall 28 asks of the caller. The checks:
//!
//! - agreement and validity: all honest decisions are the same acceptable value;
//! - no honest validator ever signs two different votes or proposals for one (kind, round), crashes included;
//! - evidence names Byzantine validators only;
//! - termination: all honest validators decide within `PATIENCE` after `HEAL`. This one needs the log: see "What the caller
//!   owes" in the crate's documentation.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::common::{HEIGHT, Lcg, N, Precommit, Prevote, sign, sign_proposal, weighted};
use trustnet_bft::{
    Action, Actions, Certificate, Core, Event, Index, Memory, Power, Proposal, Round, SignedProposal,
    SignedVote, Timeout, ValidatorSet, ValueId, Vote, VoteKind,
};

/// End of the chaos, in ticks.
const HEAL: u64 = 600;
/// Longest time to decide after that, in ticks.
const PATIENCE: u64 = 40_000;
/// Values whose first byte is this are not acceptable.
const BAD: u8 = 0xEE;

#[derive(Clone)]
enum Message {
    Vote(SignedVote),
    Proposal(SignedProposal),
    Certificate(Box<Certificate<N>>),
}

enum Item {
    Deliver(usize, Message),
    Timer(usize, u32, Timeout),
    Repeat(usize),
    Crash(usize),
    Restart(usize),
}

struct Validator {
    /// `None` while crashed, and for the Byzantine.
    core: Option<Box<Core<N>>>,
    disk: Option<Memory>,
    /// The messages it was fed, and how many of them are durable.
    log: Vec<Message>,
    durable: usize,
    /// Timers of an earlier life do not fire.
    life: u32,
    byzantine: bool,
    decided: Option<ValueId>,
    /// Everything that it ever signed.
    votes: BTreeMap<(VoteKind, Round), Option<ValueId>>,
    proposals: BTreeMap<Round, (ValueId, Option<Round>)>,
    /// Byzantine: how often it has meddled in a round.
    meddled: BTreeMap<Round, u32>,
}

/// What a run did.
#[derive(Default, Debug)]
pub struct Report {
    pub steps: u64,
    pub rounds: Round,
    pub crashes: u32,
    pub evidence: u32,
    pub relocks: u32,
    /// Networks in which all honest validators decided.
    pub decided: u32,
}

pub struct Sim {
    rng: Lcg,
    now: u64,
    serial: u64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    items: Vec<Option<Item>>,
    set: ValidatorSet<N>,
    validators: Vec<Validator>,
    silent_byzantine: bool,
    /// Do the logs survive a crash?
    logs: bool,
    /// Chance of losing a message before `HEAL`, in 1 of.
    loss: usize,
    /// How seldom messages are repeated before `HEAL`: 1 in so many times.
    reluctance: usize,
    certificates: Vec<Certificate<N>>,
    actions: Box<Actions>,
    report: Report,
}

impl Sim {
    /// A network of `powers`, of whom `byzantine` are.
    pub fn new(seed: u64, powers: &[Power], byzantine: &[usize]) -> Self {
        let set = weighted(powers);
        let mut rng = Lcg::new(seed);
        let power: Power = byzantine.iter().map(|&index| powers[index]).sum();
        assert!(power <= set.max_faulty_power(), "the checks hold for less than 1/3 only");
        let validators = (0..powers.len())
            .map(|index| Validator {
                core: None,
                disk: None,
                log: Vec::new(),
                durable: 0,
                life: 0,
                byzantine: byzantine.contains(&index),
                decided: None,
                votes: BTreeMap::new(),
                proposals: BTreeMap::new(),
                meddled: BTreeMap::new(),
            })
            .collect();
        let silent_byzantine = rng.one_in(4);
        let loss = 2 + rng.below(6);
        let reluctance = 1 + rng.below(6);
        Self {
            rng,
            now: 0,
            serial: 0,
            queue: BinaryHeap::new(),
            items: Vec::new(),
            set,
            validators,
            silent_byzantine,
            logs: true,
            loss,
            reluctance,
            certificates: Vec::new(),
            actions: Box::default(),
            report: Report::default(),
        }
    }

    /// The same network, whose validators keep nothing but their memory. It stays safe, but may stall.
    pub fn without_logs(mut self) -> Self {
        self.logs = false;
        self
    }

    /// Runs to the end and checks everything.
    pub fn run(mut self) -> Report {
        for index in 0..self.validators.len() {
            if self.validators[index].byzantine {
                continue;
            }
            let start = self.rng.below(30) as u64;
            self.at(start, Item::Restart(index));
            self.at(start + 5, Item::Repeat(index));
            for _ in 0..self.rng.below(4) {
                let crash = self.rng.below(HEAL as usize - 60) as u64;
                self.at(crash, Item::Crash(index));
            }
        }
        while let Some(Reverse((time, _, item))) = self.queue.pop() {
            self.now = time;
            if self.honest().all(|validator| validator.decided.is_some()) {
                break;
            }
            if !self.logs && self.now > HEAL + 500 {
                break;
            }
            assert!(self.now < HEAL + PATIENCE, "no decision after healing: {:#?}", self.memories());
            let Some(item) = self.items[item].take() else { continue };
            self.handle(item);
        }
        let decided: Vec<ValueId> = self.honest().filter_map(|validator| validator.decided).collect();
        assert!(decided.windows(2).all(|pair| pair[0] == pair[1]), "agreement");
        assert!(decided.iter().all(|value| value.0[0] != BAD), "validity");
        self.report.decided += u32::from(decided.len() == self.honest().count());
        self.report
    }

    fn honest(&self) -> impl Iterator<Item = &Validator> {
        self.validators.iter().filter(|validator| !validator.byzantine)
    }

    /// Where the honest are.
    fn memories(&self) -> Vec<Option<Memory>> {
        self.honest().map(|validator| Some(validator.core.as_ref()?.memory())).collect()
    }

    fn at(&mut self, time: u64, item: Item) {
        self.serial += 1;
        self.queue.push(Reverse((time, self.serial, self.items.len())));
        self.items.push(Some(item));
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::Deliver(to, message) if self.validators[to].byzantine => self.meddle(to, &message),
            Item::Deliver(to, message) => {
                self.validators[to].log.push(message.clone());
                self.step(to, event(&message));
            }
            Item::Timer(to, life, timeout) if self.validators[to].life == life => {
                self.step(to, Event::Timeout(timeout));
            }
            Item::Timer(..) => {}
            Item::Repeat(from) => {
                // Rarely before the network heals: rounds fail, and some validators lock while others do not.
                if self.now >= HEAL || self.rng.one_in(self.reluctance) {
                    self.repeat(from);
                }
                let next = self.now + 15 + self.rng.below(20) as u64;
                self.at(next, Item::Repeat(from));
            }
            Item::Crash(index) => self.crash(index),
            Item::Restart(index) => {
                let validator = &mut self.validators[index];
                let me = Some(index as Index);
                validator.core = Some(Box::new(match validator.disk {
                    Some(memory) => Core::restore(self.set.clone(), me, memory),
                    None => Core::new(HEIGHT, self.set.clone(), me),
                }));
                validator.log.truncate(if self.logs { validator.durable } else { 0 });
                let log = validator.log.clone();
                for message in &log {
                    self.step(index, event(message));
                }
                self.step(index, Event::Start);
            }
        }
    }

    /// A decision is on disk, so only validators that have not decided crash here.
    fn crash(&mut self, index: usize) {
        let validator = &mut self.validators[index];
        if validator.core.is_some() && validator.decided.is_none() {
            validator.core = None;
            validator.life += 1;
            self.report.crashes += 1;
            let back = self.now + 1 + self.rng.below(40) as u64;
            self.at(back, Item::Restart(index));
        }
    }

    fn step(&mut self, index: usize, event: Event<'_, N>) {
        let Some(core) = self.validators[index].core.as_mut() else { return };
        let locked = core.locked();
        core.step(event, &mut self.actions);
        let actions = self.actions.to_vec();
        self.report.steps += 1;
        let memory = core.memory();
        let moved = locked.zip(memory.locked).is_some_and(|(old, new)| old.1 != new.1);
        self.report.relocks += u32::from(moved);
        self.report.rounds = self.report.rounds.max(memory.round);
        if actions.iter().any(|action| matches!(action, Action::Vote(_) | Action::Propose(_))) {
            self.validators[index].disk = Some(memory);
            self.validators[index].durable = self.validators[index].log.len();
            if self.now < HEAL && self.rng.one_in(25) {
                // Power goes after the memory is durable and before anything is sent.
                self.crash(index);
                return;
            }
        }
        for action in actions {
            self.act(index, action);
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        match action {
            Action::GetValue { round, .. } => {
                let mut id = [index as u8; 32];
                id[1..5].copy_from_slice(&round.to_be_bytes());
                id[5] = self.rng.next() as u8;
                self.step(index, Event::Value { round, value: ValueId(id) });
            }
            Action::Propose(proposal) => {
                let said = (proposal.value, proposal.pol_round);
                let known = *self.validators[index].proposals.entry(proposal.round).or_insert(said);
                assert_eq!(known, said, "{index} proposes twice in round {}", proposal.round);
                self.broadcast(index, &Message::Proposal(sign_proposal(proposal)));
                self.send_polka(index, proposal.pol_round);
            }
            Action::Vote(vote) => {
                let known =
                    *self.validators[index].votes.entry((vote.kind, vote.round)).or_insert(vote.value);
                assert_eq!(known, vote.value, "{index} votes twice in round {}", vote.round);
                self.broadcast(index, &Message::Vote(sign(vote)));
            }
            Action::Schedule(timeout) => {
                let duration = 20 + 10 * u64::from(timeout.round);
                let life = self.validators[index].life;
                self.at(self.now + duration, Item::Timer(index, life, timeout));
            }
            Action::NewRound { .. } => {}
            Action::Decide { value, .. } => {
                let known = *self.validators[index].decided.get_or_insert(value);
                assert_eq!(known, value, "{index} decides twice");
            }
            Action::Equivocation { first, second } => {
                let culprit = first.vote.validator;
                assert!(self.validators[usize::from(culprit)].byzantine, "evidence against honest {culprit}");
                assert_eq!(Vote { value: None, ..first.vote }, Vote { value: None, ..second.vote });
                assert_ne!(first.vote.value, second.vote.value);
                self.report.evidence += 1;
            }
            Action::ProposalEquivocation { first, second } => {
                assert!(self.validators[usize::from(first.proposal.proposer)].byzantine);
                assert_ne!(first.proposal, second.proposal);
                self.report.evidence += 1;
            }
        }
    }

    /// To all, ourselves included.
    fn broadcast(&mut self, from: usize, message: &Message) {
        for to in 0..self.validators.len() {
            self.send(from, to, message.clone());
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        if self.validators[from].byzantine && self.validators[to].byzantine {
            // They would excite each other without end.
            return;
        }
        if from == to {
            return self.at(self.now, Item::Deliver(to, message));
        }
        let healed = self.now >= HEAL;
        if !healed && self.rng.one_in(self.loss) {
            return;
        }
        let slowest = if healed { 4 } else { 60 };
        for _ in 0..=usize::from(self.rng.one_in(10)) {
            // Messages under way when the network heals arrive then.
            let arrival = (self.now + 1 + self.rng.below(slowest) as u64).min(self.now.max(HEAL) + 4);
            self.at(arrival, Item::Deliver(to, message.clone()));
        }
    }

    fn send_certificate(&mut self, from: usize, kind: VoteKind, round: Round) {
        let Some(core) = &self.validators[from].core else { return };
        if let Some(certificate) = core.certificate(kind, round) {
            assert_eq!(certificate.check_shape(&self.set), Ok(()));
            if self.certificates.len() < 200 {
                self.certificates.push(certificate.clone());
            }
            self.broadcast(from, &Message::Certificate(Box::new(certificate)));
        }
    }

    fn send_polka(&mut self, from: usize, round: Option<Round>) {
        if let Some(round) = round {
            self.send_certificate(from, Prevote, round);
        }
    }

    /// Pitfall 28: says again what it knows about its round.
    fn repeat(&mut self, from: usize) {
        let Some(core) = &self.validators[from].core else { return };
        let round = core.round();
        if let Some((decided, _)) = core.decided() {
            return self.send_certificate(from, Precommit, decided);
        }
        let votes: Vec<SignedVote> = core.votes(Prevote, round).chain(core.votes(Precommit, round)).collect();
        let before = round.saturating_sub(1);
        let votes = votes.into_iter().chain(core.votes(Precommit, before)).collect::<Vec<_>>();
        let proposal = core.proposal(round);
        let valid = core.valid();
        for vote in votes {
            self.broadcast(from, &Message::Vote(vote));
        }
        if let Some(proposal) = proposal {
            self.broadcast(from, &Message::Proposal(proposal));
            self.send_polka(from, proposal.proposal.pol_round);
        }
        self.send_polka(from, valid.map(|(round, _)| round));
        self.send_certificate(from, Prevote, round);
        self.send_certificate(from, Precommit, before);
    }

    /// A Byzantine validator hears something, and tells everybody something else.
    fn meddle(&mut self, me: usize, heard: &Message) {
        if self.silent_byzantine {
            return;
        }
        let (round, heard) = match heard {
            Message::Vote(vote) => (vote.vote.round, vote.vote.value),
            Message::Proposal(proposal) => (proposal.proposal.round, Some(proposal.proposal.value)),
            Message::Certificate(certificate) => (certificate.round, certificate.value),
        };
        let meddled = self.validators[me].meddled.entry(round).or_default();
        *meddled += 1;
        if *meddled > 6 {
            return;
        }
        for to in 0..self.validators.len() {
            let value = match self.rng.below(5) {
                0 => None,
                1 => Some(ValueId([BAD; 32])),
                2 => Some(ValueId([self.rng.below(3) as u8; 32])),
                _ => heard,
            };
            let ahead = if self.rng.one_in(4) { self.rng.below(12) as Round } else { 0 };
            let kind = if self.rng.one_in(2) { Prevote } else { Precommit };
            let vote = Vote { kind, height: HEIGHT, round: round + ahead, value, validator: me as Index };
            self.send(me, to, Message::Vote(sign(vote)));

            let round = round + self.rng.below(2) as Round;
            if usize::from(self.set.proposer(HEIGHT, round)) == me {
                let value = value.unwrap_or(ValueId([self.rng.below(9) as u8; 32]));
                let pol_round = if self.rng.one_in(2) && round > 0 {
                    Some(self.rng.below(round as usize) as Round)
                } else {
                    None
                };
                let proposal = Proposal { height: HEIGHT, round, value, pol_round, proposer: me as Index };
                self.send(me, to, Message::Proposal(sign_proposal(proposal)));
            }
            if !self.certificates.is_empty() && self.rng.one_in(3) {
                let old = self.rng.below(self.certificates.len());
                self.send(me, to, Message::Certificate(Box::new(self.certificates[old].clone())));
            }
        }
    }
}

/// A message as an event, judged.
fn event(message: &Message) -> Event<'_, N> {
    match message {
        Message::Vote(vote) => Event::Vote(*vote),
        Message::Proposal(proposal) => {
            Event::Proposal { proposal: *proposal, valid: proposal.proposal.value.0[0] != BAD }
        }
        Message::Certificate(certificate) => Event::Certificate(certificate),
    }
}
