//! What a start does about damage: repaired where a rule says so, refused or reported as lost otherwise; never wrong
//! data, never a signer record older than one that is known to have been acknowledged.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{
    CHAIN, HEIGHTS, Model, block, certificate, check, check_content, checkpoint, hash, number, options, run,
};
use trustnet_store::{
    Dir, LostReason, MemDir, Recovered, Signer, Store, StoreError, Tail, initialise, initialise_lost,
};

const PAGE: usize = 4096;
const VOTE_LOCK: &str = "vote.lock";

fn segment(number: u64) -> String {
    format!("log/{number:06}.seg")
}

fn fresh() -> (MemDir, Store<MemDir>, Model) {
    let dir = MemDir::new();
    initialise(&dir, options(), CHAIN).unwrap();
    let (store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    assert_eq!(recovered.signer, Signer::Fresh);
    (dir, store, Model::default())
}

fn open(dir: &MemDir) -> Result<(Store<MemDir>, Recovered), StoreError> {
    Store::open(dir.clone(), options(), CHAIN)
}

fn flip(dir: &MemDir, name: &str, at: usize, mask: u8) {
    let mut bytes = dir.bytes(name).unwrap();
    bytes[at] ^= mask;
    dir.set_bytes(name, bytes);
}

/// Makes both copies in a slot of `vote.lock` bad.
fn spoil_slot(dir: &MemDir, slot: usize) {
    let mut bytes = dir.bytes(VOTE_LOCK).unwrap();
    bytes[slot * 2 * PAGE..][..2 * PAGE].fill(0x55);
    dir.set_bytes(VOTE_LOCK, bytes);
}

/// Segment and page of the last record of a log in which nothing was recycled.
fn last_record(dir: &MemDir) -> (u64, usize) {
    let segments = (0..).map_while(|number| Some((number, dir.bytes(&segment(number))?)));
    let pages = segments.flat_map(|(number, log)| {
        let is_record = move |page: &usize| log[page * PAGE..].starts_with(b"TNLR");
        (0..options().segment_bytes as usize / PAGE).filter(is_record).map(move |page| (number, page))
    });
    pages.last().unwrap()
}

/// The signer of a store that is opened and closed.
fn signer(dir: &MemDir) -> Signer {
    open(dir).unwrap().1.signer
}

/// A third of the header bytes of every page, another third in the next page, and some of the rest.
fn sampled(len: usize) -> impl Iterator<Item = usize> {
    (0..len).filter(|at| (at % PAGE < 100 && at % 3 == 0) || at % 397 == 0)
}

#[test]
fn any_damaged_byte_of_an_acknowledged_log_is_harmless_or_refused() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 4).unwrap();
    store.sync().unwrap();
    // The slot vouches for the whole log.
    store.persist_signer(&[9; 50]).unwrap();
    drop(store);
    let (mut refused, mut harmless) = (0, 0);
    for number in 0..3 {
        let Some(original) = dir.bytes(&segment(number)) else { continue };
        for at in sampled(original.len()) {
            let dir = dir.duplicate();
            flip(&dir, &segment(number), at, 0x40);
            match open(&dir) {
                Ok((store, recovered)) => {
                    harmless += 1;
                    assert_eq!(recovered.signer, Signer::Known(vec![9; 50]), "{number} {at}");
                    assert_eq!(recovered.last_commit_height, 4, "{number} {at}");
                    assert_eq!(recovered.tail, Tail::Clean, "{number} {at}");
                    check_content(&store, &model, "flipped");
                }
                Err(StoreError::DamagedMiddle { .. }) => refused += 1,
                Err(error) => panic!("segment {number} byte {at}: {error}"),
            }
        }
    }
    assert!(refused > 200 && harmless > 200, "{refused} refused, {harmless} harmless");
}

