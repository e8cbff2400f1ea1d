//! Algorithm 1 of "The latest gossip on BFT consensus" (arXiv 1807.04938), one method for each rule, named and tagged by
//! its line.
//!
//! The rules are "upon" rules: they hold whenever their condition does, not when a certain message arrives. So after every
//! event [`Core::evaluate`] looks at all of them, against everything that is stored (pitfalls 11 and 12).

use crate::core::Core;
use crate::events::{Action, Actions};
use crate::rules::Rule;
use crate::types::{Index, MAX_ROUND, Proposal, Round, Step, Timeout, ValueId, Vote, VoteKind};

impl<const N: usize> Core<N> {
    /// Applies every rule whose condition holds.
    ///
    /// One pass is enough. Each rule can only enable rules after it: entering a round (L55) comes before the rules of the
    /// round; the late polka, which changes what we propose, before L14; L22 and L28 leave the step `Propose`, which L36
    /// and L44 wait for; those leave the step `Prevote`, after which L34 has no timer to set; L47 holds in any step.
    /// At most one round is entered: after L55 no more than 1/3 of the power is ahead of us, and nothing here adds messages.
    pub(crate) fn evaluate(&mut self, actions: &mut Actions) {
        if self.decided.is_some() {
            return;
        }
        if let Some((round, value)) = self.votes.commit() {
            // L49: more than 2/3 precommit a value, in any round. Comes before all else (pitfall 10).
            self.decided = Some((round, value));
            self.rules.note(if round == self.memory.round { Rule::L49Decided } else { Rule::L49OtherRound });
            emit(actions, Action::Decide { round, value });
            return;
        }
        if !self.started {
            return;
        }
        if let Some(round) = self.votes.round_ahead(&self.set) {
            // L55, L56: more than 1/3 are in later rounds.
            self.rules.note(Rule::L55Skipped);
            self.enter_round(round, actions);
        }
        self.note_late_polka();
        self.l14_propose(actions);
        self.l22_fresh_proposal(actions);
        self.l28_proposal_with_polka(actions);
        self.l36_polka(actions);
        self.l44_nil_polka(actions);
        self.l34_prevotes(actions);
        self.l47_precommits(actions);
    }

    /// L11 `StartRound`: enters a round. Proposing (L14) is left to [`Core::evaluate`].
    pub(crate) fn enter_round(&mut self, round: Round, actions: &mut Actions) {
        // L12, L13.
        self.memory.round = round;
        self.memory.step = Step::Propose;
        self.memory.proposed = None;
        self.memory.prevoted = None;
        self.memory.precommitted = None;
        self.asked = false;
        // Timers of the new round have not been set, even if those of the old one have (pitfall 18).
        self.scheduled = [false; 3];
        self.follow_round();
        emit(actions, Action::NewRound { round });
        // L20, L21: the proposer waits too, because its own proposal may fail to be built.
        self.schedule(Step::Propose, actions);
    }

    /// Brings what depends on the round in line with [`Core::memory`].
    pub(crate) fn follow_round(&mut self) {
        self.leader = self.set.proposer(self.memory.height, self.memory.round);
        self.votes.enter(self.memory.round, self.memory.valid.map(|(round, _)| round), &self.set);
    }

    /// L42, L43 for a polka that completes after we have left its round: the value becomes our valid value if it is newer
    /// than the one we have. The paper does this in the current round only. It is safe, because `valid` says what we
    /// propose, and otherwise no more than what is true: that there was this polka. It makes a value on which others may
    /// have locked be proposed sooner.
    fn note_late_polka(&mut self) {
        if let Some((round, value)) = self.votes.late_polka() {
            self.rules.note(Rule::L42Late);
            self.set_valid(round, value);
        }
    }

    /// L14 to L19: as the proposer, propose the valid value, else a new one.
    fn l14_propose(&mut self, actions: &mut Actions) {
        let Some(me) = self.voice() else { return };
        if self.memory.step != Step::Propose || self.leader != me || self.asked || self.has_proposed() {
            return;
        }
        self.asked = true;
        if let Some((round, value)) = self.memory.valid {
            // L15, L16: the valid value, not the locked one (pitfall 3).
            self.rules.note(Rule::L16Reproposed);
            self.propose(me, value, Some(round), actions);
        } else {
            // L18: `getValue()`.
            self.rules.note(Rule::L18Asked);
            emit(actions, Action::GetValue { height: self.memory.height, round: self.memory.round });
        }
    }

    /// L18, L19: the caller has built the value we asked for.
    pub(crate) fn l18_value(&mut self, round: Round, value: ValueId, actions: &mut Actions) {
        let Some(me) = self.voice() else { return };
        let expected = self.asked && self.memory.round == round && self.memory.step == Step::Propose;
        if expected && self.leader == me && !self.has_proposed() {
            self.rules.note(Rule::L19Proposed);
            self.propose(me, value, None, actions);
        }
    }

