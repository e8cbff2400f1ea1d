//! A store in use: on a real directory, and at its limits.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{CHAIN, HEIGHTS, Model, block, certificate, check, hash, options, prefix, run};
use trustnet_store::{
    MAX_SIGN_BYTES, MemDir, Options, OsDir, Signer, Store, StoreError, Tail, free_ratio, initialise,
};

fn fresh() -> (MemDir, Store<MemDir>) {
    let dir = MemDir::new();
    initialise(&dir, options(), CHAIN).unwrap();
    let store = Store::open(dir.clone(), options(), CHAIN).unwrap().0;
    (dir, store)
}

#[test]
fn a_real_directory_is_read_back_after_each_stop() {
    let root = tempfile::tempdir().unwrap();
    let dir = OsDir::new(root.path().join("data"));
    initialise(&dir, options(), CHAIN).unwrap();
    let mut model = Model::default();
    for to in [1, 2, 9, 17, HEIGHTS] {
        let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
        check(&store, &recovered, &model, "on a real directory");
        model.resume(&mut store, &recovered);
        run(&mut store, &mut model, to).unwrap();
    }
    let (store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    assert_eq!(recovered.last_commit_height, HEIGHTS);
    let usage = store.usage();
    assert_eq!(usage.log_bytes, usage.segments * options().segment_bytes);
    let on_disk = std::fs::metadata(dir.path().join("state.redb")).unwrap().len();
    assert_eq!(usage.state_bytes, on_disk);
    assert!((0.0..=1.0).contains(&free_ratio(dir.path()).unwrap()));
}

#[test]
fn the_background_thread_has_the_next_segment_ready() {
    let root = tempfile::tempdir().unwrap();
    let dir = OsDir::new(root.path());
    let opts = Options { background_spare: true, ..options() };
    initialise(&dir, opts, CHAIN).unwrap();
    let mut store = Store::open(dir.clone(), opts, CHAIN).unwrap().0;
    let mut model = Model::default();
    run(&mut store, &mut model, HEIGHTS).unwrap();
    drop(store);
    let (store, recovered) = Store::open(dir, opts, CHAIN).unwrap();
    check(&store, &recovered, &model, "with a background thread");
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let root = tempfile::tempdir().unwrap();
    let dir = OsDir::new(root.path());
    initialise(&dir, options(), CHAIN).unwrap();
    let store = Store::open(dir.clone(), options(), CHAIN).unwrap().0;
    let error = Store::open(dir.clone(), options(), CHAIN).unwrap_err();
    assert!(
        matches!(error, StoreError::InUse { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())));
    drop(store);
    Store::open(dir, options(), CHAIN).unwrap();
}

#[test]
fn another_chains_directory_is_refused() {
    let (dir, store) = fresh();
    drop(store);
    let error = Store::open(dir, options(), [0xee; 32]).unwrap_err();
    assert!(
        matches!(error, StoreError::OtherChain { found, expected, .. } if found == CHAIN && expected == [0xee; 32])
    );
    assert!(error.to_string().contains(&"ee".repeat(32)));
}

#[test]
fn initialise_refuses_what_exists_and_open_refuses_what_does_not() {
    let (dir, store) = fresh();
    drop(store);
    assert!(matches!(initialise(&dir, options(), CHAIN), Err(StoreError::AlreadyInitialised { .. })));
    let empty = MemDir::new();
    assert!(matches!(Store::open(empty, options(), CHAIN), Err(StoreError::NotInitialised { .. })));
    let root = tempfile::tempdir().unwrap();
    let missing = OsDir::new(root.path().join("missing"));
    assert!(matches!(Store::open(missing, options(), CHAIN), Err(StoreError::NotInitialised { .. })));
}

#[test]
fn unusable_options_are_refused() {
    for segment_bytes in [0, 1, 4097, 1 << 40] {
        let opts = Options { segment_bytes, ..options() };
        assert!(matches!(initialise(&MemDir::new(), opts, CHAIN), Err(StoreError::BadOption { .. })));
    }
}

#[test]
fn each_durable_step_is_one_flush_and_reading_or_idling_is_none() {
    let (dir, mut store) = fresh();
    store.persist_signer_with_block(1, b"first", hash(1, 0), b"block").unwrap();
    let mut last = dir.syncs();
    let mut flushes = |expected: u64| {
        assert_eq!(dir.syncs() - last, expected);
        last = dir.syncs();
    };
    store.persist_signer(b"precommit").unwrap();
    flushes(1);
    store.append_commit(1, hash(1, 0), &certificate(1)).unwrap();
    flushes(0);
    store.persist_signer_with_block(2, b"prevote", hash(2, 0), b"block").unwrap();
    flushes(1);
    store.append_block(3, hash(3, 0), b"block").unwrap();
    flushes(0);
    // The appended block becomes durable with it.
    store.persist_signer(b"precommit").unwrap();
    flushes(1);
    store.sync().unwrap();
    assert!(store.has_block(2, hash(2, 0)));
    assert!(!store.has_block(2, hash(2, 1)));
    assert_eq!(store.block(1).unwrap().unwrap().block, b"block");
    flushes(0);
    drop(store);
    dir.crash(0);
    let (_, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!(recovered.signer, Signer::Known(b"precommit".to_vec()));
    assert_eq!(recovered.undecided, [(2, hash(2, 0)), (3, hash(3, 0))]);
}

#[test]
fn a_vote_for_a_block_that_is_stored_does_not_store_it_again() {
    let (dir, mut store) = fresh();
    let big = vec![1; 12_000];
    store.persist_signer_with_block(1, b"round 0", hash(1, 0), &big).unwrap();
    let written = dir.written();
    store.persist_signer_with_block(1, b"round 1", hash(1, 0), &big).unwrap();
    assert_eq!(dir.written() - written, 4096);
    drop(store);
    let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!(recovered.signer, Signer::Known(b"round 1".to_vec()));
    assert_eq!(store.candidate(1, hash(1, 0)).unwrap(), Some(big));
}

#[test]
fn opening_and_closing_without_work_leaves_log_and_signer_untouched() {
    let (dir, mut store) = fresh();
    run(&mut store, &mut Model::default(), 9).unwrap();
    store.sync().unwrap();
    drop(store);
    let files = ["vote.lock", "log/000001.seg", "log/000002.seg"];
    let before = files.map(|name| dir.bytes(name));
    for _ in 0..3 {
        let (_, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
        assert_eq!(recovered.tail, Tail::Clean);
    }
    assert!(files.map(|name| dir.bytes(name)) == before);
}

#[test]
fn what_does_not_fit_is_refused_and_the_store_goes_on() {
    let (_, mut store) = fresh();
    let too_large = vec![0; options().segment_bytes as usize];
    let error = store.append_block(1, hash(1, 0), &too_large).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { what: "a record", .. }), "{error}");
    let error = store.persist_signer_with_block(1, b"sign", hash(1, 0), &too_large).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { what: "a record", .. }), "{error}");
    let error = store.persist_signer(&vec![0; MAX_SIGN_BYTES + 1]).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { what: "a signer record", .. }), "{error}");
    store.persist_signer(&vec![7; MAX_SIGN_BYTES]).unwrap();
    store.persist_signer_with_block(1, &vec![8; MAX_SIGN_BYTES], hash(1, 0), b"fits").unwrap();
}

