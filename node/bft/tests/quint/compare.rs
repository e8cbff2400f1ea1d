//! A validator of the model's network beside our core in its place: what must be equal, and when it may not be.
//!
//! The model puts off rules that hold already (its pending inputs and step changes) and takes them up in later steps; ours
//! are all tried at once. So states are compared when the model has nothing put off. And in a few cases they may differ,
//! each of which is checked to be that case before it is passed over:
//!
//! - a commit whose proposal is missing decides here, and not in the model;
//! - a round skip here counts proposals too, and senders in different rounds together; the model, votes of one round;
//! - a late polka makes its value valid here;
//! - the model may let a timeout overtake a rule that it has put off;
//! - the model does not look at what it has stored for a round when it enters it from the step `Propose`.
//!
//! After the last two the two may go different ways. From the first difference on, only decisions are compared in that height.

use crate::common::{N, equal};
use crate::model::{ConsensusOutput, DriverInput, DriverState, ModelStep, Value, id, round};
use std::collections::{BTreeMap, BTreeSet};
use trustnet_bft::{Action, Core, Height, Index, Power, Round, ValidatorSet, ValueId, VoteKind};

/// The outcome of a comparison that has not failed.
pub(crate) enum Compared {
    Equal,
    Not(&'static str),
}

/// One of our cores, in the place of a validator of the model.
pub(crate) struct Node {
    pub(crate) core: Box<Core<N>>,
    /// Is less than a third of the network faulty?
    bearable: bool,
    /// What our core has voted, by model height.
    votes: BTreeMap<(i64, VoteKind, Round), Option<ValueId>>,
    decided: BTreeMap<i64, ValueId>,
    /// A rule that the model has not followed in its round, if there is one.
    slip: Option<(i64, &'static str)>,
    /// Why it goes its own way in this height, if it does.
    parted: Option<&'static str>,
}

impl Node {
    pub(crate) fn new(core: Box<Core<N>>, bearable: bool) -> Self {
        Self { core, bearable, votes: BTreeMap::new(), decided: BTreeMap::new(), slip: None, parted: None }
    }

    /// Goes to another height.
    pub(crate) fn reset(&mut self, height: Height, set: ValidatorSet<N>, me: Index) {
        self.core.reset(height, set, Some(me));
        (self.slip, self.parted) = (None, None);
    }

    /// By model height.
    pub(crate) fn decisions(&self) -> &BTreeMap<i64, ValueId> {
        &self.decided
    }