    /// L19: broadcasts a proposal.
    fn propose(&mut self, proposer: Index, value: ValueId, pol_round: Option<Round>, actions: &mut Actions) {
        self.memory.proposed = Some((value, pol_round));
        let (height, round) = (self.memory.height, self.memory.round);
        emit(actions, Action::Propose(Proposal { height, round, value, pol_round, proposer }));
    }

    /// Is there a proposal of ours for this round? One that was heard but is not remembered comes from a copy of us, or
    /// from us before our memory was lost: remember it, and never contradict it.
    fn has_proposed(&mut self) -> bool {
        if self.memory.proposed.is_none() {
            let heard = self.votes.tally(self.memory.round).and_then(|tally| tally.proposal());
            self.memory.proposed = heard.map(|heard| {
                let Proposal { value, pol_round, .. } = heard.signed.proposal;
                (value, pol_round)
            });
        }
        self.memory.proposed.is_some()
    }

    /// L22 to L27: a fresh proposal gets our prevote if it is valid and we are not locked on another value.
    fn l22_fresh_proposal(&mut self, actions: &mut Actions) {
        let Some((value, valid, None)) = self.open_proposal() else { return };
        let free = self.memory.locked.is_none_or(|(_, locked)| locked == value);
        let vote = (valid && free).then_some(value);
        self.rules.note(match (valid, free) {
            (true, true) => Rule::L23Value,
            (true, false) => Rule::L26Locked,
            (false, _) => Rule::L26Invalid,
        });
        self.prevote(vote, actions);
    }

    /// L28 to L33: a value proposed again gets our prevote if it is valid, more than 2/3 have prevoted that same value in
    /// the round it names (pitfall 6), and we have not locked later than that (or have locked on it). Without its polka we
    /// wait for it, or for the timeout (pitfall 4). An invalid value gets nil at once, as it would get in the end.
    fn l28_proposal_with_polka(&mut self, actions: &mut Actions) {
        let Some((value, valid, Some(pol_round))) = self.open_proposal() else { return };
        if !valid {
            self.rules.note(Rule::L32Invalid);
            self.prevote(None, actions);
        } else if self.is_polka(pol_round, value) {
            // L29.
            let free = self.memory.locked.is_none_or(|(round, locked)| round <= pol_round || locked == value);
            self.rules.note(if free { Rule::L30Value } else { Rule::L32Locked });
            self.prevote(free.then_some(value), actions);
        } else {
            self.rules.note(Rule::L28Waited);
        }
    }

    /// The proposal of this round, while we have not answered it: value, verdict, `pol_round`.
    fn open_proposal(&self) -> Option<(ValueId, bool, Option<Round>)> {
        if self.memory.step != Step::Propose {
            return None;
        }
        let judged = self.votes.tally(self.memory.round)?.proposal()?;
        Some((judged.signed.proposal.value, judged.valid, judged.signed.proposal.pol_round))
    }

    /// Have more than 2/3 prevoted this value in this round? What we remember of before a crash counts: we locked or
    /// noted the value because we had seen its polka.
    fn is_polka(&self, round: Round, value: ValueId) -> bool {
        self.votes.tally(round).and_then(crate::tally::Tally::polka) == Some(value)
            || self.memory.valid == Some((round, value))
            || self.memory.locked == Some((round, value))
    }

    /// L36 to L43: the value proposed in this round, valid, has more than 2/3 of the prevotes. In step `Prevote` lock on it
    /// and precommit it; in any step from there on it becomes our valid value (pitfall 3). Silent validators lock too: it
    /// costs nothing, and if they are silent because they lost their memory, it may be a lock that they had.
    fn l36_polka(&mut self, actions: &mut Actions) {
        let round = self.memory.round;
        let Some(tally) = self.votes.tally(round) else { return };
        let Some(value) = tally.polka().filter(|&value| tally.proposes_valid(value)) else { return };
        if self.memory.step == Step::Prevote {
            self.memory.locked = Some((round, value));
            self.rules.note(Rule::L38Locked);
            self.precommit(Some(value), actions);
        }
        if self.memory.step > Step::Propose {
            self.rules.note(Rule::L42Valid);
            self.set_valid(round, value);
        }
    }

    /// L42, L43, if the round is newer than the one we know: so `valid` is never older than `locked`.
    fn set_valid(&mut self, round: Round, value: ValueId) {
        if self.memory.valid.is_none_or(|(known, _)| known < round) {
            self.memory.valid = Some((round, value));
            self.votes.enter(self.memory.round, Some(round), &self.set);
        }
    }

