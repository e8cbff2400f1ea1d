//! When a validator must not vote, and when it may again.

use std::collections::BTreeMap;

use trustnet_bft as bft;
use trustnet_ledger::crypto::PublicKey;

use crate::block::MAX_VALIDATORS;

/// What another validator has told of where the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Height that it is deciding.
    pub height: u64,
    /// Round that it is in.
    pub round: u32,
    /// The highest (height, round) in which it saw a vote of ours.
    pub our_vote: Option<(u64, u32)>,
}

/// Reasons for silence; each alone is enough.
#[derive(Default)]
pub struct Silence {
    lost: Option<BTreeMap<PublicKey, Report>>,
    cloned: bool,
    behind: bool,
}

impl Silence {
    /// The signer record is lost: silent until [`Silence::end_of_amnesia`].
    pub fn lose_record(&mut self) {
        self.lost = Some(BTreeMap::new());
    }

    /// Whether the record is lost and peers have not yet told enough.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Another machine signs with this validator's key: silent until someone sorts it out.
    pub fn notice_clone(&mut self) {
        self.cloned = true;
    }

    /// Blocks are being fetched: a validator that is behind does not vote.
    pub fn set_behind(&mut self, behind: bool) {
        self.behind = behind;
    }

    /// Whether to be silent.
    pub fn is_silent(&self) -> bool {
        self.lost.is_some() || self.cloned || self.behind
    }

    /// Why, for people.
    pub fn reason(&self) -> Option<&'static str> {
        if self.cloned {
            Some("another machine signs with this validator's key; stop one of them, then restart this node")
        } else if self.lost.is_some() {
            Some("the signer record was lost; silent until other validators have told where this one was")
        } else if self.behind {
            Some("catching up with the chain")
        } else {
            None
        }
    }

    /// Notes what `validator` told.
    pub fn report(&mut self, validator: PublicKey, report: Report) {
        if let Some(reports) = &mut self.lost {
            reports.insert(validator, report);
        }
    }

    /// When validators with more than a third of the power have told where they are, and this node has
    /// come that far, ends the amnesia and returns the slot up to which nothing may be signed.
    ///
    /// More than a third means that one of them is honest. We could have voted at most one round ahead
    /// of an honest validator: it enters a round on two thirds of the round before, or follows one
    /// third into it. Reports are taken in ascending order, so that liars who name a height that nobody
    /// can serve do not silence us for ever.
    pub fn end_of_amnesia(
        &mut self,
        next_height: u64,
        own: &PublicKey,
        deciders: &[(PublicKey, u64)],
        set: &bft::ValidatorSet<MAX_VALIDATORS>,
    ) -> Option<(u64, u32)> {
        let reports = self.lost.as_ref()?;
        let mut told: Vec<(Report, u64)> = deciders
            .iter()
            .filter(|(key, _)| key != own)
            .filter_map(|(key, power)| reports.get(key).map(|report| (*report, *power)))
            .filter(|(report, _)| report.height <= next_height)
            .collect();
        told.sort_by_key(|(report, _)| report.height);
        let power: u64 = told.iter().map(|(_, power)| power).sum();
        if !set.has_third(power) {
            return None;
        }
        let rounds = told.iter().flat_map(|(report, _)| {
            let theirs = (report.height == next_height).then(|| report.round.saturating_add(1));
            let ours = report.our_vote.filter(|(height, _)| *height == next_height).map(|(_, round)| round);
            [theirs, ours]
        });
        let floor = rounds
            .flatten()
            .max()
            .map_or((next_height.saturating_sub(1), u32::MAX), |round| (next_height, round));
        self.lost = None;
        Some(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deciders() -> Vec<(PublicKey, u64)> {
        (1..=4).map(|i| (PublicKey([i; 32]), 10)).collect()
    }

    fn set() -> bft::ValidatorSet<MAX_VALIDATORS> {
        bft::ValidatorSet::new(&[10, 10, 10, 10]).unwrap()
    }

    fn report(height: u64, round: u32) -> Report {
        Report { height, round, our_vote: None }
    }

    #[test]
    fn one_report_of_four_is_not_enough_and_two_are() {
        let (deciders, set, own) = (deciders(), set(), PublicKey([1; 32]));
        let mut silence = Silence::default();
        silence.lose_record();
        silence.report(own, report(9, 0));
        silence.report(PublicKey([2; 32]), report(9, 0));
        assert_eq!(silence.end_of_amnesia(9, &own, &deciders, &set), None);
        silence.report(PublicKey([3; 32]), Report { our_vote: Some((9, 4)), ..report(9, 1) });
        assert_eq!(silence.end_of_amnesia(9, &own, &deciders, &set), Some((9, 4)));
        assert!(!silence.is_silent());
    }

    #[test]
    fn a_liar_with_an_absurd_height_cannot_silence_for_ever() {
        let (deciders, set, own) = (deciders(), set(), PublicKey([1; 32]));
        let mut silence = Silence::default();
        silence.lose_record();
        silence.report(PublicKey([2; 32]), report(u64::MAX, u32::MAX));
        silence.report(PublicKey([3; 32]), report(12, 0));
        silence.report(PublicKey([4; 32]), report(12, 0));
        assert_eq!(silence.end_of_amnesia(11, &own, &deciders, &set), None, "not yet caught up");
        assert_eq!(silence.end_of_amnesia(12, &own, &deciders, &set), Some((12, 1)));
    }

    #[test]
    fn strangers_reports_do_not_count() {
        let (deciders, set, own) = (deciders(), set(), PublicKey([1; 32]));
        let mut silence = Silence::default();
        silence.lose_record();
        for stranger in 50..90 {
            silence.report(PublicKey([stranger; 32]), report(5, 0));
        }
        assert_eq!(silence.end_of_amnesia(5, &own, &deciders, &set), None);
    }
}
