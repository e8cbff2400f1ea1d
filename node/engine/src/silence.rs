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
    /// Round that it is in; `None` when it has not begun the height.
    pub round: Option<u32>,
    /// The highest (height, round) in which it saw a vote of ours.
    pub our_vote: Option<(u64, u32)>,
}

/// Reasons for silence; each alone is enough.
#[derive(Default)]
pub struct Silence {
    reports: BTreeMap<PublicKey, Report>,
    lost: bool,
    times_lost: u32,
    cloned: bool,
    behind: bool,
}

impl Silence {
    /// The signer record is lost: silent until [`Silence::end_of_amnesia`].
    pub fn lose_record(&mut self) {
        self.lost = true;
        self.times_lost += 1;
    }

    /// Whether the record is lost and peers have not yet told enough.
    pub fn is_lost(&self) -> bool {
        self.lost
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
        self.lost || self.cloned || self.behind
    }

    /// Why, for people.
    pub fn reason(&self) -> Option<&'static str> {
        if self.cloned {
            Some("another machine signs with this validator's key; stop one of them, then restart this node")
        } else if self.lost {
            Some("the signer record was lost; silent until other validators have told where this one was")
        } else if self.behind {
            Some("catching up with the chain")
        } else {
            None
        }
    }

    /// How many validators have told.
    pub fn reports(&self) -> usize {
        self.reports.len()
    }

    /// Notes what `validator` told.
    pub fn report(&mut self, validator: PublicKey, report: Report) {
        self.reports.insert(validator, report);
    }

    /// Looks whether validators with more than a third of the power have seen votes of ours beyond
    /// `last`, the last slot that we know to have signed: then our record is a restored backup, or
    /// another machine signs with our key. The first time it is taken for the one, the second time for
    /// the other. Returns whether that was found.
    pub fn notice_votes_beyond(&mut self, last: (u64, u32), own: &PublicKey, told: &Told<'_>) -> bool {
        if self.lost || self.cloned {
            return false;
        }
        let others = told.deciders.iter().filter(|(key, _)| key != own);
        let beyond = others.filter(|(key, _)| {
            self.reports.get(key).is_some_and(|report| report.our_vote.is_some_and(|vote| vote > last))
        });
        let power: u64 = beyond.map(|(_, power)| power).sum();
        if !told.set.has_third(power) {
            return false;
        }
        if self.times_lost > 0 {
            self.cloned = true;
        } else {
            self.lose_record();
        }
        true
    }

    /// When validators with more than a third of the power have told where they are, and this node has
    /// come that far, ends the amnesia and returns the slot up to which nothing may be signed.
    ///
    /// More than a third means that one of them is honest. While a height is under way we could have
    /// voted one round ahead of an honest validator: it enters a round on two thirds of the round before,
    /// or follows one third into it. Where nobody has begun the height, nobody has seen a vote of it.
    /// Where the others cannot decide without us (two or three validators), all of them must tell, and
    /// what they saw of us, adopted into `record`, is all that we signed: the chain goes on from there.
    ///
    /// Reports of heights that we have not reached do not count, so that liars who name a height that
    /// nobody can serve do not silence us for ever.
    pub fn end_of_amnesia(
        &mut self,
        next_height: u64,
        own: &PublicKey,
        told: &Told<'_>,
    ) -> Option<(u64, u32)> {
        let reports = &self.reports;
        if !self.lost || told.deciders.iter().all(|(key, _)| key == own) {
            // A chain of one has nobody who could tell.
            return None;
        }
        let others = told.deciders.iter().filter(|(key, _)| key != own);
        let (mut power, mut all, mut others_power) = (0, true, 0);
        let mut rounds: Vec<u32> = Vec::new();
        let mut seen: Option<u32> = None;
        for (key, weight) in others {
            others_power += weight;
            let Some(report) = reports.get(key).filter(|report| report.height <= next_height) else {
                all = false;
                continue;
            };
            power += weight;
            if report.height == next_height {
                rounds.extend(report.round);
            }
            seen = seen
                .max(report.our_vote.filter(|(height, _)| *height == next_height).map(|(_, round)| round));
        }
        let before_this_height = (next_height.saturating_sub(1), u32::MAX);
        let floor = if told.set.has_quorum(others_power) {
            if !told.set.has_third(power) {
                return None;
            }
            let ahead = rounds.into_iter().max().map(|round| round.saturating_add(1));
            ahead.max(seen).map_or(before_this_height, |round| (next_height, round))
        } else {
            let adopted = seen.is_none_or(|round| told.record >= Some((next_height, round)));
            if !all || !adopted {
                return None;
            }
            before_this_height
        };
        self.lost = false;
        Some(floor)
    }
}

