//! Bytes of a data directory change while nobody looks. A start finds everything, or cuts off what looks like a torn
//! write, or refuses and names the way out, which then works. It never reports anything wrong, and never an older
//! signature than the last acknowledged one without saying that the signer record is lost.
//!
//! `TRUSTNET_STORE_SWEEP=1` changes every byte, in three ways.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{CHAIN, Model, catch_up, check_loosely, fresh, live, long_sweep, lose, options, run, vote};
use trustnet_store::{Distrust, Finding, MemDir, Store, repair};

const PAGE: usize = 4096;
const ASIDE: &str = "damaged-test";

/// How a byte changes.
const CHANGES: [fn(u8) -> u8; 3] = [|byte| byte ^ 0x41, |_| 0, |_| 0xff];

/// Two directories: of a store that was stopped, and of one whose power went after a vote that nothing vouches for.
fn directories() -> [(MemDir, Model); 2] {
    let dir = fresh();
    let (mut store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    let mut model = Model::default();
    run(&mut store, &mut model, 4).unwrap();
    vote(&mut store, &mut model).unwrap();
    drop(store);
    let cut = (dir.duplicate(), model.clone());
    let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    model.resume(&mut store, &recovered);
    common::checkpoint(&mut store, &mut model, 4).unwrap();
    run(&mut store, &mut model, 5).unwrap();
    common::checkpoint(&mut store, &mut model, 5).unwrap();
    drop(store);
    [(dir, model), cut]
}

/// What came of damaged directories.
#[derive(Debug, Default)]
struct Tally {
    harmless: u64,
    refused: u64,
    repaired: u64,
}

impl Tally {
    /// Opens a damaged directory; of every `repair_every`th one that is refused the repair is tried, too.
    fn try_out(&mut self, dir: &MemDir, model: &Model, repair_every: u64, when: &str) {
        match Store::open(dir.clone(), options(), CHAIN) {
            Ok((store, recovered)) => {
                self.harmless += 1;
                check_loosely(&store, &recovered, model, when);
            }
            Err(error) => {
                self.refused += 1;
                assert!(error.to_string().contains("trustnet repair"), "{when}: {error}");
                if self.refused.is_multiple_of(repair_every) {
                    self.repaired += 1;
                    repairs(dir, model, when);
                }
            }
        }
    }
}

/// Repairs a directory, and looks whether that is the way out.
fn repairs(dir: &MemDir, model: &Model, when: &str) {
    let done = repair(dir, options(), CHAIN, ASIDE, &Distrust::Nothing, &mut |_, _, _| {}).unwrap();
    assert!(done.findings.iter().any(Finding::is_damage), "{when}: nothing found");
    assert!(!done.steps.is_empty(), "{when}");
    dir.crash(0);
    let (store, recovered) = Store::open(dir.clone(), options(), CHAIN)
        .unwrap_or_else(|error| panic!("{when}, after {done:?}: {error}"));
    check_loosely(&store, &recovered, model, &format!("{when}, after {done:?}"));
    drop(store);
    let again =
        repair(dir, options(), CHAIN, "damaged-again", &Distrust::Nothing, &mut |_, _, _| {}).unwrap();
    assert!(!again.findings.iter().any(Finding::is_damage), "{when}: found again {again:?}");
    assert_eq!((again.steps, again.aside), (Vec::new(), None), "{when}");
    catch_up(dir, model, when);
}

/// Changes bytes of a file. Without the long sweep: those that are not zero and `is_dense` or each 53rd, and each 211th
/// that is zero.
fn sweep(file: &str, is_dense: impl Fn(usize) -> bool) -> Tally {
    let mut tally = Tally::default();
    for (stopped, (dir, model)) in ["stopped", "power cut"].into_iter().zip(directories()) {
        let original = dir.bytes(file).unwrap();
        for (at, byte) in original.iter().copied().enumerate() {
            let is_chosen = match byte {
                0 => at % 211 == 0,
                _ => is_dense(at) || at % 53 == 0,
            };
            let changes = if long_sweep() { &CHANGES[..] } else { &CHANGES[at % 3..=at % 3] };
            for change in changes.iter().filter(|change| change(byte) != byte) {
                if !is_chosen && !long_sweep() {
                    continue;
                }
                let dir = dir.duplicate();
                let mut bytes = original.clone();
                bytes[at] = change(byte);
                dir.set_bytes(file, bytes);
                let when = format!("{stopped}, {file}, byte {at}: {byte:02x} became {:02x}", change(byte));
                tally.try_out(&dir, &model, if long_sweep() { 1 } else { 29 }, &when);
            }
        }
    }
    println!("{file}: {tally:?}");
    tally
}

#[test]
fn any_byte_of_the_log() {
    let [(dir, _), _] = directories();
    let segments =
        dir.names().into_iter().filter(|name| name.strip_suffix(".seg").is_some()).collect::<Vec<_>>();
    assert!(segments.len() >= 3, "{segments:?}");
    let (mut refused, mut harmless) = (0, 0);
    for segment in segments.iter().filter(|name| directories()[1].0.bytes(name).is_some()) {
        let tally = sweep(segment, |at| at % PAGE < 104 || at % PAGE > PAGE - 56);
        (refused, harmless) = (refused + tally.refused, harmless + tally.harmless);
    }
    assert!(refused > 500 && harmless > 500, "{refused} refused, {harmless} harmless");
}

#[test]
fn any_byte_of_the_signer_record() {
    let tally = sweep("vote.lock", |at| at % (PAGE / 2) < 104);
    // Each record is there twice.
    assert!(tally.refused == 0 && tally.harmless > 500, "{tally:?}");
}

#[test]
fn any_byte_of_the_logs_key() {
    let tally = sweep("log/key", |_| true);
    assert!(tally.refused == 0 && tally.harmless > 300, "{tally:?}");
}

#[test]
fn any_byte_of_the_states_checksums() {
    let tally = sweep("state.sum", |_| true);
    assert!(tally.refused > 1000, "{tally:?}");
}

#[test]
fn any_byte_of_the_state() {
    let tally = sweep("state.redb", |at| at < PAGE);
    assert!(tally.refused > 300 && tally.harmless > 300, "{tally:?}");
}

/// A longer life, with pruned and recycled segments.
fn long_life() -> (MemDir, Model) {
    let dir = fresh();
    let mut model = Model::default();
    live(&dir, &mut model).unwrap();
    (dir, model)
}

#[test]
fn any_page_of_any_file_is_zero_or_garbage_or_another_page_or_unreadable() {
    let (dir, model) = long_life();
    let mut tally = Tally::default();
    for file in dir.names() {
        let original = dir.bytes(&file).unwrap();
        let is_used = |page: &usize| original[page * PAGE..][..PAGE].iter().any(|byte| *byte != 0);
        let used = (0..original.len() / PAGE).filter(is_used).collect::<Vec<_>>();
        for (index, page) in used.iter().copied().enumerate() {
            let other = used[(index + 1) % used.len()];
            let swapped = original[other * PAGE..][..PAGE].to_vec();
            let contents = [vec![0; PAGE], vec![0xa5; PAGE], swapped];
            for (kind, content) in ["zero", "garbage", "another page"].into_iter().zip(contents) {
                let dir = dir.duplicate();
                let mut bytes = original.clone();
                bytes[page * PAGE..][..PAGE].copy_from_slice(&content);
                dir.set_bytes(&file, bytes);
                tally.try_out(&dir, &model, 1, &format!("{file}, page {page}: {kind}"));
            }
        }
        for page in 0..original.len() / PAGE {
            if file == "state.redb" && !used.contains(&page) {
                continue;
            }
            let dir = dir.duplicate();
            dir.make_unreadable(&file, page * PAGE + 7);
            tally.try_out(&dir, &model, 1, &format!("{file}, page {page}: unreadable"));
        }
    }
    println!("{tally:?}");
    assert!(tally.harmless > 100 && tally.repaired > 100, "{tally:?}");
}

#[test]
fn any_file_is_missing_or_cut_short_or_longer() {
    let mut tally = Tally::default();
    for (stopped, (dir, model)) in ["stopped", "power cut"].into_iter().zip(directories()) {
        for file in dir.names() {
            let gone = dir.duplicate();
            lose(&gone, &file);
            tally.try_out(&gone, &model, 1, &format!("{stopped}: {file} is missing"));
            let original = dir.bytes(&file).unwrap();
            let step = if long_sweep() { 1 } else { 509.max(original.len() / 150) };
            for len in (0..original.len()).step_by(step).chain((0..original.len()).step_by(4 * PAGE)) {
                let dir = dir.duplicate();
                dir.set_bytes(&file, original[..len].to_vec());
                tally.try_out(&dir, &model, 1, &format!("{stopped}: {file} is cut to {len} bytes"));
            }
            for more in [1, PAGE, 5000] {
                let dir = dir.duplicate();
                dir.set_bytes(&file, [original.as_slice(), &vec![0x77; more]].concat());
                tally.try_out(&dir, &model, 1, &format!("{stopped}: {file} is longer by {more} bytes"));
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.harmless > 100 && tally.repaired > 100, "{tally:?}");
}
