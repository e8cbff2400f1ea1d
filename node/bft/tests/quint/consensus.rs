//! Replays traces of the model's state machine of one validator.
//!
//! The model's inputs are what follows from messages: "a polka for v". This runner makes messages up from which exactly that
//! follows, by validators other than ours, and compares all that the core emits, and its state, after each of them.
//!
//! What is different, and accounted for:
//!
//! - the model is told when a round begins, and whether we propose; our core goes there by itself. What it emits on entering
//!   is held back until the model is told, and the validators are chosen so that we propose in the same rounds;
//! - the proposer of a round sets its propose timer even if it has a value to propose;
//! - a timer is set once; the model says it each time;
//! - inputs that the model answers with an error are those that its driver never gives it. Timeouts among them are fed all
//!   the same, and must do nothing;
//! - a polka of an earlier round makes its value valid (L42), which the model does in the current round only.
//!
//! A trace that comes to an input which no messages cause ([`Driver`]) is replayed up to there.

use crate::common::{HEIGHT, N, Precommit, Prevote, certificate_at, equal, sign, sign_proposal, value};
use crate::driver::Driver;
use crate::model::{Consensus, ConsensusInput, ConsensusOutput, ModelStep, id, round};
use crate::trace::Replay;
use std::collections::BTreeMap;
use trustnet_bft::{
    Action, Actions, Core, Event, Height, Index, Memory, Proposal, Round, Step, Timeout, ValueId, Vote,
    VoteKind,
};

type Input = ConsensusInput;
type Output = ConsensusOutput;
type At = Option<(Round, ValueId)>;

/// Replays a trace.
pub(crate) fn replay(states: &[Consensus]) -> Result<Replay, String> {
    let mut replay = Replay::of("state machine");
    let Some((members, height, me)) = place(states) else {
        replay.pass_over("no rotation of equal validators gives us the model's turns");
        return Ok(replay);
    };
    let first = states.first().ok_or("the trace has no states")?;
    let mut machine = Machine {
        core: None,
        members,
        height,
        model_height: first.state.height,
        me,
        held: Vec::new(),
        timers: Vec::new(),
        invented: 0,
    };
    let mut driver = Driver::default();
    for (index, pair) in states.windows(2).enumerate() {
        let [before, now] = pair else { continue };
        let fail = |error: String| format!("state {}, {:?}: {error}", index + 1, now.input);
        if before == now {
            replay.pass_over("the model repeats its state");
            continue;
        }
        if let Some(reason) = driver.refuses(before, now).map_err(fail)? {
            (index + 1..states.len()).for_each(|_| replay.pass_over(reason));
            break;
        }
        machine.step(before, now, &mut replay).map_err(fail)?;
        machine.compare(now, driver.late()).map_err(fail)?;
        replay.compared += 1;
    }
    Ok(replay)
}

/// A number of validators, a height and our index such that we propose in exactly those rounds in which the model does.
fn place(states: &[Consensus]) -> Option<(usize, Height, Index)> {
    let mut turns = BTreeMap::new();
    for state in states.iter().filter(|state| !matches!(state.output, Output::ErrorOutput(_))) {
        match state.input {
            Input::NewRoundCInput(at) => turns.insert(at, false),
            Input::NewRoundProposerCInput(at) => turns.insert(at, true),
            _ => None,
        };
    }
    for members in 4..=N {
        let me = members as Index - 1;
        for height in HEIGHT..HEIGHT + members as Height {
            let set = equal(members);
            let agrees = |(&at, &ours): (&i64, &bool)| {
                round(at).is_some_and(|round| (set.proposer(height, round) == me) == ours)
            };
            if turns.iter().all(agrees) {
                return Some((members, height, me));
            }
        }
    }
    None
}

struct Machine {
    /// `None` before the first round.
    core: Option<Box<Core<N>>>,
    members: usize,
    height: Height,
    model_height: i64,
    me: Index,
    /// What entering a round emitted, until the model is told that the round begins.
    held: Vec<Action>,
    /// Timers set so far.
    timers: Vec<Timeout>,
    /// How many values that stand for "something else" have been invented.
    invented: u8,
}

