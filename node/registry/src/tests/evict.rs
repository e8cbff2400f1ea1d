//! Copies of upstreams make way, and nothing else does.

use std::path::Path;
use std::time::Duration;

use super::common::{
    Hand, LEASE, content, fresh, has_blob, image, index, keep_manifest, manifest, open, options, push_blob,
    push_manifest, repo, sha256, tag, tagged,
};
use super::memory::{Fault, Memory};
use crate::collect::Policy;
use crate::digest::Digest;
use crate::evict::Keeping;
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::meta::pulled;
use crate::name::Reference;
use crate::policy::eviction::Terms;
use crate::settings::{LiveSettings, Settings};
use crate::store::Store;

const DAY: Duration = Duration::from_hours(24);
pub(super) const LAYER_BYTES: usize = 10_000;

pub(super) fn keeping(prefix: &str, keep: Option<Duration>, max_bytes: Option<u64>) -> Keeping {
    let keep_ms = keep.map(|keep| keep.as_millis() as u64);
    Keeping { repositories: format!("{prefix}/*").parse().unwrap(), terms: Terms { keep_ms, max_bytes } }
}

pub(super) fn govern(store: &Store, text: &str) {
    let settings = Settings::parse(text, Path::new("registry.toml")).unwrap();
    store.govern(LiveSettings::fixed(settings.compile().unwrap()));
}

/// An image of a configuration and a layer that no other seed gives.
pub(super) fn an_image(seed: u64) -> (String, [Vec<u8>; 2]) {
    let blobs = [content(4 * seed, 100), content(4 * seed + 2, LAYER_BYTES)];
    (image(&blobs[0], &[&blobs[1]], None), blobs)
}

/// Keeps an image as a pull does.
pub(super) fn pull(store: &Store, to: &str, name: &str, seed: u64) -> Digest {
    let ((text, blobs), to) = (an_image(seed), repo(to));
    keep_manifest(store, &to, &text, Some(&tag(name))).unwrap();
    for blob in &blobs {
        push_blob(store, &to, blob).unwrap();
    }
    sha256(text.as_bytes())
}

/// Pushes one.
pub(super) fn push(store: &Store, to: &str, name: &str, seed: u64) -> Digest {
    let ((text, blobs), to) = (an_image(seed), repo(to));
    for blob in &blobs {
        push_blob(store, &to, blob).unwrap();
    }
    push_manifest(store, &to, &text, OCI_MANIFEST, &[tag(name)]).unwrap().digest
}

pub(super) fn is_there(store: &Store, of: &str, digest: Digest) -> bool {
    store.meta.read(|view| crate::meta::manifests::get(view, &repo(of), &digest)).unwrap().is_some()
}

#[test]
fn what_nobody_pulled_for_days_goes_and_its_blobs_with_the_collection() {
    let (_, hand, store) = fresh();
    store.keep_copies(vec![keeping("up", Some(3 * DAY), None)]);
    let (old, used) = (pull(&store, "up/a", "old", 1), pull(&store, "up/a", "used", 2));
    for _ in 0..3 {
        hand.advance(DAY);
        assert_eq!(tagged(&store, &repo("up/a"), "used"), Some(used));
        assert_eq!(store.evict().unwrap(), 0);
    }
    hand.advance(Duration::from_secs(1));
    // What a client was told of a moment ago stays: that of `used` is young anyway.
    assert_eq!(store.evict().unwrap(), 1);
    assert!(!is_there(&store, "up/a", old) && is_there(&store, "up/a", used));
    assert_eq!(tagged(&store, &repo("up/a"), "old"), None);
    let (_, [_, layer]) = an_image(1);
    assert!(has_blob(&store, &repo("up/a"), &sha256(&layer)), "until it is collected");
    assert_eq!(store.collect(&Policy::default()).unwrap().files, 3);
    assert!(!has_blob(&store, &repo("up/a"), &sha256(&layer)));
    assert_eq!(store.metrics.evicted.get(), 1);
    // Fetched anew it is as any other.
    let again = pull(&store, "up/a", "old", 1);
    assert_eq!((again, tagged(&store, &repo("up/a"), "old")), (old, Some(old)));
}

