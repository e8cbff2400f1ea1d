//! When to try for a certificate. Public authorities count: a registry that asks in a loop is locked out for days, and
//! its whole domain with it. So there is a pause before every try, whatever happened, and it survives restarts.

use serde::{Deserialize, Serialize};

use crate::tls::{CLOCK_FLOOR_SECONDS, Facts};

/// The pauses, in seconds. Tests have shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After the first failure; doubled after each further one. Let's Encrypt allows five failures an hour for a name.
    pub first_pause: u64,
    /// Longest pause after failures.
    pub longest_pause: u64,
    /// After a success, even if the certificate is lost: five of the same names a week are allowed.
    pub success_pause: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first_pause: 15 * 60, longest_pause: 24 * 60 * 60, success_pause: 36 * 60 * 60 }
    }
}

/// What was tried so far. Kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    /// Failures since the last success.
    pub failures: u32,
    /// When the last try began, in seconds since 1970.
    pub last: u64,
    /// For which names it was, and of which authority; others may be tried for sooner after a success.
    pub names: Vec<String>,
    /// When the clock was first seen to be before `last`, in seconds since 1970.
    #[serde(default)]
    pub went_back: Option<u64>,
}

impl Attempts {
    /// Notes what the clock shows; says whether that changed anything.
    ///
    /// A clock that was years ahead at the last try must not keep us waiting for years, so the pause begins again at the
    /// moment when it is seen to be back. The try is not forgotten: a board that starts with an old clock each time
    /// would otherwise ask anew whenever its clock is set.
    pub(super) fn see(&mut self, now: u64) -> bool {
        let went_back = match self.went_back {
            _ if now < CLOCK_FLOOR_SECONDS => self.went_back,
            _ if now >= self.last => None,
            Some(before) => Some(before.min(now)),
            None => Some(now),
        };
        std::mem::replace(&mut self.went_back, went_back) != went_back
    }

