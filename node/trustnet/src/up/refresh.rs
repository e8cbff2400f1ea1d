//! From what is known to what is shown: pure.

use std::time::{Duration, Instant};

use super::network::Member;
use super::watch::Seen;
use crate::import::progress::{Phase, Snapshot};
use crate::screen::model::{Activity, ImportLine, Life, NodeRow};
use crate::screen::{Model, format};

/// What the processes of the nodes are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// It runs.
    Yes,
    /// It is started again in so many milliseconds.
    Again(u64),
    /// It died too often.
    GivenUp,
    /// It was stopped.
    Stopped,
}

/// What a node's life looks like from outside.
pub fn life(running: Running, seen: &Seen) -> Life {
    match running {
        Running::Again(ms) => Life::Restarting(ms.div_ceil(1_000)),
        Running::GivenUp => Life::GivenUp,
        Running::Stopped => Life::Stopped,
        Running::Yes if seen.answers() => Life::Up,
        Running::Yes if seen.at.is_some() => Life::Silent,
        Running::Yes => Life::Starting,
    }
}

/// Brings the model up to date with the nodes; `now_ms` is the clock, Unix milliseconds.
pub fn nodes(model: &mut Model, members: &[Member], running: &[Running], seen: &[Seen], now_ms: u64) {
    let best = seen.iter().filter(|node| node.answers()).max_by_key(|node| node.facts.height);
    if let Some(best) = best {
        model.height = best.facts.height;
        model.interval_ms = best.interval_ms;
        model.faults_tolerated = best.facts.faults_tolerated;
        model.pool = best.facts.pool;
        // By the block's own time: a chain that is continued has not made a block just now.
        let has_block = best.facts.height > 0;
        model.block_age_ms = has_block.then(|| now_ms.saturating_sub(best.facts.time_ms));
    }
    let validators = best.map_or(&[][..], |best| &best.facts.validators);
    let row = |((member, &running), seen): ((&Member, &Running), &Seen)| {
        let on_ledger = validators.iter().find(|(name, ..)| *name == member.name);
        let status = match on_ledger {
            _ if seen.facts.silent_reason.is_some() => "not voting".to_owned(),
            _ if seen.facts.catching_up => "catching up".to_owned(),
            Some((_, _, status)) => status.clone(),
            None => "-".to_owned(),
        };
        let answers = seen.answers();
        NodeRow {
            name: member.name.clone(),
            life: life(running, seen),
            height: seen.at.is_some().then_some(seen.facts.height),
            round: seen.facts.round.filter(|_| answers),
            peers: seen.facts.peers.filter(|_| answers),
            reputation_mp: on_ledger.map(|(_, reputation, _)| *reputation),
            status,
            url: member.url(),
        }
    };
    model.nodes = members.iter().zip(running).zip(seen).map(row).collect();
}

/// What the import's snapshot means for the activity line.
pub fn activity(snapshot: Option<Snapshot>) -> Activity {
    let phase = |phase| match phase {
        Phase::Comparing => "comparing",
        Phase::Registering => "people",
        Phase::Rating => "ratings",
        Phase::Done => "reporting",
    };
    let line =
        snapshot.map_or(ImportLine { phase: "comparing", committed: 0, total: 0, per_second: 0 }, |s| {
            ImportLine {
                phase: phase(s.phase),
                committed: s.committed,
                total: s.total,
                per_second: s.per_second(),
            }
        });
    Activity::Importing(line)
}

/// What to try next: commands that work as they stand.
pub fn hints(
    members: &[Member],
    best_person: Option<&str>,
    process: Option<u32>,
    day: Option<u32>,
    is_default_dir: bool,
) -> Vec<String> {
    let Some(first) = members.first() else { return Vec::new() };
    let url = first.url();
    let rpc = if is_default_dir { String::new() } else { format!(" --rpc {url}") };
    let as_of = day.map(|day| format!(" --as-of {}", format::day(day))).unwrap_or_default();
    let mut hints = vec![format!("curl -s {url}/status"), format!("trustnet query trust{as_of}{rpc}")];
    if let Some(name) = best_person {
        hints.push(format!("trustnet why {name}{rpc}"));
    }
    if let (Some(id), Some(last)) = (process, members.last()) {
        hints.push(format!("kill -9 {id}    ({} dies, the others go on, it comes back)", last.name));
    }
    hints
}

