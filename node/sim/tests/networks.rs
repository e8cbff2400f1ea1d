//! Whole networks: that a run is a function of its seed, what held once must hold for ever, and what is promised
//! in calm weather only.
#![allow(clippy::unwrap_used)]

use trustnet_sim::liveness::{Outcome, run};
use trustnet_sim::plan::{Act, Plan, Weather};
use trustnet_sim::shrink::run_caught;
use trustnet_sim::tally::Group;
use trustnet_sim::timeline::Timeline;

const CALM: Weather = Weather { delay_min_ms: 2, delay_max_ms: 12, drop: 0, duplicate: 0, reorder: 0 };

/// Seeds of 7 validators that showed a defect once; what each showed is in docs/TESTING.md.
const ONCE_FAILED: [u64; 14] = [1, 46, 49, 50, 53, 62, 107, 111, 118, 139, 235, 466, 840, 864];

fn calm(seed: u64, acts: Vec<(u64, Act)>) -> Plan {
    let mut plan = Plan::quiet(4, CALM, true);
    plan.seed = seed;
    plan.storm_ms = 6_000;
    plan.torn = true;
    plan.acts = acts;
    plan
}

fn holds(plan: &Plan) -> Outcome {
    let outcome = run_caught(plan, Timeline::off());
    assert_eq!(outcome.violation, None, "seed {}", plan.seed);
    outcome
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 1_917, 40_000] {
        let lines = || run(Plan::draw(seed, 7), Timeline::on()).timeline.lines();
        let (first, second) = (lines(), lines());
        assert!(first.len() > 50, "something happened");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn what_failed_once_holds_now() {
    for seed in ONCE_FAILED {
        holds(&Plan::draw(seed, 7));
    }
}

#[test]
fn networks_of_every_small_size_hold() {
    for validators in 2..=6 {
        for seed in 0..15 {
            holds(&Plan::draw(seed, validators));
        }
    }
}

#[test]
fn a_quiet_network_commits_what_clients_hand_in_without_a_second_round() {
    let outcome = holds(&calm(1, Vec::new()));
    assert!(outcome.tally.get(Group::Work, "blocks") > 10);
    assert_eq!(outcome.tally.get(Group::Work, "blocks decided after round 0"), 0);
}

#[test]
fn a_restored_backup_signs_nothing_twice_where_its_peers_can_tell_it() {
    let mut noticed = 0;
    for seed in 0..60 {
        let restore = Act::Restore { at: (seed % 4) as usize, copied_at_ms: 1_000 + 37 * seed };
        let mut plan = calm(seed, vec![(3_000 + 13 * seed, restore)]);
        plan.forgetful.insert((seed % 4) as usize);
        noticed += holds(&plan).tally.get(Group::Defence, "26: noticed a restored backup");
    }
    assert!(noticed > 0, "in some run the record was older than what peers had seen at that height");
}

#[test]
fn a_wiped_validator_signs_nothing_twice_and_votes_again() {
    let mut again = 0;
    for seed in 0..40 {
        let at = (seed % 4) as usize;
        let mut plan = calm(seed, vec![(2_000 + 17 * seed, Act::Wipe { at })]);
        plan.forgetful.insert(at);
        again += holds(&plan).tally.get(Group::Defence, "26: voted again after the record was lost");
    }
    assert!(again > 30, "{again} of 40");
}

#[test]
fn two_machines_with_one_key_never_split_the_others_and_fall_silent_when_they_meet() {
    let mut silent = 0;
    for seed in 0..25 {
        let at = (seed % 4) as usize;
        let mut plan = calm(seed, vec![(2_000 + 41 * seed, Act::Clone { at })]);
        plan.forgetful.insert(at);
        plan.storm_ms = 12_000;
        let tally = holds(&plan).tally;
        silent += tally.get(Group::Defence, "26: a copy or a restored backup fell silent");
        silent += tally.get(Group::Defence, "26: noticed a restored backup");
    }
    assert!(silent > 0, "in some run one of the two has noticed the other");
}
