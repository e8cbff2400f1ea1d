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
    /// The highest (height, round) in which it saw a vote of ours.
    pub our_vote: Option<(u64, u32)>,
}

/// Reasons for silence; each alone is enough.
#[expect(clippy::struct_excessive_bools, reason = "independent reasons, not states of one machine")]
#[derive(Default)]
pub struct Silence {
    reports: BTreeMap<PublicKey, Report>,
    lost: bool,
    times_lost: u32,
    cloned: bool,
    behind: bool,
    listening: bool,
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

    /// Just started: before the first signature, listens for what others saw of us. The record on disk may be a
    /// restored backup.
    pub fn listen(&mut self) {
        self.listening = true;
    }

    /// Has listened long enough.
    pub fn stop_listening(&mut self) {
        self.listening = false;
    }

    /// Whether it listens before its first signature.
    pub fn is_listening(&self) -> bool {
        self.listening
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
        self.lost || self.cloned || self.behind || self.listening
    }

    /// Why, for people.
    pub fn reason(&self) -> Option<&'static str> {
        if self.cloned {
            Some("another machine signs with this validator's key; stop one of them, then restart this node")
        } else if self.lost {
            Some("the signer record was lost; silent until other validators have told where this one was")
        } else if self.behind {
            Some("catching up with the chain")
        } else if self.listening {
            Some("just started; asking other validators what they saw of this one")
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

    /// When so many validators have told where they are that one of them must know how far we could have come,
    /// and this node has come as far, ends the amnesia and returns the slot up to which nothing may be signed.
    ///
    /// Say we last voted at height X. Then X - 1 was decided, by precommits of more than 2/3 of the power; and in
    /// a later round than 0 of X we were because more than 2/3 had precommitted in the round before. Either way
    /// more than 1/3 of honest power, but for our own, stood at X - 1 or beyond, durably. Those who have not told
    /// hold, with us, no third: so one of those has. X is at most one above the highest height told, and if it is
    /// above, its round is 0.
    ///
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
        let others_power: u64 = told.others(own).map(|(_, power)| power).sum();
        if !self.lost || others_power == 0 {
            // A chain of one has nobody who could tell.
            return None;
        }
        let counted = || told.others(own).filter_map(|(key, _)| self.counted(key, next_height));
        let floor = if told.set.has_quorum(others_power) {
            if !self.has_heard_enough(next_height, own, told) {
                return None;
            }
            let highest = counted().map(|report| report.height).max().unwrap_or(next_height);
            (highest + 1, 0)
        } else {
            let seen = counted().filter_map(|report| report.our_vote);
            let seen = seen.filter(|(height, _)| *height == next_height).max();
            let adopted = seen.is_none_or(|slot| told.record >= Some(slot));
            if counted().count() < told.others(own).count() || !adopted {
                return None;
            }
            (next_height.saturating_sub(1), u32::MAX)
        };
        self.lost = false;
        Some(floor)
    }

    /// Whether so many have told that those who have not hold, with us, no third of the power.
    pub fn has_heard_enough(&self, next_height: u64, own: &PublicKey, told: &Told<'_>) -> bool {
        let all: u64 = told.deciders.iter().map(|(_, power)| power).sum();
        let heard = told.others(own).filter(|(key, _)| self.counted(key, next_height).is_some());
        !told.set.has_third(all - heard.map(|(_, power)| power).sum::<u64>())
    }

    /// Whether somebody claims to have seen a vote of ours at `height`, beyond `last`.
    pub fn hears_of_votes_beyond(&self, last: (u64, u32), height: u64) -> bool {
        let seen = self.reports.values().filter_map(|report| report.our_vote);
        seen.into_iter().any(|slot| slot.0 == height && slot > last)
    }

    fn counted(&self, validator: &PublicKey, next_height: u64) -> Option<&Report> {
        self.reports.get(validator).filter(|report| report.height <= next_height)
    }
}

/// What [`Silence::end_of_amnesia`] judges by.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// Who decides the next height.
    pub deciders: &'a [(PublicKey, u64)],
    /// Their powers.
    pub set: &'a bft::ValidatorSet<MAX_VALIDATORS>,
    /// Height and round of the signer record as adopted from votes of ours that peers gave back.
    pub record: Option<(u64, u32)>,
}