#[test]
fn what_was_pushed_is_no_copy_when_the_upstream_has_the_same() {
    let (files, hand, store) = fresh();
    let own = push(&store, "up/a", "v1", 1);
    store.keep_copies(vec![keeping("up", Some(DAY), Some(0))]);
    assert_eq!(pull(&store, "up/a", "latest", 1), own);
    hand.advance(3 * DAY);
    assert_eq!(store.evict().unwrap(), 0);
    assert_eq!(
        (tagged(&store, &repo("up/a"), "v1"), tagged(&store, &repo("up/a"), "latest")),
        (Some(own), Some(own))
    );
    // Neither is it after its metadata was made again.
    drop(store);
    let store = Store::open_rebuilding(files, &options(&hand)).unwrap();
    store.keep_copies(vec![keeping("up", Some(DAY), Some(0))]);
    hand.advance(3 * DAY);
    assert_eq!(store.evict().unwrap(), 0);
    assert!(is_there(&store, "up/a", own));
}

#[test]
fn above_the_limit_those_go_that_nobody_pulled_for_longest() {
    let (_, hand, store) = fresh();
    let digests: Vec<_> = (0..4)
        .map(|seed| {
            hand.advance(2 * PULL_NOTED);
            pull(&store, &format!("up/{seed}"), "v1", 1 + seed)
        })
        .collect();
    hand.advance(2 * PULL_NOTED);
    // The first one is in use again.
    assert_eq!(tagged(&store, &repo("up/0"), "v1"), Some(digests[0]));
    hand.advance(2 * LEASE);
    let left = |store: &Store| {
        (0..4).filter(|seed| is_there(store, &format!("up/{seed}"), digests[*seed])).collect::<Vec<_>>()
    };
    store.keep_copies(vec![keeping("up", None, Some(1_000_000))]);
    assert_eq!((store.evict().unwrap(), left(&store)), (0, vec![0, 1, 2, 3]));
    store.keep_copies(vec![keeping("up", None, Some(2 * LAYER_BYTES as u64 + 2_000))]);
    assert_eq!((store.evict().unwrap(), left(&store)), (2, vec![0, 3]));
    assert_eq!(store.evict().unwrap(), 0);
}

/// How often pulls are noted.
pub(super) const PULL_NOTED: Duration = Duration::from_hours(1);

#[test]
fn a_pull_is_noted_once_an_hour() {
    let (memory, hand, store) = fresh();
    let digest = pull(&store, "up/a", "v1", 1);
    let noted = |store: &Store| {
        store.meta.read(|view| pulled::last_ms(view, &repo("up/a"), &digest)).unwrap().unwrap()
    };
    assert_eq!(noted(&store), 0);
    for minutes in [20, 20, 19] {
        hand.advance(Duration::from_secs(60 * minutes));
        tagged(&store, &repo("up/a"), "v1");
        assert_eq!(noted(&store), 0);
    }
    hand.advance(Duration::from_secs(60));
    tagged(&store, &repo("up/a"), "v1");
    assert_eq!(noted(&store), 60 * 60 * 1_000);
    // Not even a lease is renewed in between.
    let steps = memory.steps();
    tagged(&store, &repo("up/a"), "v1");
    assert_eq!(memory.steps(), steps);
    // Of what was pushed nothing is noted.
    let own = push(&store, "own", "v1", 2);
    hand.advance(2 * PULL_NOTED);
    tagged(&store, &repo("own"), "v1");
    assert_eq!(store.meta.read(|view| pulled::last_ms(view, &repo("own"), &own)).unwrap(), None);
}

#[test]
fn what_was_pushed_stays_wherever_it_stands() {
    let (_, hand, store) = fresh();
    // Before there was an upstream of this name.
    let (pushed, other) = (push(&store, "up/a", "own", 1), push(&store, "upper/a", "own", 2));
    let copy = pull(&store, "up/a", "copy", 3);
    let elsewhere = pull(&store, "elsewhere/a", "copy", 4);
    // A copy that something pushed needs.
    let (text, blobs) = an_image(5);
    keep_manifest(&store, &repo("up/a"), &text, None).unwrap();
    for blob in &blobs {
        push_blob(&store, &repo("up/a"), blob).unwrap();
    }
    push_manifest(&store, &repo("up/a"), &index(&[&text]), OCI_INDEX, &[tag("index")]).unwrap();
    let needed = sha256(text.as_bytes());
    store.keep_copies(vec![keeping("up", Some(DAY), Some(0))]);
    hand.advance(3 * DAY);
    assert_eq!(store.evict().unwrap(), 1);
    assert!(!is_there(&store, "up/a", copy));
    for (of, digest) in [("up/a", pushed), ("upper/a", other), ("elsewhere/a", elsewhere), ("up/a", needed)] {
        assert!(is_there(&store, of, digest), "{of} {digest}");
    }
    // Pushed again, a copy is one no more.
    let copy = pull(&store, "up/b", "v1", 6);
    push(&store, "up/b", "v1", 6);
    hand.advance(3 * DAY);
    assert_eq!(store.evict().unwrap(), 0);
    assert!(is_there(&store, "up/b", copy));
    store.collect(&Policy::default()).unwrap();
    assert!(blobs.iter().all(|blob| has_blob(&store, &repo("up/a"), &sha256(blob))));
}

