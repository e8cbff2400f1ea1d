//! A device that fails: every change of a store's life is refused, done in half or reported done and not done, every
//! read of a start fails once. The store stops or goes on, says so, and what a later start reports is never wrong.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{
    CHAIN, Model, certificate, check, check_loosely, check_what_is_readable, fresh, live, number, options,
    run,
};
use trustnet_store::{Distrust, Fault, MemDir, Recovered, Signer, Store, StoreError, initialise, repair};

fn changes_of_a_life() -> u64 {
    let dir = fresh();
    live(&dir, &mut Model::default()).unwrap();
    dir.changes()
}

fn open(dir: &MemDir) -> Result<(Store<MemDir>, Recovered), StoreError> {
    Store::open(dir.clone(), options(), CHAIN)
}

/// Whether the message of an error names what to do.
fn is_helpful(error: &StoreError) -> bool {
    let text = error.to_string();
    ["check the disk", "free some space", "trustnet repair", "restart the node", "initialise it"]
        .iter()
        .any(|step| text.contains(step))
}

/// One fault at every change: whatever the life says of it, a restart finds what was acknowledged, whether the process
/// ended or the power went.
fn fails_at_every_change(fault: Fault) {
    let mut refused = 0;
    for at in 1..=changes_of_a_life() {
        let when = format!("{fault:?} at {at}");
        let dir = fresh();
        dir.fault_at(at, fault);
        let mut model = Model::default();
        match live(&dir, &mut model) {
            // The change was no write, so the fault did not happen.
            Ok(()) if fault == Fault::Torn => continue,
            Ok(()) => {}
            Err(error) => {
                refused += 1;
                assert!(is_helpful(&error), "{when}: {error}");
            }
        }
        // The process restarts without a reboot: the page cache still shows what never reached the medium.
        let (store, recovered) = open(&dir).unwrap_or_else(|error| panic!("{when}: {error}"));
        check(&store, &recovered, &model, &when);
        drop(store);
        let cut = dir.fork();
        cut.crash(0);
        let (store, again) = open(&cut).unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(again.signer, recovered.signer, "{when}: what one start reported, the next one knows");
        assert_eq!(again.last_commit_height, recovered.last_commit_height, "{when}");
        check(&store, &again, &model, &when);
        drop(store);
        // It goes on from there, and the power goes later: names that the fault left unflushed must not be missing.
        let (mut store, recovered) = open(&dir).unwrap();
        model.resume(&mut store, &recovered);
        for later in [1, 2, 7] {
            run(&mut store, &mut model, recovered.last_commit_height + later).unwrap();
            let cut = dir.fork();
            cut.crash(0);
            let when = format!("{when}, {later} blocks later");
            let (store, recovered) = open(&cut).unwrap_or_else(|error| panic!("{when}: {error}"));
            check(&store, &recovered, &model, &when);
        }
    }
    assert!(refused > 150, "{refused} faults were noticed");
}

#[test]
fn any_change_may_be_refused() {
    fails_at_every_change(Fault::Error);
}

#[test]
fn any_write_may_be_done_in_half() {
    fails_at_every_change(Fault::Torn);
}

#[test]
fn space_may_run_out_at_any_change() {
    fails_at_every_change(Fault::Full);
}

#[test]
fn after_a_failed_change_of_a_poisoned_store_nothing_is_written() {
    let mut poisoned = 0;
    for at in 1..=changes_of_a_life() {
        let dir = fresh();
        let (mut store, _) = open(&dir).unwrap();
        dir.fault_at(at, Fault::Error);
        if run(&mut store, &mut Model::default(), 13).is_ok() || !store.is_poisoned() {
            continue;
        }
        poisoned += 1;
        let changes = dir.changes();
        assert!(matches!(store.persist_signer(b"again"), Err(StoreError::Poisoned)));
        assert!(matches!(store.persist_signer_with_block(9, b"", [9; 32], b""), Err(StoreError::Poisoned)));
        assert!(matches!(store.append_block(9, [9; 32], b""), Err(StoreError::Poisoned)));
        assert!(matches!(store.append_commit(1, [0; 32], &certificate(1)), Err(StoreError::Poisoned)));
        assert!(matches!(store.checkpoint(9, std::iter::empty(), &[]), Err(StoreError::Poisoned)));
        assert!(matches!(store.prune(9), Err(StoreError::Poisoned)));
        assert!(matches!(store.prepare_spare(), Err(StoreError::Poisoned)));
        assert!(matches!(store.sync(), Err(StoreError::Poisoned)));
        assert!(matches!(store.block(1), Err(StoreError::Poisoned)));
        assert!(matches!(store.find_tx([0; 8]), Err(StoreError::Poisoned)));
        assert!(!store.has_block(1, [0; 32]));
        assert_eq!(dir.changes(), changes, "change {at}");
    }
    assert!(poisoned > 100, "{poisoned}");
}

