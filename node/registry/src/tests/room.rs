//! Room for copies: others make way for them, and what is reserved for one nothing else takes.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use super::common::{LEASE, content, fresh, has_blob, push_blob, repo, sha256, tagged};
use super::evict::{LAYER_BYTES, PULL_NOTED, an_image, govern, is_there, keeping, pull, push};
use crate::digest::Algorithm;
use crate::error::RegistryError;
use crate::policy::reserve::Reserved;
use crate::store::Store;
use crate::upload_id::UploadId;

fn is_over_quota<T>(result: &Result<T, RegistryError>) -> bool {
    matches!(result, Err(RegistryError::QuotaExceeded { .. }))
}

/// Room for a layer in a repository, as a pull asks for it.
fn make_room(store: &Store, of: &str, bytes: usize) -> Result<(), RegistryError> {
    let (repo, bytes) = (repo(of), bytes as u64);
    store.with_room(&repo, bytes, || store.reserve(&repo, bytes)).map(drop)
}

#[test]
fn copies_make_way_for_others_under_a_quota() {
    for limit in ["[storage]\nmax = 26000", "[[quota]]\nrepositories = \"up/*\"\nmax = 26000"] {
        let (_, hand, store) = fresh();
        govern(&store, limit);
        store.keep_copies(vec![keeping("up", None, None)]);
        let first = pull(&store, "up/a", "v1", 1);
        hand.advance(2 * PULL_NOTED);
        let second = pull(&store, "up/b", "v1", 2);
        hand.advance(2 * LEASE);
        let before = store.metrics.collected_bytes.get();
        // It fits as long as there is room: nothing goes.
        make_room(&store, "up/c", 4_000).unwrap();
        assert!(is_there(&store, "up/a", first));
        make_room(&store, "up/c", LAYER_BYTES).unwrap();
        assert!(!is_there(&store, "up/a", first) && is_there(&store, "up/b", second), "{limit}");
        assert!(store.metrics.collected_bytes.get() > before);
        let third = pull(&store, "up/c", "v1", 3);
        // For the next one at once.
        make_room(&store, "up/d", LAYER_BYTES).unwrap();
        assert!(!is_there(&store, "up/b", second));
        let fourth = pull(&store, "up/d", "v1", 4);
        // Both were pulled a moment ago.
        assert!(is_over_quota(&make_room(&store, "up/e", LAYER_BYTES)));
        hand.advance(Duration::from_secs(1));
        assert!(is_over_quota(&make_room(&store, "up/e", LAYER_BYTES)));
        hand.advance(2 * LEASE);
        // For what would fit nowhere nobody goes.
        assert!(is_over_quota(&make_room(&store, "up/e", 30_000)));
        assert!(is_there(&store, "up/c", third) && is_there(&store, "up/d", fourth));
        // That was of no use, and is not tried again at once.
        assert!(is_over_quota(&make_room(&store, "up/e", LAYER_BYTES)));
        hand.advance(LEASE);
        make_room(&store, "up/e", LAYER_BYTES).unwrap();
        assert!(!is_there(&store, "up/c", third) && is_there(&store, "up/d", fourth));
    }
}

#[test]
fn copies_whose_files_would_stay_do_not_make_way() {
    for (limit, goes) in
        [("[storage]\nmax = 15000", false), ("[[quota]]\nrepositories = \"up/*\"\nmax = 15000", true)]
    {
        let (_, hand, store) = fresh();
        store.keep_copies(vec![keeping("up", None, None)]);
        let copy = pull(&store, "up/a", "v1", 1);
        // The same image is somebody's own, too.
        push(&store, "own", "v1", 1);
        govern(&store, limit);
        hand.advance(2 * LEASE);
        assert_eq!(is_over_quota(&make_room(&store, "up/b", LAYER_BYTES)), !goes, "{limit}");
        assert_eq!(is_there(&store, "up/a", copy), !goes, "{limit}");
        assert!(tagged(&store, &repo("own"), "v1").is_some());
    }
}

#[test]
fn pushes_make_nobody_go() {
    let (_, hand, store) = fresh();
    govern(&store, "[storage]\nmax = 11000");
    store.keep_copies(vec![keeping("up", None, None)]);
    let copy = pull(&store, "up/a", "v1", 1);
    hand.advance(2 * LEASE);
    assert!(is_over_quota(&push_blob(&store, &repo("own"), &content(50, LAYER_BYTES))));
    assert!(is_there(&store, "up/a", copy));
}