#[test]
fn the_largest_record_fits_a_default_segment() {
    let dir = MemDir::new();
    let opts = Options { background_spare: false, ..Options::default() };
    initialise(&dir, opts, CHAIN).unwrap();
    let (mut store, _) = Store::open(dir.clone(), opts, CHAIN).unwrap();
    let largest = vec![3; trustnet_store::MAX_RECORD_BYTES - 96 - 32];
    store.append_block(1, hash(1, 0), &largest).unwrap();
    store.append_block(2, hash(2, 0), &largest).unwrap();
    store.append_block(3, hash(3, 0), &largest).unwrap();
    assert!(store.append_block(4, hash(4, 0), &[largest.as_slice(), &[3]].concat()).is_err());
    store.sync().unwrap();
    drop(store);
    let (store, recovered) = Store::open(dir, opts, CHAIN).unwrap();
    assert_eq!(recovered.undecided.len(), 3);
    assert!(store.candidate(3, hash(3, 0)).unwrap().unwrap() == largest);
}

#[test]
fn certificates_out_of_order_or_for_another_block_are_refused() {
    let (_, mut store) = fresh();
    let commit = |store: &mut Store<MemDir>, height, round| {
        store.append_commit(height, hash(height, round), &certificate(height))
    };
    assert!(matches!(commit(&mut store, 1, 0), Err(StoreError::NoBlock { height: 1, .. })));
    store.append_block(1, hash(1, 0), &block(1, 0)).unwrap();
    store.append_block(2, hash(2, 0), &block(2, 0)).unwrap();
    assert!(matches!(commit(&mut store, 2, 0), Err(StoreError::OutOfOrder { height: 2, expected: 1 })));
    commit(&mut store, 1, 0).unwrap();
    commit(&mut store, 1, 0).unwrap();
    assert!(matches!(commit(&mut store, 1, 1), Err(StoreError::Conflict { height: 1, .. })));
    store.checkpoint(1, std::iter::empty(), &[]).unwrap();
    commit(&mut store, 1, 0).unwrap();
    assert!(matches!(commit(&mut store, 1, 1), Err(StoreError::Conflict { height: 1, .. })));
    let below = store.append_block(1, hash(1, 1), b"other");
    assert!(matches!(below, Err(StoreError::OutOfOrder { height: 1, expected: 2 })));
    let back = store.checkpoint(0, std::iter::empty(), &[]);
    assert!(matches!(back, Err(StoreError::OutOfOrder { height: 0, expected: 1 })));
}

