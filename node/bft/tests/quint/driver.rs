//! What the model's driver would keep from its state machine: inputs that no messages cause.
//!
//! Quint also runs the state machine alone, on any inputs in any order. Our core takes messages, so such a trace can be
//! replayed up to the first input that none cause. What is looked at here is the model's trace, never our core.

use crate::model::{
    Consensus, ConsensusInput as Input, ConsensusOutput as Output, ModelStep, Value, id, round,
};
use std::collections::{BTreeMap, BTreeSet};
use trustnet_bft::{Round, Step, ValueId};

/// What a driver knows.
#[derive(Default)]
pub(crate) struct Driver {
    /// The round that the model has skipped to and not begun.
    target: Option<Round>,
    /// Has the model asked for a value in its round, and not proposed yet?
    asked: bool,
    /// Timers that the model has set.
    timers: BTreeSet<(Round, Step)>,
    /// What there has been a polka for, by round.
    polkas: BTreeMap<Round, Option<ValueId>>,
    /// Which values are valid.
    verdicts: BTreeMap<Value, bool>,
    /// The newest value that a polka of an earlier round makes valid in our core (L42), and not in the model.
    late: Option<(Round, ValueId)>,
}

impl Driver {
    /// The newest value that a polka of an earlier round has made valid in our core.
    pub(crate) fn late(&self) -> Option<(Round, ValueId)> {
        self.late
    }

    /// Notes a step of the model. Returns why no messages cause its input, if none do.
    pub(crate) fn refuses(
        &mut self,
        before: &Consensus,
        now: &Consensus,
    ) -> Result<Option<&'static str>, String> {
        if let Output::ErrorOutput(_) = now.output {
            return Ok(None);
        }
        let reason = match self.out_of_place(before, now)? {
            None => self.contradicts(before, now)?,
            reason => reason,
        };
        if reason.is_none() {
            self.note(before, now)?;
        }
        Ok(reason)
    }

    /// Inputs that do not fit where the model is.
    fn out_of_place(&self, before: &Consensus, now: &Consensus) -> Result<Option<&'static str>, String> {
        let current = round(before.state.round);
        let step = before.state.step;
        let begins = match now.input {
            Input::NewRoundCInput(at) | Input::NewRoundProposerCInput(at) => Some(round(at)),
            _ => None,
        };
        let about_the_next = match now.input {
            Input::RoundSkipCInput(at) => round(at) > self.target,
            Input::ProposalAndCommitAndValidCInput(..) => true,
            _ => begins == Some(self.target),
        };
        let has_timer = |step| current.is_some_and(|round| self.timers.contains(&(round, step)));
        Ok(match &now.input {
            _ if step == ModelStep::CommitStep => Some("after the decision"),
            _ if step == ModelStep::NoStep && begins.is_none() => Some("before the first round"),
            _ if step == ModelStep::UnstartedStep && !about_the_next => {
                Some("between two rounds, not about the next")
            }
            Input::NewRoundProposerCInput(_) if self.late > now.state.valid()? => {
                Some("a polka of an earlier round has made another value valid here")
            }
            Input::ProposeValueCInput(_) if !self.asked => Some("a value that nobody asked for"),
            Input::ProposalCInput(at, _) if round(*at) != current => Some("a proposal of another round"),
            Input::ProposalAndPolkaAndInvalidCInput(_)
                if step != ModelStep::ProposeStep || current == Some(0) =>
            {
                Some("an invalid value proposed again in a step or round where none is")
            }
            Input::TimeoutPrevoteCInput(..) if !has_timer(Step::Prevote) => {
                Some("a timer that was never set")
            }
            Input::TimeoutPrecommitCInput(..) if !has_timer(Step::Precommit) => {
                Some("a timer that was never set")
            }
            _ => None,
        })
    }

    /// Inputs that contradict earlier ones.
    fn contradicts(&mut self, before: &Consensus, now: &Consensus) -> Result<Option<&'static str>, String> {
        let verdict = match &now.input {
            Input::ProposalCInput(_, value)
            | Input::ProposalAndPolkaAndValidCInput(value)
            | Input::ProposalAndPolkaPreviousAndValidCInput(value, _) => Some((value, true)),
            Input::ProposalAndPolkaAndInvalidCInput(value) => Some((value, false)),
            _ => None,
        };
        if let Some((value, valid)) = verdict
            && *self.verdicts.entry(value.clone()).or_insert(valid) != valid
        {
            return Ok(Some("a value that is valid and invalid"));
        }
        let current = round(before.state.round);
        let polka = match &now.input {
            Input::PolkaNilCInput => current.zip(Some(None)),
            Input::ProposalAndPolkaAndValidCInput(value) => current.zip(Some(value.id()?)),
            Input::ProposalAndPolkaPreviousAndValidCInput(value, at) => round(*at).zip(Some(value.id()?)),
            Input::ProposalAndPolkaAndInvalidCInput(value) => {
                current.and_then(|at| at.checked_sub(1)).zip(Some(value.id()?))
            }
            _ => None,
        };
        // It takes more than 1/3 of Byzantine power.
        Ok(match polka {
            Some((at, value)) if *self.polkas.entry(at).or_insert(value) != value => {
                Some("two polkas of one round")
            }
            _ => None,
        })
    }

    /// Notes what the model has done.
    fn note(&mut self, before: &Consensus, now: &Consensus) -> Result<(), String> {
        if let Input::ProposalAndPolkaPreviousAndValidCInput(Value::Val(name), at) = &now.input {
            self.late = self.late.max(round(*at).zip(Some(id(name)?)));
        }
        match now.output {
            Output::GetValueAndScheduleTimeoutOutput(..) => self.asked = true,
            Output::ProposalOutput(_) => self.asked = false,
            Output::SkipRoundOutput(at) => (self.asked, self.target) = (false, round(at)),
            Output::TimeoutOutput(at, timeout) => {
                self.timers.extend(round(at).or(round(before.state.round)).map(|at| (at, timeout.step())));
            }
            _ => {}
        }
        Ok(())
    }
}
