//! The power is cut at every flush of a workload, and what was not flushed is kept, lost, torn or garbled. After the
//! next start everything that was acknowledged must be there, the signer record must not be older than the last
//! acknowledged one, nothing may be wrong, and the store must go on.
//!
//! Pass 1 counts the flushes, pass 2 runs the workload once for each of them and each seed.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::OnceLock;

use common::{CHAIN, HEIGHTS, Model, certificate, check, options, run};
use trustnet_store::{MemDir, Signer, Store, StoreError, Tail, initialise};

/// Crash seeds tried for each flush: nothing kept, all kept, and torn ones.
const SEEDS: u64 = 8;

fn fresh() -> MemDir {
    static INITIALISED: OnceLock<MemDir> = OnceLock::new();
    let initialised = INITIALISED.get_or_init(|| {
        let dir = MemDir::new();
        initialise(&dir, options(), CHAIN).unwrap();
        dir
    });
    initialised.duplicate()
}

fn syncs_of_the_workload() -> u64 {
    let dir = fresh();
    let before = dir.syncs();
    let mut store = Store::open(dir.clone(), options(), CHAIN).unwrap().0;
    let mut model = Model::default();
    run(&mut store, &mut model, HEIGHTS).unwrap();
    assert!(model.pruned > 0, "the workload prunes");
    dir.syncs() - before
}

#[test]
fn power_cut_at_every_flush_loses_nothing_acknowledged() {
    let total = syncs_of_the_workload();
    assert!(total > 100, "{total} flushes are too few to prove anything");
    let mut torn = 0;
    for cut in 1..=total {
        for seed in 0..SEEDS {
            let seed = seed + 4 * cut * u64::from(seed >= 4);
            let dir = fresh();
            dir.garble(".seg");
            dir.garble("vote.lock");
            dir.fail_at_sync(cut);
            let mut model = Model::default();
            if let Ok((mut store, _)) = Store::open(dir.clone(), options(), CHAIN) {
                let _ = run(&mut store, &mut model, HEIGHTS);
            }
            dir.crash(seed);
            let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN)
                .unwrap_or_else(|error| panic!("cut {cut} seed {seed}: {error}"));
            torn += u64::from(recovered.tail != Tail::Clean);
            check(&store, &recovered, &model, &format!("cut {cut} seed {seed}"));

            model.resume(&mut store, &recovered);
            run(&mut store, &mut model, recovered.last_commit_height + 6).unwrap();
            drop(store);
            let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
            assert_eq!(recovered.tail, Tail::Clean);
            check(&store, &recovered, &model, &format!("after cut {cut} seed {seed}"));
        }
    }
    assert!(torn > 0, "no crash tore a record: the test proves nothing");
}

#[test]
fn power_cut_again_during_the_start_after_a_power_cut() {
    let total = syncs_of_the_workload();
    for cut in (1..=total).step_by(7) {
        for second in 1..=8 {
            let seed = cut * 4 + 2;
            let dir = fresh();
            dir.garble(".seg");
            dir.garble("vote.lock");
            let (mut store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
            let mut model = Model::default();
            dir.fail_at_sync(cut);
            let _ = run(&mut store, &mut model, HEIGHTS);
            drop(store);
            dir.crash(seed);
            dir.fail_at_sync(second);
            drop(Store::open(dir.clone(), options(), CHAIN));
            dir.crash(seed + second);
            let (store, recovered) = Store::open(dir, options(), CHAIN)
                .unwrap_or_else(|error| panic!("cut {cut} then {second}: {error}"));
            check(&store, &recovered, &model, &format!("cut {cut} then {second}"));
        }
    }
}

#[test]
fn power_cut_at_every_flush_of_initialise_can_be_repeated() {
    let probe = MemDir::new();
    initialise(&probe, options(), CHAIN).unwrap();
    for cut in 1..=probe.syncs() {
        for seed in 0..SEEDS {
            let dir = MemDir::new();
            dir.fail_at_sync(cut);
            initialise(&dir, options(), CHAIN).unwrap_err();
            dir.crash(seed);
            // Either it was all there before the power went, or it says what to do, and that works.
            if let Err(error) = Store::open(dir.clone(), options(), CHAIN) {
                let told =
                    matches!(error, StoreError::HalfInitialised { .. } | StoreError::NotInitialised { .. });
                assert!(told, "cut {cut} seed {seed}: {error}");
                initialise(&dir, options(), CHAIN).unwrap();
            }
            let (_, recovered) = Store::open(dir, options(), CHAIN).unwrap();
            assert_eq!(recovered.signer, Signer::Fresh);
        }
    }
}

#[test]
fn after_a_failed_flush_nothing_is_written_and_nothing_is_believed() {
    let total = syncs_of_the_workload();
    for at in 1..=total {
        let dir = fresh();
        let (mut store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
        let mut model = Model::default();
        dir.error_at_sync(at);
        if run(&mut store, &mut model, HEIGHTS).is_ok() {
            continue;
        }
        assert!(store.is_poisoned(), "flush {at}");
        let written = dir.written();
        assert!(matches!(store.persist_signer(b"again"), Err(StoreError::Poisoned)));
        assert!(matches!(store.append_commit(1, [0; 32], &certificate(1)), Err(StoreError::Poisoned)));
        assert!(matches!(store.sync(), Err(StoreError::Poisoned)));
        assert!(matches!(store.block(1), Err(StoreError::Poisoned)));
        assert_eq!(dir.written(), written, "flush {at}");
        drop(store);
        // The process restarts without a reboot: the page cache still shows what never reached the medium.
        let (store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
        check(&store, &recovered, &model, &format!("restart after failed flush {at}"));
        drop(store);
        dir.crash(0);
        let (store, again) = Store::open(dir, options(), CHAIN).unwrap();
        assert_eq!(again.signer, recovered.signer, "what one start reported, the next one knows");
        assert_eq!(again.last_commit_height, recovered.last_commit_height);
        check(&store, &again, &model, &format!("power cut after failed flush {at}"));
    }
}
