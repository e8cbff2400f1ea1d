//! Replays traces of the model's vote keeper.
//!
//! The keeper counts votes, by round, and says once for each threshold that it has been reached. Our core has no such part to
//! call: it is an observer here, one for each round of the model, that is in the round which the model names and has just
//! prevoted, so that every threshold shows: in the votes it keeps, its certificates, its timers, its step, its decision.
//!
//! One core for each round, because the keeper goes on where a validator would have decided or moved on.

use crate::common::{HEIGHT, N, Precommit, Prevote, sign};
use crate::model::{KeeperOutput, RoundVotes, Value, VoteKeeper, WeightedVote, id, round};
use crate::trace::Replay;
use std::collections::{BTreeMap, BTreeSet};
use trustnet_bft::{
    Action, Actions, Core, Event, Index, Memory, Power, Round, SignedVote, Step, ValidatorSet, ValueId, Vote,
    VoteKind,
};

/// Rounds around its own of which a core keeps every vote: an observer that is to show more is put nearer.
const KEPT: Round = 2;

/// Replays a trace.
pub(crate) fn replay(states: &[VoteKeeper]) -> Result<Replay, String> {
    let first = states.first().ok_or("the trace has no states")?;
    let names: Vec<String> = first.bookkeeper.validator_set.keys().cloned().collect();
    let powers: Vec<Power> = first.bookkeeper.validator_set.values().copied().collect();
    let set = ValidatorSet::<N>::new(&powers).map_err(|error| format!("{error}: {powers:?}"))?;
    let mut keeper = Keeper { set, names, observers: BTreeMap::new() };
    let mut replay = Replay::of("vote keeper");
    for (index, pair) in states.windows(2).enumerate() {
        let [before, now] = pair else { continue };
        let fail = |error: String| format!("state {}, {:?}: {error}", index + 1, now.weighted_vote);
        if before == now {
            replay.pass_over("the model repeats its state");
            continue;
        }
        keeper.step(before, now).map_err(fail)?;
        replay.fed += 1;
        keeper.compare(now).map_err(fail)?;
        replay.compared += 1;
    }
    Ok(replay)
}

/// A core that hears the votes of one round.
struct Observer {
    core: Box<Core<N>>,
    /// The round that it has been put in.
    position: Round,
    heard: Vec<SignedVote>,
    /// Timers of the voting steps that it has set.
    timers: BTreeSet<Step>,
    /// Whom it has reported, and for which kind of vote.
    reported: BTreeSet<(VoteKind, Index)>,
}

struct Keeper {
    set: ValidatorSet<N>,
    /// In the order of the indices.
    names: Vec<String>,
    observers: BTreeMap<Round, Observer>,
}

impl Keeper {
    /// Feeds the vote of `now`, and compares what the model's keeper says to it.
    fn step(&mut self, before: &VoteKeeper, now: &VoteKeeper) -> Result<(), String> {
        let WeightedVote::WV(vote, weight, current) = &now.weighted_vote else {
            return Err("a step without a vote".into());
        };
        let (at, current) =
            (round(vote.round).ok_or("no round")?, round(*current).ok_or("no current round")?);
        let validator = self.index(&vote.src_address)?;
        if self.set.power(validator) != Some(*weight) {
            return Err(format!("{} has another weight", vote.src_address));
        }
        let (kind, value) = (vote.vote_type.kind(), vote.value_id.id()?);
        let position = current.clamp(at.saturating_sub(KEPT), at.saturating_add(KEPT));
        if self.observers.get(&at).is_none_or(|observer| observer.position != position) {
            let heard = self.observers.remove(&at).map_or(Vec::new(), |observer| observer.heard);
            let mut observer = Observer::new(&self.set, position);
            for vote in heard {
                observer.hear(vote);
            }
            self.observers.insert(at, observer);
        }
        let observer = self.observers.get_mut(&at).ok_or("no observer")?;
        observer.hear(sign(Vote { kind, height: HEIGHT, round: at, value, validator }));

        let nothing = BTreeSet::new();
        let emitted =
            before.bookkeeper.rounds.get(&vote.round).map_or(&nothing, |votes| &votes.emitted_outputs);
        let reached = observer.reached(&self.set, at, kind, value, current < at, &vote.value_id)?;
        let expected = if matches!(reached, KeeperOutput::SkipVKOutput(_)) || !emitted.contains(&reached) {
            reached
        } else {
            KeeperOutput::NoVKOutput
        };
        if now.last_emitted != expected {
            return Err(format!("the model says {:?}, our core {expected:?}", now.last_emitted));
        }
        observer.acts(at, &now.last_emitted)
    }

    /// Compares the votes of every round, and the evidence.
    fn compare(&self, now: &VoteKeeper) -> Result<(), String> {
        let mut evidence = BTreeSet::new();
        for (&at, votes) in &now.bookkeeper.rounds {
            let at = round(at).ok_or("votes of no round")?;
            let observer = self.observers.get(&at).ok_or("votes of a round that nobody voted in")?;
            self.compare_round(observer, at, votes)?;
            evidence.extend(observer.reported.iter().map(|&(kind, index)| (at, kind, index)));
        }
        if now.bookkeeper.rounds.len() != self.observers.len() {
            return Err("the model has lost a round".into());
        }
        let mut model = BTreeSet::new();
        for vote in now.bookkeeper.evidence.iter().flatten() {
            let at = round(vote.round).ok_or("evidence of no round")?;
            model.insert((at, vote.vote_type.kind(), self.index(&vote.src_address)?));
        }
        if model == evidence {
            Ok(())
        } else {
            Err(format!("the model has evidence {model:?}, our core {evidence:?}"))
        }
    }