impl<'a> Told<'a> {
    fn others(&self, own: &PublicKey) -> impl Iterator<Item = &'a (PublicKey, u64)> + use<'a> {
        let own = *own;
        self.deciders.iter().filter(move |(key, _)| *key != own)
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

    fn report(height: u64) -> Report {
        Report { height, our_vote: None }
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
    fn of_four_all_three_others_must_tell_for_one_may_lie_and_one_be_slow() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let mut silence = silence_with(&[(1, report(9)), (2, report(9)), (3, report(8))]);
        assert_eq!(silence.end_of_amnesia(9, &OWN, &told), None);
        silence.report(PublicKey([4; 32]), report(9));
        assert_eq!(silence.end_of_amnesia(9, &OWN, &told), Some((10, 0)));
        assert!(!silence.is_silent());
    }

    #[test]
    fn of_seven_five_others_are_enough() {
        let deciders: Vec<(PublicKey, u64)> = (1..=7).map(|i| (PublicKey([i; 32]), 10)).collect();
        let set = bft::ValidatorSet::new(&[10; 7]).unwrap();
        let told = Told { deciders: &deciders, set: &set, record: None };
        let mut silence = silence_with(&[(2, report(4)), (3, report(5)), (4, report(5)), (5, report(5))]);
        assert_eq!(silence.end_of_amnesia(5, &OWN, &told), None);
        silence.report(PublicKey([6; 32]), report(3));
        assert_eq!(silence.end_of_amnesia(5, &OWN, &told), Some((6, 0)));
    }

    #[test]
    fn a_liar_with_an_absurd_height_does_not_count_until_we_are_there() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let mut silence = silence_with(&[(2, report(11)), (3, report(12)), (4, report(12))]);
        assert_eq!(silence.end_of_amnesia(11, &OWN, &told), None, "not yet caught up");
        assert_eq!(silence.end_of_amnesia(12, &OWN, &told), Some((13, 0)));
        let mut silence = silence_with(&[(2, report(u64::MAX)), (3, report(12)), (4, report(12))]);
        assert_eq!(silence.end_of_amnesia(12, &OWN, &told), None, "a liar is one of the faulty third");
    }

    #[test]
    fn strangers_reports_do_not_count() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let reports: Vec<(u8, Report)> = (50..90).map(|stranger| (stranger, report(5))).collect();
        assert_eq!(silence_with(&reports).end_of_amnesia(5, &OWN, &told), None);
    }

    #[test]
    fn a_chain_of_one_stays_silent_whatever_strangers_tell() {
        let deciders = &deciders()[..1];
        let set = bft::ValidatorSet::new(&[10]).unwrap();
        let told = Told { deciders, set: &set, record: None };
        assert_eq!(silence_with(&[(9, report(1))]).end_of_amnesia(1, &OWN, &told), None);
    }

    #[test]
    fn a_vote_beyond_the_record_is_heard_of_at_its_own_height_only() {
        let mut silence = Silence::default();
        silence.report(PublicKey([2; 32]), Report { our_vote: Some((8, 1)), ..report(8) });
        assert!(silence.hears_of_votes_beyond((8, 0), 8));
        assert!(!silence.hears_of_votes_beyond((8, 1), 8));
        assert!(!silence.hears_of_votes_beyond((8, 0), 9));
    }

    #[test]
    fn votes_of_ours_that_we_do_not_know_mean_a_backup_first_and_a_clone_then() {
        let (deciders, set) = (deciders(), set());
        let told = Told { deciders: &deciders, set: &set, record: None };
        let mut silence = Silence::default();
        let saw = |height| Report { our_vote: Some((height, 0)), ..report(height) };
        silence.report(PublicKey([2; 32]), saw(8));
        assert!(!silence.notice_votes_beyond((5, 0), &OWN, &told), "one may lie");
        silence.report(PublicKey([3; 32]), saw(8));
        assert!(!silence.notice_votes_beyond((8, 0), &OWN, &told), "we know that one");
        assert!(silence.notice_votes_beyond((5, 0), &OWN, &told));
        assert!(silence.is_lost());
        silence.report(PublicKey([4; 32]), saw(8));
        assert!(silence.end_of_amnesia(8, &OWN, &told).is_some());
        silence.report(PublicKey([2; 32]), saw(9));
        silence.report(PublicKey([3; 32]), saw(9));
        assert!(silence.notice_votes_beyond((8, 0), &OWN, &told));
        assert!(silence.reason().is_some_and(|reason| reason.contains("another machine")));
    }

    #[test]
    fn of_two_validators_the_other_must_give_back_what_it_saw_of_us() {
        let deciders = &deciders()[..2];
        let set = bft::ValidatorSet::new(&[10, 10]).unwrap();
        let mut silence = silence_with(&[(2, Report { our_vote: Some((7, 3)), ..report(7) })]);
        let nothing = Told { deciders, set: &set, record: None };
        assert_eq!(silence.end_of_amnesia(7, &OWN, &nothing), None);
        let adopted = Told { record: Some((7, 3)), ..nothing };
        assert_eq!(silence.end_of_amnesia(7, &OWN, &adopted), Some((6, u32::MAX)));
    }
}
