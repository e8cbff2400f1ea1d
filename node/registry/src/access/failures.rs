//! Logins that failed: who guesses has to wait, longer after each guess.

use std::collections::HashMap;
use std::time::Duration;

use super::network::Network;

/// Wrong passwords that nobody has to wait after: people mistype, and clients try again by themselves.
const FREE: u32 = 5;
/// The first wait; each further one is twice as long.
const FIRST_WAIT_MS: u64 = 1_000;
/// The longest wait.
const MAX_WAIT_MS: u64 = 15 * 60 * 1_000;
/// After so long without another failure a network is forgotten.
const FORGOTTEN_MS: u64 = 60 * 60 * 1_000;

#[derive(Clone, Copy, Debug)]
struct Failed {
    count: u32,
    last_ms: u64,
}

impl Failed {
    fn until_ms(self) -> u64 {
        let Some(doublings) = self.count.checked_sub(FREE) else { return 0 };
        let wait_ms = FIRST_WAIT_MS.checked_shl(doublings).filter(|_| doublings < 32).unwrap_or(MAX_WAIT_MS);
        self.last_ms.saturating_add(wait_ms.min(MAX_WAIT_MS))
    }

    fn is_over(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= FORGOTTEN_MS
    }
}

/// The failures of the last hour, of at most `max` networks.
#[derive(Debug)]
pub(super) struct Failures {
    max: usize,
    table: HashMap<Network, Failed>,
}

impl Failures {
    pub(super) fn new(max: usize) -> Self {
        Self { max, table: HashMap::new() }
    }

    /// Whether a network may try a password; if not, how long it has to wait.
    pub(super) fn check(&self, network: Network, now_ms: u64) -> Result<(), Duration> {
        let until_ms = self.table.get(&network).map_or(0, |failed| failed.until_ms());
        match until_ms.checked_sub(now_ms) {
            None | Some(0) => Ok(()),
            Some(wait_ms) => Err(Duration::from_millis(wait_ms)),
        }
    }

    /// Notes a wrong password. A right one changes nothing: who has an account may guess at those of others.
    pub(super) fn note(&mut self, network: Network, now_ms: u64) {
        if self.table.len() >= self.max && !self.table.contains_key(&network) {
            self.table.retain(|_, failed| !failed.is_over(now_ms));
            if self.table.len() >= self.max {
                let mildest = self.table.iter().min_by_key(|(_, failed)| (failed.count, failed.last_ms));
                if let Some(mildest) = mildest.map(|(network, _)| *network) {
                    self.table.remove(&mildest);
                }
            }
        }
        let failed = self.table.entry(network).or_insert(Failed { count: 0, last_ms: now_ms });
        let count = if failed.is_over(now_ms) { 0 } else { failed.count };
        *failed = Failed { count: count.saturating_add(1), last_ms: now_ms };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(number: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn waits_double_and_end() {
        let (mut failures, one) = (Failures::new(10), network(1));
        for _ in 0..4 {
            failures.note(one, 0);
            assert_eq!(failures.check(one, 0), Ok(()));
        }
        let mut now_ms = 0;
        for wait_s in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
            failures.note(one, now_ms);
            let wait = Duration::from_secs(wait_s);
            assert_eq!(failures.check(one, now_ms), Err(wait));
            assert_eq!(failures.check(network(2), now_ms), Ok(()));
            now_ms += wait.as_millis() as u64;
            assert_eq!(failures.check(one, now_ms), Ok(()));
        }
        for _ in 0..200 {
            failures.note(one, now_ms);
        }
        assert_eq!(failures.check(one, now_ms), Err(Duration::from_secs(900)));
        failures.note(one, now_ms + FORGOTTEN_MS);
        assert_eq!(failures.check(one, now_ms + FORGOTTEN_MS), Ok(()), "an hour of peace is enough");
    }

    #[test]
    fn the_table_is_bounded_and_the_worst_are_remembered() {
        let mut failures = Failures::new(100);
        for _ in 0..20 {
            failures.note(network(0), 0);
        }
        for number in 1..1_000 {
            failures.note(network(number), 1);
            assert!(failures.table.len() <= 100);
        }
        assert!(failures.check(network(0), 1).is_err());
    }
}
