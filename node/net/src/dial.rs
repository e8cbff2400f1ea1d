//! Whom to dial and when: back-off with full jitter, and a bound on how many at once.
//!
//! Pure: the time is an argument, and nothing here opens a socket.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::PeerId;
use crate::jitter::Jitter;

/// Pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Longest pause for validators and configured peers: when a switch or a line comes back after an hour, the chain must
/// not wait for minutes. A dial is a few datagrams.
const LONGEST_PERMANENT_PAUSE: Duration = Duration::from_secs(15);
/// Longest pause for peers on this machine, so that a local network heals quickly.
const LONGEST_LOOPBACK_PAUSE: Duration = Duration::from_secs(2);
/// Shortest pause: never zero, or a peer that refuses at once would be asked in a busy loop.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// A connection that lasted this long begins again with the first pause.
const STABLE: Duration = Duration::from_mins(1);
/// Dials under way at the same time.
const MAX_DIALLING: usize = 16;
/// The side with the greater id waits this long before its first dial: both sides of a pair often start
/// together, and the other's dial would win anyway.
const POLITE_PAUSE: Duration = Duration::from_millis(250);
/// A candidate passed over for now is looked at again after this long.
const PASSED_OVER: Duration = Duration::from_mins(1);
/// Failures after which a candidate that was never met is given up, and one that was met. The first is
/// small: whoever tells of invented peers makes this node send datagrams to addresses of his choice.
const GIVE_UP_STRANGER: u32 = 4;
const GIVE_UP_KNOWN: u32 = 40;
/// Host names kept for one static peer, and static peers kept.
const MAX_HOSTS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Dialling,
    Connected(Instant),
}

#[derive(Debug)]
struct Target {
    /// From the configuration; empty for peers known only from the book.
    hosts: Vec<String>,
    /// Dialled for ever and whatever the number of outbound connections.
    permanent: bool,
    state: State,
    failures: u32,
    /// When to dial, if idle.
    next: Instant,
}

/// One dial to make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Who must answer.
    pub(crate) id: PeerId,
    /// `host:port` to resolve, besides the addresses in the book.
    pub(crate) hosts: Vec<String>,
}

/// Every peer that this node would like to be connected to.
#[derive(Debug)]
pub(crate) struct DialTable {
    own: PeerId,
    jitter: Jitter,
    targets: BTreeMap<PeerId, Target>,
}

impl DialTable {
    pub(crate) fn new(own: PeerId, jitter: Jitter) -> Self {
        Self { own, jitter, targets: BTreeMap::new() }
    }

    fn target(&mut self, id: PeerId, now: Instant) -> &mut Target {
        let next = if id < self.own { now + POLITE_PAUSE } else { now };
        self.targets.entry(id).or_insert(Target {
            hosts: Vec::new(),
            permanent: false,
            state: State::Idle,
            failures: 0,
            next,
        })
    }

    /// Adds a configured peer, or another host for it, to be dialled at once.
    pub(crate) fn add_static(&mut self, id: PeerId, host: String, now: Instant) {
        if id == self.own {
            return;
        }
        let target = self.target(id, now);
        target.permanent = true;
        if !target.hosts.contains(&host) {
            target.hosts.insert(0, host);
            target.hosts.truncate(MAX_HOSTS);
            target.failures = 0;
            target.next = target.next.min(now + POLITE_PAUSE);
        }
    }

    /// Adds a peer from the book; `permanent` if it is reserved. News about a peer that did not answer is a
    /// reason to try again.
    pub(crate) fn learn(&mut self, id: PeerId, permanent: bool, is_news: bool, now: Instant) {
        if id == self.own {
            return;
        }
        let target = self.target(id, now);
        target.permanent = permanent || !target.hosts.is_empty();
        if is_news && target.state == State::Idle {
            target.failures = 0;
            target.next = target.next.min(now + FIRST_PAUSE);
        }
    }

    /// Notes a connection, whoever dialled.
    pub(crate) fn connected(&mut self, id: PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(&id)
            && !matches!(target.state, State::Connected(_))
        {
            target.state = State::Connected(now);
        }
    }