impl Machine {
    /// Feeds what the input of `now` stands for, and compares what is emitted.
    fn step(&mut self, before: &Consensus, now: &Consensus, replay: &mut Replay) -> Result<(), String> {
        if let Output::ErrorOutput(_) = now.output {
            let between = before.state.step == ModelStep::UnstartedStep;
            let emitted = match now.input {
                // Our core is in the next round already, where the timeout may be one of its own.
                _ if between => Vec::new(),
                Input::TimeoutProposeCInput(height, at) => self.expire(height, at, Step::Propose)?,
                Input::TimeoutPrevoteCInput(height, at) => self.expire(height, at, Step::Prevote)?,
                Input::TimeoutPrecommitCInput(height, at) => self.expire(height, at, Step::Precommit)?,
                _ => {
                    replay.pass_over("the model refuses the input");
                    return Ok(());
                }
            };
            replay.fed += 1;
            return expect(&emitted, &[]);
        }
        let emitted = self.perform(before, &now.input)?;
        replay.fed += 1;
        let expected = self.expected(now)?;
        if let Output::SkipRoundOutput(_) = now.output {
            // The rest is for when the model begins the round.
            let (entered, rest) = emitted.split_at(emitted.len().min(1));
            self.held = rest.to_vec();
            return expect(entered, &expected);
        }
        expect(&emitted, &expected)
    }

    /// What the model says that we emit, in our words.
    fn expected(&mut self, now: &Consensus) -> Result<Vec<Action>, String> {
        let height = self.height;
        let current = self.core.as_ref().map_or(0, |core| core.round());
        let begins = matches!(now.input, Input::NewRoundCInput(_) | Input::NewRoundProposerCInput(_));
        // After a skip, the round itself has been compared already.
        let fresh_start = begins && current == 0 && now.state.round == 0;
        let entering = |rest: &[Action]| {
            let mut actions =
                if fresh_start { vec![Action::NewRound { round: current }] } else { Vec::new() };
            actions.push(Action::Schedule(Timeout { height, round: current, step: Step::Propose }));
            actions.extend(rest);
            actions
        };
        Ok(match &now.output {
            Output::NoConsensusOutput | Output::ErrorOutput(_) => Vec::new(),
            Output::ProposalOutput(proposal) => {
                let propose = Action::Propose(Proposal {
                    height,
                    round: round(proposal.round).ok_or("a proposal without a round")?,
                    value: id(&proposal.proposal)?,
                    pol_round: round(proposal.valid_round),
                    proposer: self.me,
                });
                if begins { entering(&[propose]) } else { vec![propose] }
            }
            Output::GetValueAndScheduleTimeoutOutput(..) => {
                entering(&[Action::GetValue { height, round: current }])
            }
            Output::VoteOutput(vote) => vec![Action::Vote(Vote {
                kind: vote.vote_type.kind(),
                height,
                round: round(vote.round).ok_or("a vote without a round")?,
                value: vote.value_id.id()?,
                validator: self.me,
            })],
            Output::TimeoutOutput(at, timeout) => {
                let round = round(*at).ok_or("a timer without a round")?;
                let timer = Timeout { height, round, step: timeout.step() };
                if begins {
                    entering(&[])
                } else if self.timers.contains(&timer) {
                    Vec::new()
                } else {
                    self.timers.push(timer);
                    vec![Action::Schedule(timer)]
                }
            }
            Output::DecidedOutput(at, name) => {
                vec![Action::Decide {
                    round: round(*at).ok_or("a decision without a round")?,
                    value: id(name)?,
                }]
            }
            Output::SkipRoundOutput(at) => {
                vec![Action::NewRound { round: round(*at).ok_or("a skip to no round")? }]
            }
        })
    }

