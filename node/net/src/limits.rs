//! Token buckets, and the gate that strangers pass before anything is computed for them.
//!
//! Pure: the time is an argument.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::{Limits, Rate};
use crate::reach::{Reach, reach, subnet};

/// Reserved peers may do this many times what others may.
pub(crate) const RESERVED_FACTOR: u32 = 16;
/// Half-open places beyond the limit, for addresses of reserved peers.
const TRUSTED_HALF_OPEN: usize = 16;
/// Buckets kept before those that have filled up are forgotten. Only handshakes that the common bucket
/// allows make a bucket, and buckets fill in seconds, so this is rarely reached.
const MAX_BUCKETS: usize = 1024;
/// Addresses of reserved peers that are remembered.
const MAX_TRUSTED: usize = 512;
/// A token, in the units of [`TokenBucket::level`]: one `per_second` adds one unit a nanosecond.
const TOKEN: i64 = 1_000_000_000;

/// A bucket of tokens that fills at a steady rate. In integers: a level can fall below zero by one
/// withdrawal, and the debt says how long to wait.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    rate: Rate,
    /// Tokens times [`TOKEN`].
    level: i64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: Self::capacity(rate), at: now }
    }

    fn capacity(rate: Rate) -> i64 {
        i64::from(rate.burst) * TOKEN
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        let added =
            i64::try_from(elapsed).unwrap_or(i64::MAX).saturating_mul(i64::from(self.rate.per_second));
        self.level = self.level.saturating_add(added).min(Self::capacity(self.rate));
        self.at = self.at.max(now);
    }

    /// Whether a token could be taken.
    pub(crate) fn has_token(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= TOKEN
    }

    /// Takes a token if there is one.
    pub(crate) fn try_take(&mut self, now: Instant) -> bool {
        let has = self.has_token(now);
        if has {
            self.level -= TOKEN;
        }
        has
    }

    /// Takes `tokens`, into debt if need be, and says how long the debt takes to repay.
    pub(crate) fn take(&mut self, tokens: usize, now: Instant) -> Duration {
        self.fill(now);
        let cost = i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(TOKEN);
        self.level = self.level.saturating_sub(cost);
        let debt = u64::try_from(self.level.saturating_neg()).unwrap_or(0);
        Duration::from_nanos(debt / u64::from(self.rate.per_second.max(1)))
    }

    /// Returns tokens that were taken and not used.
    pub(crate) fn give_back(&mut self, tokens: u32) {
        self.level = self.level.saturating_add(i64::from(tokens) * TOKEN).min(Self::capacity(self.rate));
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level == Self::capacity(self.rate)
    }
}

/// `rate`, or as much more as a reserved peer may have.
pub(crate) fn rate_for(rate: Rate, reserved: bool) -> Rate {
    let factor = if reserved { RESERVED_FACTOR } else { 1 };
    Rate { burst: rate.burst.saturating_mul(factor), per_second: rate.per_second.saturating_mul(factor) }
}

/// What happens to a stranger's first datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The handshake may begin.
    Accept,
    /// It must first prove its address.
    Retry,
    /// Too many handshakes are under way.
    HalfOpen,
    /// It, its neighbours or everybody together come too often.
    TooOften,
}

/// The gate before the handshake. Its memory is bounded by the rate at which it lets strangers in.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Limits,
    all: TokenBucket,
    /// Buckets of single addresses and of subnets (`true`).
    buckets: HashMap<(IpAddr, bool), TokenBucket>,
    /// Addresses of reserved peers: exempt from the buckets, once proved.
    trusted: HashSet<IpAddr>,
}