    /// Notes the end of a connection.
    pub(crate) fn disconnected(&mut self, id: PeerId, loopback: bool, now: Instant) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        if let State::Connected(since) = target.state {
            let stable = now.saturating_duration_since(since) >= STABLE;
            target.failures = if stable { 0 } else { target.failures.saturating_add(1) };
        }
        Self::schedule(target, &mut self.jitter, loopback, now);
    }

    /// Notes a dial that led to no connection. Says whether the peer was given up: it is no longer in the
    /// table.
    pub(crate) fn failed(&mut self, id: PeerId, loopback: bool, was_met: bool, now: Instant) -> bool {
        let Some(target) = self.targets.get_mut(&id) else { return false };
        if target.state != State::Dialling {
            return false;
        }
        Self::schedule(target, &mut self.jitter, loopback, now);
        target.failures = target.failures.saturating_add(1);
        let patience = if was_met { GIVE_UP_KNOWN } else { GIVE_UP_STRANGER };
        let give_up = !target.permanent && target.failures >= patience;
        if give_up {
            self.targets.remove(&id);
        }
        give_up
    }

    /// Puts off the next dial: anywhere between the shortest pause and the back-off.
    fn schedule(target: &mut Target, jitter: &mut Jitter, loopback: bool, now: Instant) {
        let longest = match (loopback, target.permanent) {
            (true, _) => LONGEST_LOOPBACK_PAUSE,
            (false, true) => LONGEST_PERMANENT_PAUSE,
            (false, false) => LONGEST_PAUSE,
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << target.failures.min(16)).min(longest);
        let millis = |pause: Duration| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let pause = jitter.between(millis(SHORTEST_PAUSE), millis(pause));
        target.state = State::Idle;
        target.next = now + Duration::from_millis(pause);
    }

    /// Takes the dials that are due. `free` is the number of outbound connections that peers which are not
    /// permanent may still take; `pass_over` names those not wanted at the moment.
    pub(crate) fn take_due(
        &mut self,
        free: usize,
        now: Instant,
        pass_over: impl Fn(&PeerId) -> bool,
    ) -> Vec<Due> {
        let mut dialling = self.dialling(|_| true);
        let mut free = free.saturating_sub(self.dialling(|target| !target.permanent));
        let mut due = Vec::new();
        for (id, target) in &mut self.targets {
            if target.state != State::Idle || target.next > now || dialling >= MAX_DIALLING {
                continue;
            }
            if !target.permanent {
                if free == 0 {
                    continue;
                }
                if pass_over(id) {
                    target.next = now + PASSED_OVER;
                    continue;
                }
                free -= 1;
            }
            target.state = State::Dialling;
            dialling += 1;
            due.push(Due { id: *id, hosts: target.hosts.clone() });
        }
        due
    }

    /// When [`DialTable::take_due`] will next have something, as far as time alone decides.
    pub(crate) fn next_deadline(&self, free: usize) -> Option<Instant> {
        if self.dialling(|_| true) >= MAX_DIALLING {
            return None;
        }
        let free = free.saturating_sub(self.dialling(|target| !target.permanent));
        self.targets
            .values()
            .filter(|target| target.state == State::Idle && (target.permanent || free > 0))
            .map(|target| target.next)
            .min()
    }

    /// Whether some peer is wanted that is not connected.
    pub(crate) fn is_hungry(&self, free: usize) -> bool {
        free > 0 || self.targets.values().any(|t| t.permanent && !matches!(t.state, State::Connected(_)))
    }

    fn dialling(&self, of: impl Fn(&Target) -> bool) -> usize {
        self.targets.values().filter(|target| target.state == State::Dialling && of(target)).count()
    }
}

