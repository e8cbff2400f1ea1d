//! What a repair finds, does and keeps, and that it may be interrupted anywhere.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{
    CHAIN, HEIGHTS, Model, catch_up, check_loosely, combinations, crash, fresh, live, long_sweep, lose,
    number, options, run,
};
use trustnet_store::{
    Dir, Disk, Distrust, Fault, Finding, LostReason, MemDir, Overlay, Repair, Signer, Step, Store,
    StoreError, initialise, rehearse, repair,
};

const PAGE: usize = 4096;
const ASIDE: &str = "damaged-20261120T210010Z";

fn mend(dir: &MemDir) -> Result<Repair, StoreError> {
    mend_distrusting(dir, &Distrust::Nothing)
}

fn mend_distrusting(dir: &MemDir, distrust: &Distrust) -> Result<Repair, StoreError> {
    repair(dir, options(), CHAIN, ASIDE, distrust, &mut |_, _, _| {})
}

fn signer(dir: &MemDir) -> Signer {
    Store::open(dir.clone(), options(), CHAIN).unwrap().1.signer
}

/// A stopped store with blocks 1 to 6 in a log that reaches back to the first, state of height 5.
fn young() -> (MemDir, Model) {
    let dir = fresh();
    let mut model = Model::default();
    let (mut store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    run(&mut store, &mut model, 4).unwrap();
    common::checkpoint(&mut store, &mut model, 4).unwrap();
    while model.committed < 6 {
        let height = model.committed + 1;
        common::vote_with(&mut store, &mut model, height, 0).unwrap();
        common::commit(&mut store, &mut model).unwrap();
    }
    common::vote(&mut store, &mut model).unwrap();
    store.prepare_spare().unwrap();
    drop(store);
    (dir, model)
}

/// A store whose first segments were pruned.
fn old() -> (MemDir, Model) {
    let dir = fresh();
    let mut model = Model::default();
    live(&dir, &mut model).unwrap();
    (dir, model)
}

fn content(dir: &MemDir) -> Vec<(String, Vec<u8>)> {
    dir.names().into_iter().map(|name| (name.clone(), dir.bytes(&name).unwrap())).collect()
}

fn damage(dir: &MemDir, name: &str, at: usize, len: usize) {
    let mut bytes = dir.bytes(name).unwrap();
    bytes[at..at + len].fill(0xa5);
    dir.set_bytes(name, bytes);
}

fn segments(dir: &MemDir) -> Vec<String> {
    dir.names().into_iter().filter(|name| name.ends_with(".seg")).collect()
}

/// The last segment with a record; a spare one follows.
fn last_used(dir: &MemDir) -> String {
    let segments = segments(dir);
    segments[segments.len() - 2].clone()
}

/// A damaged directory, and what it is.
type Case = (&'static str, MemDir, Model);

/// Each kind of damage that is refused.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (state, (dir, model)) in
        ["state, the log is whole", "state, the log was pruned"].into_iter().zip([young(), old()])
    {
        damage(&dir, "state.redb", 2 * PAGE, 40);
        damage(&dir, "state.redb", 0, 40);
        cases.push((state, dir, model));
    }
    let (dir, model) = young();
    // Block 5 follows the checkpoint.
    let segment = last_used(&dir);
    damage(&dir, &segment, 100, 10);
    cases.push(("middle of the log", dir, model));
    let (dir, model) = young();
    lose(&dir, &segment);
    cases.push(("segment missing", dir, model));
    let (dir, model) = young();
    damage(&dir, &segment, 100, 10);
    lose(&dir, "state.sum");
    cases.push(("state and middle of the log", dir, model));
    let (dir, model) = young();
    damage(&dir, "log/000000.seg", 100, 10);
    lose(&dir, "state.redb");
    cases.push(("state and start of the log", dir, model));
    let (dir, model) = young();
    dir.make_unreadable("vote.lock", 10);
    cases.push(("signer record unreadable", dir, model));
    let (dir, model) = young();
    for name in ["state.redb", "log/key"] {
        lose(&dir, name);
    }
    cases.push(("state and key", dir, model));
    let (dir, model) = young();
    dir.make_unreadable(segments(&dir).last().unwrap(), 3 * PAGE);
    cases.push(("unused sector unreadable", dir, model));
    cases
}

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
            "state, the log was pruned" => {
                (&["state-damaged", "log-too-short"], &["set-aside", "start-over"])
            }
            "middle of the log" => (&["log-damaged"], &["lose-signer", "cut-log", "amend-state"]),
            "segment missing" => (&["segment-missing"], &["lose-signer", "replace-segment", "amend-state"]),
            "state and middle of the log" => {
                // The spare segment goes aside with what follows the cut.
                let steps = &["lose-signer", "set-aside", "cut-log", "set-aside", "rebuild-state"];
                (&["state-damaged", "log-damaged"], steps)
            }
            "state and start of the log" => {
                (&["state-damaged", "log-too-short"], &["set-aside", "start-over"])
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
    for mark in [b"".as_slice(), b"../outside", b"damaged-x/y", &[0xff; 400]] {
        let dir = dir.duplicate();
        dir.set_bytes("repairing", mark.to_vec());
        let error = Store::open(dir.clone(), options(), CHAIN).unwrap_err();
        assert!(matches!(error, StoreError::HalfRepaired { .. }), "{error}");
        assert_eq!(mend(&dir).unwrap().findings, [Finding::Interrupted]);
        assert!(dir.names().iter().all(|name| !name.contains("..")), "{:?}", dir.names());
        let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
        check_loosely(&store, &recovered, &model, "a damaged mark");
    }
}

#[test]
fn an_overlay_is_a_directory() {
    let base = MemDir::new();
    base.make_dir("kept").unwrap();
    base.set_bytes("kept/file", b"0123456789".repeat(1000));
    let over = Overlay::new(base.clone());
    let file = over.open("kept/file", false).unwrap();
    file.write_at(b"xyz", 4095).unwrap();
    let mut bytes = [0; 6];
    file.read_at(&mut bytes, 4093).unwrap();
    assert_eq!(&bytes, b"34xyz8");
    file.set_len(4096).unwrap();
    file.set_len(9000).unwrap();
    file.read_at(&mut bytes, 4095).unwrap();
    assert_eq!(&bytes, b"x\0\0\0\0\0");
    assert_eq!(over.open("kept/file", false).unwrap().len().unwrap(), 9000);
    assert!(file.read_at(&mut bytes, 8999).is_err());
    assert!(over.open("none/file", true).is_err() && over.open("other", false).is_err());
    over.make_dir("new").unwrap();
    over.rename("kept/file", "new/file").unwrap();
    over.open("kept/second", true).unwrap();
    assert_eq!(over.list("kept").unwrap(), ["second"]);
    assert_eq!(over.list("new").unwrap(), ["file"]);
    assert!(over.list("nowhere").is_err() && over.remove("kept/file").is_err());
    over.remove("new/file").unwrap();
    assert!(!over.exists("new/file").unwrap() && over.exists("new").unwrap());
    assert_eq!(base.names(), ["kept/file"]);
    assert_eq!(base.bytes("kept/file").unwrap(), b"0123456789".repeat(1000));
}