    /// L44 to L46: more than 2/3 prevote nil. A lock stays (pitfall 2).
    fn l44_nil_polka(&mut self, actions: &mut Actions) {
        let quorum =
            self.votes.tally(self.memory.round).and_then(|tally| tally.ballots(VoteKind::Prevote).quorum());
        if self.memory.step == Step::Prevote && quorum == Some(None) {
            self.rules.note(Rule::L45Nil);
            self.precommit(None, actions);
        }
    }

    /// L34, L35: more than 2/3 have prevoted, whatever for, and we wait (pitfall 20).
    fn l34_prevotes(&mut self, actions: &mut Actions) {
        if self.memory.step == Step::Prevote && self.has_any_quorum(VoteKind::Prevote) {
            self.schedule(Step::Prevote, actions);
        }
    }

    /// L47, L48: more than 2/3 have precommitted, whatever for.
    fn l47_precommits(&mut self, actions: &mut Actions) {
        if self.has_any_quorum(VoteKind::Precommit) {
            self.schedule(Step::Precommit, actions);
        }
    }

    /// Have more than 2/3 voted in this round, whatever for?
    fn has_any_quorum(&self, kind: VoteKind) -> bool {
        let tally = self.votes.tally(self.memory.round);
        tally.is_some_and(|tally| tally.ballots(kind).has_any_quorum(&self.set))
    }

    /// Sets the timer of a step of this round, once.
    pub(crate) fn schedule(&mut self, step: Step, actions: &mut Actions) {
        if !core::mem::replace(&mut self.scheduled[step as usize], true) {
            self.rules.note(match step {
                Step::Propose => Rule::L21Timer,
                Step::Prevote => Rule::L35Timer,
                Step::Precommit => Rule::L48Timer,
            });
            let (height, round) = (self.memory.height, self.memory.round);
            emit(actions, Action::Schedule(Timeout { height, round, step }));
        }
    }

    /// L57, L61, L65: a timer fired. Ignored unless it is one that we set, of this round, and it still matters.
    pub(crate) fn expire(&mut self, timeout: Timeout, actions: &mut Actions) {
        let Timeout { height, round, step } = timeout;
        if height != self.memory.height || round != self.memory.round || !self.scheduled[step as usize] {
            return;
        }
        match (step, self.memory.step) {
            // L57 to L60.
            (Step::Propose, Step::Propose) => {
                self.rules.note(Rule::L57Expired);
                self.prevote(None, actions);
            }
            // L61 to L64.
            (Step::Prevote, Step::Prevote) => {
                self.rules.note(Rule::L61Expired);
                self.precommit(None, actions);
            }
            // L65 to L67.
            (Step::Precommit, _) if round < MAX_ROUND => {
                self.rules.note(Rule::L65Expired);
                self.enter_round(round + 1, actions);
            }
            _ => {}
        }
    }

    /// Prevotes, if we may, and moves on.
    fn prevote(&mut self, value: Option<ValueId>, actions: &mut Actions) {
        self.memory.step = Step::Prevote;
        self.vote(VoteKind::Prevote, value, actions);
    }

    /// Precommits, if we may, and moves on.
    fn precommit(&mut self, value: Option<ValueId>, actions: &mut Actions) {
        self.memory.step = Step::Precommit;
        self.vote(VoteKind::Precommit, value, actions);
    }

    /// Votes, if we may. A vote of ours that was heard but is not remembered comes from a copy of us, or from us before
    /// our memory was lost: remember it, and never contradict it.
    fn vote(&mut self, kind: VoteKind, value: Option<ValueId>, actions: &mut Actions) {
        let Some(validator) = self.voice() else { return };
        let (height, round) = (self.memory.height, self.memory.round);
        let heard = self.votes.ballot(kind, round, validator).map(|ballot| ballot.value);
        let remembered = match kind {
            VoteKind::Prevote => &mut self.memory.prevoted,
            VoteKind::Precommit => &mut self.memory.precommitted,
        };
        if remembered.is_some() {
            return;
        }
        *remembered = Some(heard.unwrap_or(value));
        if heard.is_none() {
            emit(actions, Action::Vote(Vote { kind, height, round, value, validator }));
        }
    }

    /// Our index, if we may propose and vote.
    pub(crate) fn voice(&self) -> Option<Index> {
        if self.silent { None } else { self.me }
    }
}

/// Adds an action. There is room: see [`MAX_ACTIONS`](crate::MAX_ACTIONS).
pub(crate) fn emit(actions: &mut Actions, action: Action) {
    let pushed = actions.push(action);
    debug_assert!(pushed.is_ok(), "MAX_ACTIONS is proved to be enough");
}
