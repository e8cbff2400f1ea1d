//! The core: one validator's state machine for one height, its way in ([`Core::step`]) and what it shows.

use crate::bits::Bits;
use crate::certificate::Certificate;
use crate::events::{Action, Actions, Event};
use crate::round::emit;
use crate::rules::Rules;
use crate::tally::Judged;
use crate::types::{
    Height, Index, MAX_ROUND, Memory, Proposal, Round, SignedProposal, SignedVote, Step, ValueId, Vote,
    VoteKind,
};
use crate::validators::ValidatorSet;
use crate::votes::Votes;

/// One validator's consensus on one height, with everything it has heard.
///
/// `Core<128>` takes about 300 KB whatever happens, and nothing a peer sends makes it grow: keep it in a `Box`, and go on
/// with [`Core::next_height`] or [`Core::reset`], which work in place.
pub struct Core<const N: usize> {
    pub(crate) set: ValidatorSet<N>,
    pub(crate) me: Option<Index>,
    pub(crate) silent: bool,
    pub(crate) started: bool,
    /// Where we are and what we have signed; the paper's variables.
    pub(crate) memory: Memory,
    /// Proposer of the current round.
    pub(crate) leader: Index,
    /// Have we, as the proposer of this round, proposed or asked for a value?
    pub(crate) asked: bool,
    /// Which timers of this round have been set, by step.
    pub(crate) scheduled: [bool; 3],
    pub(crate) decided: Option<(Round, ValueId)>,
    pub(crate) votes: Votes<N>,
    /// Which rules have fired in all its life.
    pub(crate) rules: Rules,
}

impl<const N: usize> Core<N> {
    /// A core for a height, before [`Event::Start`]. `me` is our own index, or `None` (as is an index outside the set) to
    /// observe only.
    #[must_use]
    pub fn new(height: Height, set: ValidatorSet<N>, me: Option<Index>) -> Self {
        Self::restore(set, me, blank(height))
    }

    /// A core that goes on after a crash, before [`Event::Start`]. On `Start` it emits the proposal and the votes of
    /// `memory` again, for the caller to sign the same bytes, and from then on never contradicts them. Votes, proposals
    /// and certificates of before the crash may be fed before or after `Start`.
    #[must_use]
    pub fn restore(set: ValidatorSet<N>, me: Option<Index>, memory: Memory) -> Self {
        let mut core = Self {
            set,
            me: None,
            silent: false,
            started: false,
            memory,
            leader: 0,
            asked: false,
            scheduled: [false; 3],
            decided: None,
            votes: Votes::EMPTY,
            rules: Rules::EMPTY,
        };
        core.begin(me);
        core
    }

    /// Starts over for the next height, in place. Silence stays as it is.
    pub fn next_height(&mut self, set: ValidatorSet<N>, me: Option<Index>) {
        self.reset(self.memory.height.saturating_add(1), set, me);
    }

    /// Starts over for any height, in place, as after a jump by state sync. Silence stays as it is.
    pub fn reset(&mut self, height: Height, set: ValidatorSet<N>, me: Option<Index>) {
        self.set = set;
        self.memory = blank(height);
        self.started = false;
        self.decided = None;
        self.votes.clear();
        self.begin(me);
    }

    /// Brings everything in line with the set and the memory.
    fn begin(&mut self, me: Option<Index>) {
        self.me = me.filter(|&me| self.set.power(me).is_some());
        self.asked = false;
        self.scheduled = [false; 3];
        self.memory.round = self.memory.round.min(MAX_ROUND);
        self.follow_round();
    }

