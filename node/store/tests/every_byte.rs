//! A small log of which every byte is flipped, and which is cut at every length. A start finds everything, or cuts off
//! what looks like a torn write, or refuses and names `trustnet repair`; then the repair makes a prefix of the true
//! chain of it. Never other bytes than were stored, never an older signature than the last acknowledged one.
//!
//! One directory is gone through whole; of three others only each 16th byte, but with `TRUSTNET_STORE_SWEEP=1`.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{CHAIN, long_sweep, lose, number, options};
use trustnet_store::{
    Distrust, Finding, MemDir, Options, Recovered, Signer, Store, StoreError, initialise, repair,
};

const PAGE: usize = 4096;
const LOG: &str = "log/000000.seg";
const HEIGHTS: u64 = 2;
/// Number of the last signer record.
const SIGNED: u64 = 4;

fn small() -> Options {
    Options { segment_bytes: 6 * PAGE as u64, ..options() }
}

fn hash(height: u64) -> [u8; 32] {
    [height as u8; 32]
}

fn block(height: u64) -> Vec<u8> {
    format!("block {height} ").into_bytes().repeat(20)
}

fn certificate(height: u64) -> Vec<u8> {
    format!("certificate {height}").into_bytes()
}

fn sign(number: u64) -> Vec<u8> {
    [number.to_le_bytes().as_slice(), &[0x5a; 60]].concat()
}

/// Five records of one page each: a block, a vote with one, certificates, a vote alone. With a checkpoint in the middle
/// or without, and stopped after a vote in `vote.lock` that vouches for the log, or not.
fn directory(checkpoint: bool, vouched: bool) -> MemDir {
    let dir = MemDir::new();
    initialise(&dir, small(), CHAIN).unwrap();
    let (mut store, _) = Store::open(dir.clone(), small(), CHAIN).unwrap();
    store.persist_signer_with_block(1, &sign(1), hash(1), &block(1)).unwrap();
    store.append_commit(1, hash(1), &certificate(1)).unwrap();
    store.persist_signer_with_block(2, &sign(2), hash(2), &block(2)).unwrap();
    if checkpoint {
        store.checkpoint(1, std::iter::empty(), &[]).unwrap();
    }
    store.append_commit(2, hash(2), &certificate(2)).unwrap();
    store.persist_signer(&sign(3)).unwrap();
    if vouched {
        store.persist_signer(&sign(SIGNED)).unwrap();
    }
    drop(store);
    dir
}

fn open(dir: &MemDir) -> Result<(Store<MemDir>, Recovered), StoreError> {
    Store::open(dir.clone(), small(), CHAIN)
}

/// What is there is as it was stored.
fn is_a_prefix(store: &Store<MemDir>, recovered: &Recovered, signed: u64, when: &str) {
    match &recovered.signer {
        Signer::Known(found) => {
            assert_eq!(*found, sign(number(found)), "{when}");
            assert!(number(found) >= signed, "{when}: {} is older than {signed}", number(found));
        }
        Signer::Lost(_) => {}
        Signer::Fresh => panic!("{when}: fresh"),
    }
    let last = recovered.last_commit_height;
    assert!(last <= HEIGHTS, "{when}");
    for height in 1..=HEIGHTS {
        match store.block(height) {
            Ok(Some(stored)) => {
                assert!(height <= last, "{when}");
                let expected = (hash(height), block(height), certificate(height));
                assert_eq!((stored.hash, stored.block, stored.certificate), expected, "{when}");
            }
            Ok(None) => assert!(height > last, "{when}: block {height} is missing"),
            // Below the checkpoint only: a start does not read it.
            Err(StoreError::Damaged { height: named, .. }) => {
                assert!(named == height && height <= recovered.state_height, "{when}");
            }
            Err(error) => panic!("{when}: {error}"),
        }
    }
    for (height, found) in &recovered.undecided {
        assert!(*height > last && *found == hash(*height), "{when}");
        assert_eq!(store.candidate(*height, *found).unwrap(), Some(block(*height)), "{when}");
    }
}

#[derive(Debug, Default)]
struct Tally {
    opened: u64,
    refused: u64,
}

