//! What a repair finds, does and keeps.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::damaged::{
    ASIDE, PAGE, cases, content, damage, last_used, mend, mend_distrusting, old, segments, signer, young,
};
use common::{CHAIN, HEIGHTS, Model, catch_up, check_loosely, fresh, lose, options, run};
use trustnet_store::{
    Dir, Distrust, Fault, Finding, LostReason, MemDir, Repair, Signer, Step, Store, StoreError, initialise,
    rehearse,
};

#[test]
fn each_kind_of_damage_is_named_and_mended_by_its_rule() {
    for (what, dir, model) in cases() {
        let refused = Store::open(dir.clone(), options(), CHAIN).unwrap_err();
        assert!(refused.to_string().contains("trustnet repair"), "{what}: {refused}");
        let done = mend(&dir).unwrap();
        let codes = done.findings.iter().map(Finding::code).collect::<Vec<_>>();
        let steps = done.steps.iter().map(Step::code).collect::<Vec<_>>();
        let expected: (&[&str], &[&str]) = match what {
            "state, the log is whole" => (&["state-damaged"], &["set-aside", "rebuild-state"]),
            "state, the log was pruned" | "state and start of the log" => {
                (&["state-damaged", "log-too-short"], &["set-aside", "start-over"])
            }
            "middle of the log" => (&["log-damaged"], &["lose-signer", "cut-log", "amend-state"]),
            "segment missing" => (&["segment-missing"], &["lose-signer", "replace-segment", "amend-state"]),
            "state and middle of the log" => {
                // The spare segment goes aside with what follows the cut.
                let steps = &["lose-signer", "set-aside", "cut-log", "set-aside", "rebuild-state"];
                (&["state-damaged", "log-damaged"], steps)
            }
            "signer record unreadable" => (&["signer-unreadable"], &["lose-signer"]),
            "state and key" => {
                (&["key-damaged", "state-damaged", "log-too-short"], &["set-aside", "start-over"])
            }
            "unused sector unreadable" => (&["sectors-unreadable"], &["heal-sector"]),
            _ => panic!("{what}"),
        };
        let steps =
            steps.into_iter().filter(|step| expected.1.contains(&"set-aside") || *step != "set-aside");
        assert_eq!((codes.as_slice(), steps.collect::<Vec<_>>().as_slice()), expected, "{what}");
        for text in
            done.findings.iter().map(ToString::to_string).chain(done.steps.iter().map(ToString::to_string))
        {
            assert!(text.len() > 12 && !text.ends_with('.'), "{what}: {text}");
        }
        dir.crash(0);
        let (store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
        check_loosely(&store, &recovered, &model, what);
        drop(store);
        catch_up(&dir, &model, what);
    }
}

#[test]
fn a_state_made_again_from_the_log_loses_no_block_and_no_signature() {
    let (dir, model) = young();
    let before = signer(&dir);
    let damaged = {
        damage(&dir, "state.redb", PAGE, 3000);
        dir.bytes("state.redb").unwrap()
    };
    damage(&dir, "state.redb", 0, 1);
    let done = mend(&dir).unwrap();
    assert_eq!(done.steps.last(), Some(&Step::RebuildState { height: 6 }));
    let aside = done.aside.unwrap();
    assert_eq!(dir.bytes(&format!("{aside}/state.redb")).unwrap()[1..], damaged[1..]);
    let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    assert_eq!((recovered.state_height, recovered.last_commit_height), (0, 6));
    assert_eq!(recovered.signer, before, "a chain of one validator goes on");
    for height in 1..=6 {
        assert_eq!(store.block(height).unwrap().unwrap().block, common::block(height, 0));
    }
    let mut model = model;
    model.resume(&mut store, &recovered);
    common::checkpoint(&mut store, &mut model, 6).unwrap();
    run(&mut store, &mut model, 12).unwrap();
}

#[test]
fn what_is_cut_off_is_kept_as_it_was() {
    let (dir, _) = young();
    let segment = last_used(&dir);
    damage(&dir, &segment, 100, 10);
    dir.set_bytes("log/000050.seg", dir.bytes(&segment).unwrap());
    let before = content(&dir);
    let done = mend(&dir).unwrap();
    assert_eq!(done.aside.as_deref(), Some(ASIDE));
    for name in ["vote.lock", &segment, "log/000050.seg"] {
        let was = &before.iter().find(|(found, _)| found == name).unwrap().1;
        let base = name.rsplit('/').next().unwrap();
        assert_eq!(dir.bytes(&format!("{ASIDE}/{base}")).unwrap(), *was, "{name}");
    }
    assert_eq!(signer(&dir), Signer::Lost(LostReason::NewDirectory));
    assert!(!dir.exists("repairing").unwrap());
}

#[test]
fn a_sector_that_cannot_be_read_is_zero_in_the_copy() {
    let (dir, model) = young();
    let segment = last_used(&dir);
    let was = dir.bytes(&segment).unwrap();
    dir.make_unreadable(&segment, 600);
    dir.make_unreadable(&segment, 1600);
    let done = mend(&dir).unwrap();
    assert!(done.steps.iter().any(|step| matches!(step, Step::CutLog { offset: 0, .. })), "{done:?}");
    let copy = dir.bytes(&format!("{ASIDE}/{}", segment.rsplit('/').next().unwrap())).unwrap();
    assert_eq!(copy[..PAGE], [0; PAGE]);
    assert_eq!(copy[PAGE..], was[PAGE..]);
    catch_up(&dir, &model, "unreadable sector");
}

#[test]
fn blocks_below_the_checkpoint_that_are_damaged_are_named_and_left() {
    let (dir, model) = old();
    let (store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    let first = store.first_height().unwrap().unwrap();
    drop(store);
    assert_eq!(mend(&dir).unwrap(), Repair::default());
    let lowest = segments(&dir)[0].clone();
    let whole = dir.bytes(&lowest).unwrap();
    let starts = (0..whole.len()).step_by(PAGE).filter(|at| whole[*at..].starts_with(b"TNLR"));
    for at in starts.collect::<Vec<_>>() {
        damage(&dir, &lowest, at + 200, 1);
    }
    let before = content(&dir);
    let done = mend(&dir).unwrap();
    let [Finding::BlocksDamaged { first: from, last, count }] = done.findings[..] else { panic!("{done:?}") };
    assert!(from >= first && last <= HEIGHTS && count >= 1 && last - from + 1 >= count, "{done:?}");
    assert_eq!((done.steps.len(), done.aside), (0, None));
    assert_eq!(content(&dir), before);
    let (store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    check_loosely(&store, &recovered, &model, "damaged old blocks");
}

#[test]
fn what_a_start_deals_with_by_itself_is_named_and_left() {
    let code = |dir: &MemDir| {
        let before = content(dir);
        let done = mend(dir).unwrap();
        assert_eq!(content(dir), before);
        assert_eq!((done.steps.len(), done.aside), (0, None));
        done.findings.iter().map(Finding::code).collect::<Vec<_>>()
    };
    let (dir, _) = young();
    assert_eq!(code(&dir), Vec::<&str>::new());
    let whole = dir.duplicate();
    lose(&dir, "vote.lock");
    assert_eq!(code(&dir), ["signer-lost"]);
    let dir = whole.duplicate();
    damage(&dir, "log/key", 20, 1);
    assert_eq!(code(&dir), ["key-damaged"]);
    let dir = fresh();
    let (mut store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    run(&mut store, &mut Model::default(), 1).unwrap();
    dir.crash(0);
    let (mut store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    store.append_block(2, [2; 32], &[3; 9000]).unwrap();
    dir.crash_with(|outcomes| outcomes - 1);
    damage(
        &dir,
        "log/000000.seg",
        dir.bytes("log/000000.seg").unwrap().iter().rposition(|b| *b == 3).unwrap(),
        1,
    );
    assert_eq!(code(&dir), ["torn-tail"]);
    let dir = MemDir::new();
    dir.fault_at(20, Fault::PowerCut);
    initialise(&dir, options(), CHAIN).unwrap_err();
    dir.crash(1);
    assert_eq!(code(&dir), ["half-initialised"]);
    assert!(matches!(mend(&MemDir::new()), Err(StoreError::NotInitialised { .. })));
}

#[test]
fn a_caller_who_distrusts_state_or_everything_is_believed() {
    let why = || "block 3 does not fit".to_owned();
    let (dir, model) = young();
    let before = signer(&dir);
    let done = mend_distrusting(&dir, &Distrust::State { why: why() }).unwrap();
    assert_eq!(done.findings, [Finding::Distrusted { why: why() }]);
    assert_eq!(done.steps.last(), Some(&Step::RebuildState { height: 6 }));
    assert_eq!(signer(&dir), before);
    let done = mend_distrusting(&dir, &Distrust::Everything { why: why() }).unwrap();
    assert_eq!(done.steps.last(), Some(&Step::StartOver));
    assert_eq!(signer(&dir), Signer::Lost(LostReason::NewDirectory));
    catch_up(&dir, &model, "after starting over");
}

#[test]
fn a_running_node_is_left_alone() {
    let (dir, _) = young();
    let (store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    assert!(matches!(mend(&dir), Err(StoreError::InUse { .. })));
    drop(store);
    mend(&dir).unwrap();
}

#[test]
fn an_overlay_shows_what_a_repair_would_do_and_does_nothing() {
    for (what, dir, model) in cases() {
        let before = content(&dir);
        let changes = dir.changes();
        let (shown, over) =
            rehearse(&dir, options(), CHAIN, ASIDE, &Distrust::Nothing, &mut |_, _, _| {}).unwrap();
        let (mut store, recovered) = Store::open(over, options(), CHAIN).unwrap();
        check_loosely(&store, &recovered, &model, what);
        store.append_block(recovered.last_commit_height + 1, [1; 32], b"in memory only").unwrap();
        store.persist_signer(b"in memory only").unwrap();
        drop(store);
        assert_eq!(content(&dir), before, "{what}");
        // A flush of each file that is read, no more.
        assert!(dir.changes() - changes < 40, "{what}");
        assert_eq!(mend(&dir).unwrap(), shown, "{what}");
    }
}