#[test]
fn a_checkpoint_above_the_log_starts_from_there() {
    let (dir, mut store) = fresh();
    store.checkpoint(100, [(b"key".to_vec(), Some(b"value".to_vec()))].into_iter(), &[]).unwrap();
    assert_eq!(store.last_commit_height(), 100);
    store.append_block(101, hash(101, 0), &block(101, 0)).unwrap();
    store.append_commit(101, hash(101, 0), &certificate(101)).unwrap();
    store.sync().unwrap();
    drop(store);
    let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!((recovered.state_height, recovered.last_commit_height), (100, 101));
    assert_eq!(store.block(100).unwrap(), None);
    assert_eq!(store.first_height().unwrap(), Some(101));
}

#[test]
fn transactions_are_found_before_and_after_a_checkpoint_and_across_index_groups() {
    let (dir, mut store) = fresh();
    store.checkpoint(16_382, std::iter::empty(), &[]).unwrap();
    for height in 16_383..=16_386 {
        store.append_block(height, hash(height, 0), b"block").unwrap();
        store.append_commit(height, hash(height, 0), b"certificate").unwrap();
        store.note_txs(height, &[prefix(1), prefix(height)]);
    }
    let everywhere = [(16_383, 0), (16_384, 0), (16_385, 0), (16_386, 0)];
    assert_eq!(store.find_tx(prefix(1)).unwrap(), everywhere);
    store.checkpoint(16_385, std::iter::empty(), &[(prefix(77), 16_385, 5)]).unwrap();
    assert_eq!(store.find_tx(prefix(1)).unwrap(), everywhere);
    assert_eq!(store.find_tx(prefix(16_384)).unwrap(), [(16_384, 1)]);
    assert_eq!(store.find_tx(prefix(77)).unwrap(), [(16_385, 5)]);
    assert_eq!(store.find_tx(prefix(5)).unwrap(), []);
    drop(store);
    let (store, _) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!(store.find_tx(prefix(1)).unwrap(), everywhere[..3]);
}