/// Opens a damaged directory, or repairs it first (if it is refused and `repairs`).
fn try_out(dir: &MemDir, signed: u64, repairs: bool, tally: &mut Tally, when: &str) {
    match open(dir) {
        Ok((store, recovered)) => {
            tally.opened += 1;
            is_a_prefix(&store, &recovered, signed, when);
        }
        Err(error) => {
            tally.refused += 1;
            assert!(error.to_string().contains("trustnet repair"), "{when}: {error}");
            if !repairs {
                return;
            }
            let done = repair(dir, small(), CHAIN, "damaged-1", &Distrust::Nothing, &mut |_, _, _| {});
            let done = done.unwrap_or_else(|error| panic!("{when}: {error}"));
            assert!(done.findings.iter().any(Finding::is_damage), "{when}: {done:?}");
            let (store, recovered) =
                open(dir).unwrap_or_else(|error| panic!("{when}: {error} after {done:?}"));
            is_a_prefix(&store, &recovered, signed, when);
            assert!(
                matches!(recovered.signer, Signer::Lost(_)),
                "{when}: what was cut off may have been votes"
            );
        }
    }
}

/// Each directory, the last signature in it, which bytes are tried, and what it is.
fn directories() -> Vec<(MemDir, u64, usize, String)> {
    let mut found = Vec::new();
    for checkpoint in [false, true] {
        for vouched in [true, false] {
            let signed = if vouched { SIGNED } else { SIGNED - 1 };
            let step = if long_sweep() || (vouched && !checkpoint) { 1 } else { 16 };
            let what = format!("checkpoint {checkpoint}, vouched {vouched}");
            found.push((directory(checkpoint, vouched), signed, step, what));
        }
    }
    found
}

#[test]
fn every_byte_of_a_small_log_is_flipped() {
    for (whole, signed, step, what) in directories() {
        let original = whole.bytes(LOG).unwrap();
        let mut tally = Tally::default();
        for at in (0..original.len()).step_by(step) {
            let dir = whole.duplicate();
            let mut bytes = original.clone();
            bytes[at] ^= 1 << (at % 8);
            dir.set_bytes(LOG, bytes);
            try_out(&dir, signed, true, &mut tally, &format!("{what}: byte {at}"));
        }
        println!("{what}: {tally:?}");
        assert!(tally.opened > 1000, "{what}: {tally:?}");
    }
}

#[test]
fn a_small_log_is_cut_at_every_length() {
    for (whole, signed, step, what) in directories() {
        let original = whole.bytes(LOG).unwrap();
        let mut tally = Tally::default();
        for len in (0..original.len()).step_by(step) {
            let dir = whole.duplicate();
            dir.set_bytes(LOG, original[..len].to_vec());
            // A segment counts by whole pages: lengths between two of them are repaired alike.
            let repairs = long_sweep() || len % PAGE < 2 || len % PAGE == PAGE - 1 || len % 32 == 0;
            try_out(&dir, signed, repairs, &mut tally, &format!("{what}: cut to {len}"));
        }
        println!("{what}: {tally:?}");
        assert_eq!(tally.opened, 0, "{what}: every cut of a segment is noticed");
    }
}

#[test]
fn without_the_state_a_signer_record_with_a_bad_slot_is_not_believed() {
    let whole = directory(false, true);
    let mut lost = 0;
    for slot in [0, 1] {
        let dir = whole.duplicate();
        let mut bytes = dir.bytes("vote.lock").unwrap();
        bytes[slot * 2 * PAGE..][..2 * PAGE].fill(0);
        dir.set_bytes("vote.lock", bytes);
        lose(&dir, "state.redb");
        repair(&dir, small(), CHAIN, "damaged-1", &Distrust::Nothing, &mut |_, _, _| {}).unwrap();
        let (store, recovered) = open(&dir).unwrap();
        is_a_prefix(&store, &recovered, SIGNED, "both");
        assert_eq!(recovered.last_commit_height, HEIGHTS);
        lost += u64::from(matches!(recovered.signer, Signer::Lost(_)));
    }
    assert_eq!(lost, 2, "which slot was the newer one, nobody knows any more");
}