    /// Makes up the messages that the input stands for, and feeds them.
    fn perform(&mut self, before: &Consensus, input: &Input) -> Result<Vec<Action>, String> {
        let current = self.core.as_ref().map_or(0, |core| core.round());
        match input {
            Input::NoConsensusInput => Err("an input that is none".into()),
            Input::NewRoundCInput(at) | Input::NewRoundProposerCInput(at) => {
                self.begin(round(*at).ok_or("a round that is none")?)
            }
            Input::ProposeValueCInput(name) => {
                Ok(self.feed(Event::Value { round: current, value: id(name)? }))
            }
            Input::ProposalCInput(at, value) => {
                let at = round(*at).ok_or("no round")?;
                self.propose(at, value.id()?.ok_or("a proposal of nil")?, None, true)
            }
            Input::ProposalInvalidCInput => {
                let value = self.invent();
                self.propose(current, value, None, false)
            }
            Input::ProposalAndPolkaPreviousAndValidCInput(value, at) => {
                let (value, at) = (value.id()?.ok_or("a proposal of nil")?, round(*at).ok_or("no round")?);
                let mut actions = self.certify(Prevote, at, Some(value));
                actions.extend(self.propose(current, value, Some(at), true)?);
                Ok(actions)
            }
            Input::ProposalAndPolkaAndInvalidCInput(value) => {
                let value = value.id()?.ok_or("a proposal of nil")?;
                let at = current.checked_sub(1).ok_or("no round before the first has a polka")?;
                let mut actions = self.certify(Prevote, at, Some(value));
                actions.extend(self.propose(current, value, Some(at), false)?);
                Ok(actions)
            }
            Input::ProposalAndPolkaAndValidCInput(value) => {
                let value = value.id()?.ok_or("a proposal of nil")?;
                let mut actions = Vec::new();
                if before.state.step == ModelStep::PrevoteStep
                    || before.state.step == ModelStep::PrecommitStep
                {
                    actions.extend(self.propose(current, value, None, true)?);
                }
                actions.extend(self.certify(Prevote, current, Some(value)));
                Ok(actions)
            }
            Input::PolkaNilCInput => Ok(self.certify(Prevote, current, None)),
            Input::PolkaAnyCInput => Ok(self.scatter(Prevote, current)),
            Input::PrecommitAnyCInput => Ok(self.scatter(Precommit, current)),
            Input::ProposalAndCommitAndValidCInput(at, name) => {
                Ok(self.certify(Precommit, round(*at).ok_or("no round")?, Some(id(name)?)))
            }
            Input::RoundSkipCInput(at) => self.pull(round(*at).ok_or("no round")?),
            Input::TimeoutProposeCInput(height, at) => self.expire(*height, *at, Step::Propose),
            Input::TimeoutPrevoteCInput(height, at) => self.expire(*height, *at, Step::Prevote),
            Input::TimeoutPrecommitCInput(height, at) => self.expire(*height, *at, Step::Precommit),
        }
    }

    /// The model begins a round: the first, or the one that our core has gone to already.
    fn begin(&mut self, round: Round) -> Result<Vec<Action>, String> {
        if let Some(core) = &self.core {
            return if core.round() == round {
                Ok(std::mem::take(&mut self.held))
            } else {
                Err(format!("our core has gone to round {}", core.round()))
            };
        }
        let memory = Memory {
            height: self.height,
            round,
            step: Step::Propose,
            proposed: None,
            prevoted: None,
            precommitted: None,
            locked: None,
            valid: None,
        };
        self.core = Some(Box::new(Core::restore(equal(self.members), Some(self.me), memory)));
        let actions = self.feed(Event::Start);
        // A round other than 0 is one that we have been in before.
        Ok(actions
            .into_iter()
            .filter(|action| round == 0 || !matches!(action, Action::NewRound { .. }))
            .collect())
    }

    fn propose(
        &mut self,
        round: Round,
        value: ValueId,
        pol_round: Option<Round>,
        valid: bool,
    ) -> Result<Vec<Action>, String> {
        let core = self.core.as_ref().ok_or("a proposal before the first round")?;
        let heard = core.proposal(round).is_some_and(|heard| heard.proposal.value == value);
        let proposer = core.proposer(round);
        let proposal = sign_proposal(Proposal { height: self.height, round, value, pol_round, proposer });
        // One that we have heard may be fed again, but not judged again.
        Ok(if heard { Vec::new() } else { self.feed(Event::Proposal { proposal, valid }) })
    }

