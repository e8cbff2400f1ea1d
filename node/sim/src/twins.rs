//! Twins (arXiv 2004.10617): two copies of one validator, with one key, in different partitions.
//!
//! Four validators, one of them twice. In each of the first rounds the five bodies are split in two, and a
//! message of a round reaches only those on its sender's side in that round, for a while; messages of later
//! rounds reach all. All splits of all these rounds are tried, with each validator as the twin. Nothing is drawn
//! by lot: a scenario is its number.

use std::process::ExitCode;

use crate::behaviour::Behaviour;
use crate::plan::{Plan, Weather};
use crate::timeline::Timeline;
use crate::world::World;

/// Validators.
const NODES: usize = 4;
/// Bodies: one validator has two.
const BODIES: usize = NODES + 1;
/// Splits of the bodies in two, all together among them: the last body is on side 0.
const SPLITS: u64 = 1 << (BODIES - 1);
/// Every honest body must have committed this height.
const HEIGHT: u64 = 3;
/// Splits end then, virtual milliseconds.
const HEALED_MS: u64 = 4_000;
/// Within this, virtual milliseconds.
const LIMIT_MS: u64 = 30_000;

/// On which side each body is, by round.
#[derive(Clone, Debug, Default)]
pub struct Splits {
    by_round: Vec<u64>,
    until_ms: u64,
}

impl Splits {
    /// Whether a message of `round` may go from one body to another.
    pub fn allow(&self, now_ms: u64, round: u32, from: usize, to: usize) -> bool {
        now_ms >= self.until_ms
            || self.by_round.get(round as usize).is_none_or(|side| side >> from & 1 == side >> to & 1)
    }
}

/// How many scenarios there are with splits in the first `rounds` rounds.
pub fn scenarios(rounds: u32) -> u64 {
    NODES as u64 * SPLITS.pow(rounds)
}

/// Runs a scenario. `Err`: what it violates.
///
/// # Errors
/// The violation.
pub fn scenario(number: u64, rounds: u32, timeline: Timeline) -> (Result<(), String>, Timeline) {
    let twin = (number % NODES as u64) as usize;
    let mut rest = number / NODES as u64;
    let mut splits = Splits { by_round: Vec::new(), until_ms: HEALED_MS };
    for _ in 0..rounds {
        splits.by_round.push(rest % SPLITS);
        rest /= SPLITS;
    }
    let weather = Weather { delay_min_ms: 3, delay_max_ms: 3, drop: 0, duplicate: 0, reorder: 0 };
    let mut plan = Plan::quiet(NODES, weather, true);
    plan.seed = number;
    plan.load_ms = 150;
    plan.byzantine.insert(twin, [Behaviour::Twin].into());
    let mut world = World::new(plan, timeline);
    world.splits = Some(splits);
    let honest: Vec<usize> = (0..NODES).filter(|seat| *seat != twin).collect();
    let done = world.run(LIMIT_MS, |world| {
        honest.iter().all(|at| world.height(*at).is_some_and(|height| height >= HEIGHT))
    });
    let result = match (world.violation.take(), done) {
        (Some(what), _) => Err(what),
        (None, false) => {
            let heights: Vec<Option<u64>> = honest.iter().map(|at| world.height(*at)).collect();
            Err(format!("liveness: heights {heights:?} after {LIMIT_MS} ms"))
        }
        (None, true) => Ok(()),
    };
    (result, world.timeline)
}

/// Runs all scenarios on all processors. Returns those that failed.
pub fn enumerate(rounds: u32) -> Vec<(u64, String)> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let mut failures: Vec<(u64, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..processors)
            .map(|first| {
                scope.spawn(move || {
                    let numbers = (first..scenarios(rounds)).step_by(processors as usize);
                    let failed = numbers.filter_map(|number| {
                        let (result, _) = scenario(number, rounds, Timeline::off());
                        result.err().map(|what| (number, what))
                    });
                    failed.collect::<Vec<_>>()
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<(u64, String)>>| {
            thread.join().unwrap_or_else(|_| vec![(u64::MAX, "panic: a scenario panicked".to_owned())])
        };
        threads.into_iter().flat_map(join).collect()
    });
    failures.sort();
    failures
}

/// Runs and reports all scenarios.
pub fn report(rounds: u32, json: bool) -> ExitCode {
    let started = std::time::Instant::now();
    let (total, failures) = (scenarios(rounds), enumerate(rounds));
    let seconds = started.elapsed().as_secs_f64();
    if json {
        let report = serde_json::json!({
            "rounds": rounds, "scenarios": total, "seconds": seconds, "failures": failures,
        });
        println!("{report:#}");
    } else {
        println!(
            "twins: all {total} ways to split {NODES} validators and a twin in {rounds} rounds, {seconds:.0} s"
        );
        for (number, what) in failures.iter().take(5) {
            println!("failed: scenario {number}: {what}");
        }
        if let Some((number, _)) = failures.first() {
            println!("\nscenario {number}:");
            for line in scenario(*number, rounds, Timeline::on()).1.lines() {
                println!("{line}");
            }
        }
        println!("{} passed, {} failed", total - failures.len() as u64, failures.len());
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_hold_back_messages_of_their_round_only() {
        let splits = Splits { by_round: vec![0b00011], until_ms: 10 };
        assert!(splits.allow(0, 0, 0, 1) && splits.allow(0, 0, 2, 4));
        assert!(!splits.allow(9, 0, 1, 2));
        assert!(splits.allow(9, 1, 1, 2) && splits.allow(10, 0, 1, 2));
    }

    #[test]
    fn every_way_to_split_one_round_is_survived() {
        assert_eq!(scenarios(1), 64);
        assert_eq!(enumerate(1), []);
    }
}
