//! Which rounds have a tally, and where each message goes.
//!
//! With `c` the current round, these rounds are *kept*, each with a [`Tally`]:
//!
//! | rounds | how many | why |
//! |---|---|---|
//! | `c - PAST ..= c + FUTURE` | 5 | late precommits may decide (L49), late polkas make valid (L42); others are a little ahead |
//! | that of our valid value | 1 | its polka travels with our next proposal (L16, pitfall 5) |
//! | those which the proposals of `c ..= c + FUTURE` name as `pol_round` | 3 | L28 looks for the polka there |
//! | that of the last certificate for another round | 1 | the polka of a proposal that is still on its way; the commit of any round |
//!
//! That is at most [`SLOTS`], so a kept round always finds a free slot, and no message of one validator can take the
//! place of another's. The locked round needs no slot of its own: L36 sets `valid` whenever it sets `locked`, so the
//! valid value is as new or newer, and it is the one that is proposed.
//!
//! Older rounds are forgotten. That costs no safety (votes only ever add up) and no progress: termination rests on the
//! rounds to come, in which a re-proposal brings its polka along, and a commit of a forgotten round still decides when it
//! comes as a certificate. Rounds beyond the window are in [`crate::future`].

use crate::certificate::Certificate;
use crate::future::Latest;
use crate::tally::{Ballot, Judged, Tally};
use crate::types::{
    Height, Index, Power, Proposal, Round, SignedProposal, SignedVote, ValueId, Vote, VoteKind,
};
use crate::validators::ValidatorSet;

/// Rounds before the current one that keep a tally.
pub(crate) const PAST: Round = 2;

/// Rounds after the current one that have a tally.
pub(crate) const FUTURE: Round = 2;

/// Tallies: the sum of the table above.
const SLOTS: usize = (PAST + 1 + FUTURE) as usize + 1 + (1 + FUTURE) as usize + 1;

/// All messages of a height that are kept.
pub(crate) struct Votes<const N: usize> {
    slots: [Tally<N>; SLOTS],
    /// By validator; never of a kept round.
    latest: [Latest; N],
    /// By validator: the highest round in which it was heard (0 also if never).
    highest: [Round; N],
    current: Round,
    valid: Option<Round>,
    /// Round of the last certificate for a round that was not kept.
    held: Option<Round>,
}

impl<const N: usize> Votes<N> {
    /// Nothing heard, round 0.
    pub(crate) const EMPTY: Self = Self {
        slots: [const { Tally::EMPTY }; SLOTS],
        latest: [Latest::NOTHING; N],
        highest: [0; N],
        current: 0,
        valid: None,
        held: None,
    };