#[test]
fn pruning_recycles_segments_and_the_log_stops_growing() {
    let (dir, mut store) = fresh();
    let mut model = Model::default();
    run(&mut store, &mut model, 60).unwrap();
    let usage = store.usage();
    run(&mut store, &mut model, 160).unwrap();
    assert!(store.usage().segments <= usage.segments + 1, "{:?} then {:?}", usage, store.usage());
    let first = store.first_height().unwrap().unwrap();
    assert!(first > 140, "{first}");
    assert_eq!(store.block(first - 1).unwrap(), None);
    assert_eq!(store.block_height_by_hash(hash(first - 1, 0)).unwrap(), None);
    assert!(store.find_tx(prefix(1)).unwrap().is_empty());
    drop(store);
    let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    check(&store, &recovered, &model, "after recycling");
}

#[test]
fn pruning_never_passes_the_checkpoint() {
    let (dir, mut store) = fresh();
    let mut model = Model::default();
    run(&mut store, &mut model, 14).unwrap();
    store.prune(u64::MAX).unwrap();
    model.pruned = store.state_height() + 1;
    store.sync().unwrap();
    drop(store);
    let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!(recovered.last_commit_height, 14);
    check(&store, &recovered, &model, "after pruning everything");
}

#[test]
fn a_full_disk_stops_the_log_and_not_the_signer() {
    let (dir, mut store) = fresh();
    let used = store.usage();
    dir.set_capacity(Some(used.log_bytes + used.state_bytes + 2 * 4096 + 100));
    let mut height = 0;
    let error = loop {
        height += 1;
        if let Err(error) = store.append_block(height, hash(height, 0), &block(height, 0)) {
            break error;
        }
    };
    assert!(matches!(&error, StoreError::DiskFull { path, .. } if path.contains("spare")), "{error}");
    assert!(!store.is_poisoned());
    // Fill the last pages too, so that even a vote has no room in the log.
    while store.append_block(1000 + height, hash(height, 0), b"small").is_ok() {
        height += 1;
    }
    store.persist_signer(b"signed on a full disk").unwrap();
    dir.set_capacity(None);
    store.append_block(height, hash(height, 0), &block(height, 0)).unwrap();
    store.sync().unwrap();
    drop(store);
    dir.crash(0);
    let (_, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!(recovered.signer, Signer::Known(b"signed on a full disk".to_vec()));
}

#[test]
fn a_full_disk_at_a_checkpoint_poisons_and_a_restart_with_room_goes_on() {
    let (dir, mut store) = fresh();
    let mut model = Model::default();
    run(&mut store, &mut model, 4).unwrap();
    let used = store.usage();
    dir.set_capacity(Some(used.log_bytes + used.state_bytes + 3 * 4096));
    let big = (0..2000u32).map(|key| (key.to_be_bytes().to_vec(), Some(vec![1; 1000])));
    let error = store.checkpoint(4, big, &[]).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(matches!(store.sync(), Err(StoreError::Poisoned)));
    drop(store);
    dir.set_capacity(None);
    let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!(recovered.state_height, 0);
    check(&store, &recovered, &model, "after a full disk");
}

#[test]
fn a_spare_segment_can_be_made_on_request() {
    let (_, mut store) = fresh();
    assert_eq!(store.usage().segments, 1);
    store.prepare_spare().unwrap();
    store.prepare_spare().unwrap();
    assert_eq!(store.usage().segments, 2);
}

#[test]
fn longer_segments_from_one_start_to_the_next_are_fine() {
    let (dir, mut store) = fresh();
    let mut model = Model::default();
    store.prepare_spare().unwrap();
    run(&mut store, &mut model, 3).unwrap();
    drop(store);
    let opts = Options { segment_bytes: 64 * 4096, ..options() };
    let (mut store, recovered) = Store::open(dir.clone(), opts, CHAIN).unwrap();
    model.resume(&mut store, &recovered);
    store.append_block(900, hash(900, 0), &vec![1; 200_000]).unwrap();
    run(&mut store, &mut model, 20).unwrap();
    drop(store);
    let (store, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!(recovered.last_commit_height, 20);
    assert_eq!(store.candidate(900, hash(900, 0)).unwrap().unwrap().len(), 200_000);
}
