//! Files that are whole, but do not belong together: of another chain, of another node, of an older backup, under each
//! other's names.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{CHAIN, HEIGHTS, Model, catch_up, check_loosely, fresh, live, number, options, run};
use trustnet_store::{
    Dir, Distrust, Finding, MemDir, Options, Repair, Signer, Store, StoreError, initialise, repair,
};

const OTHER_CHAIN: [u8; 32] = [0x99; 32];
const FILES: [&str; 4] = ["vote.lock", "log/key", "state.redb", "state.sum"];

fn lived() -> (MemDir, Model) {
    let dir = fresh();
    let mut model = Model::default();
    live(&dir, &mut model).unwrap();
    (dir, model)
}

/// A directory of this chain or another, with a key of its own and blocks up to `height`.
fn stranger(chain: [u8; 32], height: u64) -> MemDir {
    let dir = MemDir::new();
    let opts = Options { log_key: Some([0x77; 32]), ..options() };
    initialise(&dir, opts, chain).unwrap();
    let (mut store, _) = Store::open(dir.clone(), opts, chain).unwrap();
    run(&mut store, &mut Model::default(), height).unwrap();
    drop(store);
    dir
}

fn copy(from: &MemDir, to: &MemDir, name: &str) {
    to.set_bytes(name, from.bytes(name).unwrap());
}

fn segments(dir: &MemDir) -> Vec<String> {
    dir.names().into_iter().filter(|name| name.strip_suffix(".seg").is_some()).collect()
}

fn mend(dir: &MemDir) -> Result<Repair, StoreError> {
    repair(dir, options(), CHAIN, "damaged-test", &Distrust::Nothing, &mut |_, _, _| {})
}

/// Opens; if that is refused with the way out named, repairs. Then everything must be as the model has it, as far as
/// it is there, and the node must be able to catch up. Returns whether it was refused.
fn opens_or_mends(dir: &MemDir, model: &Model, when: &str) -> bool {
    let refused = match Store::open(dir.clone(), options(), CHAIN) {
        Ok((store, recovered)) => {
            check_loosely(&store, &recovered, model, when);
            false
        }
        Err(error) => {
            assert!(error.to_string().contains("trustnet repair"), "{when}: {error}");
            let done = mend(dir).unwrap_or_else(|error| panic!("{when}: {error}"));
            assert!(done.findings.iter().any(Finding::is_damage), "{when}: {done:?}");
            let (store, recovered) = Store::open(dir.clone(), options(), CHAIN)
                .unwrap_or_else(|error| panic!("{when}: {error} after {done:?}"));
            check_loosely(&store, &recovered, model, when);
            true
        }
    };
    catch_up(dir, model, when);
    refused
}

#[test]
fn any_one_file_of_another_chain_is_noticed_and_set_aside() {
    let (dir, model) = lived();
    let other = stranger(OTHER_CHAIN, 9);
    for file in FILES {
        let dir = dir.duplicate();
        copy(&other, &dir, file);
        // The key in the state is the right one, so the file is written again.
        let refused = opens_or_mends(&dir, &model, file);
        assert_eq!(refused, file != "log/key", "{file}");
    }
    let dir = dir.duplicate();
    for file in ["state.redb", "state.sum"] {
        copy(&other, &dir, file);
    }
    let error = Store::open(dir.clone(), options(), CHAIN).unwrap_err();
    assert!(matches!(&error, StoreError::OtherChain { path, .. } if path.contains("state.redb")), "{error}");
    assert!(opens_or_mends(&dir, &model, "the state of another chain"));
    for segment in segments(&dir) {
        let dir = lived().0;
        copy(&other, &dir, "log/000000.seg");
        dir.set_bytes(&segment, other.bytes("log/000001.seg").unwrap());
        opens_or_mends(&dir, &model, &format!("a segment of another chain as {segment}"));
    }
}