    /// Forgets everything, in place.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.round = None;
        }
        self.latest.fill(Latest::NOTHING);
        self.highest.fill(0);
        self.current = 0;
        self.valid = None;
        self.held = None;
    }

    /// Moves to a round, and notes the round of our valid value.
    pub(crate) fn enter(&mut self, round: Round, valid: Option<Round>, set: &ValidatorSet<N>) {
        self.current = round;
        self.valid = valid;
        self.settle(set);
    }

    /// The tally of a round, if it has one.
    pub(crate) fn tally(&self, round: Round) -> Option<&Tally<N>> {
        self.slots.iter().find(|slot| slot.round == Some(round))
    }

    /// The stored vote of a validator.
    pub(crate) fn ballot(&self, kind: VoteKind, round: Round, index: Index) -> Option<&Ballot> {
        self.tally(round)?.ballots(kind).get(index)
    }

    /// Does a round have a right to a tally?
    fn is_kept(&self, round: Round) -> bool {
        let window = self.current.saturating_sub(PAST)..=self.current.saturating_add(FUTURE);
        window.contains(&round)
            || self.valid == Some(round)
            || self.held == Some(round)
            || self.slots.iter().any(|slot| {
                slot.round.is_some_and(|slot| slot >= self.current && window.contains(&slot))
                    && slot.proposal().is_some_and(|first| first.signed.proposal.pol_round == Some(round))
            })
    }

    /// Is a round so far ahead that only the newest message of each validator is stored?
    fn is_far(&self, round: Round) -> bool {
        round > self.current.saturating_add(FUTURE) && !self.is_kept(round)
    }

    /// The tally of a kept round, opened if need be.
    fn open(&mut self, round: Round) -> Option<&mut Tally<N>> {
        let known = self.slots.iter().position(|slot| slot.round == Some(round));
        let position = match known {
            Some(position) => position,
            None if self.is_kept(round) => {
                let free = self.slots.iter().position(|slot| slot.round.is_none())?;
                self.slots[free].open(round);
                free
            }
            None => return None,
        };
        self.slots.get_mut(position)
    }

    /// Frees the tallies of rounds that are no longer kept, and gives to rounds that have become so what was stored for
    /// them. A validator has at most one vote of a kind in `latest`, and the tally of a round in `latest` was not open
    /// before, so nothing conflicts.
    fn settle(&mut self, set: &ValidatorSet<N>) {
        for position in 0..SLOTS {
            if self.slots[position].round.is_some_and(|round| !self.is_kept(round)) {
                self.slots[position].round = None;
            }
        }
        for index in 0..N {
            let latest = self.latest[index];
            if latest.is_nothing() || self.is_far(latest.round) {
                continue;
            }
            self.latest[index] = Latest::NOTHING;
            // Rounds that we have jumped over have no tally, and nothing is lost with them (module docs).
            let Some(tally) = self.open(latest.round) else { continue };
            let index = index as Index;
            if let Some(judged) = latest.proposal {
                tally.add_proposal(judged);
            }
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                if let Some((ballot, reported)) = latest.ballot(kind) {
                    let ballots = tally.ballots_mut(kind);
                    ballots.add(index, ballot, set);
                    if reported {
                        ballots.mark_reported(index);
                    }
                }
            }
        }
    }

    /// Could this vote, of this height and by a member, change anything?
    pub(crate) fn is_new(&self, vote: &Vote) -> bool {
        if let Some(tally) = self.tally(vote.round) {
            return tally.ballots(vote.kind).is_new(vote.validator, vote.value);
        }
        if self.is_far(vote.round) {
            let latest = self.latest.get(usize::from(vote.validator));
            return latest.is_some_and(|latest| latest.is_new(vote.kind, vote.round, vote.value));
        }
        self.is_kept(vote.round)
    }

    /// Could this proposal, of this height and by the proposer of its round, change anything?
    pub(crate) fn is_new_proposal(&self, proposal: &Proposal) -> bool {
        if let Some(tally) = self.tally(proposal.round) {
            return tally.is_new_proposal(proposal);
        }
        if self.is_far(proposal.round) {
            let latest = self.latest.get(usize::from(proposal.proposer));
            return latest.is_some_and(|latest| latest.is_new_proposal(proposal.round));
        }
        self.is_kept(proposal.round)
    }

    /// Adds a vote of this height. Returns the vote it contradicts, the first time.
    pub(crate) fn add(&mut self, vote: &SignedVote, set: &ValidatorSet<N>) -> Option<SignedVote> {
        let Vote { kind, height, round, validator, .. } = vote.vote;
        self.hear(validator, round);
        let ballot = Ballot::of(vote);
        let first = if self.is_far(round) {
            self.latest.get_mut(usize::from(validator))?.add(kind, round, ballot)
        } else {
            self.open(round)?.ballots_mut(kind).add(validator, ballot, set)
        };
        first.map(|first| first.vote(kind, height, round, validator))
    }

    /// Adds a proposal of this height by the proposer of its round. Returns the one it contradicts, the first time.
    pub(crate) fn add_proposal(&mut self, judged: Judged) -> Option<SignedProposal> {
        let Proposal { round, proposer, .. } = judged.signed.proposal;
        self.hear(proposer, round);
        if self.is_far(round) {
            self.latest.get_mut(usize::from(proposer))?.add_proposal(judged);
            return None;
        }
        self.open(round)?.add_proposal(judged)
    }

    /// Adds a certificate of this height, whose shape has been checked, as a whole (pitfall 8). `conflict` gets each
    /// pair of contradicting votes, the first time.
    pub(crate) fn apply(
        &mut self,
        certificate: &Certificate<N>,
        set: &ValidatorSet<N>,
        mut conflict: impl FnMut(SignedVote, SignedVote),
    ) {
        let &Certificate { kind, height, round, value, .. } = certificate;
        for &(index, _) in &certificate.signatures {
            self.hear(index, round);
        }
        // Nil in a round that is over and forgotten proves nothing of use. A future round will be entered (L55).
        if !self.is_kept(round) && (value.is_some() || round > self.current) {
            self.held = Some(round);
            self.settle(set);
        }
        let Some(tally) = self.open(round) else { return };
        tally.ballots_mut(kind).apply(certificate, set, |index, first, second| {
            conflict(first.vote(kind, height, round, index), second.vote(kind, height, round, index));
        });
    }

    /// Notes that a validator speaks in a round.
    fn hear(&mut self, index: Index, round: Round) {
        if let Some(highest) = self.highest.get_mut(usize::from(index)) {
            *highest = round.max(*highest);
        }
    }

    /// The highest round above the current one such that more than 1/3 of the power has spoken in that round or later,
    /// so that at least one honest validator has reached it (L55). Proposals, prevotes and precommits count together,
    /// each validator once (pitfall 9).
    pub(crate) fn round_ahead(&self, set: &ValidatorSet<N>) -> Option<Round> {
        let speakers = || {
            let heard = self.highest.iter().zip(set.powers());
            heard.filter(|&(&round, _)| round > self.current).map(|(&round, &power)| (round, power))
        };
        if !set.has_third(speakers().map(|(_, power)| power).sum()) {
            return None;
        }
        let mut ahead: heapless::Vec<(Round, Power), N> = speakers().collect();
        ahead.sort_unstable_by(|a, b| b.cmp(a));
        let mut sum: Power = 0;
        ahead.into_iter().find_map(|(round, power)| {
            sum += power;
            set.has_third(sum).then_some(round)
        })
    }

    /// Whether more than 2/3 of the power have spoken in the current round or later, and somebody in a later one.
    pub(crate) fn is_one_ahead(&self, set: &ValidatorSet<N>) -> bool {
        let tally = self.tally(self.current);
        let is_ahead = |index: usize| self.highest[index] > self.current;
        let is_here = |index: usize| {
            let voted = |kind| tally.is_some_and(|tally| tally.ballots(kind).get(index as Index).is_some());
            voted(VoteKind::Prevote) || voted(VoteKind::Precommit)
        };
        let powers = || set.powers().iter().enumerate();
        let spoken = powers().filter(|&(index, _)| is_ahead(index) || is_here(index));
        powers().any(|(index, _)| is_ahead(index)) && set.has_quorum(spoken.map(|(_, power)| power).sum())
    }

    /// The value that more than 2/3 precommitted in any kept round, past, current or future (pitfall 10).
    pub(crate) fn commit(&self) -> Option<(Round, ValueId)> {
        let commits = self.slots.iter().filter_map(|slot| Some((slot.round?, slot.commit()?)));
        commits.min_by_key(|&(round, _)| round)
    }

    /// The newest polka of a round before the current one, for a value that some round proposed validly.
    pub(crate) fn late_polka(&self) -> Option<(Round, ValueId)> {
        let polkas = self.slots.iter().filter_map(|slot| Some((slot.round?, slot.polka()?)));
        polkas
            .filter(|&(round, value)| round < self.current && self.proposes_valid(value))
            .max_by_key(|&(round, _)| round)
    }

    /// Was this value proposed in any kept round, and is it acceptable?
    fn proposes_valid(&self, value: ValueId) -> bool {
        self.slots.iter().any(|slot| slot.round.is_some() && slot.proposes_valid(value))
    }

    /// The certificate of what more than 2/3 voted for in a kept round.
    pub(crate) fn certificate(&self, kind: VoteKind, height: Height, round: Round) -> Option<Certificate<N>> {
        self.tally(round)?.certificate(kind, height)
    }
}
