//! The disk fails, fills up or stops at every step of a life: what was acknowledged is there afterwards, what is served is
//! whole, and the registry goes on.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::common::{
    Hand, LEASE, content, has_blob, image, keep_manifest, manifest, open, options, push_blob, push_manifest,
    repo, sha256, tag, tagged,
};
use super::memory::{Fault, Memory, Restart};
use crate::collect::Policy;
use crate::digest::{Algorithm, Digest};
use crate::error::{RegistryError, Result};
use crate::manifest::OCI_MANIFEST;
use crate::name::Reference;
use crate::store::Store;
use crate::upload_id::UploadId;
use crate::uploads::Growing;

/// A blob of more than one piece.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| content(2, 1_100_000));

/// Something that can be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Blob(&'static str, Digest),
    Manifest(&'static str, Digest),
    Tag(&'static str, &'static str),
}

/// What each item may be. Two values while a change is under way, or after one that failed.
#[derive(Default)]
struct Model(BTreeMap<Item, Vec<Option<Digest>>>);

impl Model {
    /// Carries out a change, after which `items` have these values.
    fn change<T>(&mut self, items: &[(Item, Option<Digest>)], act: impl FnOnce() -> Result<T>) -> Result<T> {
        for (item, value) in items {
            self.0.entry(item.clone()).or_insert_with(|| vec![None]).push(*value);
        }
        let result = act()?;
        for (item, value) in items {
            self.0.insert(item.clone(), vec![*value]);
        }
        Ok(result)
    }

    /// Compares. `is_lenient`: the metadata was lost with the power, and links alone are not in flushed lines.
    fn check(&self, store: &Store, is_lenient: bool, when: &str) {
        for (item, allowed) in &self.0 {
            let actual = match item {
                Item::Blob(of, digest) => has_blob(store, &repo(of), digest).then_some(*digest),
                Item::Manifest(of, digest) => manifest(store, &repo(of), &Reference::Digest(*digest)),
                Item::Tag(of, name) => tagged(store, &repo(of), name),
            };
            if is_lenient && matches!(item, Item::Blob(..)) {
                continue;
            }
            assert!(allowed.contains(&actual), "{when}: {item:?} is {actual:?}, not one of {allowed:?}");
        }
    }
}

/// An upload in two chunks, as two requests.
fn push_in_chunks(store: &Store, name: &str, bytes: &[u8]) -> Result<()> {
    let id = UploadId::random().unwrap();
    let session = store.uploads.start(id, (&repo(name), "anonymous"), Algorithm::Sha256, store.now_ms())?;
    for chunk in bytes.chunks(bytes.len() / 2 + 1) {
        let mut growing = session.growing.try_lock().unwrap();
        store.uploads.wake(id, &mut growing)?.append(chunk)?;
    }
    let mut growing = session.growing.try_lock().unwrap();
    let Growing::Awake(ingest) = std::mem::replace(&mut *growing, Growing::Gone) else {
        panic!("it is awake")
    };
    store.push_blob(&repo(name), *ingest, sha256(bytes))?;
    store.uploads.end(id);
    Ok(())
}