#[test]
fn the_quota_of_others_is_no_reason_to_go() {
    let (_, hand, store) = fresh();
    govern(&store, "[[quota]]\nrepositories = \"up/b/*\"\nmax = 5000");
    store.keep_copies(vec![keeping("up", None, None)]);
    let copy = pull(&store, "up/a", "v1", 1);
    hand.advance(2 * LEASE);
    assert!(is_over_quota(&make_room(&store, "up/b/c", LAYER_BYTES)));
    assert!(is_there(&store, "up/a", copy));
}

#[test]
fn what_mounts_makes_room_too() {
    let (_, hand, store) = fresh();
    govern(&store, "[[quota]]\nrepositories = \"up/*\"\nmax = 15000");
    store.keep_copies(vec![keeping("up", None, None)]);
    let copy = pull(&store, "up/a", "v1", 1);
    push(&store, "own", "v1", 2);
    hand.advance(2 * LEASE);
    let (_, [_, blob]) = an_image(2);
    let (to, digest) = (repo("up/b"), sha256(&blob));
    let mount = || store.mount_blob(&to, &digest, None, &|_| true);
    assert!(is_over_quota(&mount()));
    assert!(store.with_room(&to, LAYER_BYTES as u64, mount).unwrap());
    assert!(has_blob(&store, &to, &digest) && !is_there(&store, "up/a", copy));
}

fn reserve(store: &Store, of: &str) -> Result<Arc<Reserved>, RegistryError> {
    store.reserve(&repo(of), LAYER_BYTES as u64).map(|(reserved, _)| reserved)
}

#[test]
fn what_is_reserved_is_nobody_elses() {
    for (limit, mounts) in
        [("[storage]\nmax = 39000", true), ("[[quota]]\nrepositories = \"up/*\"\nmax = 29000", false)]
    {
        let (_, _, store) = fresh();
        govern(&store, limit);
        let other = content(1, LAYER_BYTES);
        let elsewhere = push_blob(&store, &repo("elsewhere"), &content(3, LAYER_BYTES)).unwrap();
        let (first, second) = (reserve(&store, "up/a").unwrap(), reserve(&store, "up/b").unwrap());
        assert!(is_over_quota(&reserve(&store, "up/c")), "{limit}");
        assert!(is_over_quota(&push_blob(&store, &repo("up/c"), &other)));
        // What is on the disk already takes none of it there.
        let mount = store.mount_blob(&repo("up/d"), &elsewhere, None, &|_| true);
        assert_eq!(is_over_quota(&mount), !mounts, "{limit}");
        // What is on its way counts until it is held, and from then on once.
        let (layer, id) = (content(5, LAYER_BYTES), UploadId::random().unwrap());
        let mut ingest = store.uploads.scratch(id, Algorithm::Sha256).unwrap();
        ingest.reserved = Some(first);
        for half in layer.chunks(LAYER_BYTES / 2) {
            ingest.append(half).unwrap();
            assert!(is_over_quota(&reserve(&store, "up/c")));
        }
        assert_eq!(store.reservations.left(), LAYER_BYTES as u64);
        store.push_blob(&repo("up/a"), ingest, sha256(&layer)).unwrap();
        assert!(is_over_quota(&reserve(&store, "up/c")));
        // What does not come gives its room back.
        drop(second);
        push_blob(&store, &repo("up/c"), &other).unwrap();
        assert_eq!(store.reservations.left(), 0);
    }
}

#[test]
fn two_copies_that_fit_are_both_held_when_they_end_at_once() {
    for round in 0..40 {
        let (_, _, store) = fresh();
        govern(&store, "[[quota]]\nrepositories = \"up/*\"\nmax = 20000");
        let ends_at_once = Barrier::new(2);
        let copy = |of: &str, seed: u64| {
            let layer = content(seed, LAYER_BYTES);
            let mut ingest = store.uploads.scratch(UploadId::random().unwrap(), Algorithm::Sha256).unwrap();
            ingest.reserved = Some(reserve(&store, of).unwrap());
            ingest.append(&layer).unwrap();
            ends_at_once.wait();
            store.push_blob(&repo(of), ingest, sha256(&layer))
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| copy("up/a", 2 * round));
            let second = scope.spawn(|| copy("up/b", 2 * round + 1));
            first.join().unwrap().unwrap();
            second.join().unwrap().unwrap();
        });
    }
}