#[test]
fn damage_to_the_very_last_record_is_cut_like_a_torn_write() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 3).unwrap();
    store.sync().unwrap();
    drop(store);
    let (number, page) = last_record(&dir);
    flip(&dir, &segment(number), page * PAGE + 100, 1);
    let (mut store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.tail, Tail::TornTail { bytes: PAGE as u64 });
    assert_eq!(recovered.last_commit_height, 2);
    assert_eq!(recovered.undecided, [(3, hash(3, 0))]);
    store.append_commit(3, hash(3, 0), &certificate(3)).unwrap();
    check_content(&store, &model, "after the repair");
    drop(store);
    assert_eq!(open(&dir).unwrap().1.tail, Tail::Clean);
}

#[test]
fn a_vote_behind_a_torn_certificate_still_counts_as_signed() {
    let (dir, mut store, _) = fresh();
    store.persist_signer_with_block(1, b"one", hash(1, 0), b"block").unwrap();
    // One flush for both: a power cut may keep the second and tear the first.
    store.append_commit(1, hash(1, 0), &certificate(1)).unwrap();
    store.persist_signer_with_block(2, b"two", hash(2, 0), b"block").unwrap();
    drop(store);
    flip(&dir, &segment(0), PAGE + 100, 1);
    let (mut store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.tail, Tail::TornTail { bytes: 2 * PAGE as u64 });
    assert_eq!(recovered.signer, Signer::Known(b"two".to_vec()));
    assert_eq!(recovered.last_commit_height, 0);
    store.append_commit(1, hash(1, 0), &certificate(1)).unwrap();
    store.sync().unwrap();
    drop(store);
    dir.crash(0);
    let (store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.tail, Tail::Clean);
    assert_eq!(recovered.signer, Signer::Known(b"two".to_vec()));
    assert_eq!(store.block(1).unwrap().unwrap().certificate, certificate(1));
}

#[test]
fn a_record_wiped_in_the_middle_is_refused_with_its_place() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 3).unwrap();
    store.sync().unwrap();
    drop(store);
    let mut log = dir.bytes(&segment(0)).unwrap();
    log[..PAGE].fill(0);
    dir.set_bytes(&segment(0), log);
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, StoreError::DamagedMiddle { segment: 0, offset: 0, height: 0 }), "{error}");
    assert!(error.to_string().contains("trustnet repair"));
}

#[test]
fn a_lost_or_shortened_segment_is_refused() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 4).unwrap();
    store.sync().unwrap();
    drop(store);
    let gone = dir.duplicate();
    gone.remove(&segment(0)).unwrap();
    assert!(matches!(open(&gone), Err(StoreError::MissingSegment { segment: 0 })));
    for len in [0, 1, PAGE, PAGE + 1] {
        let short = dir.duplicate();
        let log = short.bytes(&segment(0)).unwrap();
        short.set_bytes(&segment(0), log[..len].to_vec());
        assert!(matches!(open(&short), Err(StoreError::DamagedMiddle { .. })), "{len}");
    }
}

#[test]
fn without_vote_lock_the_signer_is_lost_whatever_the_log_says() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 3).unwrap();
    store.sync().unwrap();
    drop(store);
    dir.remove(VOTE_LOCK).unwrap();
    let (mut store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.signer, Signer::Lost(LostReason::Missing));
    assert_eq!(recovered.last_commit_height, 3);
    // Following the chain does not bring it back; signing again does.
    store.append_block(4, hash(4, 0), &block(4, 0)).unwrap();
    store.append_commit(4, hash(4, 0), &certificate(4)).unwrap();
    checkpoint(&mut store, &mut model, 4).unwrap();
    drop(store);
    let (mut store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.signer, Signer::Lost(LostReason::Missing));
    store.persist_signer_with_block(5, b"told by the peers", hash(5, 0), &block(5, 0)).unwrap();
    drop(store);
    dir.crash(0);
    assert_eq!(signer(&dir), Signer::Known(b"told by the peers".to_vec()));
}

