//! Small random numbers for spreading things in time. Not for secrets.

/// splitmix64: the next number from a seed taken once from the system.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low + self.next() % span.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_between_their_bounds_and_differ() {
        let mut jitter = Jitter::new(1);
        let numbers: Vec<u64> = (0..1000).map(|_| jitter.between(100, 200)).collect();
        assert!(numbers.iter().all(|n| (100..=200).contains(n)));
        assert!(numbers.contains(&100) && numbers.contains(&200));
        assert_eq!(jitter.between(5, 5), 5);
    }
}