#[test]
fn a_directory_of_another_chain_is_left_alone() {
    let dir = stranger(OTHER_CHAIN, 5);
    let before = dir.names().into_iter().map(|name| dir.bytes(&name)).collect::<Vec<_>>();
    let error = mend(&dir).unwrap_err();
    assert!(matches!(error, StoreError::OtherChain { found: OTHER_CHAIN, .. }), "{error}");
    assert_eq!(dir.names().into_iter().map(|name| dir.bytes(&name)).collect::<Vec<_>>(), before);
    Store::open(dir, options(), OTHER_CHAIN).unwrap();
}

#[test]
fn files_of_another_node_of_the_same_chain_never_pass_for_ours() {
    let (dir, model) = lived();
    let other = stranger(CHAIN, 26);
    for file in ["state.redb", "state.sum", "log/key"] {
        let dir = dir.duplicate();
        copy(&other, &dir, file);
        assert_eq!(opens_or_mends(&dir, &model, file), file != "log/key");
    }
    let both = dir.duplicate();
    copy(&other, &both, "state.redb");
    copy(&other, &both, "state.sum");
    let error = Store::open(both.clone(), options(), CHAIN).unwrap_err();
    assert!(error.to_string().contains("trustnet repair"), "{error}");
    let findings = mend(&both).unwrap().findings;
    let named = |finding: &Finding| finding.to_string().contains("another node's");
    assert!(findings.iter().any(named), "{findings:?}");
    catch_up(&both, &model, "the state of another node");
    for segment in segments(&dir) {
        let dir = dir.duplicate();
        dir.set_bytes(&segment, other.bytes(segments(&other).last().unwrap()).unwrap());
        opens_or_mends(&dir, &model, &format!("a segment of another node as {segment}"));
    }
}

#[test]
fn an_older_copy_of_any_file_is_noticed_or_harmless() {
    let old = fresh();
    let mut model = Model::default();
    let (mut store, _) = Store::open(old.clone(), options(), CHAIN).unwrap();
    run(&mut store, &mut model, HEIGHTS - 9).unwrap();
    drop(store);
    let dir = old.duplicate();
    let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    model.resume(&mut store, &recovered);
    run(&mut store, &mut model, HEIGHTS).unwrap();
    common::checkpoint(&mut store, &mut model, HEIGHTS).unwrap();
    drop(store);
    let mut refused = 0;
    for file in old.names() {
        let dir = dir.duplicate();
        copy(&old, &dir, &file);
        refused += u64::from(opens_or_mends(&dir, &model, &format!("an older {file}")));
    }
    let together = dir.duplicate();
    for file in ["state.redb", "state.sum"] {
        copy(&old, &together, file);
    }
    refused += u64::from(opens_or_mends(&together, &model, "an older state"));
    assert!(refused >= 3, "{refused}");
    // Everything older is a restored backup: the files cannot know, so the engine asks the peers.
    let (_, recovered) = Store::open(old, options(), CHAIN).unwrap();
    let Signer::Known(sign) = recovered.signer else { panic!("{recovered:?}") };
    assert!(number(&sign) < model.signed_acked);
}

#[test]
fn segments_under_each_others_names_are_noticed_or_harmless() {
    let (dir, model) = lived();
    let names = segments(&dir);
    assert!(names.len() > 3);
    for (at, first) in names.iter().enumerate() {
        for second in &names[at + 1..] {
            let dir = dir.duplicate();
            let (one, two) = (dir.bytes(first).unwrap(), dir.bytes(second).unwrap());
            dir.set_bytes(first, two);
            dir.set_bytes(second, one);
            opens_or_mends(&dir, &model, &format!("{first} and {second} swapped"));
        }
        // And one more, far beyond the others.
        let dir = dir.duplicate();
        dir.set_bytes("log/000099.seg", dir.bytes(first).unwrap());
        opens_or_mends(&dir, &model, &format!("{first} again as 000099"));
        assert!(!dir.exists("log/000099.seg").unwrap(), "deleted or set aside");
    }
}
