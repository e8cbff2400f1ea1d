//! Limits on how often clients ask: each has a bucket of requests that fills up again at a steady rate.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// A request, in the unit in which buckets are counted. With it, none is lost to rounding at a millisecond's steps.
const REQUEST: u64 = 1_000;

/// How fast a bucket fills, and how much is in it at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests a second; 0: no limit.
    pub(crate) per_second: u32,
    /// Requests at once, after a pause.
    pub(crate) burst: u32,
}

impl Rate {
    fn size(self) -> u64 {
        u64::from(self.burst.max(1)) * REQUEST
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    at_ms: u64,
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now_ms: u64) {
        let added = now_ms.saturating_sub(self.at_ms).saturating_mul(u64::from(rate.per_second));
        self.left = self.left.saturating_add(added).min(rate.size());
        self.at_ms = self.at_ms.max(now_ms);
    }
}

/// The buckets of all clients, of whom at most `max` are remembered.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    max: usize,
    table: HashMap<K, Bucket>,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, table: HashMap::new() }
    }

    /// Takes a request out of a client's bucket, or says how long the client has to wait for one.
    pub(crate) fn take(&mut self, client: &K, rate: Rate, now_ms: u64) -> Result<(), Duration> {
        if rate.per_second == 0 {
            return Ok(());
        }
        if !self.table.contains_key(client) {
            self.make_room(rate, now_ms);
            self.table.insert(client.clone(), Bucket { left: rate.size(), at_ms: now_ms });
        }
        let Some(bucket) = self.table.get_mut(client) else { return Ok(()) };
        bucket.fill(rate, now_ms);
        match bucket.left.checked_sub(REQUEST) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => Err(Duration::from_millis((REQUEST - bucket.left).div_ceil(u64::from(rate.per_second)))),
        }
    }

    /// Forgets those whose bucket is full, which is as good as never having been here; else whoever asked longest ago.
    fn make_room(&mut self, rate: Rate, now_ms: u64) {
        if self.table.len() < self.max {
            return;
        }
        self.table.retain(|_, bucket| {
            bucket.fill(rate, now_ms);
            bucket.left < rate.size()
        });
        // The least of what a client may have: nobody gets a new bucket by crowding others out, since those that are
        // forgotten are those that are nearest to full.
        while self.table.len() >= self.max {
            let fullest = self.table.iter().max_by_key(|(_, bucket)| bucket.left);
            let Some(fullest) = fullest.map(|(client, _)| client.clone()) else { return };
            self.table.remove(&fullest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn a_burst_then_a_steady_rate() {
        let mut buckets = Buckets::new(10);
        for _ in 0..3 {
            assert_eq!(buckets.take(&"a", RATE, 0), Ok(()));
        }
        assert_eq!(buckets.take(&"a", RATE, 0), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take(&"a", RATE, 60), Err(Duration::from_millis(40)));
        assert_eq!(buckets.take(&"b", RATE, 60), Ok(()), "others have their own");
        assert_eq!(buckets.take(&"a", RATE, 100), Ok(()));
        let taken = (0..10_000).filter(|ms| buckets.take(&"a", RATE, 100 + ms).is_ok()).count();
        assert_eq!(taken, 99, "ten a second, whatever the steps");
        assert_eq!(buckets.take(&"a", RATE, u64::MAX), Ok(()));
        // A clock that goes back gives nothing.
        assert_eq!(buckets.take(&"a", RATE, 0), Ok(()));
        assert_eq!(buckets.take(&"a", RATE, 0), Ok(()));
        assert!(buckets.take(&"a", RATE, 0).is_err());
    }

    #[test]
    fn no_limit() {
        let mut buckets = Buckets::new(2);
        let rate = Rate { per_second: 0, burst: 0 };
        assert!((0..1_000).all(|_| buckets.take(&1, rate, 0).is_ok()));
        assert!(buckets.table.is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_the_worst_are_remembered() {
        let mut buckets = Buckets::new(100);
        while buckets.take(&u32::MAX, RATE, 0).is_ok() {}
        for client in 0..10_000 {
            assert_eq!(buckets.take(&client, RATE, 0), Ok(()));
            assert!(buckets.table.len() <= 100);
        }
        assert!(buckets.take(&u32::MAX, RATE, 0).is_err(), "who asks most is not forgotten for others");
        assert_eq!(buckets.take(&(u32::MAX - 1), RATE, 10_000), Ok(()));
        assert_eq!(buckets.table.len(), 1, "full ones are forgotten");
    }
}