/// Counts the transactions of each second from a total that only grows.
#[derive(Clone, Copy, Debug)]
pub struct Seconds {
    last: Instant,
    counted: u64,
}

impl Seconds {
    /// Begins to count.
    pub fn new(now: Instant) -> Self {
        Self { last: now, counted: 0 }
    }

    /// The transactions of the second that has passed, if one has.
    pub fn tick(&mut self, now: Instant, total: u64) -> Option<u64> {
        let passed = now.saturating_duration_since(self.last);
        if passed < Duration::from_secs(1) {
            return None;
        }
        let ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = total.saturating_sub(self.counted) * 1_000 / ms;
        (self.last, self.counted) = (now, total);
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::super::ports::Ports;
    use super::*;

    fn member(number: u16) -> Member {
        let ports = Ports { p2p: 100 + number, rpc: 200 + number };
        Member { name: format!("node-{number}"), id: String::new(), ports }
    }

    fn answered(height: u64, silent: Option<&str>) -> Seen {
        let validators = vec![
            ("node-1".to_owned(), 50_000, "ACTIVE".to_owned()),
            ("node-2".to_owned(), 40_000, "BANNED".to_owned()),
        ];
        let silent_reason = silent.map(str::to_owned);
        let mut seen = Seen::default();
        seen.note(
            Facts { height, validators, silent_reason, peers: Some(1), ..Facts::default() },
            Instant::now(),
        );
        seen
    }

    #[test]
    fn rows_come_from_the_nodes_and_reputations_from_the_best_of_them() {
        let mut model = Model::new("c");
        let members = [member(1), member(2), member(3)];
        let seen = [answered(9, None), answered(7, Some("lost its vote file")), Seen::default()];
        let running = [Running::Yes, Running::Yes, Running::Again(1_001)];
        nodes(&mut model, &members, &running, &seen, 1_500);
        assert_eq!((model.height, model.block_age_ms), (9, Some(1_500)));
        let rows: Vec<_> =
            model.nodes.iter().map(|n| (n.life, n.height, n.reputation_mp, n.status.as_str())).collect();
        assert_eq!(rows[0], (Life::Up, Some(9), Some(50_000), "ACTIVE"));
        assert_eq!(rows[1], (Life::Up, Some(7), Some(40_000), "not voting"));
        assert_eq!(rows[2], (Life::Restarting(2), None, None, "-"));
        assert_eq!(model.nodes[2].url, "http://127.0.0.1:203");
    }

    #[test]
    fn hints_name_the_node_only_where_commands_need_it() {
        let members = [member(1)];
        let all = hints(&members, Some("35"), Some(77), Some(16_825), false);
        assert_eq!(all[1], "trustnet query trust --as-of 2016-01-25 --rpc http://127.0.0.1:201");
        assert_eq!(all[2], "trustnet why 35 --rpc http://127.0.0.1:201");
        assert!(all[3].starts_with("kill -9 77 "));
        assert_eq!(
            hints(&members, None, None, None, true),
            ["curl -s http://127.0.0.1:201/status", "trustnet query trust"]
        );
    }

    #[test]
    fn seconds_are_counted_whole() {
        let start = Instant::now();
        let mut seconds = Seconds::new(start);
        assert_eq!(seconds.tick(start + Duration::from_millis(999), 5), None);
        assert_eq!(seconds.tick(start + Duration::from_secs(2), 3_000), Some(1_500));
        assert_eq!(seconds.tick(start + Duration::from_secs(3), 3_000), Some(0));
    }
}
