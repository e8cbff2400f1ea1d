//! What may be stored: quotas, immutable tags, retention.

use std::path::Path;
use std::time::Duration;

use super::common::{
    Hand, LEASE, fresh, has_blob, image, index, manifest, open, push_blob, push_manifest, repo, sha256, tag,
    tagged,
};
use super::memory::{Memory, Restart};
use crate::collect::Policy;
use crate::error::RegistryError;
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::name::Reference;
use crate::settings::{LiveSettings, Settings};
use crate::store::Store;

/// Bytes that no other number gives.
fn bytes(number: u64, len: usize) -> Vec<u8> {
    super::common::content(2 * number, len)
}

const DAY: Duration = Duration::from_hours(24);

fn govern(store: &Store, text: &str) {
    let settings = Settings::parse(text, Path::new("registry.toml")).unwrap();
    store.govern(LiveSettings::fixed(settings.compile().unwrap()));
}

/// Pushes an image under a tag; gives its text.
fn push_image(store: &Store, to: &str, name: &str, seed: u64) -> String {
    let to = repo(to);
    let (config, layer) = (bytes(seed, 50), bytes(seed + 1_000, 500));
    push_blob(store, &to, &config).unwrap();
    push_blob(store, &to, &layer).unwrap();
    let text = image(&config, &[&layer], None);
    push_manifest(store, &to, &text, OCI_MANIFEST, &[tag(name)]).unwrap();
    text
}