/// What [`Silence::end_of_amnesia`] judges by.
pub struct Told<'a> {
    /// Who decides the next height.
    pub deciders: &'a [(PublicKey, u64)],
    /// Their powers.
    pub set: &'a bft::ValidatorSet<MAX_VALIDATORS>,
    /// Height and round of the signer record as adopted from votes of ours that peers gave back.
    pub record: Option<(u64, u32)>,
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

    fn report(height: u64, round: Option<u32>) -> Report {
        Report { height, round, our_vote: None }
    }

    fn silence_with(reports: &[(u8, Report)]) -> Silence {
        let mut silence = Silence::default();
        silence.lose_record();
        for (from, report) in reports {
            silence.report(PublicKey([*from; 32]), *report);
        }
        silence
    }

    const OWN: PublicKey = PublicKey([1; 32]);

    #[test]
    fn one_report_of_four_is_not_enough_and_two_are() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let mut silence = silence_with(&[(1, report(9, Some(0))), (2, report(9, Some(0)))]);
        assert_eq!(silence.end_of_amnesia(9, &OWN, &told), None);
        silence.report(PublicKey([3; 32]), Report { our_vote: Some((9, 4)), ..report(9, Some(1)) });
        assert_eq!(silence.end_of_amnesia(9, &OWN, &told), Some((9, 4)));
        assert!(!silence.is_silent());
    }

    #[test]
    fn at_a_height_that_nobody_has_begun_it_may_vote_at_once() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let mut silence = silence_with(&[(2, report(9, None)), (3, report(9, None))]);
        assert_eq!(silence.end_of_amnesia(9, &OWN, &told), Some((8, u32::MAX)));
    }

    #[test]
    fn a_liar_with_an_absurd_height_cannot_silence_for_ever() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let liar = report(u64::MAX, Some(u32::MAX));
        let mut silence = silence_with(&[(2, liar), (3, report(12, Some(0))), (4, report(12, Some(0)))]);
        assert_eq!(silence.end_of_amnesia(11, &OWN, &told), None, "not yet caught up");
        assert_eq!(silence.end_of_amnesia(12, &OWN, &told), Some((12, 1)));
    }

    #[test]
    fn strangers_reports_do_not_count() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let reports: Vec<(u8, Report)> = (50..90).map(|stranger| (stranger, report(5, Some(0)))).collect();
        assert_eq!(silence_with(&reports).end_of_amnesia(5, &OWN, &told), None);
    }

    #[test]
    fn a_chain_of_one_stays_silent_whatever_strangers_tell() {
        let deciders = &deciders()[..1];
        let set = bft::ValidatorSet::new(&[10]).unwrap();
        let told = Told { deciders, set: &set, record: None };
        assert_eq!(silence_with(&[(9, report(1, None))]).end_of_amnesia(1, &OWN, &told), None);
    }

    #[test]
    fn votes_of_ours_that_we_do_not_know_mean_a_backup_first_and_a_clone_then() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let mut silence = Silence::default();
        let saw = |height| Report { our_vote: Some((height, 0)), ..report(height, Some(0)) };
        silence.report(PublicKey([2; 32]), saw(8));
        assert!(!silence.notice_votes_beyond((5, 0), &OWN, &told), "one may lie");
        silence.report(PublicKey([3; 32]), saw(8));
        assert!(!silence.notice_votes_beyond((8, 0), &OWN, &told), "we know that one");
        assert!(silence.notice_votes_beyond((5, 0), &OWN, &told));
        assert!(silence.is_lost());
        assert!(silence.end_of_amnesia(8, &OWN, &told).is_some());
        silence.report(PublicKey([2; 32]), saw(9));
        silence.report(PublicKey([3; 32]), saw(9));
        assert!(silence.notice_votes_beyond((8, 1), &OWN, &told));
        assert!(silence.reason().is_some_and(|reason| reason.contains("another machine")));
    }

    #[test]
    fn of_two_validators_the_other_must_give_back_what_it_saw_of_us() {
        let deciders = &deciders()[..2];
        let set = bft::ValidatorSet::new(&[10, 10]).unwrap();
        let mut silence = silence_with(&[(2, Report { our_vote: Some((7, 3)), ..report(7, Some(3)) })]);
        let nothing = Told { deciders, set: &set, record: None };
        assert_eq!(silence.end_of_amnesia(7, &OWN, &nothing), None);
        let adopted = Told { record: Some((7, 3)), ..nothing };
        assert_eq!(silence.end_of_amnesia(7, &OWN, &adopted), Some((6, u32::MAX)));
    }
}
