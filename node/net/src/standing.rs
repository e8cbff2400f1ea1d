//! Scores and bans: one integer a peer, decaying with time. Nothing of it is told to others.
//!
//! Pure: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::PeerId;

/// At this score a peer is banned.
pub(crate) const BAN_SCORE: i32 = -100;
/// Good behaviour counts up to this.
const BEST_SCORE: i32 = 100;
/// A score moves one point towards zero in this time, so that any score is forgotten in ten minutes.
const DECAY: Duration = Duration::from_secs(6);
/// The first ban.
const FIRST_BAN: Duration = Duration::from_mins(10);
/// Each further ban lasts twice as long, up to this.
const LONGEST_BAN: Duration = Duration::from_hours(24);
/// A validator or configured peer is only sent away for this long: to lose half of the validators to a
/// wrong suspicion would stop the chain, and a minute already makes its misbehaviour harmless.
const RESERVED_BAN: Duration = Duration::from_mins(1);
/// A peer that has been good for this long after a ban begins again with a short one.
const BAN_MEMORY: Duration = Duration::from_hours(24);
/// Peers with a score or ban that are remembered. Keys cost nothing, so the least important is forgotten.
const MAX_REMEMBERED: usize = 2048;

#[derive(Clone, Copy, Debug)]
struct Entry {
    score: i32,
    /// When `score` was right.
    at: Instant,
    bans: u32,
    banned_until: Option<Instant>,
}

impl Entry {
    fn score(&self, now: Instant) -> i32 {
        let points = now.saturating_duration_since(self.at).as_secs() / DECAY.as_secs();
        let points = i32::try_from(points).unwrap_or(i32::MAX);
        self.score.signum() * (self.score.abs() - points).max(0)
    }

    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }

    fn is_forgettable(&self, now: Instant) -> bool {
        let ban_is_forgotten = self.banned_until.is_none_or(|until| now >= until + BAN_MEMORY);
        ban_is_forgotten && self.score(now) == 0
    }
}

/// What all known peers have earned.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    entries: HashMap<PeerId, Entry>,
}

impl Standing {
    /// Adds points and says whether the peer is banned by it.
    pub(crate) fn add(&mut self, peer: PeerId, points: i32, reserved: bool, now: Instant) -> bool {
        if points == 0 {
            return false;
        }
        self.make_room(now);
        let entry =
            self.entries.entry(peer).or_insert(Entry { score: 0, at: now, bans: 0, banned_until: None });
        if entry.is_forgettable(now) {
            entry.bans = 0;
        }
        let score = entry.score(now).saturating_add(points).clamp(BAN_SCORE, BEST_SCORE);
        (entry.score, entry.at) = (score, now);
        if score > BAN_SCORE || entry.is_banned(now) {
            return false;
        }
        let ban = if reserved {
            RESERVED_BAN
        } else {
            FIRST_BAN.saturating_mul(1 << entry.bans.min(16)).min(LONGEST_BAN)
        };
        entry.bans = entry.bans.saturating_add(1);
        entry.banned_until = Some(now + ban);
        // The ban is the punishment; what follows it starts afresh.
        entry.score = 0;
        true
    }

    /// Whether the peer is banned at the moment.
    pub(crate) fn is_banned(&self, peer: &PeerId, now: Instant) -> bool {
        self.entries.get(peer).is_some_and(|entry| entry.is_banned(now))
    }

    /// The peer's score.
    pub(crate) fn score(&self, peer: &PeerId, now: Instant) -> i32 {
        self.entries.get(peer).map_or(0, |entry| entry.score(now))
    }

    /// How many peers are banned.
    pub(crate) fn banned(&self, now: Instant) -> usize {
        self.entries.values().filter(|entry| entry.is_banned(now)).count()
    }

    fn make_room(&mut self, now: Instant) {
        if self.entries.len() < MAX_REMEMBERED {
            return;
        }
        self.entries.retain(|_, entry| !entry.is_forgettable(now));
        if self.entries.len() >= MAX_REMEMBERED {
            // Bans in force go last; of the others, the score closest to zero says least.
            let least = self
                .entries
                .iter()
                .min_by_key(|(id, entry)| (entry.is_banned(now), entry.bans, entry.score(now).abs(), **id));
            if let Some(id) = least.map(|(id, _)| *id) {
                self.entries.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use trustnet_ledger::crypto::PublicKey;

    use super::*;

    fn peer(n: u16) -> PeerId {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_le_bytes());
        PeerId(PublicKey(key))
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn any_score_is_forgotten_in_ten_minutes() {
        let mut standing = Standing::default();
        let now = Instant::now();
        assert!(!standing.add(peer(1), -99, false, now));
        standing.add(peer(2), 10_000, false, now);
        assert_eq!(standing.score(&peer(1), now), -99);
        assert_eq!(standing.score(&peer(1), now + seconds(60)), -89);
        assert_eq!(standing.score(&peer(2), now), BEST_SCORE);
        for id in [peer(1), peer(2)] {
            assert_eq!(standing.score(&id, now + seconds(600)), 0);
        }
    }

    #[test]
    fn bans_double_from_ten_minutes_to_a_day() {
        let mut standing = Standing::default();
        let mut now = Instant::now();
        for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
            assert!(standing.add(peer(1), -100, false, now));
            assert!(!standing.add(peer(1), -100, false, now), "banned once, not twice");
            now += seconds(minutes * 60 - 1);
            assert!(standing.is_banned(&peer(1), now), "{minutes} minutes");
            now += seconds(1);
            assert!(!standing.is_banned(&peer(1), now), "{minutes} minutes");
            now += seconds(601);
        }
    }

    #[test]
    fn a_day_of_good_behaviour_after_a_ban_is_remembered_in_favour() {
        let mut standing = Standing::default();
        let now = Instant::now();
        standing.add(peer(1), -100, false, now);
        let later = now + FIRST_BAN + BAN_MEMORY + seconds(600);
        standing.add(peer(1), -100, false, later);
        assert!(!standing.is_banned(&peer(1), later + FIRST_BAN));
    }

    #[test]
    fn a_reserved_peer_is_sent_away_for_a_minute_only() {
        let mut standing = Standing::default();
        let now = Instant::now();
        assert!(standing.add(peer(1), i32::MIN, true, now));
        assert!(standing.is_banned(&peer(1), now + seconds(59)));
        assert!(!standing.is_banned(&peer(1), now + seconds(60)));
    }

    #[test]
    fn memory_is_bounded_and_bans_are_kept_longest() {
        let mut standing = Standing::default();
        let now = Instant::now();
        standing.add(peer(0), -100, false, now);
        for n in 1..4000 {
            standing.add(peer(n), -1, false, now);
        }
        assert_eq!(standing.entries.len(), MAX_REMEMBERED);
        assert!(standing.is_banned(&peer(0), now));
        assert_eq!(standing.banned(now), 1);
    }
}