#[cfg(test)]
mod tests {
    use trustnet_ledger::crypto::PublicKey;

    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId(PublicKey([n; 32]))
    }

    fn table() -> (DialTable, Instant) {
        (DialTable::new(peer(100), Jitter::new(7)), Instant::now())
    }

    fn ids(due: &[Due]) -> Vec<PeerId> {
        due.iter().map(|due| due.id).collect()
    }

    fn due(table: &mut DialTable, free: usize, now: Instant) -> Vec<PeerId> {
        ids(&table.take_due(free, now, |_| false))
    }

    #[test]
    fn the_side_with_the_greater_id_lets_the_other_dial_first() {
        let (mut table, now) = table();
        table.add_static(peer(101), "a:1".into(), now);
        table.add_static(peer(99), "b:1".into(), now);
        table.add_static(peer(100), "self:1".into(), now);
        assert_eq!(due(&mut table, 0, now), [peer(101)]);
        assert_eq!(table.next_deadline(0), Some(now + POLITE_PAUSE));
        table.connected(peer(99), now);
        assert_eq!(due(&mut table, 0, now + POLITE_PAUSE), []);
        assert_eq!(table.next_deadline(0), None, "nothing to wake up for");
    }

    /// Dials a peer that never answers as often as the table keeps it, and gives the pauses.
    fn pauses(permanent: bool) -> Vec<Duration> {
        let (mut table, mut now) = table();
        table.learn(peer(101), permanent, true, now);
        let mut pauses = Vec::new();
        for _ in 0..200 {
            assert_eq!(due(&mut table, 1, now), [peer(101)]);
            if table.failed(peer(101), false, true, now) {
                break;
            }
            let pause = table.next_deadline(1).unwrap() - now;
            pauses.push(pause);
            now += pause;
        }
        pauses
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_is_never_zero() {
        for (permanent, limit) in [(false, LONGEST_PAUSE), (true, LONGEST_PERMANENT_PAUSE)] {
            let pauses = pauses(permanent);
            for (round, pause) in pauses.iter().enumerate() {
                assert!(*pause >= SHORTEST_PAUSE);
                assert!(*pause <= FIRST_PAUSE.saturating_mul(1 << round.min(9)).min(limit));
            }
            let longest = pauses.iter().max().unwrap();
            assert!(*longest > limit / 2, "jitter is over the whole pause");
        }
    }

    #[test]
    fn on_this_machine_the_pause_stays_short() {
        let (mut table, mut now) = table();
        table.add_static(peer(101), "127.0.0.1:1".into(), now);
        for _ in 0..50 {
            due(&mut table, 0, now);
            table.failed(peer(101), true, false, now);
            assert!(table.next_deadline(0).unwrap() - now <= LONGEST_LOOPBACK_PAUSE);
            now = table.next_deadline(0).unwrap();
        }
    }

    #[test]
    fn a_minute_of_uptime_resets_the_pause_and_a_flapping_peer_does_not() {
        let (mut table, mut now) = table();
        table.add_static(peer(101), "a:1".into(), now);
        for _ in 0..9 {
            now = table.next_deadline(0).unwrap();
            due(&mut table, 0, now);
            table.connected(peer(101), now);
            table.disconnected(peer(101), false, now + Duration::from_secs(1));
        }
        assert_eq!(table.targets[&peer(101)].failures, 9);
        table.connected(peer(101), now);
        table.disconnected(peer(101), false, now + STABLE);
        assert!(table.next_deadline(0).unwrap() - (now + STABLE) <= FIRST_PAUSE);
    }

    #[test]
    fn candidates_are_dialled_only_into_free_places() {
        let (mut table, now) = table();
        for n in 101..120 {
            table.learn(peer(n), false, true, now);
        }
        table.learn(peer(200), true, true, now);
        assert_eq!(due(&mut table, 0, now), [peer(200)], "reserved peers need no place");
        assert_eq!(table.next_deadline(0), None);
        assert_eq!(due(&mut table, 3, now).len(), 3);
        assert_eq!(due(&mut table, 3, now).len(), 0, "dials under way hold places");
        assert!(table.is_hungry(3));
    }

    #[test]
    fn at_most_sixteen_dials_are_under_way() {
        let (mut table, now) = table();
        for n in 101..150 {
            table.add_static(peer(n), "a:1".into(), now);
        }
        assert_eq!(due(&mut table, 0, now).len(), MAX_DIALLING);
        assert_eq!(table.next_deadline(0), None, "the end of a dial is the next event");
        table.failed(peer(101), false, false, now);
        assert_eq!(table.next_deadline(0), Some(now), "others were waiting for the place");
    }

    #[test]
    fn a_candidate_passed_over_does_not_keep_the_dialler_awake() {
        let (mut table, now) = table();
        table.learn(peer(101), false, true, now);
        assert!(table.take_due(8, now, |_| true).is_empty());
        assert_eq!(table.next_deadline(8), Some(now + PASSED_OVER));
    }

    #[test]
    fn candidates_that_never_answer_are_given_up_and_configured_peers_never() {
        let (mut table, mut now) = table();
        table.learn(peer(101), false, true, now);
        table.add_static(peer(102), "a:1".into(), now);
        let mut given_up = 0;
        for _ in 0..100 {
            now += LONGEST_PAUSE;
            for id in due(&mut table, 8, now) {
                given_up += u32::from(table.failed(id, false, false, now));
            }
        }
        assert_eq!(given_up, 1);
        assert!(table.targets.contains_key(&peer(102)));
        assert!(!table.targets.contains_key(&peer(101)));
    }
}
