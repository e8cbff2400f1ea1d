//! Metadata that is damaged or gone is set aside and made again; what is closed opens as it was.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::common::{
    fresh, has_blob, image, open, options, push_blob, push_manifest, repo, sha256, tag, tagged,
};
use super::memory::{Memory, Restart};
use crate::error::RegistryError;
use crate::layout::METADATA;
use crate::manifest::OCI_MANIFEST;
use crate::meta::tags;
use crate::name::Reference;
use crate::store::Store;

const LAYER: &[u8] = b"a layer";

/// A small registry that was closed.
fn filled() -> (Memory, super::common::Hand) {
    let (memory, hand, store) = fresh();
    let a = repo("a/b");
    push_blob(&store, &a, b"{}").unwrap();
    push_blob(&store, &a, LAYER).unwrap();
    let first = image(b"{}", &[LAYER], None);
    push_manifest(&store, &a, &first, OCI_MANIFEST, &[tag("v1"), tag("v2")]).unwrap();
    let attached = image(b"{}", &[], Some(&first));
    push_manifest(&store, &a, &attached, OCI_MANIFEST, &[]).unwrap();
    store.delete_manifest(&a, &Reference::Tag(tag("v2"))).unwrap();
    (memory, hand)
}

fn check(store: &Store, when: &str) {
    let a = repo("a/b");
    let first = image(b"{}", &[LAYER], None);
    let digest = sha256(first.as_bytes());
    assert_eq!(tagged(store, &a, "v1"), Some(digest), "{when}");
    assert_eq!(tagged(store, &a, "v2"), None, "{when}");
    assert!(has_blob(store, &a, &sha256(LAYER)), "{when}");
    assert!(!has_blob(store, &repo("other"), &sha256(LAYER)), "{when}");
    let page = store.list_referrers(&a, &digest, Some("application/x.config"), None).unwrap();
    assert_eq!(page.descriptors.len(), 1, "{when}");
}

fn is_aside(memory: &Memory) -> bool {
    memory.names().iter().any(|name| name.starts_with("metadata.damaged-"))
}

#[test]
fn it_is_told_when_the_last_one_has_closed_it() {
    let (memory, hand, store) = fresh();
    let first = Arc::new(store);
    let mut closed = pin!(first.closed());
    let mut is_closed = || closed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    let last = Arc::clone(&first);
    drop(first);
    assert!(!is_closed() && open(&memory, &hand).is_err());
    drop(last);
    assert!(is_closed() && open(&memory, &hand).is_ok());
}

#[test]
fn it_opens_as_it_was_closed() {
    let (memory, hand) = filled();
    let store = open(&memory, &hand).unwrap();
    assert!(store.rebuilt().is_none());
    check(&store, "opened again");
    assert!(matches!(open(&memory, &hand), Err(RegistryError::InUse(_))));
}

#[test]
fn missing_metadata_is_made_again() {
    let (memory, hand) = filled();
    crate::files::Files::remove(&memory, METADATA).unwrap();
    let store = open(&memory, &hand).unwrap();
    let rebuilt = store.rebuilt().unwrap();
    assert_eq!((rebuilt.repositories, rebuilt.manifests, rebuilt.tags, rebuilt.files), (1, 2, 1, 4));
    assert_eq!((rebuilt.links, rebuilt.bad_lines, rebuilt.lost.len()), (2, 0, 0));
    check(&store, "made again");
}

#[test]
fn asked_for_it_is_made_again() {
    let (memory, hand) = filled();
    let store = Store::open_rebuilding(memory.clone(), &options(&hand)).unwrap();
    check(&store, "made again");
    assert!(store.rebuilt().is_some() && !is_aside(&memory));
}

#[test]
fn a_blob_that_was_given_up_is_not_held_again() {
    let (memory, hand) = filled();
    let (a, other, layer) = (repo("a/b"), repo("other"), sha256(LAYER));
    let rebuilt = || Store::open_rebuilding(memory.clone(), &options(&hand)).unwrap();
    let store = open(&memory, &hand).unwrap();
    push_blob(&store, &other, LAYER).unwrap();
    // A manifest still needs it, and its file stays.
    store.delete_blob(&a, &layer).unwrap();
    drop(store);
    let store = rebuilt();
    assert!(!has_blob(&store, &a, &layer) && has_blob(&store, &other, &layer));
    push_blob(&store, &a, LAYER).unwrap();
    drop(store);
    assert!(has_blob(&rebuilt(), &a, &layer));
}

#[test]
fn after_a_rebuild_no_tag_is_from_the_future() {
    let (memory, hand) = filled();
    let store = Store::open_rebuilding(memory.clone(), &options(&hand)).unwrap();
    let found = store.meta.read(|view| tags::get_with_time(view, &repo("a/b"), &tag("v1"))).unwrap();
    let (_, at_ms) = found.unwrap();
    assert!(0 < at_ms && at_ms < store.now_ms(), "{at_ms} {}", store.now_ms());
}

