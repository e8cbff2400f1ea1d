//! A repair may be interrupted anywhere, and be done again.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::damaged::{PAGE, cases, mend, mend_distrusting, signer, young};
use common::{
    CHAIN, Model, catch_up, check_loosely, combinations, crash, fresh, long_sweep, number, options, run,
};
use trustnet_store::{Distrust, Fault, Finding, LostReason, MemDir, Signer, Step, Store, StoreError};

#[test]
fn an_older_signer_record_stays_lost_when_the_state_that_knows_is_made_again() {
    let dir = fresh();
    let mut model = Model::default();
    let (mut store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    run(&mut store, &mut model, 3).unwrap();
    common::vote(&mut store, &mut model).unwrap();
    common::vote(&mut store, &mut model).unwrap();
    let older = dir.bytes("vote.lock").unwrap();
    common::vote(&mut store, &mut model).unwrap();
    // Nothing but the state's meta row knows of the last vote.
    common::checkpoint(&mut store, &mut model, 3).unwrap();
    drop(store);
    dir.set_bytes("vote.lock", older);
    assert_eq!(signer(&dir), Signer::Lost(LostReason::Outdated));
    let probe = dir.fork();
    let before = probe.changes();
    let distrust = Distrust::State { why: "block 3 does not fit".to_owned() };
    let done = mend_distrusting(&probe, &distrust).unwrap();
    let codes = done.findings.iter().map(Finding::code).collect::<Vec<_>>();
    assert_eq!(codes, ["inconsistent", "signer-lost"]);
    assert!(matches!(signer(&probe), Signer::Lost(_)), "{done:?}");
    for cut in 1..=probe.changes() - before {
        let dir = dir.fork();
        dir.fault_at(cut, Fault::PowerCut);
        // The probe was opened since, which is more changes than the repair's.
        if mend_distrusting(&dir, &distrust).is_ok() {
            break;
        }
        dir.crash(1);
        is_mended_in_the_end(&dir, &model, &format!("cut {cut}"));
        assert!(matches!(signer(&dir), Signer::Lost(_)), "cut {cut}: {:?}", signer(&dir));
    }
}

/// Whether a directory opens, or says that a repair is due, and what comes of the repair.
fn is_mended_in_the_end(dir: &MemDir, model: &Model, when: &str) {
    match Store::open(dir.clone(), options(), CHAIN) {
        Ok((store, recovered)) => check_loosely(&store, &recovered, model, when),
        Err(error) => {
            assert!(error.to_string().contains("trustnet repair"), "{when}: {error}");
            mend(dir).unwrap_or_else(|error| panic!("{when}: {error}"));
        }
    }
    let (store, recovered) =
        Store::open(dir.clone(), options(), CHAIN).unwrap_or_else(|error| panic!("{when}: {error}"));
    check_loosely(&store, &recovered, model, when);
}

#[test]
fn a_repair_can_be_done_again_after_a_power_cut_before_any_of_its_changes() {
    let mut cuts = 0;
    for (what, damaged, model) in cases() {
        let probe = damaged.fork();
        let before = probe.changes();
        let done = mend(&probe).unwrap();
        let loses = done.steps.iter().any(|step| matches!(step, Step::LoseSigner | Step::StartOver));
        for cut in 1..=probe.changes() - before {
            let undecided = damaged.fork();
            undecided.set_sector_bytes(PAGE);
            undecided.fault_at(cut, Fault::PowerCut);
            let refused = mend(&undecided);
            assert!(refused.is_err(), "{what}, cut {cut}: {refused:?}");
            let limit = if long_sweep() { 64 } else { 4 };
            for outcomes in combinations(&undecided.unflushed(), limit) {
                let dir = undecided.fork();
                crash(&dir, &outcomes);
                let when = format!("{what}, cut {cut}, outcomes {outcomes:?}");
                is_mended_in_the_end(&dir, &model, &when);
                cuts += 1;
                if loses {
                    assert!(matches!(signer(&dir), Signer::Lost(_)), "{when}: {:?}", signer(&dir));
                } else if let Signer::Known(sign) = signer(&dir) {
                    assert!(number(&sign) >= model.signed_acked, "{when}");
                }
                if cuts % 50 == 0 {
                    catch_up(&dir, &model, &when);
                }
            }
        }
    }
    println!("{cuts} power cuts");
    assert!(cuts > 500, "{cuts}");
}

#[test]
fn a_repair_on_a_failing_device_says_so_and_can_be_done_again() {
    for (what, damaged, model) in cases() {
        let probe = damaged.fork();
        let before = probe.changes();
        mend(&probe).unwrap();
        for at in 1..=probe.changes() - before {
            for fault in [Fault::Error, Fault::Full] {
                let dir = damaged.fork();
                dir.fault_at(at, fault);
                let when = format!("{what}, {fault:?} at {at}");
                if let Err(error) = mend(&dir) {
                    let text = error.to_string();
                    assert!(
                        text.contains("check the disk") || text.contains("free some space"),
                        "{when}: {error}"
                    );
                }
                is_mended_in_the_end(&dir, &model, &when);
            }
        }
    }
}

#[test]
fn a_damaged_mark_of_a_repair_does_not_stop_the_next() {
    let (dir, model) = young();
    for mark in [b"".as_slice(), b"../outside", b"damaged-x/y", &[0xff; 400], b"unreadable"] {
        let dir = dir.duplicate();
        dir.set_bytes("repairing", mark.to_vec());
        if mark == b"unreadable" {
            dir.make_unreadable("repairing", 0);
        }
        let error = Store::open(dir.clone(), options(), CHAIN).unwrap_err();
        assert!(matches!(error, StoreError::HalfRepaired { .. }), "{error}");
        assert_eq!(mend(&dir).unwrap().findings, [Finding::Interrupted]);
        assert!(dir.names().iter().all(|name| !name.contains("..")), "{:?}", dir.names());
        let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
        check_loosely(&store, &recovered, &model, "a damaged mark");
    }
}