    fn compare_round(&self, observer: &Observer, at: Round, votes: &RoundVotes) -> Result<(), String> {
        for (kind, count) in [(Prevote, &votes.prevotes), (Precommit, &votes.precommits)] {
            let voters: Vec<Index> = observer.core.vote_bitmap(kind, at).iter().collect();
            let names: BTreeSet<String> =
                voters.iter().filter_map(|&index| self.names.get(usize::from(index)).cloned()).collect();
            if names != count.votes_addresses {
                return Err(format!(
                    "round {at}, {kind:?}: {:?} voted, our core has {names:?}",
                    count.votes_addresses
                ));
            }
            for (value, &weight) in &count.values_weights {
                let ours = observer.weight(&self.set, at, kind, value.id()?);
                if ours != weight {
                    return Err(format!(
                        "round {at}, {kind:?}: {value:?} weighs {weight}, in our core {ours}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn index(&self, name: &str) -> Result<Index, String> {
        let position = self.names.iter().position(|known| known == name);
        position.map(|position| position as Index).ok_or(format!("{name} is not in the validator set"))
    }
}

impl Observer {
    fn new(set: &ValidatorSet<N>, position: Round) -> Self {
        let memory = Memory {
            height: HEIGHT,
            round: position,
            step: Step::Prevote,
            proposed: None,
            prevoted: None,
            precommitted: None,
            locked: None,
            valid: None,
        };
        let mut core = Box::new(Core::restore(set.clone(), None, memory));
        core.step(Event::Start, &mut Actions::new());
        Self { core, position, heard: Vec::new(), timers: BTreeSet::new(), reported: BTreeSet::new() }
    }

    fn hear(&mut self, vote: SignedVote) {
        let mut actions = Actions::new();
        self.core.step(Event::Vote(vote), &mut actions);
        self.heard.push(vote);
        for action in &actions {
            match action {
                Action::Schedule(timeout) => {
                    self.timers.insert(timeout.step);
                }
                Action::Equivocation { first, .. } => {
                    self.reported.insert((first.vote.kind, first.vote.validator));
                }
                _ => {}
            }
        }
    }

    /// Power of those whose vote for this our core counts.
    fn weight(&self, set: &ValidatorSet<N>, at: Round, kind: VoteKind, value: Option<ValueId>) -> Power {
        let votes = self.core.votes(kind, at).filter(|vote| vote.vote.value == value);
        votes.filter_map(|vote| set.power(vote.vote.validator)).sum()
    }

    /// The threshold that a vote has reached, by our core's counts, in the model's order: the round skip, the vote's own
    /// value, any values.
    fn reached(
        &self,
        set: &ValidatorSet<N>,
        at: Round,
        kind: VoteKind,
        value: Option<ValueId>,
        ahead: bool,
        name: &Value,
    ) -> Result<KeeperOutput, String> {
        let power = |kind| -> BTreeSet<Index> { self.core.vote_bitmap(kind, at).iter().collect() };
        let sum =
            |voters: &BTreeSet<Index>| -> Power { voters.iter().filter_map(|&index| set.power(index)).sum() };
        let senders = power(Prevote).union(&power(Precommit)).copied().collect();
        let model_round = i64::from(at);
        let quorum = set.has_quorum(self.weight(set, at, kind, value));
        // What the counts say and what the core makes of it must agree.
        let certificate = self.core.certificate(kind, at).map(|certificate| certificate.value);
        if quorum && certificate != Some(value) {
            return Err(format!("a quorum for {name:?}, but the certificate is for {certificate:?}"));
        }
        Ok(if ahead && set.has_third(sum(&senders)) {
            KeeperOutput::SkipVKOutput(model_round)
        } else if quorum {
            match (kind, name) {
                (Prevote, Value::Nil) => KeeperOutput::PolkaNilVKOutput(model_round),
                (Prevote, Value::Val(name)) => KeeperOutput::PolkaValueVKOutput(model_round, name.clone()),
                (Precommit, Value::Nil) => KeeperOutput::PrecommitAnyVKOutput(model_round),
                (Precommit, Value::Val(name)) => {
                    KeeperOutput::PrecommitValueVKOutput(model_round, name.clone())
                }
            }
        } else if set.has_quorum(sum(&power(kind))) {
            match kind {
                Prevote => KeeperOutput::PolkaAnyVKOutput(model_round),
                Precommit => KeeperOutput::PrecommitAnyVKOutput(model_round),
            }
        } else {
            KeeperOutput::NoVKOutput
        })
    }

    /// Has the core acted on what the keeper says, or on something stronger?
    fn acts(&self, at: Round, output: &KeeperOutput) -> Result<(), String> {
        let core = &self.core;
        let decided = core.decided().is_some();
        let here = core.round() == at;
        let done = match output {
            KeeperOutput::NoVKOutput => true,
            KeeperOutput::SkipVKOutput(_) => here || decided,
            KeeperOutput::PolkaNilVKOutput(_) => {
                !here || decided || self.skipped(at) || core.current_step() == Step::Precommit
            }
            KeeperOutput::PolkaAnyVKOutput(_) | KeeperOutput::PolkaValueVKOutput(..) => {
                let timer = self.timers.contains(&Step::Prevote) || core.current_step() == Step::Precommit;
                !here || decided || self.skipped(at) || timer
            }
            KeeperOutput::PrecommitAnyVKOutput(_) => {
                !here || decided || self.timers.contains(&Step::Precommit)
            }
            KeeperOutput::PrecommitValueVKOutput(_, name) => core.decided() == Some((at, id(name)?)),
        };
        if done { Ok(()) } else { Err(format!("our core does not act on it: {:?}", core.memory())) }
    }

    /// Has it been pulled to its round, where it is in the step `Propose`, and prevotes do nothing yet?
    fn skipped(&self, at: Round) -> bool {
        self.position < at
    }
}
