//! Everything heard about one round: its proposal, its prevotes, its precommits.
//!
//! Each validator has one place for each kind of vote, with the value id inline (pitfall 14), so nobody can fill it with
//! invented values. The first vote of a validator counts. A second, different one is evidence and does not count, unless
//! it comes in a certificate (pitfall 8): then the certificate overrules what the validator had told us before.

use crate::bits::Bits;
use crate::certificate::Certificate;
use crate::types::{
    Height, Index, Power, Proposal, Round, Signature, SignedProposal, SignedVote, ValueId, Vote, VoteKind,
};
use crate::validators::ValidatorSet;

/// A vote without what its place in the tables says anyway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ballot {
    /// Value, or nil.
    pub(crate) value: Option<ValueId>,
    /// The validator's signature.
    pub(crate) signature: Signature,
}

impl Ballot {
    /// What fills places that nobody uses.
    const BLANK: Self = Self { value: None, signature: Signature([0; 64]) };

    /// The ballot of a vote.
    pub(crate) fn of(vote: &SignedVote) -> Self {
        Self { value: vote.vote.value, signature: vote.signature }
    }

    /// The vote of a ballot.
    pub(crate) fn vote(&self, kind: VoteKind, height: Height, round: Round, validator: Index) -> SignedVote {
        SignedVote {
            vote: Vote { kind, height, round, value: self.value, validator },
            signature: self.signature,
        }
    }
}

/// The votes of one kind in one round.
pub(crate) struct Ballots<const N: usize> {
    /// Meaningful where `present` says so.
    places: [Ballot; N],
    /// Who voted.
    present: Bits<N>,
    /// Who has been reported for voting twice.
    reported: Bits<N>,
    /// Power of all who voted, whatever for.
    power: Power,
    /// What more than 2/3 voted for, `Some(None)` being nil. The first one stays: a second needs more than 1/3 of Byzantine power.
    #[expect(clippy::option_option, reason = "no quorum, or a quorum for a vote, which may be nil")]
    quorum: Option<Option<ValueId>>,
}

impl<const N: usize> Ballots<N> {
    /// No votes.
    const EMPTY: Self = Self {
        places: [Ballot::BLANK; N],
        present: Bits::EMPTY,
        reported: Bits::EMPTY,
        power: 0,
        quorum: None,
    };

    /// Forgets all votes, without touching the places.
    fn clear(&mut self) {
        self.present = Bits::EMPTY;
        self.reported = Bits::EMPTY;
        self.power = 0;
        self.quorum = None;
    }

    /// The vote of a validator.
    pub(crate) fn get(&self, index: Index) -> Option<&Ballot> {
        if self.present.contains(index) { self.places.get(usize::from(index)) } else { None }
    }

    /// Who voted.
    pub(crate) fn voters(&self) -> Bits<N> {
        self.present
    }

    /// What more than 2/3 of the power voted for.
    #[expect(clippy::option_option, reason = "no quorum, or a quorum for a vote, which may be nil")]
    pub(crate) fn quorum(&self) -> Option<Option<ValueId>> {
        self.quorum
    }

    /// Have more than 2/3 of the power voted, whatever for?
    pub(crate) fn has_any_quorum(&self, set: &ValidatorSet<N>) -> bool {
        set.has_quorum(self.power)
    }

    /// Would this vote count, or be evidence?
    pub(crate) fn is_new(&self, index: Index, value: Option<ValueId>) -> bool {
        self.get(index).is_none_or(|known| known.value != value && !self.reported.contains(index))
    }

    /// Remembers that this validator has been reported.
    pub(crate) fn mark_reported(&mut self, index: Index) {
        self.reported.insert(index);
    }

    /// Adds a vote. Returns the vote it contradicts, the first time that this validator contradicts itself.
    pub(crate) fn add(&mut self, index: Index, ballot: Ballot, set: &ValidatorSet<N>) -> Option<Ballot> {
        let conflict = self.place(index, ballot, false, set);
        // Only the weight of this value can have grown.
        if self.quorum.is_none()
            && set.has_quorum(self.power)
            && set.has_quorum(self.weight(ballot.value, set))
        {
            self.quorum = Some(ballot.value);
        }
        conflict
    }

    /// Adds the votes of a certificate, whose shape has been checked, as a whole. `conflict` gets the votes it
    /// contradicts.
    pub(crate) fn apply(
        &mut self,
        certificate: &Certificate<N>,
        set: &ValidatorSet<N>,
        mut conflict: impl FnMut(Index, Ballot, Ballot),
    ) {
        let value = certificate.value;
        let overrule = self.quorum.is_none_or(|quorum| quorum == value);
        for &(index, signature) in &certificate.signatures {
            let ballot = Ballot { value, signature };
            if let Some(first) = self.place(index, ballot, overrule, set) {
                conflict(index, first, ballot);
            }
        }
        self.quorum.get_or_insert(value);
    }