#[test]
fn what_is_leased_immutable_or_led_to_stays() {
    let (_, hand, store) = fresh();
    govern(&store, "[[immutable]]\nrepositories = [\"up/*\"]\ntags = [\"v*\"]");
    store.keep_copies(vec![keeping("up", Some(DAY), None)]);
    let (frozen, leased) = (pull(&store, "up/a", "v1", 1), pull(&store, "up/a", "leased", 2));
    let (text, _) = an_image(3);
    let led_to = sha256(text.as_bytes());
    keep_manifest(&store, &repo("up/a"), &text, None).unwrap();
    let list = index(&[&text]);
    keep_manifest(&store, &repo("up/a"), &list, Some(&tag("list"))).unwrap();
    hand.advance(2 * DAY);
    // Only the index is asked for: whoever has it knows what it leads to.
    assert!(tagged(&store, &repo("up/a"), "list").is_some());
    hand.advance(2 * LEASE);
    store
        .meta
        .write(crate::meta::database::Durable::Later, |txn| {
            crate::meta::leases::renew(txn, &leased, store.now_ms() + 1)
        })
        .unwrap();
    assert_eq!(store.evict().unwrap(), 0);
    assert!(is_there(&store, "up/a", frozen) && is_there(&store, "up/a", led_to));
    hand.advance(2 * DAY);
    assert_eq!(store.evict().unwrap(), 3, "all but what is immutable");
    assert!(is_there(&store, "up/a", frozen) && !is_there(&store, "up/a", led_to));
}

/// Whoever was given an index asks for one of its images next, however long nobody asked for that.
#[test]
fn what_an_index_leads_to_stays_when_the_index_was_given_a_moment_ago() {
    let (_, hand, store) = fresh();
    let texts = [1, 2].map(|seed| an_image(seed).0);
    let list = index(&[&texts[0], &texts[1]]);
    for (text, name) in [(&texts[0], None), (&texts[1], None), (&list, Some(tag("list")))] {
        keep_manifest(&store, &repo("up/a"), text, name.as_ref()).unwrap();
    }
    let left = |store: &Store| {
        let digests = texts.iter().map(|text| sha256(text.as_bytes()));
        digests.filter(|digest| is_there(store, "up/a", *digest)).count()
    };
    store.keep_copies(vec![keeping("up", None, Some(0))]);
    hand.advance(2 * LEASE);
    assert!(tagged(&store, &repo("up/a"), "list").is_some());
    assert_eq!((store.evict().unwrap(), left(&store)), (0, 2));
    hand.advance(2 * LEASE);
    assert_eq!((store.evict().unwrap(), left(&store)), (3, 0));
}

#[test]
fn the_longest_prefix_decides_and_no_terms_keep_all() {
    let (_, hand, store) = fresh();
    store.keep_copies(vec![keeping("up/own", None, None), keeping("up", Some(DAY), None)]);
    let (kept, gone) = (pull(&store, "up/own/a", "v1", 1), pull(&store, "up/a", "v1", 2));
    hand.advance(2 * DAY);
    assert_eq!(store.evict().unwrap(), 1);
    assert!(is_there(&store, "up/own/a", kept) && !is_there(&store, "up/a", gone));
}

#[test]
fn nothing_is_evicted_soon_after_a_start() {
    let (memory, hand, store) = fresh();
    pull(&store, "up/a", "v1", 1);
    hand.advance(5 * DAY);
    drop(store);
    let hand = Hand::default();
    let store = open(&memory, &hand).unwrap();
    store.keep_copies(vec![keeping("up", Some(DAY), Some(0))]);
    assert_eq!(store.evict().unwrap(), 0);
    hand.advance(LEASE);
    assert_eq!(store.evict().unwrap(), 1, "days are days that the registry was running, over all its starts");
}

#[test]
fn an_upstream_that_is_no_more_takes_nothing_with_it() {
    let (_, hand, store) = fresh();
    pull(&store, "up/a", "v1", 1);
    hand.advance(100 * DAY);
    assert_eq!(store.evict().unwrap(), 0);
}

