//! Reputation by the founding rules: what is measured, and the opinion of peers.
//!
//! `L`, the ledger reputation, moves by objective facts only; `R = clamp(L + peers)` is what people
//! see and what bans. Unit: milli-points (0 to 100,000) unless a name says otherwise.

use serde::{Deserialize, Serialize};

/// The most reputation, milli-points.
pub const MAX_MP: u32 = 100_000;
/// Below this `R` a node is banned, milli-points.
pub const BAN_BELOW_MP: u32 = 10_000;
/// Gain for every [`TXS_PER_GAIN`] transactions validated, milli-points.
pub const VALIDATED_GAIN_MP: u32 = 100;
/// How many transactions earn [`VALIDATED_GAIN_MP`].
pub const TXS_PER_GAIN: u64 = 1_000;
/// Gain for a UTC day of good uptime, milli-points.
pub const UPTIME_GAIN_MP: u32 = 1_000;
/// Good uptime, percent of the expected heartbeats.
pub const GOOD_UPTIME_PERCENT: u64 = 99;
/// A day earns only if so many 24ths of its epochs counted.
pub const COUNTED_24THS: u64 = 20;
/// The most gain in a UTC calendar month, milli-points.
pub const MONTHLY_GAIN_MP: u32 = 5_000;
/// Loss for each day's worth of missed heartbeats, milli-points.
pub const DOWNTIME_LOSS_MP: u32 = 1_000;
/// Loss for an invalid transaction, milli-points.
pub const INVALID_LOSS_MP: u32 = 10_000;
/// Loss for an incident of network abuse, milli-points.
pub const ABUSE_LOSS_MP: u32 = 25_000;
/// Loss for double-signing, milli-points; the ban comes with it.
pub const DOUBLE_SIGN_LOSS_MP: u32 = 50_000;

/// The uptime of a UTC day that is not settled yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUptime {
    /// The day.
    pub day: u32,
    /// Epochs of it that counted.
    pub epochs: u32,
    /// Heartbeats in them.
    pub heartbeats: u32,
    /// Heartbeats that were due in them.
    pub expected: u32,
}

/// What the ledger knows of a node's conduct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reputation {
    /// `L`.
    pub ledger_mp: u32,
    /// What peers add or take, centi-points from -2,500 to +500.
    pub peer_centi: i32,
    /// Transactions in blocks that the node signed.
    pub txs_validated: u64,
    /// Heartbeats missed in all its time.
    pub missed_heartbeats: u64,
    /// The month of `gained_mp`, counted from January 1970 = 0.
    pub gain_month: u32,
    /// What it gained in that month.
    pub gained_mp: u32,
    /// The running day.
    pub today: DayUptime,
    /// Uptime of the last settled day, in thousandths.
    pub last_day_permille: Option<u16>,
}

impl Reputation {
    /// A newcomer's.
    pub fn new(initial_mp: u32) -> Self {
        Self {
            ledger_mp: initial_mp.min(MAX_MP),
            peer_centi: 0,
            txs_validated: 0,
            missed_heartbeats: 0,
            gain_month: 0,
            gained_mp: 0,
            today: DayUptime::default(),
            last_day_permille: None,
        }
    }

    /// `R`: what is shown and what bans.
    pub fn total_mp(&self) -> u32 {
        let total = i64::from(self.ledger_mp) + 10 * i64::from(self.peer_centi);
        u32::try_from(total.clamp(0, i64::from(MAX_MP))).unwrap_or(0)
    }

    /// Whether the rules ban a node with this reputation.
    pub fn is_too_low(&self) -> bool {
        self.total_mp() < BAN_BELOW_MP
    }

    /// What was gained in `month`.
    pub fn gained_in(&self, month: u32) -> u32 {
        if self.gain_month == month { self.gained_mp } else { 0 }
    }

    /// Adds up to `mp`, as far as the month's limit and the ceiling allow. Only what is really added
    /// counts towards the month.
    pub fn gain(&mut self, mp: u32, month: u32) {
        let gained = self.gained_in(month);
        let room = MONTHLY_GAIN_MP.saturating_sub(gained).min(MAX_MP.saturating_sub(self.ledger_mp));
        let added = mp.min(room);
        self.ledger_mp += added;
        self.gain_month = month;
        self.gained_mp = gained + added;
    }

    /// Takes `mp`, down to nothing.
    pub fn lose(&mut self, mp: u32) {
        self.ledger_mp = self.ledger_mp.saturating_sub(mp);
    }