    /// Puts a vote in its place, if that is free or if it may `overrule` what is there.
    fn place(
        &mut self,
        index: Index,
        ballot: Ballot,
        overrule: bool,
        set: &ValidatorSet<N>,
    ) -> Option<Ballot> {
        let power = set.power(index)?;
        let place = self.places.get_mut(usize::from(index))?;
        if !self.present.contains(index) {
            *place = ballot;
            self.present.insert(index);
            // Each validator once: at most the total of the set.
            self.power += power;
            return None;
        }
        let first = *place;
        if first.value == ballot.value {
            return None;
        }
        if overrule {
            *place = ballot;
        }
        if self.reported.contains(index) {
            return None;
        }
        self.reported.insert(index);
        Some(first)
    }

    /// Power of those who voted for this.
    fn weight(&self, value: Option<ValueId>, set: &ValidatorSet<N>) -> Power {
        let votes = set.powers().iter().zip(&self.places).enumerate();
        votes
            .filter(|&(index, (_, ballot))| self.present.contains(index as Index) && ballot.value == value)
            .map(|(_, (&power, _))| power)
            .sum()
    }

    /// The certificate of what more than 2/3 voted for.
    fn certificate(&self, kind: VoteKind, height: Height, round: Round) -> Option<Certificate<N>> {
        let value = self.quorum?;
        let mut signatures = heapless::Vec::new();
        for index in self.present.iter() {
            if let Some(ballot) = self.get(index).filter(|ballot| ballot.value == value) {
                // Cannot be full: it has a place for each of the N validators.
                signatures.push((index, ballot.signature)).ok()?;
            }
        }
        Some(Certificate { kind, height, round, value, signatures })
    }
}

/// A proposal with the caller's verdict on its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    /// The proposal.
    pub(crate) signed: SignedProposal,
    /// Is the value acceptable?
    pub(crate) valid: bool,
}

/// One round.
pub(crate) struct Tally<const N: usize> {
    /// The round, or `None` while this tally is free.
    pub(crate) round: Option<Round>,
    /// The first proposal, and the second of a proposer who contradicts itself.
    proposals: heapless::Vec<Judged, 2>,
    prevotes: Ballots<N>,
    precommits: Ballots<N>,
}

impl<const N: usize> Tally<N> {
    /// A free tally.
    pub(crate) const EMPTY: Self = Self {
        round: None,
        proposals: heapless::Vec::new(),
        prevotes: Ballots::EMPTY,
        precommits: Ballots::EMPTY,
    };

    /// Starts an empty tally for a round.
    pub(crate) fn open(&mut self, round: Round) {
        self.round = Some(round);
        self.proposals.clear();
        self.prevotes.clear();
        self.precommits.clear();
    }

    /// The votes of a kind.
    pub(crate) fn ballots(&self, kind: VoteKind) -> &Ballots<N> {
        match kind {
            VoteKind::Prevote => &self.prevotes,
            VoteKind::Precommit => &self.precommits,
        }
    }

    /// The votes of a kind.
    pub(crate) fn ballots_mut(&mut self, kind: VoteKind) -> &mut Ballots<N> {
        match kind {
            VoteKind::Prevote => &mut self.prevotes,
            VoteKind::Precommit => &mut self.precommits,
        }
    }

    /// The value that more than 2/3 prevoted, if it is a value.
    pub(crate) fn polka(&self) -> Option<ValueId> {
        self.prevotes.quorum()?
    }

    /// The value that more than 2/3 precommitted, if it is a value.
    pub(crate) fn commit(&self) -> Option<ValueId> {
        self.precommits.quorum()?
    }

    /// The first proposal.
    pub(crate) fn proposal(&self) -> Option<&Judged> {
        self.proposals.first()
    }

    /// Was this value proposed in this round, and is it acceptable? Looks at the second proposal of a contradicting
    /// proposer too: others may have seen that one first, and made a polka for it.
    pub(crate) fn proposes_valid(&self, value: ValueId) -> bool {
        self.proposals.iter().any(|judged| judged.valid && judged.signed.proposal.value == value)
    }

    /// Would this proposal count, or be evidence?
    pub(crate) fn is_new_proposal(&self, proposal: &Proposal) -> bool {
        !self.proposals.is_full() && self.proposal().is_none_or(|first| first.signed.proposal != *proposal)
    }

    /// Adds a proposal. Returns the one that it contradicts, the first time.
    pub(crate) fn add_proposal(&mut self, judged: Judged) -> Option<SignedProposal> {
        if !self.is_new_proposal(&judged.signed.proposal) {
            return None;
        }
        let first = self.proposal().map(|first| first.signed);
        // Cannot be full: is_new_proposal has just said so.
        let _ = self.proposals.push(judged);
        first
    }

    /// The certificate of what more than 2/3 voted for.
    pub(crate) fn certificate(&self, kind: VoteKind, height: Height) -> Option<Certificate<N>> {
        self.ballots(kind).certificate(kind, height, self.round?)
    }
}
