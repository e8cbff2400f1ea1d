//! What is collected, and what is not.

use std::time::Duration;

use super::common::{
    LEASE, content, fresh, has_blob, image, index, manifest, open, push_blob, push_manifest, repo, sha256,
    tag, tagged,
};
use crate::collect::{Collected, Policy};
use crate::digest::Algorithm;
use crate::layout;
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::name::Reference;
use crate::upload_id::UploadId;

const UNTAGGED: Policy = Policy {
    untagged: Some(Duration::from_secs(1_000)),
    quarantine: Duration::from_secs(10_000),
    journal_bytes: u64::MAX,
};

#[test]
fn leases_protect() {
    let (memory, hand, store) = fresh();
    let a = repo("a");
    hand.advance(2 * LEASE);
    let digest = push_blob(&store, &a, b"x").unwrap();
    assert_eq!(store.collect(&Policy::default()).unwrap(), Collected::default());
    // Whoever asks for it gets another lease.
    hand.advance(LEASE * 3 / 4);
    store.stat_blob(&a, &digest).unwrap();
    hand.advance(LEASE * 3 / 4);
    assert_eq!(store.collect(&Policy::default()).unwrap(), Collected::default());
    // And so does who mounts it.
    assert!(store.mount_blob(&repo("b"), &digest, None, &|_| true).unwrap());
    hand.advance(LEASE * 3 / 4);
    assert_eq!(store.collect(&Policy::default()).unwrap(), Collected::default());
    hand.advance(LEASE);
    let done = store.collect(&Policy::default()).unwrap();
    assert_eq!((done.links, done.files, done.purged), (2, 1, 0));
    assert!(!has_blob(&store, &a, &digest));
    assert!(store.stat_blob(&a, &digest).is_err());
    // The file is kept for a while.
    let in_quarantine = |name: &String| name.starts_with(layout::QUARANTINE);
    assert!(memory.names().iter().any(in_quarantine));
    hand.advance(Duration::from_hours(25));
    assert_eq!(store.collect(&Policy::default()).unwrap().purged, 1);
    assert!(!memory.names().iter().any(in_quarantine));
}

#[test]
fn nothing_goes_soon_after_a_start() {
    let (memory, hand, store) = fresh();
    push_blob(&store, &repo("a"), b"x").unwrap();
    hand.advance(10 * LEASE);
    drop(store);
    // Leases of requests that only looked are not flushed; the start counts as one.
    let store = open(&memory, &hand).unwrap();
    assert_eq!(store.collect(&Policy::default()).unwrap(), Collected::default());
    hand.advance(LEASE);
    assert_eq!(store.collect(&Policy::default()).unwrap().files, 1);
}

#[test]
fn registry_time_goes_on_after_a_restart() {
    let (memory, hand, store) = fresh();
    hand.advance(Duration::from_hours(5));
    store.collect(&Policy::default()).unwrap();
    let before = store.now_ms();
    drop(store);
    // The machine's clock begins anew.
    let hand = super::common::Hand::default();
    assert_eq!(open(&memory, &hand).unwrap().now_ms(), before);
}

#[test]
fn what_manifests_need_stays() {
    let (_memory, hand, store) = fresh();
    let a = repo("a");
    let (config, layer) = (content(1, 10), content(2, 20));
    push_blob(&store, &a, &config).unwrap();
    push_blob(&store, &a, &layer).unwrap();
    let first = image(&config, &[&layer], None);
    push_manifest(&store, &a, &first, OCI_MANIFEST, &[]).unwrap();
    let list = index(&[&first]);
    push_manifest(&store, &a, &list, OCI_INDEX, &[tag("v1")]).unwrap();
    let attached = image(&config, &[], Some(&list));
    push_manifest(&store, &a, &attached, OCI_MANIFEST, &[]).unwrap();
    hand.advance(Duration::from_hours(10));
    assert_eq!(store.collect(&UNTAGGED).unwrap(), Collected::default());
    // Without its tag the index goes, with what it leads to and what is attached to it.
    store.delete_manifest(&a, &Reference::Tag(tag("v1"))).unwrap();
    assert_eq!(
        store.collect(&Policy::default()).unwrap(),
        Collected::default(),
        "unless the policy keeps it"
    );
    let done = store.collect(&UNTAGGED).unwrap();
    assert_eq!((done.manifests, done.links, done.files), (3, 2, 5));
    assert!(!has_blob(&store, &a, &sha256(&layer)));
}