    /// The node's signature stands under a block of `count` transactions.
    pub fn validated(&mut self, count: u32, month: u32) {
        let before = self.txs_validated / TXS_PER_GAIN;
        self.txs_validated = self.txs_validated.saturating_add(u64::from(count));
        let earned = self.txs_validated / TXS_PER_GAIN - before;
        if earned > 0 {
            let mp = earned.saturating_mul(u64::from(VALIDATED_GAIN_MP));
            self.gain(u32::try_from(mp).unwrap_or(u32::MAX), month);
        }
    }

    /// An epoch of `day` counted with `heartbeats` of `expected`. `per_point` missed heartbeats (24
    /// hours' worth) cost a point.
    pub fn epoch(&mut self, day: u32, heartbeats: u8, expected: u8, per_point: u64) {
        let seen = heartbeats.min(expected);
        let per_point = per_point.max(1);
        let before = self.missed_heartbeats / per_point;
        self.missed_heartbeats = self.missed_heartbeats.saturating_add(u64::from(expected - seen));
        let points = self.missed_heartbeats / per_point - before;
        self.lose(u32::try_from(points).unwrap_or(u32::MAX).saturating_mul(DOWNTIME_LOSS_MP));
        if self.today.day != day {
            self.today = DayUptime { day, ..DayUptime::default() };
        }
        self.today.epochs += 1;
        self.today.heartbeats += u32::from(seen);
        self.today.expected += u32::from(expected);
    }

    /// The running day is over. A node that is not at work (`earns` false) gets nothing for it.
    pub fn settle_day(&mut self, earns: bool, epochs_per_day: u64, month: u32) {
        let day = std::mem::take(&mut self.today);
        if day.expected == 0 {
            return;
        }
        let (seen, expected) = (u64::from(day.heartbeats), u64::from(day.expected));
        self.last_day_permille = u16::try_from(seen * 1_000 / expected).ok();
        let enough = u64::from(day.epochs) * 24 >= COUNTED_24THS * epochs_per_day;
        if earns && enough && seen * 100 >= expected * GOOD_UPTIME_PERCENT {
            self.gain(UPTIME_GAIN_MP, month);
        }
    }

    /// The median attester saw `invalid` invalid transactions and `abuse` incidents in an epoch.
    pub fn misconduct(&mut self, invalid: u8, abuse: u8) {
        self.lose(u32::from(invalid) * INVALID_LOSS_MP);
        self.lose(u32::from(abuse) * ABUSE_LOSS_MP);
    }
}

