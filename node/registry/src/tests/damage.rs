//! Files that rot: found, taken out of service, healed.

use super::common::{
    LEASE, content, fresh, has_blob, image, open, push_blob, push_manifest, repo, sha256, tag, tagged,
};
use super::memory::Memory;
use crate::collect::Policy;
use crate::layout;
use crate::manifest::OCI_MANIFEST;
use crate::scrub::{Depth, Scrubbed};
use crate::store::Store;

fn round(store: &Store, depth: Depth) -> Vec<Scrubbed> {
    let mut all = Vec::new();
    while let Some(scrubbed) = store.scrub_next(depth, &mut |_| true).unwrap() {
        all.push(scrubbed);
    }
    all
}

fn flip(memory: &Memory, name: &str, at: usize) {
    let mut bytes = memory.bytes(name);
    bytes[at] ^= 0x10;
    memory.set_bytes(name, bytes);
}

#[test]
fn sound_files_stay_in_service() {
    let (_memory, _hand, store) = fresh();
    assert!(round(&store, Depth::Pieces).is_empty());
    push_blob(&store, &repo("a"), &content(1, 2_500_000)).unwrap();
    push_blob(&store, &repo("a"), b"").unwrap();
    for depth in [Depth::Pieces, Depth::Digest, Depth::Pieces] {
        let all = round(&store, depth);
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|one| !one.is_damaged), "{all:?}");
    }
}

#[test]
fn a_flipped_bit_is_found_pinned_and_healed() {
    let (memory, hand, store) = fresh();
    let (a, b) = (repo("a"), repo("b"));
    let large = content(1, 3_500_000);
    let digest = push_blob(&store, &a, &large).unwrap();
    store.mount_blob(&b, &digest, Some(&a), &|_| true).unwrap();
    push_blob(&store, &a, b"{}").unwrap();
    push_manifest(&store, &a, &image(b"{}", &[&large], None), OCI_MANIFEST, &[tag("v1")]).unwrap();
    flip(&memory, &layout::blob(&digest), 2_200_000);
    let damaged: Vec<_> = round(&store, Depth::Pieces).into_iter().filter(|one| one.is_damaged).collect();
    assert_eq!(damaged.len(), 1);
    let told = store.damaged().unwrap();
    assert_eq!((told.len(), told[0].0, &told[0].1.pieces), (1, digest, &vec![2]));
    assert!(!has_blob(&store, &a, &digest) && !has_blob(&store, &b, &digest));
    assert!(store.stat_blob(&a, &digest).is_err(), "so that a client pushes it again");
    assert!(memory.names().iter().any(|name| name.starts_with("quarantine/")));
    // A collection does not make it worse.
    hand.advance(2 * LEASE);
    store.collect(&Policy::default()).unwrap();
    push_blob(&store, &a, &large).unwrap();
    assert!(store.damaged().unwrap().is_empty());
    assert!(has_blob(&store, &a, &digest));
    assert!(round(&store, Depth::Digest).iter().all(|one| !one.is_damaged));
}

#[test]
fn small_files_and_manifests_are_looked_at_by_digest() {
    let (memory, _hand, store) = fresh();
    let a = repo("a");
    let digest = push_blob(&store, &a, b"{}").unwrap();
    let text = image(b"{}", &[], None);
    push_manifest(&store, &a, &text, OCI_MANIFEST, &[tag("v1")]).unwrap();
    flip(&memory, &layout::blob(&sha256(text.as_bytes())), 3);
    let damaged: Vec<_> = round(&store, Depth::Pieces).into_iter().filter(|one| one.is_damaged).collect();
    assert_eq!(damaged[0].digest, sha256(text.as_bytes()));
    assert_eq!(tagged(&store, &a, "v1"), None);
    push_manifest(&store, &a, &text, OCI_MANIFEST, &[]).unwrap();
    assert!(tagged(&store, &a, "v1").is_some(), "pushed again, the tag means it again");
    assert!(has_blob(&store, &a, &digest));
}

#[test]
fn a_spoilt_list_of_pieces_is_made_again() {
    let (memory, _hand, store) = fresh();
    let large = content(1, 2_500_000);
    let digest = push_blob(&store, &repo("a"), &large).unwrap();
    let name = layout::pieces(&digest);
    let good = memory.bytes(&name);
    flip(&memory, &name, 60);
    assert!(round(&store, Depth::Pieces).iter().all(|one| !one.is_damaged));
    assert_eq!(memory.bytes(&name), good);
    memory.set_bytes(&name, Vec::new());
    assert!(round(&store, Depth::Pieces).iter().all(|one| !one.is_damaged));
    assert_eq!(memory.bytes(&name), good);
}

#[test]
fn a_file_that_is_cut_or_gone_is_noticed_when_it_is_asked_for() {
    let (memory, hand, store) = fresh();
    let a = repo("a");
    let (cut, gone) = (content(1, 1_000), content(2, 1_000));
    push_blob(&store, &a, &cut).unwrap();
    push_blob(&store, &a, &gone).unwrap();
    memory.set_bytes(&layout::blob(&sha256(&cut)), cut[..999].to_vec());
    crate::files::Files::remove(&memory, &layout::blob(&sha256(&gone))).unwrap();
    assert!(!has_blob(&store, &a, &sha256(&cut)) && !has_blob(&store, &a, &sha256(&gone)));
    assert_eq!(store.damaged().unwrap().len(), 2);
    drop(store);
    let store = open(&memory, &hand).unwrap();
    assert_eq!(store.damaged().unwrap().len(), 2, "a restart does not forget it");
    push_blob(&store, &a, &gone).unwrap();
    assert!(has_blob(&store, &a, &sha256(&gone)));
}

#[test]
fn a_round_goes_on_after_a_restart() {
    let (memory, hand, store) = fresh();
    for number in 0..10_u8 {
        push_blob(&store, &repo("a"), &[number]).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(store.scrub_next(Depth::Pieces, &mut |_| true).unwrap().unwrap().digest);
    }
    store.collect(&Policy::default()).unwrap();
    drop(store);
    let store = open(&memory, &hand).unwrap();
    seen.extend(round(&store, Depth::Pieces).iter().map(|one| one.digest));
    assert_eq!(seen.len(), 10);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 10);
}

#[test]
fn rounds_are_due_by_registry_time() {
    let (memory, hand, store) = fresh();
    push_blob(&store, &repo("a"), b"x").unwrap();
    push_blob(&store, &repo("a"), b"y").unwrap();
    assert_eq!(store.scrub_due(500).unwrap(), (0, 500));
    hand.advance(LEASE);
    store.scrub_next(Depth::Pieces, &mut |_| true).unwrap();
    assert_eq!(store.scrub_due(500).unwrap(), (0, 0), "a round that has begun is due");
    round(&store, Depth::Pieces);
    let ended = store.now_ms();
    assert_eq!(store.scrub_due(500).unwrap(), (1, ended + 500));
    drop(store);
    let store = open(&memory, &super::common::Hand::default()).unwrap();
    assert_eq!((store.now_ms(), store.scrub_due(500).unwrap()), (ended, (1, ended + 500)));
}

#[test]
fn a_damaged_blob_can_be_deleted() {
    let (memory, _hand, store) = fresh();
    let digest = push_blob(&store, &repo("a"), b"x").unwrap();
    memory.set_bytes(&layout::blob(&digest), Vec::new());
    assert!(!has_blob(&store, &repo("a"), &digest));
    store.delete_blob(&repo("a"), &digest).unwrap();
    assert!(store.delete_blob(&repo("a"), &digest).is_err());
}