    /// Observe, but neither propose nor vote: for a node that catches up, has lost its memory, or has met its double. After
    /// silence it proposes and votes only in steps that it has not gone through silently.
    pub fn silence(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// Handles one event. `actions` is emptied first, and then holds what the caller must do, in order.
    ///
    /// Our own proposals and votes are not counted when they are emitted, but when the caller, having persisted the
    /// memory and signed them, feeds them back as events. So a single validator decides with nothing but its own messages.
    ///
    /// No event can make it panic, and an event that breaks the rules (another height, a stranger's vote, a proposal by
    /// the wrong proposer or with `pol_round >= round`, a certificate without a quorum, a stale timer) changes nothing.
    /// After the decision, only votes and certificates are looked at: they complete the commit certificate, and give
    /// evidence.
    pub fn step(&mut self, event: Event<'_, N>, actions: &mut Actions) {
        actions.clear();
        match event {
            Event::Start => self.start(actions),
            Event::Proposal { proposal, valid } => self.hear_proposal(proposal, valid, actions),
            Event::Vote(vote) => self.hear_vote(&vote, actions),
            Event::Certificate(certificate) => self.hear_certificate(certificate, actions),
            Event::Value { round, value } if self.is_running() => self.l18_value(round, value, actions),
            Event::Timeout(timeout) if self.is_running() => self.expire(timeout, actions),
            Event::Value { .. } | Event::Timeout(_) => {}
        }
        self.evaluate(actions);
    }

    /// Between start and decision?
    fn is_running(&self) -> bool {
        self.started && self.decided.is_none()
    }

    /// L10, or the same after a crash: begins, and says again what we had said in this round. If the messages that came
    /// before have decided the height or are ahead of this round, [`Core::evaluate`] goes straight there.
    fn start(&mut self, actions: &mut Actions) {
        if self.started || self.decided.is_some() {
            return;
        }
        self.started = true;
        if self.votes.commit().is_some() || self.votes.round_ahead(&self.set).is_some() {
            return;
        }
        let Memory { height, round, .. } = self.memory;
        emit(actions, Action::NewRound { round });
        if let Some(me) = self.voice() {
            if let Some((value, pol_round)) = self.memory.proposed {
                emit(actions, Action::Propose(Proposal { height, round, value, pol_round, proposer: me }));
            }
            let votes =
                [(VoteKind::Prevote, self.memory.prevoted), (VoteKind::Precommit, self.memory.precommitted)];
            for (kind, value) in votes {
                if let Some(value) = value {
                    emit(actions, Action::Vote(Vote { kind, height, round, value, validator: me }));
                }
            }
        }
        if self.memory.step == Step::Propose {
            self.schedule(Step::Propose, actions);
        }
    }

    fn hear_proposal(&mut self, signed: SignedProposal, valid: bool, actions: &mut Actions) {
        if !self.is_new_proposal(&signed.proposal) {
            return;
        }
        if let Some(first) = self.votes.add_proposal(Judged { signed, valid }) {
            emit(actions, Action::ProposalEquivocation { first, second: signed });
        }
    }

    fn hear_vote(&mut self, vote: &SignedVote, actions: &mut Actions) {
        if !self.is_new(&vote.vote) {
            return;
        }
        if let Some(first) = self.votes.add(vote, &self.set) {
            emit(actions, Action::Equivocation { first, second: *vote });
        }
    }

    fn hear_certificate(&mut self, certificate: &Certificate<N>, actions: &mut Actions) {
        let ours = certificate.height == self.memory.height && certificate.round <= MAX_ROUND;
        let needed = self.decided.is_none() || self.votes.tally(certificate.round).is_some();
        if ours && needed && certificate.check_shape(&self.set).is_ok() {
            self.votes.apply(certificate, &self.set, |first, second| {
                emit(actions, Action::Equivocation { first, second });
            });
        }
    }

    /// What must be durable before the votes and proposals of the last step are signed.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Height being decided.
    pub fn height(&self) -> Height {
        self.memory.height
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

    /// Our own index, if we are a validator.
    pub fn me(&self) -> Option<Index> {
        self.me
    }

    /// Which rules have fired since this core was made, over all its heights.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// Are we silenced?
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Round and value decided.
    pub fn decided(&self) -> Option<(Round, ValueId)> {
        self.decided
    }

    /// Who proposes in a round of this height.
    pub fn proposer(&self, round: Round) -> Index {
        if round == self.memory.round { self.leader } else { self.set.proposer(self.memory.height, round) }
    }

    /// The paper's locked round and value.
    pub fn locked(&self) -> Option<(Round, ValueId)> {
        self.memory.locked
    }

    /// The paper's valid round and value.
    pub fn valid(&self) -> Option<(Round, ValueId)> {
        self.memory.valid
    }

    /// The first proposal of a round, while the round is kept.
    pub fn proposal(&self, round: Round) -> Option<SignedProposal> {
        Some(self.votes.tally(round)?.proposal()?.signed)
    }

    /// The precommits that decided, and those for the same value that came later. `None` before the decision.
    pub fn commit_certificate(&self) -> Option<Certificate<N>> {
        let (round, _) = self.decided?;
        self.certificate(VoteKind::Precommit, round)
    }

    /// The polka of a value in a round, while the round is kept; that of [`Core::valid`] always is, once its votes have
    /// been heard (after a crash, they must be heard again). It travels with a re-proposal of the value (pitfall 5).
    pub fn polka_certificate(&self, round: Round) -> Option<Certificate<N>> {
        self.certificate(VoteKind::Prevote, round).filter(|certificate| certificate.value.is_some())
    }

    /// What more than 2/3 voted for in a kept round, be it nil: to show to peers who are behind, or who have been told
    /// something else by an equivocator.
    pub fn certificate(&self, kind: VoteKind, round: Round) -> Option<Certificate<N>> {
        self.votes.certificate(kind, self.memory.height, round)
    }

    /// A stored vote of a kept round.
    pub fn vote_of(&self, kind: VoteKind, round: Round, index: Index) -> Option<SignedVote> {
        let ballot = self.votes.ballot(kind, round, index)?;
        Some(ballot.vote(kind, self.memory.height, round, index))
    }

    /// The stored votes of a kept round, by ascending index.
    pub fn votes(&self, kind: VoteKind, round: Round) -> impl Iterator<Item = SignedVote> + '_ {
        self.vote_bitmap(kind, round).iter().filter_map(move |index| self.vote_of(kind, round, index))
    }

    /// Whose votes of a kept round are stored.
    pub fn vote_bitmap(&self, kind: VoteKind, round: Round) -> Bits<N> {
        self.votes.tally(round).map_or(Bits::EMPTY, |tally| tally.ballots(kind).voters())
    }

    /// Could this vote change anything? A cheap check before its signature is verified (pitfall 15): right height, a
    /// member, a round of interest, and neither a duplicate nor a second piece of the same evidence. If not,
    /// [`Core::step`] would ignore it.
    pub fn is_new(&self, vote: &Vote) -> bool {
        vote.height == self.memory.height
            && vote.round <= MAX_ROUND
            && self.set.power(vote.validator).is_some()
            && (self.decided.is_none() || self.votes.tally(vote.round).is_some())
            && self.votes.is_new(vote)
    }

    /// The same for a certificate, whose votes count as a whole: some vote of it is new, or it is of a round that is not
    /// kept and shows something of use there, a polka or a commit of a round that is long over among them.
    pub fn is_new_certificate(&self, certificate: &Certificate<N>) -> bool {
        let &Certificate { kind, height, round, value, .. } = certificate;
        if height != self.memory.height || round > MAX_ROUND {
            return false;
        }
        if self.votes.tally(round).is_none() {
            return self.decided.is_none() && (value.is_some() || round > self.memory.round);
        }
        let new = |&(validator, _): &(Index, _)| self.is_new(&Vote { kind, height, round, value, validator });
        certificate.signatures.iter().any(new)
    }

    /// The same for a proposal: right height and proposer, `pol_round < round`, a round of interest, not a duplicate.
    pub fn is_new_proposal(&self, proposal: &Proposal) -> bool {
        proposal.height == self.memory.height
            && proposal.round <= MAX_ROUND
            && proposal.pol_round.is_none_or(|pol_round| pol_round < proposal.round)
            && self.decided.is_none()
            && self.votes.is_new_proposal(proposal)
            && proposal.proposer == self.proposer(proposal.round)
    }
}

/// The memory of a validator that has done nothing at this height.
fn blank(height: Height) -> Memory {
    Memory {
        height,
        round: 0,
        step: Step::Propose,
        proposed: None,
        prevoted: None,
        precommitted: None,
        locked: None,
        valid: None,
    }
}