/// What peers add or take, in centi-points: +5 points at most, -25 at worst (trust/README.md,
/// "Meeting the seed's rules"), from a trust score in centi-points and a confidence in percent.
pub fn peer_centi(score: u16, confidence: u8) -> i32 {
    let (score, confidence) = (i32::from(score.min(10_000)), i32::from(confidence.min(100)));
    if score >= 5_000 { (score - 5_000) * confidence / 1_000 } else { -((5_000 - score) * confidence / 200) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fresh() -> Reputation {
        Reputation::new(50_000)
    }

    #[test]
    fn every_full_thousand_validated_transactions_gives_a_tenth_of_a_point() {
        let mut r = fresh();
        r.validated(999, 0);
        assert_eq!(r.ledger_mp, 50_000);
        r.validated(1, 0);
        assert_eq!(r.ledger_mp, 50_100);
        r.validated(2_500, 0);
        assert_eq!((r.ledger_mp, r.txs_validated), (50_300, 3_500));
        r.validated(500, 0);
        assert_eq!(r.ledger_mp, 50_400);
    }

    #[test]
    fn all_gains_of_a_month_together_are_at_most_five_points() {
        let mut r = fresh();
        for _ in 0..4 {
            r.gain(UPTIME_GAIN_MP, 7);
        }
        r.validated(9_000, 7);
        assert_eq!(r.ledger_mp, 54_900);
        r.gain(UPTIME_GAIN_MP, 7);
        assert_eq!((r.ledger_mp, r.gained_in(7)), (55_000, 5_000));
        r.lose(3_000);
        r.gain(UPTIME_GAIN_MP, 7);
        assert_eq!(r.ledger_mp, 52_000, "losses do not make room for gains");
        r.gain(UPTIME_GAIN_MP, 8);
        assert_eq!((r.ledger_mp, r.gained_in(7), r.gained_in(8)), (53_000, 0, 1_000));
    }

    #[test]
    fn gains_end_at_a_hundred_points_and_only_what_was_added_counts() {
        let mut r = Reputation::new(99_900);
        r.gain(UPTIME_GAIN_MP, 1);
        assert_eq!((r.ledger_mp, r.gained_mp), (100_000, 100));
    }

    #[test]
    fn a_day_of_99_percent_uptime_gives_a_point() {
        let day = |heartbeats: [u8; 24]| {
            let mut r = fresh();
            for h in heartbeats {
                r.epoch(3, h, 120, 2_880);
            }
            r.settle_day(true, 24, 0);
            (r.ledger_mp, r.last_day_permille)
        };
        let mut heartbeats = [120; 24];
        assert_eq!(day(heartbeats), (51_000, Some(1_000)));
        heartbeats[5] = 120 - 28; // 2,852 of 2,880 is 99.03 %
        assert_eq!(day(heartbeats), (51_000, Some(990)));
        heartbeats[6] = 119; // 2,851 is 98.99 %
        assert_eq!(day(heartbeats), (50_000, Some(989)));
    }

    #[test]
    fn a_day_earns_only_if_twenty_of_its_24_epochs_counted() {
        for (epochs, earned) in [(19, 0), (20, 1_000), (24, 1_000)] {
            let mut r = fresh();
            (0..epochs).for_each(|_| r.epoch(3, 120, 120, 2_880));
            r.settle_day(true, 24, 0);
            assert_eq!(r.ledger_mp, 50_000 + earned, "{epochs} epochs");
        }
    }

    #[test]
    fn a_paused_node_earns_nothing_for_its_day() {
        let mut r = fresh();
        (0..24).for_each(|_| r.epoch(3, 120, 120, 2_880));
        r.settle_day(false, 24, 0);
        assert_eq!((r.ledger_mp, r.today), (50_000, DayUptime::default()));
    }

    #[test]
    fn missed_heartbeats_add_up_and_each_24_hours_of_them_cost_a_point() {
        let mut r = fresh();
        for epoch in 0..23 {
            r.epoch(epoch / 24, 0, 120, 2_880);
        }
        r.epoch(0, 1, 120, 2_880);
        assert_eq!((r.ledger_mp, r.missed_heartbeats), (50_000, 2_879));
        r.epoch(9, 119, 120, 2_880);
        assert_eq!((r.ledger_mp, r.missed_heartbeats), (49_000, 2_880));
        (0..24).for_each(|_| r.epoch(9, 0, 120, 2_880));
        assert_eq!(r.ledger_mp, 48_000);
    }

    #[test]
    fn misconduct_costs_ten_points_for_a_transaction_and_25_for_abuse() {
        let mut r = fresh();
        r.misconduct(1, 0);
        assert_eq!(r.ledger_mp, 40_000);
        r.misconduct(0, 1);
        assert_eq!(r.ledger_mp, 15_000);
        r.misconduct(255, 255);
        assert_eq!(r.ledger_mp, 0);
    }

    #[test]
    fn peers_add_at_most_five_points_and_take_at_most_25() {
        assert_eq!(peer_centi(10_000, 100), 500);
        assert_eq!(peer_centi(0, 100), -2_500);
        assert_eq!([peer_centi(5_000, 100), peer_centi(0, 0), peer_centi(10_000, 0)], [0, 0, 0]);
        assert_eq!(peer_centi(8_300, 71), 234); // 3,300 * 71 / 1,000, floored
        assert_eq!(peer_centi(4_999, 100), 0); // the fraction of a point is dropped towards 0
        assert_eq!(peer_centi(4_000, 30), -150);
    }

    #[test]
    fn a_ban_comes_below_ten_points_and_opinions_alone_never_bring_it() {
        let at = |ledger_mp, peer_centi| Reputation { ledger_mp, peer_centi, ..fresh() };
        assert!(!at(10_000, 0).is_too_low());
        assert!(at(9_999, 0).is_too_low());
        assert!(!at(35_000, -2_500).is_too_low());
        assert!(at(34_999, -2_500).is_too_low());
        assert_eq!(at(99_000, 500).total_mp(), 100_000);
        assert_eq!(at(1_000, -2_500).total_mp(), 0);
    }

    proptest! {
        #[test]
        fn reputation_stays_within_bounds_whatever_happens(
            steps in proptest::collection::vec((0_u8..5, any::<u8>(), any::<u8>()), 0..200)
        ) {
            let mut r = fresh();
            for (step, a, b) in steps {
                match step {
                    0 => r.validated(u32::from(a) * 1_000, u32::from(b % 3)),
                    1 => r.epoch(u32::from(b), a, 120, 2_880),
                    2 => r.settle_day(a > 100, 24, u32::from(b % 3)),
                    3 => r.misconduct(a % 2, b % 2),
                    _ => r.peer_centi = peer_centi(u16::from(a) * 40, b),
                }
                prop_assert!(r.ledger_mp <= MAX_MP && r.total_mp() <= MAX_MP);
                prop_assert!(r.gained_mp <= MONTHLY_GAIN_MP);
                prop_assert!((-2_500..=500).contains(&r.peer_centi));
            }
        }
    }
}
