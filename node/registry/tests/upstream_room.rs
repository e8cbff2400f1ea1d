//! Pulls through a registry that has no room: other copies make way, and what cannot be kept is passed on, never wrong.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/cache.rs"]
mod cache;
mod common;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/elsewhere.rs"]
mod elsewhere;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cache::*;
use common::*;
use disk::Disk;
use elsewhere::{Elsewhere, Reply, wrong_replies};
use trustnet_registry::{Care, Extras, Limits, LiveSettings, Options, Plan, UpstreamSettings, Upstreams};

/// No disk has so much free.
const NO_ROOM: &str = "[storage]\nmin_free = \"100000 TiB\"\n";
const LEASE: Duration = Duration::from_millis(200);

/// A cache that is governed by `rules`.
fn governed(settings: UpstreamSettings, rules: &str) -> (Server, Arc<Upstreams>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registry.toml");
    std::fs::write(&file, format!("[access]\nanonymous = [\"pull\", \"push\", \"delete\"]\n{rules}"))
        .unwrap();
    let upstreams = Arc::new(Upstreams::open(&[settings]).unwrap());
    let settings = LiveSettings::follow(&file).unwrap();
    let extras = Extras { settings, upstreams: Arc::clone(&upstreams), ..Extras::default() };
    let options = Options { lease: LEASE, ..Options::default() };
    (Server::with_extras(Limits::default(), &options, extras), upstreams)
}

/// How many files are kept.
fn files(server: &Server) -> u64 {
    server.store().usage().unwrap().files
}

#[test]
fn what_cannot_be_kept_is_passed_on() {
    let (text, config, layer) = one_image(1);
    let upstream = Elsewhere::start(plain(&text, &[&config, &layer]));
    let (server, upstreams) = governed(settings(&upstream.url()), NO_ROOM);
    server.request("POST", "/v2/own/blobs/uploads/", &[], b"").refused(507, "DENIED");
    let digest = sha256(text.as_bytes());
    for reference in ["v1".to_owned(), digest.to_string()] {
        let answer = server.get(&path(format_args!("manifests/{reference}"))).expect(200);
        assert!(answer.is_whole && answer.body == text.as_bytes());
        assert_eq!(answer.header("docker-content-digest"), Some(digest.to_string().as_str()));
        assert_eq!(answer.header("content-type"), Some(OCI_MANIFEST));
        let head = server.head(&path(format_args!("manifests/{reference}"))).expect(200);
        assert_eq!(head.header("content-length"), Some(text.len().to_string().as_str()));
    }
    for blob in [&config, &layer] {
        let at = path(format_args!("blobs/{}", sha256(blob)));
        let answer = server.get(&at).expect(200);
        assert!(answer.is_whole && answer.body == *blob);
        assert_eq!(answer.header("docker-content-digest"), Some(sha256(blob).to_string().as_str()));
        assert_eq!(
            server.head(&at).expect(200).header("content-length"),
            Some(blob.len().to_string().as_str())
        );
    }
    // Whoever wants a part gets the whole, which the protocol allows.
    let at = path(format_args!("blobs/{}", sha256(&layer)));
    assert_eq!(server.request("GET", &at, &[("Range", "bytes=5-")], b"").expect(200).body, layer);
    assert_eq!(upstream.count("GET", "/blobs/"), 3, "one question for each answer");
    assert_eq!((files(&server), upstreams.pulls().passed), (0, 7));
    server.expect_no_uploads();
    server.get(&path("tags/list")).expect(404);
    server.get(&path("manifests/none")).refused(404, "MANIFEST_UNKNOWN");
    server.get(&path(format_args!("blobs/{}", sha256(b"none")))).refused(404, "BLOB_UNKNOWN");
}

#[test]
fn many_clients_are_passed_on_each() {
    let (text, config, layer) = one_image(1);
    let upstream = Elsewhere::start(plain(&text, &[&config, &layer]));
    let (server, _) = governed(settings(&upstream.url()), NO_ROOM);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                assert_eq!(server.get(&path("manifests/v1")).expect(200).body, text.as_bytes());
                let answer = server.get(&path(format_args!("blobs/{}", sha256(&layer)))).expect(200);
                assert!(answer.is_whole && answer.body == layer);
            });
        }
    });
    assert_eq!(files(&server), 0);
}

