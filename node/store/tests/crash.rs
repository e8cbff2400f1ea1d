//! The power is cut before every change of a directory in a store's life: every write, every flush, every file made,
//! renamed or removed. What was not flushed is kept, lost, torn or garbled, sector by sector: in every combination
//! where they are few. After the next start everything that was acknowledged must be there, the signer record must not
//! be older than the last acknowledged one, nothing may be wrong, and the store must go on.
//!
//! `TRUSTNET_STORE_SWEEP=1` tries more combinations.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{CHAIN, Model, check, combinations, crash, fresh, live, long_sweep, options, run};
use trustnet_store::{Dir, Fault, MemDir, Signer, Store, StoreError, Tail, initialise, initialise_lost};

const PAGE_BYTES: usize = 4096;

/// A directory whose unflushed sectors may be garbled: not those of `state.redb`, whose first page redb rewrites in
/// place and believes as far as it is written.
fn garbled(sector_bytes: usize) -> MemDir {
    let dir = fresh();
    for suffix in [".seg", "vote.lock", "state.sum", "key.new"] {
        dir.garble(suffix);
    }
    dir.set_sector_bytes(sector_bytes);
    dir
}

fn changes_of_a_life() -> u64 {
    let dir = fresh();
    let mut model = Model::default();
    live(&dir, &mut model).unwrap();
    assert!(model.pruned > 0, "the life prunes");
    dir.changes()
}

/// A life that ends before its change `cut`. What is not flushed is still undecided.
fn cut_short(cut: u64, sector_bytes: usize) -> (MemDir, Model) {
    let dir = garbled(sector_bytes);
    dir.fault_at(cut, Fault::PowerCut);
    let mut model = Model::default();
    // The last changes are those of a store that is dropped: nobody is told.
    let _ = live(&dir, &mut model);
    assert!(dir.list("").is_err(), "the power is off");
    (dir, model)
}

/// Opens, compares, goes on, opens again, compares.
fn goes_on(dir: &MemDir, mut model: Model, when: &str) {
    let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    model.resume(&mut store, &recovered);
    run(&mut store, &mut model, recovered.last_commit_height + 6).unwrap();
    drop(store);
    let (store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    assert_eq!(recovered.tail, Tail::Clean, "{when}");
    check(&store, &recovered, &model, when);
}

/// Cuts the power before every change, with sectors of this size. Returns how many power cuts that were and how many of
/// them tore a record.
fn cut_everywhere(sector_bytes: usize, limit: usize) -> (u64, u64) {
    let total = changes_of_a_life();
    assert!(total > 400, "{total} changes are too few to prove anything");
    let (mut cuts, mut torn) = (0, 0);
    for cut in 1..=total {
        let (undecided, model) = cut_short(cut, sector_bytes);
        for (at, outcomes) in combinations(&undecided.unflushed(), limit).iter().enumerate() {
            let dir = undecided.fork();
            crash(&dir, outcomes);
            let when = format!("cut {cut} outcomes {outcomes:?}");
            let (store, recovered) =
                Store::open(dir.clone(), options(), CHAIN).unwrap_or_else(|error| panic!("{when}: {error}"));
            check(&store, &recovered, &model, &when);
            drop(store);
            cuts += 1;
            torn += u64::from(recovered.tail != Tail::Clean);
            // What the start changed need not be flushed either: what it said must hold.
            if at as u64 == cut % 3 {
                dir.crash(0);
                let (_, again) = Store::open(dir.clone(), options(), CHAIN).unwrap();
                assert_eq!((&again.signer, again.tail), (&recovered.signer, Tail::Clean), "{when}");
                assert_eq!(again.last_commit_height, recovered.last_commit_height, "{when}");
                goes_on(&dir, model.clone(), &when);
            }
        }
    }
    println!("{total} changes, {cuts} power cuts, {torn} torn");
    (cuts, torn)
}

#[test]
fn a_power_cut_before_any_change_loses_nothing_acknowledged() {
    let limit = if long_sweep() { 512 } else { 8 };
    let (cuts, torn) = cut_everywhere(PAGE_BYTES, limit);
    assert!(cuts > 3000 && torn > 100, "{cuts} power cuts tore {torn} records");
}

#[test]
fn a_power_cut_that_tears_pages_into_sectors_loses_nothing_acknowledged() {
    if long_sweep() {
        let (cuts, torn) = cut_everywhere(512, 64);
        assert!(cuts > 100_000 && torn > 10_000, "{cuts} power cuts tore {torn} records");
        return;
    }
    let mut torn = 0;
    for cut in 1..=changes_of_a_life() {
        let (undecided, model) = cut_short(cut, 512);
        for seed in [2, 3, 6, 7] {
            let dir = undecided.fork();
            dir.crash(seed + 8 * cut);
            let when = format!("cut {cut} seed {}", seed + 8 * cut);
            let (store, recovered) =
                Store::open(dir.clone(), options(), CHAIN).unwrap_or_else(|error| panic!("{when}: {error}"));
            check(&store, &recovered, &model, &when);
            torn += u64::from(recovered.tail != Tail::Clean);
        }
    }
    assert!(torn > 100, "{torn} torn records prove nothing");
}

#[test]
fn power_cuts_again_before_every_change_of_the_start_after_a_power_cut() {
    let step = if long_sweep() { 1 } else { 9 };
    let mut cuts = 0;
    for cut in (1..=changes_of_a_life()).step_by(step) {
        let (undecided, model) = cut_short(cut, 512);
        undecided.crash(cut * 4 + 2);
        let mut second = 0;
        loop {
            second += 1;
            let dir = undecided.fork();
            dir.fault_at(second, Fault::PowerCut);
            let ended = Store::open(dir.clone(), options(), CHAIN).is_ok();
            for seed in [0, 1, 2, 3] {
                let dir = dir.fork();
                dir.crash(seed + 4 * second);
                let when = format!("cut {cut} then {second} seed {}", seed + 4 * second);
                let (store, recovered) =
                    Store::open(dir, options(), CHAIN).unwrap_or_else(|error| panic!("{when}: {error}"));
                check(&store, &recovered, &model, &when);
                cuts += 1;
            }
            if ended {
                break;
            }
        }
    }
    assert!(cuts > 500, "{cuts}");
}

#[test]
fn initialise_can_be_repeated_after_a_power_cut_before_any_change() {
    let probe = MemDir::new();
    initialise(&probe, options(), CHAIN).unwrap();
    for cut in 1..=probe.changes() {
        let undecided = MemDir::new();
        undecided.set_sector_bytes(PAGE_BYTES);
        undecided.fault_at(cut, Fault::PowerCut);
        initialise(&undecided, options(), CHAIN).unwrap_err();
        for outcomes in combinations(&undecided.unflushed(), 16) {
            let dir = undecided.fork();
            crash(&dir, &outcomes);
            let mut expected = Signer::Fresh;
            // Either it was all there before the power went, or it says what to do, and that works.
            if let Err(error) = Store::open(dir.clone(), options(), CHAIN) {
                let told =
                    matches!(error, StoreError::HalfInitialised { .. } | StoreError::NotInitialised { .. });
                assert!(told, "cut {cut} outcomes {outcomes:?}: {error}");
                initialise_lost(&dir, options(), CHAIN).unwrap();
                expected = Signer::Lost(trustnet_store::LostReason::NewDirectory);
            }
            let (_, recovered) = Store::open(dir, options(), CHAIN).unwrap();
            assert_eq!(recovered.signer, expected);
        }
    }
}