/// A flush that reports success and does nothing, at every flush. The life goes on and ends, then the power goes: the
/// later flushes, which are true, tell of what is missing.
fn lies_at_every_flush(fault: Fault) {
    let (mut noticed, mut lost) = (0, 0);
    for at in 1..=changes_of_a_life() {
        for seed in [0, 2, 6] {
            let when = format!("{fault:?} at {at} seed {seed}");
            let dir = fresh();
            dir.fault_at(at, fault);
            let mut model = Model::default();
            match live(&dir, &mut model) {
                Ok(()) => dir.crash(seed),
                // A later read of the life itself may find it.
                Err(error) => assert!(is_helpful(&error), "{when}: {error}"),
            }
            let (store, recovered) = match open(&dir) {
                Ok(opened) => opened,
                Err(error) => {
                    assert!(is_helpful(&error), "{when}: {error}");
                    assert!(error.to_string().contains("trustnet repair"), "{when}: {error}");
                    noticed += 1;
                    let done =
                        repair(&dir, options(), CHAIN, "damaged-1", &Distrust::Nothing, &mut |_, _, _| {});
                    done.unwrap_or_else(|error| panic!("{when}: {error}"));
                    let (store, recovered) = open(&dir).unwrap_or_else(|error| panic!("{when}: {error}"));
                    check_loosely(&store, &recovered, &model, &when);
                    continue;
                }
            };
            match recovered.signer {
                Signer::Known(sign) => assert!(number(&sign) >= model.signed_acked, "{when}"),
                Signer::Lost(_) => lost += 1,
                Signer::Fresh => panic!("{when}: fresh"),
            }
            check_what_is_readable(&store, &model, &when);
        }
    }
    println!("{fault:?}: {noticed} refused, {lost} signers lost");
    assert!(fault == Fault::Lie || noticed > 50, "{noticed} were refused");
}

#[test]
fn a_flush_that_lies_is_caught_up_by_the_next_or_noticed() {
    lies_at_every_flush(Fault::Lie);
}

#[test]
fn a_write_that_is_lost_is_noticed() {
    lies_at_every_flush(Fault::LostWrite);
}

#[test]
fn any_read_of_a_start_may_fail_and_the_next_start_finds_everything() {
    let dir = fresh();
    let mut model = Model::default();
    live(&dir, &mut model).unwrap();
    let (mut store, recovered) = open(&dir).unwrap();
    model.resume(&mut store, &recovered);
    run(&mut store, &mut model, recovered.last_commit_height + 3).unwrap();
    store.sync().unwrap();
    model.durable();
    drop(store);
    let mut failed = 0;
    for at in 1u64.. {
        let dir = dir.fork();
        let before = dir.reads();
        dir.error_at_read(at);
        match open(&dir) {
            // All reads of the start went well.
            Ok(_) if dir.reads() - before < at => break,
            Ok((store, recovered)) => check(&store, &recovered, &model, &format!("read {at}")),
            Err(error) => {
                failed += 1;
                assert!(is_helpful(&error), "read {at}: {error}");
            }
        }
        dir.crash(0);
        let (store, recovered) = open(&dir).unwrap();
        check(&store, &recovered, &model, &format!("after read {at}"));
    }
    assert!(failed > 10, "{failed}");
}

#[test]
fn initialise_says_what_failed_and_can_be_repeated() {
    let probe = MemDir::new();
    initialise(&probe, options(), CHAIN).unwrap();
    for fault in [Fault::Error, Fault::Torn, Fault::Full] {
        for at in 1..=probe.changes() {
            let dir = MemDir::new();
            dir.fault_at(at, fault);
            match initialise(&dir, options(), CHAIN) {
                Ok(()) => {}
                Err(error) => {
                    assert!(is_helpful(&error), "{fault:?} at {at}: {error}");
                    match initialise(&dir, options(), CHAIN) {
                        // All was done, but for the last flush of the directory.
                        Err(StoreError::AlreadyInitialised { .. }) => assert_eq!(at, probe.changes()),
                        again => again.unwrap(),
                    }
                }
            }
            assert_eq!(open(&dir).unwrap().1.signer, Signer::Fresh, "{fault:?} at {at}");
        }
    }
}