/// A life of a registry with every kind of change in it.
fn live(memory: &Memory, hand: &Hand, model: &mut Model) -> Result<()> {
    let store = open(memory, hand)?;
    let (one, two) = (repo("one/a"), repo("two"));
    let (small, large, config) = (content(1, 3_000), &*LARGE, content(3, 200));
    let blob = |of, bytes: &[u8]| (Item::Blob(of, sha256(bytes)), Some(sha256(bytes)));
    model.change(&[blob("one/a", &small)], || push_blob(&store, &one, &small))?;
    model.change(&[blob("one/a", large)], || push_in_chunks(&store, "one/a", large))?;
    model.change(&[blob("one/a", &config)], || push_blob(&store, &one, &config))?;
    let first = image(&config, &[&small, large], None);
    let first_digest = sha256(first.as_bytes());
    let first_item = (Item::Manifest("one/a", first_digest), Some(first_digest));
    model.change(&[first_item, (Item::Tag("one/a", "v1"), Some(first_digest))], || {
        push_manifest(&store, &one, &first, OCI_MANIFEST, &[tag("v1")])
    })?;
    model
        .change(&[blob("two", &small)], || store.mount_blob(&two, &sha256(&small), Some(&one), &|_| true))?;
    let second = image(&config, &[], Some(&first));
    let second_digest = sha256(second.as_bytes());
    let second_item = Item::Manifest("one/a", second_digest);
    model.change(&[(second_item.clone(), Some(second_digest))], || {
        push_manifest(&store, &one, &second, OCI_MANIFEST, &[])
    })?;
    let tags =
        [(Item::Tag("one/a", "v1"), Some(second_digest)), (Item::Tag("one/a", "v2"), Some(second_digest))];
    model.change(&tags, || push_manifest(&store, &one, &second, OCI_MANIFEST, &[tag("v1"), tag("v2")]))?;
    model.change(&[(Item::Tag("one/a", "v1"), None)], || {
        store.delete_manifest(&one, &Reference::Tag(tag("v1")))
    })?;
    model.change(&[(second_item, None), (Item::Tag("one/a", "v2"), None)], || {
        store.delete_manifest(&one, &Reference::Digest(second_digest))
    })?;
    model
        .change(&[(Item::Blob("two", sha256(&small)), None)], || store.delete_blob(&two, &sha256(&small)))?;
    let waste = content(4, 500);
    model.change(&[blob("two", &waste)], || push_blob(&store, &two, &waste))?;
    hand.advance(2 * LEASE);
    let gone = [(Item::Blob("two", sha256(&waste)), None)];
    model.change(&gone, || store.collect(&Policy { journal_bytes: 1, ..Policy::default() }))?;
    hand.advance(2 * LEASE);
    store.collect(&Policy { quarantine: LEASE, ..Policy::default() })?;
    Ok(())
}

fn is_failure_of_the_disk(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Io { .. } | RegistryError::DiskFull { .. } | RegistryError::Metadata(_))
}

/// One fault at every step, then a restart.
fn fails_at_every_step(fault: Fault, restart: impl Fn(u64) -> Restart) {
    let steps = {
        let memory = Memory::default();
        live(&memory, &Hand::default(), &mut Model::default()).unwrap();
        memory.steps()
    };
    assert!(steps > 80, "{steps}");
    let mut failed = 0;
    for at in 1..=steps {
        let restart = restart(at);
        let when = format!("{fault:?} at {at}, {restart:?}");
        let (memory, hand, mut model) = (Memory::default(), Hand::default(), Model::default());
        memory.fail_at(at, fault);
        if let Err(error) = live(&memory, &hand, &mut model) {
            assert!(is_failure_of_the_disk(&error), "{when}: {error}");
            failed += 1;
        }
        memory.restart(restart);
        let store = open(&memory, &hand).unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(store.rebuilt().map(|rebuilt| rebuilt.files), None, "{when}: the metadata was whole");
        model.check(&store, false, &when);
        assert!(store.damaged().unwrap().is_empty(), "{when}");
        drop(store);
        // The same from the journals and the blobs alone.
        let store = Store::open_rebuilding(memory.clone(), &options(&hand)).unwrap();
        model.check(&store, restart != Restart::Everything, &format!("{when}, rebuilt"));
        drop(store);
        // It goes on as if nothing had been.
        live(&memory, &hand, &mut model).unwrap_or_else(|error| panic!("{when}: {error}"));
        let store = open(&memory, &hand).unwrap();
        model.check(&store, false, &format!("{when}, later"));
        // An upload that was begun may still be gone on with, for a while.
        hand.advance(11 * LEASE);
        store.collect(&Policy::default()).unwrap();
        let left = memory.names().into_iter().filter(|name| name.starts_with("uploads/")).count();
        assert_eq!(left, 0, "{when}: nothing is left of uploads");
    }
    assert!(failed > steps / 2, "{failed} of {steps} faults were noticed");
}