#[test]
fn a_rebuild_that_was_cut_short_begins_anew() {
    let (memory, hand) = filled();
    crate::files::Files::remove(&memory, METADATA).unwrap();
    let start = memory.steps();
    drop(open(&memory, &hand).unwrap());
    let steps = memory.steps() - start;
    for at in 1..=steps {
        let (memory, hand) = filled();
        crate::files::Files::remove(&memory, METADATA).unwrap();
        memory.fail_at(memory.steps() + at, super::memory::Fault::Stop);
        drop(open(&memory, &hand));
        memory.restart(Restart::Everything);
        check(&open(&memory, &hand).unwrap(), &format!("stopped at {at}"));
    }
}

#[test]
fn a_start_that_did_not_survive_opening_it_leads_to_another() {
    let (memory, hand) = filled();
    crate::files::Files::create(&memory, crate::layout::METADATA_OPENING).unwrap();
    let store = open(&memory, &hand).unwrap();
    assert!(store.rebuilt().is_some() && is_aside(&memory));
    check(&store, "made again");
    drop(store);
    assert!(open(&memory, &hand).unwrap().rebuilt().is_none(), "once");
}

#[test]
fn garbage_is_set_aside() {
    let (memory, hand) = filled();
    let good = memory.bytes(METADATA);
    let cases: [(&str, Vec<u8>); 5] = [
        ("zeros", vec![0; good.len()]),
        ("text", b"not a database".repeat(1000)),
        ("half", good[..good.len() / 2].to_vec()),
        ("few bytes", good[..100].to_vec()),
        ("ones", vec![0xff; 8192]),
    ];
    for (what, bytes) in cases {
        memory.set_bytes(METADATA, bytes);
        let store = open(&memory, &hand).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(store.rebuilt().is_some() && is_aside(&memory), "{what}");
        check(&store, what);
    }
}

#[test]
fn damage_anywhere_is_noticed_or_harmless() {
    let (memory, hand) = filled();
    let good = memory.bytes(METADATA);
    let mut rebuilt = 0;
    for at in (0..good.len()).step_by(good.len() / 400 + 1) {
        let mut bad = good.clone();
        let end = (at + 64).min(bad.len());
        bad[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        memory.set_bytes(METADATA, bad);
        let store = open(&memory, &hand).unwrap_or_else(|error| panic!("{at}: {error}"));
        rebuilt += u64::from(store.rebuilt().is_some());
        check(&store, &format!("damaged at {at}"));
        drop(store);
        let asides: Vec<_> =
            memory.names().into_iter().filter(|name| name.starts_with("metadata.damaged")).collect();
        for name in asides {
            crate::files::Files::remove(&memory, &name).unwrap();
        }
    }
    assert!(rebuilt > 0);
}

#[test]
fn a_journal_that_names_what_is_gone_says_so() {
    let (memory, hand) = filled();
    crate::files::Files::remove(&memory, METADATA).unwrap();
    crate::files::Files::remove(&memory, &crate::layout::blob(&sha256(LAYER))).unwrap();
    let journal = crate::layout::journal(&repo("a/b"));
    let mut text = memory.bytes(&journal);
    text.extend_from_slice(b"half a line");
    memory.set_bytes(&journal, text);
    let store = open(&memory, &hand).unwrap();
    let rebuilt = store.rebuilt().unwrap();
    assert_eq!(rebuilt.lost, [format!("blob {} of a/b", sha256(LAYER))]);
    assert_eq!(rebuilt.bad_lines, 1);
    assert!(tagged(&store, &repo("a/b"), "v1").is_some());
    push_blob(&store, &repo("a/b"), LAYER).unwrap();
    check(&store, "pushed again");
}

#[test]
fn a_file_of_another_length_is_not_taken_for_whole() {
    let (memory, hand) = filled();
    crate::files::Files::remove(&memory, METADATA).unwrap();
    memory.set_bytes(&crate::layout::blob(&sha256(LAYER)), b"a lay".to_vec());
    let store = open(&memory, &hand).unwrap();
    assert_eq!(store.rebuilt().unwrap().lost.len(), 1);
    assert_eq!(store.damaged().unwrap().len(), 1);
    assert!(!has_blob(&store, &repo("a/b"), &sha256(LAYER)));
    push_blob(&store, &repo("a/b"), LAYER).unwrap();
    check(&store, "pushed again");
}

#[test]
fn lines_of_a_failed_delete_do_not_outlive_it() {
    for at in 1.. {
        let (memory, hand) = filled();
        let store = open(&memory, &hand).unwrap();
        let before = memory.steps();
        memory.fail_at(before + at, super::memory::Fault::Error);
        let result = store.delete_manifest(&repo("a/b"), &Reference::Tag(tag("v1")));
        if memory.steps() - before < at {
            return;
        }
        store.collect(&crate::collect::Policy::default()).unwrap();
        // A transaction whose flush failed may have been carried out or not.
        let is_deleted = tagged(&store, &repo("a/b"), "v1").is_none();
        assert!(is_deleted || result.is_err());
        drop(store);
        crate::files::Files::remove(&memory, METADATA).unwrap();
        let store = open(&memory, &hand).unwrap();
        assert_eq!(tagged(&store, &repo("a/b"), "v1").is_none(), is_deleted, "{at}");
    }
}