#[test]
fn wrong_content_is_not_passed_on_whole() {
    let layer = content(2, 700_000);
    let digest = sha256(&layer);
    for (index, reply) in wrong_replies(&layer).into_iter().enumerate() {
        let is_good = Arc::new(AtomicBool::new(false));
        let (good, right) = (Arc::clone(&is_good), layer.clone());
        let upstream = Elsewhere::start(move |_| {
            if good.load(Ordering::SeqCst) { Reply::ok(right.clone()) } else { reply.clone() }
        });
        let (server, _) = governed(settings(&upstream.url()), NO_ROOM);
        let at = path(format_args!("blobs/{digest}"));
        let mut stream = connect(server.addr);
        std::io::Write::write_all(&mut stream, format!("GET {at} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .unwrap();
        if let Some(answer) = try_read_answer(&mut stream, false) {
            let is_told = answer.status == 502;
            assert!(is_told || !answer.is_whole, "case {index}: {} bytes came whole", answer.body.len());
        }
        is_good.store(true, Ordering::SeqCst);
        let answer = server.get(&at).expect(200);
        assert!(answer.is_whole && answer.body == layer, "case {index}");
    }
}

#[test]
fn manifests_that_are_none_are_not_passed_on() {
    let (text, ..) = one_image(1);
    let big = image(&[], &[], &format!(r#","annotations":{{"a":"{}"}}"#, "x".repeat(4 * 1024 * 1024)));
    let cases = [
        manifest_reply("{}"),
        Reply::ok("no json"),
        Reply::ok(text.clone()).with("Docker-Content-Digest", sha256(b"other").to_string()),
        Reply::ok(text.clone()).with("Content-Type", OCI_INDEX),
        manifest_reply(&big),
        manifest_reply(&big).chunked(),
        manifest_reply(&text).cut_after(20),
    ];
    for (index, reply) in cases.into_iter().enumerate() {
        let upstream = Elsewhere::start(move |_| reply.clone());
        let (server, _) = governed(settings(&upstream.url()), NO_ROOM);
        let answer = server.get(&path("manifests/v1"));
        assert_eq!(answer.status, 502, "case {index}: {}", String::from_utf8_lossy(&answer.body));
    }
}

#[test]
fn a_long_manifest_is_passed_on_too() {
    let long = image(&[], &[], &format!(r#","annotations":{{"a":"{}"}}"#, "x".repeat(500_000)));
    let upstream = Elsewhere::start(plain(&long, &[]));
    let (server, _) = governed(settings(&upstream.url()), NO_ROOM);
    for _ in 0..6 {
        let answer = server.get(&path("manifests/v1")).expect(200);
        assert!(answer.is_whole && answer.body == long.as_bytes());
    }
}

#[test]
fn an_upstream_that_stops_in_the_middle_of_what_is_passed_on() {
    let layer = content(2, 700_000);
    let blob = layer.clone();
    let upstream =
        Elsewhere::start(move |_| Reply::ok(blob.clone()).pausing_after(300_000, Duration::from_secs(20)));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), NO_ROOM).unwrap();
    let extras =
        Extras { settings: LiveSettings::follow(file.path()).unwrap(), ..extras(settings(&upstream.url())) };
    let limits = Limits { batch_time: Duration::from_millis(500), ..Limits::default() };
    let server = Server::with_extras(limits, &Options::default(), extras);
    let start = std::time::Instant::now();
    let answer = server.get(&path(format_args!("blobs/{}", sha256(&layer))));
    assert!(!answer.is_whole && answer.body.len() < layer.len());
    assert!(start.elapsed() < Duration::from_secs(10));
}

/// A tag that moved is served as it is now, though the old one is here.
#[test]
fn without_room_a_tag_still_moves() {
    let texts = [one_image(1).0, one_image(5).0];
    let has_moved = Arc::new(AtomicBool::new(false));
    let (moved, said) = (Arc::clone(&has_moved), texts.clone());
    let upstream =
        Elsewhere::start(move |_| manifest_reply(&said[usize::from(moved.load(Ordering::SeqCst))]));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registry.toml");
    std::fs::write(&file, "").unwrap();
    let settings = UpstreamSettings { refresh_seconds: 1, ..settings(&upstream.url()) };
    let extras = Extras { settings: LiveSettings::follow(&file).unwrap(), ..extras(settings) };
    let server = Server::with_extras(Limits::default(), &Options::default(), extras);
    assert_eq!(server.get(&path("manifests/v1")).expect(200).body, texts[0].as_bytes());
    std::fs::write(&file, NO_ROOM).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(server.get(&path("manifests/v1")).expect(200).body, texts[0].as_bytes(), "nothing is new");
    has_moved.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(1_100));
    let answer = server.get(&path("manifests/v1")).expect(200);
    assert!(answer.body == texts[1].as_bytes() && answer.header("warning").is_none());
    // And when nobody can be asked, the old one is.
    drop(upstream);
    std::thread::sleep(Duration::from_millis(1_100));
    let answer = server.get(&path("manifests/v1")).expect(200);
    assert!(answer.body == texts[0].as_bytes() && answer.header("warning").is_some());
}

/// Its manifest, its configuration, its layer.
type Image = (String, Vec<u8>, Vec<u8>);

/// Serves two images: tags `v1` and `v2` of `a/b`.
fn two_images() -> (Elsewhere, [Image; 2]) {
    let images = [one_image(1), one_image(5)];
    let all = images.clone();
    let upstream = Elsewhere::start(move |asked| {
        for (tag, (text, config, layer)) in ["v1", "v2"].into_iter().zip(&all) {
            if asked.path == format!("/v2/a/b/manifests/{tag}") {
                return manifest_reply(text);
            }
            if let Some(blob) =
                [config, layer].into_iter().find(|blob| asked.path.ends_with(&sha256(blob).hex()))
            {
                return Reply::ok(blob.clone());
            }
        }
        Reply::new(404, "{}")
    });
    (upstream, images)
}

fn pull(server: &Server, tag: &str, (text, config, layer): &Image) {
    assert_eq!(server.get(&path(format_args!("manifests/{tag}"))).expect(200).body, text.as_bytes());
    for blob in [config, layer] {
        let answer = server.get(&path(format_args!("blobs/{}", sha256(blob)))).expect(200);
        assert!(answer.is_whole && answer.body == *blob);
    }
}

#[test]
fn the_copy_that_nobody_pulled_for_longest_makes_way() {
    let (upstream, images) = two_images();
    let quota = "[[quota]]\nrepositories = \"up.example/*\"\nmax = 1000000\n";
    let (server, upstreams) = governed(settings(&upstream.url()), quota);
    server.push_image("own", "v1", 9);
    pull(&server, "v1", &images[0]);
    std::thread::sleep(3 * LEASE);
    pull(&server, "v2", &images[1]);
    assert_eq!(upstreams.pulls().passed, 0, "there was room for both, one after the other");
    assert_eq!(server.get(&path("tags/list")).expect(200).json()["tags"], serde_json::json!(["v2"]));
    let asked = upstream.asked().len();
    pull(&server, "v2", &images[1]);
    assert_eq!(upstream.asked().len(), asked, "it was kept");
    // In a hurry, with nothing that may go: passed on.
    pull(&server, "v1", &images[0]);
    assert!(upstreams.pulls().passed > 0);
    server.get("/v2/own/manifests/v1").expect(200);
}

#[test]
fn on_a_disk_that_is_nearly_full_copies_go_to_quarantine_and_no_more_than_are_needed() {
    let (upstream, images) = two_images();
    let (dir, rules) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(rules.path(), "[storage]\nmin_free = 100000\nmin_free_percent = 0\n").unwrap();
    let disk = Disk::new(dir.path(), 900_000);
    let extras =
        Extras { settings: LiveSettings::follow(rules.path()).unwrap(), ..extras(settings(&upstream.url())) };
    let options = Options { lease: LEASE, ..Options::default() };
    let server = Server::on_with(dir, disk.clone(), &options, extras);
    let quarantined = || server.store().usage().unwrap().quarantine_files;
    pull(&server, "v1", &images[0]);
    server.get(&path("manifests/v1")).expect(200);
    std::thread::sleep(3 * LEASE);
    disk.set_free(100_010);
    pull(&server, "v2", &images[1]);
    server.get(&path("tags/list")).refused(404, "NAME_UNKNOWN");
    assert_eq!((files(&server), quarantined()), (0, 3), "what went comes back to the disk later");
    // Until then nothing more goes.
    disk.set_free(900_000);
    pull(&server, "v2", &images[1]);
    assert_eq!(files(&server), 3);
    disk.set_free(60_000);
    std::thread::sleep(3 * LEASE);
    pull(&server, "v1", &images[0]);
    assert_eq!((files(&server), quarantined()), (3, 3));
}

#[test]
fn the_care_keeps_a_cache_below_its_limit() {
    let (upstream, images) = two_images();
    let limited =
        UpstreamSettings { max: Some(trustnet_registry::Size(1_000_000)), ..settings(&upstream.url()) };
    let (server, _) = governed(limited, "");
    pull(&server, "v1", &images[0]);
    std::thread::sleep(Duration::from_millis(10));
    pull(&server, "v2", &images[1]);
    server.push_image("up.example-not/own", "v1", 9);
    let plan =
        Plan { collect_every: Duration::from_millis(50), scrub_bytes_per_second: 0, ..Plan::default() };
    let care = Care::start(server.shared_store(), plan).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    // The tags, not the manifest, which every look would lease.
    while server.get(&path("tags/list")).expect(200).json()["tags"] != serde_json::json!(["v2"]) {
        assert!(std::time::Instant::now() < until, "the older one goes");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(care);
    server.get("/v2/up.example-not/own/manifests/v1").expect(200);
    // It comes back when somebody asks for it.
    pull(&server, "v1", &images[0]);
}

/// An upstream with two layers that gives neither before both were asked for.
fn two_layers() -> (Elsewhere, [Vec<u8>; 2]) {
    let layers = [content(2, 700_000), content(4, 700_000)];
    let (all, asked_for) = (layers.clone(), (Mutex::new(0), Condvar::new()));
    let upstream = Elsewhere::start(move |asked| {
        let (count, is_more) = &asked_for;
        let mut count = count.lock().unwrap();
        *count += 1;
        is_more.notify_all();
        drop(is_more.wait_timeout_while(count, Duration::from_secs(30), |count| *count < 2).unwrap());
        let layer = all.iter().find(|layer| asked.path.ends_with(&sha256(layer).hex()));
        layer.map_or_else(|| Reply::new(404, "{}"), |layer| Reply::ok(layer.clone()))
    });
    (upstream, layers)
}

/// Pulls layers of which there is room for one: both come whole, and one is kept.
fn pull_both(server: &Server, layers: &[Vec<u8>]) {
    std::thread::scope(|scope| {
        for layer in layers {
            scope.spawn(move || {
                let answer = server.get(&path(format_args!("blobs/{}", sha256(layer)))).expect(200);
                assert!(answer.is_whole && answer.body == *layer);
            });
        }
    });
    assert_eq!(files(server), 1);
    server.expect_no_uploads();
}

#[test]
fn layers_that_come_at_once_do_not_take_each_others_room() {
    for limit in ["[storage]\nmax = 1000000\n", "[[quota]]\nrepositories = \"up.example/*\"\nmax = 1000000\n"]
    {
        let (upstream, layers) = two_layers();
        let (server, upstreams) = governed(settings(&upstream.url()), limit);
        pull_both(&server, &layers);
        assert_eq!((upstreams.pulls().fetched, upstreams.pulls().passed), (1, 1), "{limit}");
    }
}

#[test]
fn layers_that_come_at_once_leave_the_disk_what_stays_free() {
    let (upstream, layers) = two_layers();
    let (dir, rules) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(rules.path(), "[storage]\nmin_free = 100000\nmin_free_percent = 0\n").unwrap();
    let disk = Disk::filling_up(dir.path(), u64::MAX);
    let extras =
        Extras { settings: LiveSettings::follow(rules.path()).unwrap(), ..extras(settings(&upstream.url())) };
    let server = Server::on_with(dir, disk.clone(), &Options::default(), extras);
    // With room for the metadata.
    disk.set_free(1_300_000);
    pull_both(&server, &layers);
}
