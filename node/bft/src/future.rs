//! Messages of rounds far ahead of ours: the newest of each validator, and nothing else.
//!
//! Anyone can sign votes for a billion future rounds, so rounds ahead of the window cannot each have a tally (pitfall 13).
//! But they cannot be thrown away either: when a partition heals, the others may be any number of rounds ahead, and their
//! votes are what tells us where (L55).
//!
//! So each validator has one place for the messages of its highest round. That is enough to catch up. Let more than 1/3 of
//! the power, honest and live, be in rounds above ours. Honest validators only move up, so the messages which they send
//! from there on replace the older ones here, and once one has arrived from each, the highest round `r` such that more than
//! 1/3 has spoken in rounds `>= r` is above ours, and we enter it. At least one honest validator is in a round `>= r`, so
//! the Byzantine ones, less than 1/3, cannot drag us beyond the honest. What they put here takes only their own places.
//! Votes of `r` itself that were replaced by later ones cannot be missed for long: their senders are past `r`.

use crate::tally::{Ballot, Judged};
use crate::types::{Round, ValueId, VoteKind};

/// What one validator said in the highest round, beyond the window, in which we heard it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latest {
    /// The round; meaningless while the rest is `None`.
    pub(crate) round: Round,
    /// Its proposal; a second one of the same round is not looked at.
    pub(crate) proposal: Option<Judged>,
    prevote: Option<Ballot>,
    precommit: Option<Ballot>,
    prevote_reported: bool,
    precommit_reported: bool,
}

impl Latest {
    /// Nothing heard.
    pub(crate) const NOTHING: Self = Self {
        round: 0,
        proposal: None,
        prevote: None,
        precommit: None,
        prevote_reported: false,
        precommit_reported: false,
    };

    /// Has it nothing?
    pub(crate) fn is_nothing(&self) -> bool {
        self.proposal.is_none() && self.prevote.is_none() && self.precommit.is_none()
    }

    /// The vote of a kind, and whether its sender has been reported for another one.
    pub(crate) fn ballot(&self, kind: VoteKind) -> Option<(Ballot, bool)> {
        match kind {
            VoteKind::Prevote => Some((self.prevote?, self.prevote_reported)),
            VoteKind::Precommit => Some((self.precommit?, self.precommit_reported)),
        }
    }

    /// Would this vote replace something, add something, or be evidence?
    pub(crate) fn is_new(&self, kind: VoteKind, round: Round, value: Option<ValueId>) -> bool {
        self.is_older(round)
            || (self.round == round
                && self.ballot(kind).is_none_or(|(known, reported)| known.value != value && !reported))
    }

    /// Would this proposal replace or add something?
    pub(crate) fn is_new_proposal(&self, round: Round) -> bool {
        self.is_older(round) || (self.round == round && self.proposal.is_none())
    }

    /// Adds a vote. Returns the vote it contradicts, the first time.
    pub(crate) fn add(&mut self, kind: VoteKind, round: Round, ballot: Ballot) -> Option<Ballot> {
        if !self.is_new(kind, round, ballot.value) {
            return None;
        }
        self.move_to(round);
        let (place, reported) = match kind {
            VoteKind::Prevote => (&mut self.prevote, &mut self.prevote_reported),
            VoteKind::Precommit => (&mut self.precommit, &mut self.precommit_reported),
        };
        if let Some(first) = *place {
            *reported = true;
            return Some(first);
        }
        *place = Some(ballot);
        None
    }

    /// Adds a proposal.
    pub(crate) fn add_proposal(&mut self, judged: Judged) {
        let round = judged.signed.proposal.round;
        if self.is_new_proposal(round) {
            self.move_to(round);
            self.proposal = Some(judged);
        }
    }

    /// Does this round make what is here obsolete?
    fn is_older(&self, round: Round) -> bool {
        self.is_nothing() || self.round < round
    }

    /// Forgets an older round.
    fn move_to(&mut self, round: Round) {
        if self.is_older(round) {
            *self = Self { round, ..Self::NOTHING };
        }
    }
}