#[test]
fn copies_are_known_again_when_the_metadata_is_made_again() {
    let (memory, hand, store) = fresh();
    let (copy, pushed) = (pull(&store, "up/a", "v1", 1), push(&store, "up/a", "own", 2));
    hand.advance(2 * LEASE);
    // Also from a journal that was written anew.
    for journal_bytes in [u64::MAX, 1] {
        (0..20).for_each(|_| {
            push(&store, "up/a", "own", 2);
        });
        store.collect(&Policy { journal_bytes, ..Policy::default() }).unwrap();
    }
    drop(store);
    let store = Store::open_rebuilding(memory, &options(&hand)).unwrap();
    assert_eq!(store.rebuilt().unwrap().lost, [""; 0]);
    store.keep_copies(vec![keeping("up", Some(DAY), None)]);
    let (_, blobs) = an_image(1);
    assert!(blobs.iter().all(|blob| has_blob(&store, &repo("up/a"), &sha256(blob))));
    hand.advance(2 * LEASE);
    assert_eq!(store.evict().unwrap(), 0, "their days begin anew");
    hand.advance(2 * DAY);
    assert_eq!(store.evict().unwrap(), 1);
    assert!(!is_there(&store, "up/a", copy) && is_there(&store, "up/a", pushed));
}

#[test]
fn metadata_of_earlier_versions_learns_what_copies_are() {
    use crate::meta::tables::{PULLED, STATE, View as _, remove};
    let (memory, hand, store) = fresh();
    let (copy, pushed) = (pull(&store, "up/a", "v1", 1), push(&store, "up/a", "own", 2));
    hand.advance(5 * DAY);
    let forget = |txn: &redb::WriteTransaction| {
        txn.open_table(PULLED)?.retain(|_, _| false)?;
        remove(txn, STATE, b"copies")
    };
    assert!(store.meta.write(crate::meta::database::Durable::Now, forget).unwrap());
    drop(store);
    let hand = Hand::default();
    let store = open(&memory, &hand).unwrap();
    assert_eq!(store.meta.read(|view| view.keys(PULLED, &[], None, 9)).unwrap().len(), 1);
    store.keep_copies(vec![keeping("up", Some(DAY), None)]);
    hand.advance(2 * LEASE);
    assert_eq!(store.evict().unwrap(), 0, "their days begin now");
    hand.advance(2 * DAY);
    assert_eq!(store.evict().unwrap(), 1);
    assert!(!is_there(&store, "up/a", copy) && is_there(&store, "up/a", pushed));
}

/// What is left is consistent: what is there is whole, and the same is there after a rebuild.
#[test]
fn the_disk_fails_at_every_step_of_an_eviction() {
    let life = |memory: &Memory, hand: &Hand, fault_at: Option<u64>| {
        let store = open(memory, hand).unwrap();
        store.keep_copies(vec![keeping("up", Some(DAY), None)]);
        let pushed = push(&store, "up/a", "own", 9);
        let copies = [1, 2].map(|seed| pull(&store, "up/a", &format!("v{seed}"), seed));
        hand.advance(3 * DAY);
        let begin = memory.steps();
        if let Some(at) = fault_at {
            memory.fail_at(begin + at, Fault::Error);
        }
        let result = store.evict().and_then(|_| store.collect(&Policy::default()));
        let steps = memory.steps() - begin;
        assert!(fault_at.is_some() || result.is_ok());
        // And once more, as the next hour does.
        store.evict().unwrap();
        store.collect(&Policy::default()).unwrap();
        assert!(is_there(&store, "up/a", pushed));
        assert!(copies.iter().all(|copy| !is_there(&store, "up/a", *copy)));
        steps
    };
    let steps = life(&Memory::default(), &Hand::default(), None);
    for at in 1..=steps {
        let (memory, hand) = (Memory::default(), Hand::default());
        life(&memory, &hand, Some(at));
        let store = Store::open_rebuilding(memory, &options(&hand)).unwrap();
        let of = repo("up/a");
        assert!(tagged(&store, &of, "own").is_some() && tagged(&store, &of, "v1").is_none(), "{at}");
        let (_, blobs) = an_image(9);
        assert!(blobs.iter().all(|blob| has_blob(&store, &of, &sha256(blob))), "{at}");
        assert_eq!(manifest(&store, &of, &Reference::Tag(tag("v2"))), None, "{at}");
    }
}