    /// Notes the beginning of a try. It counts as a failure until it succeeded: a crash in the middle must not lead to
    /// another try at once.
    pub fn begin(&mut self, names: &[String], now: u64) {
        if self.names != names {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        self.names = names.to_vec();
        self.went_back = None;
    }

    /// Notes that the try which began last succeeded.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }

    /// When the next try may begin, in seconds since 1970.
    fn next(&self, pace: &Pace, names: &[String], now: u64) -> u64 {
        if self.last == 0 {
            return 0;
        }
        let last = if now < self.last { self.went_back.unwrap_or(now).min(now) } else { self.last };
        let pause = match self.failures {
            0 if self.names != names => pace.first_pause,
            0 => pace.success_pause,
            failures => {
                let doubled = pace.first_pause.saturating_mul(1 << (failures - 1).min(16));
                doubled.min(pace.longest_pause)
            }
        };
        last + pause
    }
}

/// In how many seconds to try; 0: now. `held` is what the certificate at hand says of itself, `hosts` what it has to be
/// for, `names` what a try is noted with, `jitter` up to 1,000.
///
/// A certificate is renewed when a third of its life is left, or up to a tenth of that sooner: a thousand boards that
/// were switched on together do not ask together for ever.
pub(super) fn wait_seconds(
    held: Option<&Facts>,
    attempts: &Attempts,
    pace: &Pace,
    (hosts, names): (&[String], &[String]),
    (now, jitter): (u64, u64),
) -> u64 {
    if now < CLOCK_FLOOR_SECONDS {
        // Nothing can be checked before the clock is set.
        return 60;
    }
    let wanted = match held {
        Some(facts) if hosts.iter().all(|host| facts.names.has_host(host)) => {
            let left = facts.not_after - facts.renew_at();
            facts.renew_at() - left / 10 * jitter.min(1_000) / 1_000
        }
        _ => 0,
    };
    let pause_jitter = pace.first_pause / 10 * jitter.min(1_000) / 1_000;
    let allowed = match attempts.next(pace, names, now) {
        0 => 0,
        next => next + pause_jitter,
    };
    wanted.max(allowed).saturating_sub(now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tls::{DAY_SECONDS, Names};

    const NOW: u64 = CLOCK_FLOOR_SECONDS + 300 * DAY_SECONDS;

    fn wait(held: Option<&Facts>, attempts: &Attempts, now: u64) -> u64 {
        wait_seconds(held, attempts, &Pace::default(), (&names(), &names()), (now, 0))
    }

    fn names() -> Vec<String> {
        vec!["r.example.org".to_owned()]
    }

    fn facts() -> Facts {
        let mut names = Names::default();
        names.add("r.example.org").unwrap();
        Facts { not_before: NOW, not_after: NOW + 90 * DAY_SECONDS, names }
    }

    #[test]
    fn the_first_time_at_once() {
        assert_eq!(wait(None, &Attempts::default(), NOW), 0);
        // Not before the clock is set.
        assert_eq!(wait(None, &Attempts::default(), 60), 60);
    }

    #[test]
    fn again_when_a_third_is_left_or_a_little_sooner() {
        let none = Attempts::default();
        assert_eq!(wait(Some(&facts()), &none, NOW), 60 * DAY_SECONDS);
        assert_eq!(wait(Some(&facts()), &none, NOW + 60 * DAY_SECONDS), 0);
        let sooner =
            wait_seconds(Some(&facts()), &none, &Pace::default(), (&names(), &names()), (NOW, 1_000));
        assert_eq!(sooner, 57 * DAY_SECONDS);
        let other = vec!["other.example.org".to_owned()];
        assert_eq!(wait_seconds(Some(&facts()), &none, &Pace::default(), (&other, &other), (NOW, 0)), 0);
    }

    #[test]
    fn failures_double_the_pause_up_to_a_day() {
        let mut attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            attempts.begin(&names(), NOW);
            waits.push(wait(None, &attempts, NOW) / 60);
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        attempts.failures = u32::MAX;
        attempts.begin(&names(), NOW);
        assert_eq!(wait(None, &attempts, NOW), DAY_SECONDS);
        // A lost certificate is not asked for at once, either.
        attempts.succeed();
        assert_eq!(wait(None, &attempts, NOW), 36 * 3600);
        // Nor after the clock went back, or ahead.
        assert_eq!(wait(None, &attempts, NOW - 1_000), 36 * 3600);
        assert_eq!(wait(None, &attempts, NOW + 36 * 3600), 0);
    }

    #[test]
    fn a_clock_that_was_years_ahead_delays_for_one_pause() {
        let mut attempts = Attempts::default();
        attempts.begin(&names(), NOW + 365 * DAY_SECONDS);
        let waits: Vec<_> = [0, 5, 10, 15].map(|minutes| NOW + minutes * 60).to_vec();
        let waits: Vec<_> =
            waits.into_iter().map(|now| (attempts.see(now), wait(None, &attempts, now) / 60)).collect();
        assert_eq!(waits, [(true, 15), (false, 10), (false, 5), (false, 0)]);
        attempts.begin(&names(), NOW + 15 * 60);
        assert_eq!(wait(None, &attempts, NOW + 15 * 60) / 60, 30);
    }

    #[test]
    fn a_clock_that_starts_behind_each_time_leads_to_no_further_try() {
        let mut attempts = Attempts::default();
        attempts.begin(&names(), NOW);
        for start in 1..=10 {
            // As of the image that the board was made with, then set.
            assert!(attempts.see(NOW - 100 * DAY_SECONDS));
            assert!(wait(None, &attempts, NOW - 100 * DAY_SECONDS) > 0, "{start}");
            assert!(!attempts.see(60), "a clock that was never set says nothing");
            assert!(attempts.see(NOW + start * 60));
            assert_eq!(wait(None, &attempts, NOW + start * 60), (15 - start) * 60);
        }
    }

    #[test]
    fn no_sequence_of_events_asks_twice_within_a_quarter_of_an_hour() {
        let mut attempts = Attempts::default();
        let (mut now, mut tries) = (NOW, Vec::new());
        // Every minute for a week: crashes (nothing after `begin`), and a success on each third try.
        for _ in 0..7 * 24 * 60 {
            if wait(None, &attempts, now) == 0 {
                attempts.begin(&names(), now);
                tries.push(now);
                if tries.len() % 3 == 0 {
                    attempts.succeed();
                }
            }
            now += 60;
        }
        assert!(tries.windows(2).all(|pair| pair[1] - pair[0] >= 15 * 60));
        assert!((5..20).contains(&tries.len()), "{}", tries.len());
    }
}