#[test]
fn an_index_attached_to_its_own_image_does_not_keep_both() {
    let (_memory, hand, store) = fresh();
    let a = repo("a");
    let config = content(1, 10);
    push_blob(&store, &a, &config).unwrap();
    let first = image(&config, &[], None);
    push_manifest(&store, &a, &first, OCI_MANIFEST, &[]).unwrap();
    let subject = index(&[&first]);
    let descriptor = subject.split_once('[').unwrap().1.trim_end_matches("]}");
    let ring = format!("{},\"subject\":{descriptor}}}", subject.trim_end_matches('}'));
    push_manifest(&store, &a, &ring, OCI_INDEX, &[]).unwrap();
    hand.advance(Duration::from_hours(10));
    assert_eq!(store.collect(&UNTAGGED).unwrap().manifests, 2);
}

#[test]
fn young_manifests_and_those_asked_for_stay() {
    let (_memory, hand, store) = fresh();
    let a = repo("a");
    push_blob(&store, &a, b"{}").unwrap();
    let text = image(b"{}", &[], None);
    let pushed = push_manifest(&store, &a, &text, OCI_MANIFEST, &[]).unwrap();
    hand.advance(Duration::from_secs(900));
    assert_eq!(store.collect(&UNTAGGED).unwrap(), Collected::default());
    hand.advance(Duration::from_secs(200));
    let reference = Reference::Digest(pushed.digest);
    assert_eq!(manifest(&store, &a, &reference), Some(pushed.digest));
    assert_eq!(store.collect(&UNTAGGED).unwrap(), Collected::default());
    hand.advance(2 * LEASE);
    assert_eq!(store.collect(&UNTAGGED).unwrap().manifests, 1);
    assert_eq!(manifest(&store, &a, &reference), None);
}

#[test]
fn a_repository_does_not_keep_what_another_deleted() {
    let (_memory, hand, store) = fresh();
    let (a, b) = (repo("a"), repo("b"));
    let config = content(1, 10);
    for to in [&a, &b] {
        push_blob(&store, to, &config).unwrap();
        push_manifest(&store, to, &image(&config, &[], None), OCI_MANIFEST, &[tag("v1")]).unwrap();
    }
    store.delete_manifest(&a, &Reference::Tag(tag("v1"))).unwrap();
    hand.advance(Duration::from_hours(10));
    let done = store.collect(&UNTAGGED).unwrap();
    assert_eq!((done.manifests, done.links, done.files), (1, 1, 0));
    assert!(tagged(&store, &b, "v1").is_some() && has_blob(&store, &b, &sha256(&config)));
    assert!(tagged(&store, &a, "v1").is_none() && !has_blob(&store, &a, &sha256(&config)));
}

#[test]
fn files_that_nobody_knows_go() {
    let (memory, hand, store) = fresh();
    let digest = push_blob(&store, &repo("a"), b"x").unwrap();
    let text = image(b"x", &[], None);
    push_manifest(&store, &repo("a"), &text, OCI_MANIFEST, &[]).unwrap();
    let stranger = sha256(b"stranger");
    let files: std::sync::Arc<dyn crate::files::Files> = std::sync::Arc::new(memory.clone());
    files.make_dir(&layout::shard(&stranger)).unwrap();
    files.create(&layout::blob(&stranger)).unwrap().write_at(b"stranger", 0).unwrap();
    hand.advance(2 * LEASE);
    assert_eq!(store.collect(&Policy::default()).unwrap().orphans, 1);
    assert!(!memory.names().contains(&layout::blob(&stranger)));
    assert!(has_blob(&store, &repo("a"), &digest));
}

#[test]
fn uploads_at_rest_go_and_make_room() {
    let (memory, hand, store) = fresh();
    let a = repo("a");
    let start = |seconds: u64| {
        hand.advance(Duration::from_secs(seconds));
        store.uploads.start(UploadId::random().unwrap(), (&a, "anonymous"), Algorithm::Sha256, store.now_ms())
    };
    for _ in 0..8 {
        start(0).unwrap();
    }
    assert!(start(0).is_err());
    assert!(start(2_000).is_ok(), "those at rest made room");
    assert_eq!(store.collect(&Policy::default()).unwrap().uploads, 0);
    hand.advance(11 * LEASE);
    assert_eq!(store.collect(&Policy::default()).unwrap().uploads, 1);
    assert!(!memory.names().iter().any(|name| name.starts_with(layout::UPLOADS)));
}