    /// Notes what our core has said. It never votes twice.
    pub(crate) fn note(&mut self, model_height: i64, actions: &[Action]) -> Result<(), String> {
        for action in actions {
            match *action {
                Action::Vote(vote) => {
                    let known =
                        *self.votes.entry((model_height, vote.kind, vote.round)).or_insert(vote.value);
                    if known != vote.value {
                        return Err(format!("our core votes twice: {vote:?} after {known:?}"));
                    }
                }
                Action::Decide { value, .. } => {
                    self.decided.insert(model_height, value);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes where the model does not follow a rule at once.
    pub(crate) fn watch(&mut self, was: &DriverState, is: &DriverState, input: &DriverInput) {
        if busy(was) && matches!(input, DriverInput::TimeoutDInput(_)) {
            self.slip =
                Some((was.cs.round, "after the model let a timeout overtake a rule that it had put off"));
        } else if was.cs.round != is.cs.round && was.cs.step == is.cs.step {
            self.slip = Some((is.cs.round, "after the model overlooked what it had stored for the round"));
        }
    }

    /// Compares after a step.
    pub(crate) fn compare(
        &mut self,
        was: &DriverState,
        is: &DriverState,
        output: &ConsensusOutput,
    ) -> Result<Compared, String> {
        if let Some(reason) = self.parted {
            if self.bearable {
                self.same_decision(is)?;
            }
            return Ok(Compared::Not(reason));
        }
        let compared = self.vote_agrees(was, output).and_then(|()| self.compare_states(is));
        match (compared, self.slip) {
            (Err(_), Some((round, reason))) if round == was.cs.round || round == is.cs.round => {
                self.parted = Some(reason);
                Ok(Compared::Not(reason))
            }
            (compared, _) => compared,
        }
    }

    /// The vote that the model casts is the one that our core has cast.
    fn vote_agrees(&self, was: &DriverState, output: &ConsensusOutput) -> Result<(), String> {
        let ConsensusOutput::VoteOutput(vote) = output else { return Ok(()) };
        let key = (was.cs.height, vote.vote_type.kind(), round(vote.round).ok_or("a vote of no round")?);
        let ours = self.votes.get(&key);
        if ours == Some(&vote.value_id.id()?) || self.core.decided().is_some() && ours.is_none() {
            Ok(())
        } else {
            Err(format!("the model casts {vote:?}, our core {ours:?}"))
        }
    }

    /// What both have decided at the model's height is the same.
    fn same_decision(&self, is: &DriverState) -> Result<(), String> {
        match (decision(is), self.decided.get(&is.cs.height)) {
            (Some(theirs), Some(&value)) if id(theirs)? != value => {
                Err(format!("the model decides {theirs}, our core {value:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Compares with the state of a validator that has nothing put off.
    fn compare_states(&self, is: &DriverState) -> Result<Compared, String> {
        let (core, model) = (&self.core, &is.cs);
        if busy(is) {
            return Ok(Compared::Not("the model has put something off"));
        }
        self.same_decision(is)?;
        match (core.decided(), decision(is)) {
            (Some(_), Some(_)) => return Ok(Compared::Equal),
            (Some((at, value)), None) if has_commit(is, at, value)? => {
                return Ok(Compared::Not("our core has decided without the proposal"));
            }
            (None, None) => {}
            (ours, theirs) => return Err(format!("the model decides {theirs:?}, our core {ours:?}")),
        }
        let Some(step) = model.step.step() else {
            return Ok(Compared::Not("the model has not begun the round"));
        };
        let theirs = (round(model.round).ok_or("a step of no round")?, step, model.locked()?);
        let ours = (core.round(), core.current_step(), core.locked());
        if ours.0 > theirs.0 && pulled(is, theirs.0) {
            return Ok(Compared::Not("our core has been pulled by what the model does not count"));
        }
        if ours != theirs {
            return Err(format!("the model has {theirs:?}, our core {ours:?}"));
        }
        let (valid, known) = (core.valid(), model.valid()?);
        if valid == known || valid > known && late_polka(is, valid)? {
            Ok(Compared::Equal)
        } else {
            Err(format!("the model has the valid value {known:?}, our core {valid:?}"))
        }
    }
}

/// Has the model put something off?
fn busy(state: &DriverState) -> bool {
    !state.pending_inputs.is_empty() || state.pending_step_change != ModelStep::NoStep
}

/// What the model has decided at its height.
fn decision(is: &DriverState) -> Option<&str> {
    let entry = is.chain.get(usize::try_from(is.cs.height).ok()?)?;
    Some(&entry.decision.proposal)
}

/// Does the model hold more than 2/3 of precommits for this?
fn has_commit(is: &DriverState, at: Round, value: ValueId) -> Result<bool, String> {
    let Some(votes) = is.bk.rounds.get(&i64::from(at)) else { return Ok(false) };
    has_quorum(is, &votes.precommits.values_weights, value)
}

/// Does the model hold the polka that has made this valid in an earlier round?
fn late_polka(is: &DriverState, valid: Option<(Round, ValueId)>) -> Result<bool, String> {
    let Some((at, value)) = valid else { return Ok(false) };
    let Some(votes) = is.bk.rounds.get(&i64::from(at)) else { return Ok(false) };
    Ok(i64::from(at) < is.cs.round && has_quorum(is, &votes.prevotes.values_weights, value)?)
}

fn has_quorum(is: &DriverState, weights: &BTreeMap<Value, Power>, value: ValueId) -> Result<bool, String> {
    for (name, &weight) in weights {
        if name.id()? == Some(value) {
            return Ok(equal(is.bk.validator_set.len()).has_quorum(weight));
        }
    }
    Ok(false)
}

/// Has the model heard more than a third in rounds above this one, if proposals count and rounds count together?
fn pulled(is: &DriverState, current: Round) -> bool {
    let above = |at: i64| at > i64::from(current);
    let votes = is.bk.rounds.iter().filter(|&(&at, _)| above(at));
    let mut senders: BTreeSet<&str> = votes
        .flat_map(|(_, votes)| votes.prevotes.votes_addresses.iter().chain(&votes.precommits.votes_addresses))
        .map(String::as_str)
        .collect();
    let proposals = is.proposals.iter().filter(|proposal| above(proposal.round));
    senders.extend(proposals.map(|proposal| proposal.src_address.as_str()));
    equal(is.bk.validator_set.len()).has_third(senders.len() as Power)
}