impl Gate {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        let all = TokenBucket::new(limits.handshakes, now);
        Self { limits, all, buckets: HashMap::new(), trusted: HashSet::new() }
    }

    /// Remembers that a reserved peer lives at `ip`.
    pub(crate) fn trust(&mut self, ip: IpAddr) {
        if self.trusted.len() < MAX_TRUSTED {
            self.trusted.insert(ip);
        }
    }

    /// Judges a first datagram from `ip`; `validated` says whether the sender has proved that it is there,
    /// `half_open` how many handshakes are under way.
    pub(crate) fn judge(&mut self, ip: IpAddr, validated: bool, half_open: usize, now: Instant) -> Verdict {
        let trusted = self.trusted.contains(&ip);
        let places = self.limits.half_open + if trusted { TRUSTED_HALF_OPEN } else { 0 };
        if half_open >= places {
            return Verdict::HalfOpen;
        }
        if half_open >= self.limits.half_open_before_retry && !validated {
            return Verdict::Retry;
        }
        if self.take_tokens(ip, now) {
            return Verdict::Accept;
        }
        // A forged address must not buy its owner's exemption.
        match (trusted, validated) {
            (true, true) => Verdict::Accept,
            (true, false) => Verdict::Retry,
            (false, _) => Verdict::TooOften,
        }
    }

    /// Takes a token from every bucket, or from none: one flooding address must not empty the common one.
    fn take_tokens(&mut self, ip: IpAddr, now: Instant) -> bool {
        let mut keys = Vec::with_capacity(2);
        if reach(ip) != Reach::Loopback {
            keys.push(((ip, false), self.limits.handshakes_per_ip));
        }
        if reach(ip) == Reach::Public {
            keys.push(((subnet(ip), true), self.limits.handshakes_per_subnet));
        }
        let blocked =
            keys.iter().any(|(key, _)| self.buckets.get_mut(key).is_some_and(|b| !b.has_token(now)));
        if blocked || !self.all.try_take(now) {
            return false;
        }
        if self.buckets.len() + keys.len() > MAX_BUCKETS {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        for (key, rate) in keys {
            self.buckets.entry(key).or_insert_with(|| TokenBucket::new(rate, now)).try_take(now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn gate() -> (Gate, Instant) {
        let now = Instant::now();
        (Gate::new(Limits::default(), now), now)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(Rate { burst: 3, per_second: 2 }, now);
        assert_eq!((0..5).filter(|_| bucket.try_take(now)).count(), 3);
        let later = now + Duration::from_millis(1500);
        assert_eq!((0..5).filter(|_| bucket.try_take(later)).count(), 3);
        assert_eq!((0..9).filter(|_| bucket.try_take(later + seconds(1_000_000_000))).count(), 3);
    }

    #[test]
    fn debt_says_how_long_to_wait() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(Rate { burst: 100, per_second: 50 }, now);
        assert_eq!(bucket.take(100, now), Duration::ZERO);
        assert_eq!(bucket.take(25, now), Duration::from_millis(500));
        assert_eq!(bucket.take(0, now + seconds(1)), Duration::ZERO);
        assert!(bucket.take(usize::MAX, now + seconds(1)) > seconds(1));
    }

    #[test]
    fn one_address_and_its_neighbours_are_slowed_without_hurting_others() {
        let (mut gate, now) = gate();
        let accepted = |gate: &mut Gate, from: &str| {
            (0..20).filter(|_| gate.judge(ip(from), false, 0, now) == Verdict::Accept).count()
        };
        assert_eq!(accepted(&mut gate, "8.8.8.1"), 5, "per address");
        assert_eq!(accepted(&mut gate, "8.8.8.2"), 5);
        assert_eq!(accepted(&mut gate, "8.8.8.3"), 0, "per subnet");
        assert_eq!(accepted(&mut gate, "9.9.9.9"), 5, "elsewhere");
    }

    #[test]
    fn private_ranges_have_no_subnet_limit_and_loopback_no_address_limit() {
        let (mut gate, now) = gate();
        for host in 1..=4 {
            let from = IpAddr::from([192, 168, 1, host]);
            let count = (0..9).filter(|_| gate.judge(from, false, 0, now) == Verdict::Accept).count();
            assert_eq!(count, 5, "{from}");
        }
        let later = now + seconds(60);
        let count =
            (0..40).filter(|_| gate.judge(ip("127.0.0.1"), false, 0, later) == Verdict::Accept).count();
        assert_eq!(count, 20, "only the limit on all handshakes applies");
    }

    #[test]
    fn above_eight_half_open_strangers_prove_their_address_and_above_64_nobody_enters() {
        let (mut gate, now) = gate();
        assert_eq!(gate.judge(ip("8.8.8.8"), false, 7, now), Verdict::Accept);
        assert_eq!(gate.judge(ip("8.8.8.8"), false, 8, now), Verdict::Retry);
        assert_eq!(gate.judge(ip("8.8.8.8"), true, 8, now), Verdict::Accept);
        assert_eq!(gate.judge(ip("8.8.8.8"), true, 64, now), Verdict::HalfOpen);
    }

    #[test]
    fn a_reserved_peers_address_gets_in_when_the_rest_is_exhausted_but_only_once_proved() {
        let (mut gate, now) = gate();
        gate.trust(ip("7.7.7.7"));
        for host in 0..40 {
            gate.judge(IpAddr::from([5, host, 1, 1]), false, 0, now);
        }
        assert_eq!(gate.judge(ip("6.6.6.6"), true, 0, now), Verdict::TooOften);
        assert_eq!(gate.judge(ip("7.7.7.7"), false, 0, now), Verdict::Retry);
        assert_eq!(gate.judge(ip("7.7.7.7"), true, 70, now), Verdict::Accept);
    }

    #[test]
    fn many_addresses_do_not_grow_the_gate() {
        let (mut gate, mut now) = gate();
        for n in 0u32..20_000 {
            now += Duration::from_millis(50);
            gate.judge(IpAddr::V4((0x0800_0000 + n * 65_537).into()), false, 0, now);
        }
        assert!(gate.buckets.len() <= MAX_BUCKETS);
    }
}