#[test]
fn two_damaged_slots_are_lost_until_something_is_signed() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 3).unwrap();
    drop(store);
    spoil_slot(&dir, 0);
    spoil_slot(&dir, 1);
    let (mut store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.signer, Signer::Lost(LostReason::Damaged));
    store.persist_signer(b"after").unwrap();
    drop(store);
    dir.crash(0);
    assert_eq!(signer(&dir), Signer::Known(b"after".to_vec()));
}

#[test]
fn after_the_first_signature_one_damaged_slot_never_says_fresh_again() {
    let (dir, mut store, _) = fresh();
    store.persist_signer(b"first").unwrap();
    drop(store);
    for slot in [0, 1] {
        let dir = dir.duplicate();
        spoil_slot(&dir, slot);
        assert_eq!(signer(&dir), Signer::Known(b"first".to_vec()));
        // The start wrote the damaged slot again: now the other one may go.
        spoil_slot(&dir, 1 - slot);
        assert_eq!(signer(&dir), Signer::Known(b"first".to_vec()));
    }
}

#[test]
fn one_damaged_slot_is_never_answered_with_an_older_record_that_the_log_knows_of() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 5).unwrap();
    store.persist_signer(b"newest").unwrap();
    store.append_block(7, hash(7, 0), &block(7, 0)).unwrap();
    store.sync().unwrap();
    drop(store);
    let mut lost = 0;
    for slot in [0, 1] {
        let dir = dir.duplicate();
        spoil_slot(&dir, slot);
        match signer(&dir) {
            Signer::Known(sign) => assert_eq!(sign, b"newest", "slot {slot}"),
            Signer::Lost(LostReason::Outdated) => lost += 1,
            other => panic!("slot {slot}: {other:?}"),
        }
    }
    assert_eq!(lost, 1);
}

#[test]
fn an_older_copy_of_vote_lock_is_noticed() {
    let (dir, mut store, mut model) = fresh();
    let at_first = dir.bytes(VOTE_LOCK).unwrap();
    run(&mut store, &mut model, 1).unwrap();
    let early = dir.bytes(VOTE_LOCK).unwrap();
    run(&mut store, &mut model, 3).unwrap();
    store.persist_signer(b"newest").unwrap();
    run(&mut store, &mut model, 4).unwrap();
    checkpoint(&mut store, &mut model, 4).unwrap();
    drop(store);
    for old in [at_first, early] {
        let dir = dir.duplicate();
        dir.set_bytes(VOTE_LOCK, old);
        assert_eq!(signer(&dir), Signer::Lost(LostReason::Outdated));
    }
}

#[test]
fn a_log_older_than_vote_lock_is_refused() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 1).unwrap();
    store.sync().unwrap();
    let old = dir.duplicate();
    run(&mut store, &mut model, 2).unwrap();
    store.sync().unwrap();
    store.persist_signer(b"vouches for the log").unwrap();
    drop(store);
    for number in 0..4 {
        if let Some(now) = dir.bytes(&segment(number)) {
            let then = old.bytes(&segment(number)).unwrap_or(vec![0; now.len()]);
            dir.set_bytes(&segment(number), then);
        }
    }
    assert!(matches!(open(&dir), Err(StoreError::DamagedMiddle { .. })));
}

#[test]
fn an_older_copy_of_the_state_replays_from_there_or_is_refused() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 5).unwrap();
    drop(store);
    let old = ["state.redb", "state.sum"].map(|name| (name, dir.bytes(name).unwrap()));
    let (mut store, _) = open(&dir).unwrap();
    run(&mut store, &mut model, HEIGHTS).unwrap();
    drop(store);
    for (name, bytes) in old.clone() {
        let dir = dir.duplicate();
        dir.set_bytes(name, bytes);
        assert!(matches!(open(&dir), Err(StoreError::StateDamaged { .. })), "{name} alone");
    }
    for (name, bytes) in old {
        dir.set_bytes(name, bytes);
    }
    // The segments that it wants were pruned and written again.
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, StoreError::MissingSegment { .. } | StoreError::DamagedMiddle { .. }), "{error}");
}