    /// All the others vote for one thing. It comes as a certificate, so that it counts whatever they have said before.
    fn certify(&mut self, kind: VoteKind, round: Round, value: Option<ValueId>) -> Vec<Action> {
        let certificate = certificate_at(self.height, kind, round, value, 0..self.me);
        self.feed(Event::Certificate(&certificate))
    }

    /// All the others vote, for different things.
    fn scatter(&mut self, kind: VoteKind, round: Round) -> Vec<Action> {
        let mut actions = Vec::new();
        for validator in 0..self.me {
            let value = if validator == 0 { None } else { Some(self.invent()) };
            actions.extend(self.vote(kind, round, value, validator));
        }
        actions
    }

    /// Just enough of the others are heard in a later round.
    fn pull(&mut self, round: Round) -> Result<Vec<Action>, String> {
        let set = equal(self.members);
        let mut actions = Vec::new();
        let enough = (1..=set.total()).find(|&power| set.has_third(power)).ok_or("no third")?;
        for validator in 0..enough as Index {
            let value = self.invent();
            actions.extend(self.vote(Prevote, round, Some(value), validator));
        }
        Ok(actions)
    }

    fn vote(
        &mut self,
        kind: VoteKind,
        round: Round,
        value: Option<ValueId>,
        validator: Index,
    ) -> Vec<Action> {
        let height = self.height;
        self.feed(Event::Vote(sign(Vote { kind, height, round, value, validator })))
    }

    fn expire(&mut self, model_height: i64, at: i64, step: Step) -> Result<Vec<Action>, String> {
        let height = self.height.saturating_add_signed(model_height - self.model_height);
        let round = round(at).ok_or("a timeout of no round")?;
        Ok(self.feed(Event::Timeout(Timeout { height, round, step })))
    }

    /// A value that nothing in the trace names.
    fn invent(&mut self) -> ValueId {
        self.invented = self.invented.wrapping_add(1);
        let mut invented = value(self.invented);
        invented.0[0] = u8::MAX;
        invented
    }

    /// Feeds an event. Evidence is beyond the model: it comes of votes made up for different inputs of one round.
    fn feed(&mut self, event: Event<'_, N>) -> Vec<Action> {
        let Some(core) = self.core.as_mut() else { return Vec::new() };
        let mut actions = Actions::new();
        core.step(event, &mut actions);
        let beyond = |action: &Action| {
            matches!(action, Action::Equivocation { .. } | Action::ProposalEquivocation { .. })
        };
        actions.iter().filter(|action| !beyond(action)).copied().collect()
    }

    /// Compares the states.
    fn compare(&self, now: &Consensus, late: At) -> Result<(), String> {
        let model = &now.state;
        let Some(core) = &self.core else {
            let nothing = model.locked()?.is_none() && model.valid()?.is_none();
            let begun = model.step != ModelStep::NoStep || !nothing;
            return if begun { Err("our core has not begun".into()) } else { Ok(()) };
        };
        let mut expected = core.memory();
        match model.step {
            ModelStep::NoStep => return Err("our core has begun".into()),
            // The model changes its round when it begins the next; our core is there.
            ModelStep::UnstartedStep => expected.step = Step::Propose,
            ModelStep::CommitStep => {
                if core.decided().is_none() {
                    return Err("our core has not decided".into());
                }
            }
            ModelStep::ProposeStep | ModelStep::PrevoteStep | ModelStep::PrecommitStep => {
                expected.round = round(model.round).ok_or("a step of no round")?;
                expected.step = model.step.step().ok_or("no step")?;
            }
        }
        if model.step != ModelStep::CommitStep && core.decided().is_some() {
            return Err("our core has decided".into());
        }
        expected.locked = model.locked()?;
        expected.valid = model.valid()?.max(late);
        let ours = core.memory();
        if ours == expected { Ok(()) } else { Err(format!("the model has {expected:?}, our core {ours:?}")) }
    }
}

fn expect(emitted: &[Action], expected: &[Action]) -> Result<(), String> {
    if emitted == expected {
        Ok(())
    } else {
        Err(format!("the model emits {expected:?}, our core {emitted:?}"))
    }
}