fn is_over_quota<T: std::fmt::Debug>(result: Result<T, RegistryError>, of: &str) {
    match result {
        Err(RegistryError::QuotaExceeded { what, .. }) => assert_eq!(what, of),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_held_is_counted() {
    let (memory, hand, store) = fresh();
    let (a, b) = (repo("a"), repo("b"));
    let held = |store: &Store| {
        let of = |repo| store.held_bytes(repo).unwrap();
        (of(&a), of(&b), store.stored_bytes().unwrap())
    };
    assert_eq!(held(&store), (0, 0, 0));
    let blob = bytes(1, 300);
    push_blob(&store, &a, &blob).unwrap();
    push_blob(&store, &a, &blob).unwrap();
    assert_eq!(held(&store), (300, 0, 300), "once, however often it is pushed");
    assert!(store.mount_blob(&b, &sha256(&blob), Some(&a), &|_| true).unwrap());
    assert!(store.mount_blob(&b, &sha256(&blob), Some(&a), &|_| true).unwrap());
    assert_eq!(held(&store), (300, 300, 300), "a file that two hold is stored once");
    let text = image(&blob, &[], None);
    push_manifest(&store, &a, &text, OCI_MANIFEST, &[tag("x")]).unwrap();
    push_manifest(&store, &a, &text, OCI_MANIFEST, &[tag("y")]).unwrap();
    let len = text.len() as u64;
    assert_eq!(held(&store), (300 + len, 300, 300 + len));
    // Damage takes a file out of service, not out of what the repositories hold; the same content heals it.
    let placed = store.placed.load(std::sync::atomic::Ordering::SeqCst);
    assert!(store.report_damage(&sha256(&blob), Vec::new(), placed).unwrap());
    assert_eq!(held(&store), (300 + len, 300, len));
    push_blob(&store, &a, &blob).unwrap();
    assert_eq!(held(&store), (300 + len, 300, 300 + len));
    // The same after a restart, and when all is made again from the journals.
    drop(store);
    let store = open(&memory, &hand).unwrap();
    assert_eq!(held(&store), (300 + len, 300, 300 + len));
    drop(store);
    let store = Store::open_rebuilding(memory.clone(), &super::common::options(&hand)).unwrap();
    assert_eq!(held(&store), (300 + len, 300, 300 + len));
    let digest = Reference::Digest(sha256(text.as_bytes()));
    store.delete_manifest(&a, &digest).unwrap();
    store.delete_blob(&a, &sha256(&blob)).unwrap();
    assert_eq!(held(&store), (0, 300, 300 + len));
    store.delete_blob(&b, &sha256(&blob)).unwrap();
    hand.advance(3 * LEASE);
    store.collect(&Policy::default()).unwrap();
    assert_eq!(held(&store), (0, 0, 0));
}

#[test]
fn metadata_of_earlier_versions_is_counted_once() {
    use crate::meta::tables::{HOLDERS, STATE, USAGE, View as _};
    let (memory, hand, store) = fresh();
    let text = push_image(&store, "a/b", "x", 1);
    let expected = (store.held_bytes(&repo("a/b")).unwrap(), store.stored_bytes().unwrap());
    assert_eq!(expected, (550 + text.len() as u64, 550 + text.len() as u64));
    // As it was before anything was counted.
    let forget = |txn: &redb::WriteTransaction| {
        for key in txn.keys(HOLDERS, &[], None, usize::MAX)? {
            crate::meta::tables::put(txn, HOLDERS, &key, &[])?;
        }
        txn.open_table(USAGE)?.retain(|_, _| false)?;
        crate::meta::tables::remove(txn, STATE, b"stored")
    };
    assert!(store.meta.write(crate::meta::database::Durable::Now, forget).unwrap());
    drop(store);
    let store = open(&memory, &hand).unwrap();
    assert_eq!((store.held_bytes(&repo("a/b")).unwrap(), store.stored_bytes().unwrap()), expected);
}

#[test]
fn quotas_end_pushes_but_nothing_else() {
    let (_, _, store) = fresh();
    govern(
        &store,
        "[[quota]]\nrepositories = \"team/*\"\nmax = 1000\n[[quota]]\nrepositories = \"team/b\"\nmax = 300",
    );
    let (a, b, other) = (repo("team/a"), repo("team/b"), repo("other"));
    let blob = bytes(1, 600);
    push_blob(&store, &a, &blob).unwrap();
    is_over_quota(push_blob(&store, &b, &bytes(2, 301)), "team/b");
    is_over_quota(push_blob(&store, &b, &bytes(3, 401)), "team/b");
    push_blob(&store, &b, &bytes(4, 300)).unwrap();
    is_over_quota(push_blob(&store, &a, &bytes(5, 101)), "team/*");
    is_over_quota(store.mount_blob(&b, &sha256(&blob), Some(&a), &|_| true), "team/*");
    assert!(!has_blob(&store, &b, &sha256(&blob)));
    push_blob(&store, &a, &bytes(6, 100)).unwrap();
    let text = image(&blob, &[], None);
    is_over_quota(push_manifest(&store, &a, &text, OCI_MANIFEST, &[tag("x")]), "team/*");
    assert_eq!(tagged(&store, &a, "x"), None);
    // What is there can be pushed again, read, and deleted; others have room.
    push_blob(&store, &other, &bytes(7, 5_000)).unwrap();
    assert!(has_blob(&store, &a, &sha256(&blob)));
    store.delete_blob(&b, &sha256(&bytes(4, 300))).unwrap();
    push_manifest(&store, &a, &text, OCI_MANIFEST, &[tag("x")]).unwrap();
    push_manifest(&store, &a, &text, OCI_MANIFEST, &[tag("y")]).unwrap();
    assert_eq!(tagged(&store, &a, "y"), Some(sha256(text.as_bytes())));
}

#[test]
fn the_whole_registry_has_a_limit_that_counts_files_once() {
    let (_, _, store) = fresh();
    govern(&store, "[storage]\nmax = 1000\nmin_free = 0\nmin_free_percent = 0");
    let (a, b) = (repo("a"), repo("b"));
    let blob = bytes(1, 600);
    push_blob(&store, &a, &blob).unwrap();
    assert!(store.mount_blob(&b, &sha256(&blob), None, &|_| true).unwrap());
    push_blob(&store, &b, &bytes(2, 400)).unwrap();
    is_over_quota(push_blob(&store, &a, &bytes(3, 1)), "the registry");
    assert_eq!(store.stored_bytes().unwrap(), 1_000);
}

#[test]
fn pushes_at_once_do_not_pass_a_quota_together() {
    let (_, _, store) = fresh();
    govern(&store, "[[quota]]\nrepositories = \"*\"\nmax = 1000");
    let pushed: usize = std::thread::scope(|scope| {
        let push = |seed| usize::from(push_blob(&store, &repo("a"), &bytes(seed, 300)).is_ok());
        let threads: Vec<_> = (10..18).map(|seed| scope.spawn(move || push(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((pushed, store.held_bytes(&repo("a")).unwrap()), (3, 900));
}

#[test]
fn immutable_tags_cannot_be_moved_or_undermined() {
    let (_, _, store) = fresh();
    let a = repo("team/a");
    let first = push_image(&store, "team/a", "v1", 1);
    let second = push_image(&store, "team/a", "latest", 2);
    let all = index(&[&second]);
    push_manifest(&store, &a, &all, OCI_INDEX, &[tag("v2")]).unwrap();
    govern(&store, "[[immutable]]\nrepositories = [\"team/*\"]\ntags = [\"v*\"]");
    let is_immutable = |result: Result<(), RegistryError>, name: &str| match result {
        Err(RegistryError::TagImmutable(found)) => assert_eq!(found, tag(name)),
        other => panic!("{name}: {other:?}"),
    };
    let push = |text: &str, names: &[&str]| {
        let tags: Vec<_> = names.iter().map(|name| tag(name)).collect();
        push_manifest(&store, &a, text, OCI_MANIFEST, &tags).map(drop)
    };
    is_immutable(push(&second, &["v1"]), "v1");
    is_immutable(push(&second, &["free", "v1"]), "v1");
    assert_eq!(tagged(&store, &a, "free"), None, "all or nothing");
    is_immutable(store.move_tag(&a, &tag("v1"), &sha256(second.as_bytes())).map(drop), "v1");
    push(&first, &["v1"]).unwrap();
    push(&second, &["v3"]).unwrap();
    is_immutable(push(&first, &["v3"]), "v3");
    let delete = |reference: Reference| store.delete_manifest(&a, &reference);
    let by_digest = |text: &str| Reference::Digest(sha256(text.as_bytes()));
    is_immutable(delete(Reference::Tag(tag("v1"))), "v1");
    is_immutable(delete(by_digest(&first)), "v1");
    is_immutable(delete(by_digest(&all)), "v2");
    is_immutable(delete(by_digest(&second)), "v3");
    // A layer that only an immutable tag's image needs, and one that an index leads to.
    is_immutable(store.delete_blob(&a, &sha256(&bytes(1_001, 500))), "v1");
    govern(&store, "[[immutable]]\nrepositories = [\"team/a\"]\ntags = [\"v2\"]");
    is_immutable(store.delete_blob(&a, &sha256(&bytes(1_002, 500))), "v2");
    is_immutable(delete(by_digest(&second)), "v2");
    delete(Reference::Tag(tag("latest"))).unwrap();
    delete(by_digest(&first)).unwrap();
    assert!(matches!(delete(Reference::Tag(tag("nothing"))), Err(RegistryError::ManifestUnknown(_))));
    // Elsewhere the same names are free.
    push_image(&store, "other", "v2", 3);
    store.delete_manifest(&repo("other"), &Reference::Tag(tag("v2"))).unwrap();
    assert_eq!(tagged(&store, &a, "v2"), Some(sha256(all.as_bytes())));
    assert_eq!(manifest(&store, &a, &by_digest(&second)), Some(sha256(second.as_bytes())));
}

const KEEP_TWO: &str = "[[retention]]\nrepositories = [\"ci/*\"]\nkeep_newest = 2";

fn names(removals: &[crate::Removal]) -> Vec<String> {
    removals.iter().map(|removal| removal.tag.to_string()).collect()
}

#[test]
fn retention_removes_tags_and_what_only_they_kept() {
    let (_, hand, store) = fresh();
    let ci = repo("ci/app");
    hand.advance(2 * LEASE);
    let mut texts = Vec::new();
    for number in 0..4 {
        hand.advance(DAY);
        texts.push(push_image(&store, "ci/app", &format!("b{number}"), number));
    }
    // An image that hangs on another, and one that another tag needs as well.
    let subject = Some(texts[0].as_str());
    let signature = image(&bytes(0, 50), &[], subject);
    push_manifest(&store, &ci, &signature, OCI_MANIFEST, &[]).unwrap();
    let kept = index(&[&texts[1]]);
    hand.advance(DAY);
    push_manifest(&store, &ci, &kept, OCI_INDEX, &[tag("z")]).unwrap();
    push_image(&store, "other", "b0", 0);
    assert!(store.plan_retention().unwrap().is_empty() && store.apply_retention().unwrap().is_empty());
    govern(&store, KEEP_TWO);
    let planned = store.plan_retention().unwrap();
    assert_eq!(names(&planned), ["b2", "b1", "b0"]);
    assert_eq!(planned[2].age_ms, 4 * DAY.as_millis() as u64);
    assert!(tagged(&store, &ci, "b0").is_some(), "a plan removes nothing");
    // Looking leased it; and what was just pushed is leased, too.
    assert_eq!(names(&store.apply_retention().unwrap()), ["b2"]);
    hand.advance(2 * LEASE);
    assert_eq!(names(&store.apply_retention().unwrap()), ["b1", "b0"]);
    assert!(store.apply_retention().unwrap().is_empty());
    let by_digest = |text: &str| manifest(&store, &ci, &Reference::Digest(sha256(text.as_bytes())));
    assert!(by_digest(&texts[1]).is_some(), "an index needs it");
    assert!(by_digest(&texts[0]).is_none() && by_digest(&texts[2]).is_none());
    assert!(by_digest(&signature).is_none(), "it hung on what is gone");
    assert!(by_digest(&texts[3]).is_some() && tagged(&store, &ci, "z").is_some());
    assert!(tagged(&store, &repo("other"), "b0").is_some());
    hand.advance(2 * LEASE);
    assert!(store.collect(&Policy::default()).unwrap().links >= 4);
    assert!(!has_blob(&store, &ci, &sha256(&bytes(1_000, 500))));
    assert!(has_blob(&store, &ci, &sha256(&bytes(1_001, 500))));
}

#[test]
fn what_is_attached_by_its_name_goes_with_what_it_is_attached_to() {
    let (_, hand, store) = fresh();
    let ci = repo("ci/app");
    let name = |text: &str| format!("sha256-{}.sig", sha256(text.as_bytes()).hex());
    let mut names_of_signatures = Vec::new();
    for number in 0..4 {
        hand.advance(DAY);
        let text = push_image(&store, "ci/app", &format!("b{number}"), number);
        hand.advance(DAY);
        push_image(&store, "ci/app", &name(&text), 10 + number);
        names_of_signatures.push(name(&text));
    }
    // Of something that is elsewhere: a tag like any other, and an old one.
    let elsewhere = name("something else");
    govern(&store, KEEP_TWO);
    hand.advance(2 * LEASE);
    assert_eq!(names(&store.plan_retention().unwrap()), ["b1", "b0"]);
    push_image(&store, "ci/app", &elsewhere, 20);
    hand.advance(2 * LEASE);
    assert_eq!(names(&store.apply_retention().unwrap()), ["b2", "b1", "b0"]);
    for (number, signature) in names_of_signatures.iter().enumerate() {
        assert_eq!(tagged(&store, &ci, signature).is_some(), number == 3, "{number}");
    }
    assert!(tagged(&store, &ci, &elsewhere).is_some() && tagged(&store, &ci, "b3").is_some());
    // Its manifest went as well, not only its tag.
    hand.advance(2 * LEASE);
    store.collect(&Policy::default()).unwrap();
    assert!(!has_blob(&store, &ci, &sha256(&bytes(1_010, 500))));
    assert!(has_blob(&store, &ci, &sha256(&bytes(1_013, 500))));
}

#[test]
fn a_tag_that_is_pushed_again_is_new() {
    let (_, hand, store) = fresh();
    hand.advance(2 * LEASE);
    for number in 0..3 {
        push_image(&store, "ci/app", &format!("b{number}"), number);
        hand.advance(DAY);
    }
    push_image(&store, "ci/app", "b0", 0);
    govern(&store, KEEP_TWO);
    hand.advance(2 * LEASE);
    assert_eq!(names(&store.apply_retention().unwrap()), ["b1"]);
}

#[test]
fn the_order_of_tags_outlives_the_metadata() {
    let (memory, hand, store) = fresh();
    // In an order that is not that of their names, and through a journal that was written anew.
    for (number, name) in ["m", "z", "a", "k"].into_iter().enumerate() {
        hand.advance(DAY);
        push_image(&store, "ci/app", name, number as u64);
        push_image(&store, "ci/app", "moving", number as u64);
    }
    let policy = Policy { journal_bytes: 0, ..Policy::default() };
    for _ in 0..20 {
        push_image(&store, "ci/app", "moving", 3);
    }
    assert_eq!(store.collect(&policy).unwrap().journals, 1);
    drop(store);
    let store = Store::open_rebuilding(memory.clone(), &super::common::options(&hand)).unwrap();
    govern(&store, KEEP_TWO);
    assert_eq!(names(&store.plan_retention().unwrap()), ["a", "z", "m"]);
    assert!(store.apply_retention().unwrap().is_empty(), "nothing soon after a start");
    hand.advance(2 * LEASE);
    assert_eq!(names(&store.apply_retention().unwrap()), ["a", "z", "m"]);
    assert!(
        tagged(&store, &repo("ci/app"), "k").is_some() && tagged(&store, &repo("ci/app"), "moving").is_some()
    );
}

#[test]
fn what_is_counted_survives_a_power_cut_at_every_step() {
    for step in 1..400 {
        let (memory, hand) = (Memory::default(), Hand::default());
        let store = open(&memory, &hand).unwrap();
        let blob = bytes(1, 300);
        memory.fail_at(step, super::memory::Fault::Stop);
        let done = push_blob(&store, &repo("a"), &blob).is_ok()
            && store.mount_blob(&repo("b"), &sha256(&blob), None, &|_| true).is_ok()
            && store.delete_blob(&repo("a"), &sha256(&blob)).is_ok();
        drop(store);
        memory.restart(Restart::Flushed);
        let store = open(&memory, &hand).unwrap();
        for name in ["a", "b"] {
            let held = if has_blob(&store, &repo(name), &sha256(&blob)) { 300 } else { 0 };
            assert_eq!(store.held_bytes(&repo(name)).unwrap(), held, "step {step}, {name}");
        }
        if done {
            return;
        }
    }
    panic!("more steps than there should be");
}