#[test]
fn a_missing_or_foreign_state_file_is_refused_without_a_panic() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 5).unwrap();
    drop(store);
    let cut = dir.duplicate();
    for bytes in [Vec::new(), vec![0; 3], vec![0x5a; 100_000]] {
        cut.set_bytes("state.redb", bytes);
        let error = open(&cut).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::State { .. } | StoreError::StateDamaged { .. } | StoreError::Io { .. }
            ),
            "{error}"
        );
    }
    cut.remove("state.redb").unwrap();
    assert!(matches!(open(&cut), Err(StoreError::StateDamaged { .. })));
}

#[test]
fn a_damaged_block_below_the_checkpoint_is_reported_and_can_be_replaced() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 4).unwrap();
    checkpoint(&mut store, &mut model, 4).unwrap();
    drop(store);
    let log = dir.bytes(&segment(0)).unwrap();
    let records = (0..log.len() / PAGE).filter(|page| log[page * PAGE..].starts_with(b"TNLR"));
    for page in records.collect::<Vec<_>>() {
        flip(&dir, &segment(0), page * PAGE + 130, 1);
    }
    let (mut store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.state_height, 4);
    let error = store.block(1).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { height: 1, segment: 0, .. }), "{error}");
    let signed = recovered.signer.clone();
    for height in 1..=4 {
        store.append_block(height, hash(height, 0), &block(height, 0)).unwrap();
        store.append_commit(height, hash(height, 0), &certificate(height)).unwrap();
    }
    store.sync().unwrap();
    check_content_without_txs(&store, 4);
    drop(store);
    dir.crash(0);
    let (mut store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.signer, signed);
    check_content_without_txs(&store, 4);
    // A checkpoint makes the new places permanent.
    checkpoint(&mut store, &mut model, 4).unwrap();
    drop(store);
    let (store, _) = open(&dir).unwrap();
    check_content_without_txs(&store, 4);
}

fn check_content_without_txs(store: &Store<MemDir>, last: u64) {
    for height in 1..=last {
        let stored = store.block(height).unwrap().unwrap();
        assert_eq!((stored.block, stored.certificate), (block(height, 0), certificate(height)));
    }
}

#[test]
fn a_cloned_card_opens_and_both_know_what_was_signed() {
    let (dir, mut store, mut model) = fresh();
    run(&mut store, &mut model, 5).unwrap();
    store.sync().unwrap();
    let clone = dir.duplicate();
    let (store, recovered) = open(&clone).unwrap();
    check(&store, &recovered, &model, "the clone");
    let Signer::Known(sign) = recovered.signer else { panic!("known on the first card") };
    assert_eq!(number(&sign), model.signed);
}

#[test]
fn a_new_directory_for_an_old_key_is_lost_until_it_signs() {
    let dir = MemDir::new();
    initialise_lost(&dir, options(), CHAIN).unwrap();
    for _ in 0..2 {
        assert_eq!(signer(&dir), Signer::Lost(LostReason::NewDirectory));
    }
    let (mut store, _) = open(&dir).unwrap();
    store.append_block(1, hash(1, 0), &block(1, 0)).unwrap();
    store.append_commit(1, hash(1, 0), &certificate(1)).unwrap();
    store.sync().unwrap();
    drop(store);
    let (mut store, recovered) = open(&dir).unwrap();
    assert_eq!(recovered.signer, Signer::Lost(LostReason::NewDirectory));
    assert_eq!(recovered.last_commit_height, 1);
    store.persist_signer(b"told by the peers").unwrap();
    drop(store);
    dir.crash(0);
    assert_eq!(signer(&dir), Signer::Known(b"told by the peers".to_vec()));
}
