//! Situations that other implementations of the algorithm have met, and test: those of the 65 tests of Malachite's driver
//! (`core-driver/tests/it`) and of `CometBFT` v1.0's `TestStateLock_*` and their neighbours, retold for our core as tables.
//!
//! The tables are ours; [`table`] says how to read them. Where our core differs by design, the table says so and asserts
//! what ours does. Three differences are everywhere:
//!
//! - entering a round is one step here, not an event of its own, and the proposer of a round waits for its own proposal too;
//! - a decision needs no proposal, nor our verdict on the value: more than 2/3 have precommitted it;
//! - rules are tried after every event, so L36 comes before L34, and no prevote timer is set on the way to a precommit.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod decisions;
mod equivocation;
mod hygiene;
mod mismatch;
mod progress;
mod rounds;
mod state_lock;
mod table;
mod valid_value;

use std::collections::BTreeSet;

/// The tables that retell Malachite's driver tests.
fn driver_tables() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    [
        decisions::TABLES,
        equivocation::TABLES,
        hygiene::TABLES,
        mismatch::TABLES,
        progress::TABLES,
        rounds::TABLES,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn every_one_of_the_65_driver_tests_has_its_table() {
    let origins: Vec<&str> = driver_tables().filter_map(|(_, table)| table::origin(table)).collect();
    let distinct: BTreeSet<&str> = origins.iter().copied().collect();
    assert_eq!((origins.len(), distinct.len()), (65, 65));
}

#[test]
fn every_one_of_the_11_state_lock_tests_has_its_table() {
    let origins = state_lock::TABLES.iter().filter_map(|(_, table)| table::origin(table));
    let distinct: BTreeSet<&str> = origins.filter(|name| name.starts_with("TestStateLock_")).collect();
    assert_eq!(distinct.len(), 11);
}

#[test]
fn every_line_that_acts_acts_in_some_table() {
    let tables = driver_tables().chain(state_lock::TABLES).chain(valid_value::TABLES);
    let acted: BTreeSet<u8> = tables.flat_map(|(name, table)| table::play(name, table)).collect();
    let all = [10, 16, 18, 19, 21, 24, 26, 30, 32, 35, 40, 43, 45, 48, 51, 56, 59, 63, 67];
    assert_eq!(acted, BTreeSet::from(all));
}

#[test]
#[should_panic(expected = "expected `prevote 0 B`, but the core emits `prevote 0 A`")]
fn a_table_that_is_wrong_about_an_action_fails() {
    table::play(
        "wrong",
        "powers 1 1 1 1, me 3, proposers 0\n10 21|start|round 0, timer 0 propose|0 propose\n24|proposal 0 A|prevote 0 B|",
    );
}

#[test]
#[should_panic(expected = "expected the state `0 propose`, but it is `0 prevote`")]
fn a_table_that_is_wrong_about_the_state_fails() {
    table::play(
        "wrong",
        "powers 1 1 1 1, me 3, proposers 0\n10 21|start|round 0, timer 0 propose|0 propose\n24|proposal 0 A|prevote 0 A|",
    );
}

#[test]
#[should_panic(expected = "none of the lines [26] does `prevote 0 A`")]
fn a_table_that_is_wrong_about_the_line_fails() {
    table::play(
        "wrong",
        "powers 1 1 1 1, me 3, proposers 0\n10 21|start|round 0, timer 0 propose|0 propose\n26|proposal 0 A|prevote 0 A|0 prevote",
    );
}
