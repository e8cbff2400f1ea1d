//! Thousands of networks, each from one seed: see [`sim`].
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/sim.rs"]
mod sim;

use common::{Lcg, weighted};
use sim::{Report, Sim};
use trustnet_bft::Power;

/// Runs networks from consecutive seeds, and adds up what they did. A failure names the seed.
fn run(seeds: std::ops::Range<u64>, network: impl Fn(u64) -> Sim) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        let guard = Guard(seed);
        let report = network(seed).run();
        std::mem::forget(guard);
        sum.steps += report.steps;
        sum.rounds = sum.rounds.max(report.rounds);
        sum.crashes += report.crashes;
        sum.evidence += report.evidence;
        sum.relocks += report.relocks;
        sum.decided += report.decided;
    }
    println!("{sum:?}");
    sum
}

/// Names the seed when a run panics.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        eprintln!("the failing seed is {}", self.0);
    }
}

#[test]
fn four_validators_one_byzantine() {
    let report = run(0..3000, |seed| Sim::new(seed, &[1; 4], &[seed as usize % 4]));
    assert!(report.crashes > 1000 && report.evidence > 1000 && report.rounds > 3, "the chaos is real");
}

#[test]
fn seven_validators_two_byzantine() {
    let report = run(0..1000, |seed| {
        let first = seed as usize % 7;
        Sim::new(seed, &[1; 7], &[first, (first + 1 + seed as usize % 5) % 7])
    });
    assert!(report.crashes > 500 && report.evidence > 500, "the chaos is real");
}

#[test]
fn memory_alone_is_enough_to_be_safe() {
    let report = run(10_000..11_000, |seed| Sim::new(seed, &[1; 4], &[seed as usize % 4]).without_logs());
    assert!(report.decided > 500, "and mostly to be live");
}

#[test]
fn small_networks_without_byzantine() {
    for n in 1..=3 {
        run(0..150, |seed| Sim::new(seed, &[1; 8][..n], &[]));
    }
}

#[test]
fn random_powers_with_as_many_byzantine_as_they_bear() {
    run(0..1000, |seed| {
        let mut rng = Lcg::new(!seed);
        let powers: Vec<Power> = (0..4 + rng.below(4)).map(|_| 1 + rng.below(9) as Power).collect();
        let bearable = weighted(&powers).max_faulty_power();
        let mut byzantine = Vec::new();
        let mut power = 0;
        for (index, &add) in powers.iter().enumerate() {
            if power + add <= bearable {
                power += add;
                byzantine.push(index);
            }
        }
        Sim::new(seed, &powers, &byzantine)
    });
}