#[test]
fn the_process_ends_at_every_step() {
    fails_at_every_step(Fault::Stop, |_| Restart::Everything);
}

#[test]
fn the_power_goes_at_every_step() {
    fails_at_every_step(Fault::Stop, |_| Restart::Flushed);
}

#[test]
fn the_power_goes_and_names_outlive_their_content() {
    fails_at_every_step(Fault::Stop, |_| Restart::Names);
}

/// Each seed tears otherwise; `REGISTRY_TEARS` makes them more.
#[test]
fn the_power_goes_and_tears_what_was_not_flushed() {
    let tears = std::env::var("REGISTRY_TEARS").ok().and_then(|tears| tears.parse().ok()).unwrap_or(1);
    for seed in 0..tears {
        fails_at_every_step(Fault::Stop, |at| Restart::Torn(seed * 1_000_003 + at));
    }
}

#[test]
fn the_disk_fails_at_every_step() {
    fails_at_every_step(Fault::Error, |_| Restart::Everything);
}

#[test]
fn the_disk_is_full_at_every_step() {
    fails_at_every_step(Fault::Full, |_| Restart::Everything);
}

/// The same without a restart: the registry itself recovers when the disk does.
#[test]
fn the_registry_outlives_a_fault_without_a_restart() {
    let bytes = content(7, 10_000);
    for at in 1.. {
        let (memory, hand) = (Memory::default(), Hand::default());
        let store = open(&memory, &hand).unwrap();
        push_blob(&store, &repo("a"), b"before").unwrap();
        let before = memory.steps();
        memory.fail_at(before + at, Fault::Full);
        let result = push_blob(&store, &repo("a"), &bytes);
        let steps = memory.steps() - before;
        if let Err(error) = &result {
            assert!(is_failure_of_the_disk(error), "{at}: {error}");
            push_blob(&store, &repo("a"), &bytes).unwrap_or_else(|error| panic!("{at}: {error}"));
        }
        assert!(has_blob(&store, &repo("a"), &sha256(b"before")), "{at}");
        assert!(has_blob(&store, &repo("a"), &sha256(&bytes)), "{at}");
        if steps < at {
            break;
        }
    }
}

/// The line of a copy's blob is never flushed. Whoever relied on it has lines of their own, which are.
#[test]
fn what_relied_on_a_copy_outlives_the_power_and_the_metadata() {
    let (config, layer) = (content(1, 200), content(2, 3_000));
    let (copy, own, text) = (repo("up/a"), repo("own"), image(&config, &[&layer], None));
    let live = |memory: &Memory| -> Result<bool> {
        let store = open(memory, &Hand::default())?;
        keep_manifest(&store, &copy, &text, Some(&tag("v1")))?;
        for blob in [&config, &layer] {
            push_blob(&store, &copy, blob)?;
            assert!(store.mount_blob(&own, &sha256(blob), Some(&copy), &|_| true)?);
        }
        push_manifest(&store, &own, &text, OCI_MANIFEST, &[tag("v1")])?;
        Ok(true)
    };
    let steps = {
        let memory = Memory::default();
        assert!(live(&memory).unwrap());
        memory.steps()
    };
    let mut acknowledged = 0;
    for at in 1..=steps {
        for restart in [Restart::Flushed, Restart::Names, Restart::Torn(at)] {
            let when = format!("at {at}, {restart:?}");
            let memory = Memory::default();
            memory.fail_at(at, Fault::Stop);
            let is_acknowledged = live(&memory).unwrap_or(false);
            memory.restart(restart);
            let store = Store::open_rebuilding(memory, &options(&Hand::default())).unwrap();
            let is_there = tagged(&store, &own, "v1") == Some(sha256(text.as_bytes()));
            assert!(is_there || !is_acknowledged, "{when}");
            for blob in [&config, &layer] {
                assert!(has_blob(&store, &own, &sha256(blob)) || !is_there, "{when}");
                // Here or not, it is whole.
                has_blob(&store, &copy, &sha256(blob));
            }
            acknowledged += u64::from(is_acknowledged);
        }
    }
    assert!(acknowledged > 0);
}
