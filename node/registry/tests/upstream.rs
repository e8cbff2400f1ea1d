//! Pulls through the registry from another one: kept once, served for ever, never wrong.

#![allow(clippy::unwrap_used)]

#[path = "common/cache.rs"]
mod cache;
mod common;
#[path = "common/elsewhere.rs"]
mod elsewhere;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache::*;
use common::*;
use elsewhere::{Elsewhere, Reply, wrong_replies};
use trustnet_registry::{Keeper, Limits, Names, UpstreamSettings, now_seconds};

#[test]
fn an_image_is_fetched_once_and_served_when_the_upstream_is_gone() {
    let upstream = Server::start();
    let (config, layer) = (content(1, 300), content(2, 3_000_000));
    upstream.push_blob("a/b", &config);
    let digest = upstream.push_blob("a/b", &layer);
    let text = image(&config, &[&layer], "");
    upstream.put_manifest("a/b", "v1", OCI_MANIFEST, &text).expect(201);

    let mut cache = cache(&format!("http://{}", upstream.addr));
    let answer = cache.get(&path("manifests/v1")).expect(200);
    assert_eq!(
        (answer.body.as_slice(), answer.header("content-type")),
        (text.as_bytes(), Some(OCI_MANIFEST))
    );
    assert_eq!(answer.header("warning"), None);
    let blob = cache.get(&path(format_args!("blobs/{digest}"))).expect(200);
    assert!(blob.is_whole && blob.body == layer);
    assert_eq!(blob.header("docker-content-digest"), Some(digest.to_string().as_str()));
    cache.get(&path(format_args!("blobs/{}", sha256(&config)))).expect(200);
    assert_eq!(cache.get(&path("tags/list")).expect(200).json()["tags"][0], "v1");

    let url = format!("http://{}", upstream.addr);
    drop(upstream);
    // Also after a restart, and with metadata made again from the files.
    for is_rebuilt in [false, true] {
        if is_rebuilt {
            std::fs::remove_file(cache.dir.path().join("metadata.redb")).unwrap();
        }
        cache.restart_with(extras(settings(&url)));
        let stale = cache.get(&path("manifests/v1")).expect(200);
        assert!(
            stale.body == text.as_bytes()
                && stale.header("warning").is_some_and(|text| text.starts_with("110 "))
        );
        let by_digest = cache.get(&path(format_args!("manifests/{}", sha256(text.as_bytes())))).expect(200);
        assert_eq!(by_digest.header("warning"), None);
        assert_eq!(cache.get(&path(format_args!("blobs/{digest}"))).expect(200).body, layer);
    }
    // What is not here is not "unknown": nobody could be asked.
    cache.get(&path("manifests/v2")).refused(502, "UNKNOWN");
    cache.get(&path(format_args!("blobs/{}", sha256(b"other")))).refused(502, "UNKNOWN");
}

#[test]
fn an_upstream_with_the_clusters_own_authority() {
    let upstream = Server::start();
    let text = upstream.push_image("a/b", "v1", 1);
    let names = Names::of_machine("", &[], &[]).unwrap();
    let keeper = Keeper::open(upstream.dir.path(), &names, now_seconds()).unwrap();
    let addr = upstream.serve_tls(keeper.certificates());
    let trusted = UpstreamSettings {
        ca: Some(upstream.dir.path().join("tls/ca.pem")),
        ..settings(&format!("https://localhost:{}", addr.port()))
    };
    let cache_of = |settings| cache_with(settings, Limits::default());
    assert_eq!(cache_of(trusted.clone()).get(&path("manifests/v1")).expect(200).body, text.as_bytes());
    // Another authority, and a server that speaks no TLS.
    let other = tempfile::tempdir().unwrap();
    Keeper::open(other.path(), &names, now_seconds()).unwrap();
    let distrusted = UpstreamSettings { ca: Some(other.path().join("tls/ca.pem")), ..trusted.clone() };
    cache_of(distrusted).get(&path("manifests/v1")).refused(502, "UNKNOWN");
    let plain = UpstreamSettings { url: format!("https://localhost:{}", upstream.addr.port()), ..trusted };
    cache_of(plain).get(&path("manifests/v1")).refused(502, "UNKNOWN");
}

#[test]
fn clients_may_name_the_registry_that_they_mean() {
    let (text, config, layer) = one_image(1);
    let upstream = Elsewhere::start(plain(&text, &[&config, &layer]));
    let cache = cache_with(
        UpstreamSettings { namespaces: vec!["up.example:5000".to_owned()], ..settings(&upstream.url()) },
        Limits::default(),
    );
    let answer = cache.get("/v2/a/b/manifests/v1?ns=up.example%3A5000").expect(200);
    assert_eq!(
        (answer.body.as_slice(), answer.header("oci-namespace")),
        (text.as_bytes(), Some("up.example:5000"))
    );
    let blob = format!("/v2/a/b/blobs/{}?ns=up.example:5000", sha256(&layer));
    assert_eq!(cache.get(&blob).expect(200).body, layer);
    // The same, by its name here.
    assert_eq!(cache.get(&path("manifests/v1")).expect(200).header("oci-namespace"), None);
    // Without the namespace, or with one that is kept of nobody, it is a repository of ours.
    cache.get("/v2/a/b/manifests/v1").refused(404, "MANIFEST_UNKNOWN");
    let other = cache.get("/v2/a/b/manifests/v1?ns=other.example").refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(other.header("oci-namespace"), None);
}

#[test]
fn nothing_is_pushed_to_what_is_kept_of_another() {
    let (text, config, layer) = one_image(1);
    let upstream = Elsewhere::start(plain(&text, &[&config, &layer]));
    let cache = cache(&upstream.url());
    let answer = cache.put_manifest("up.example/a/b", "v1", OCI_MANIFEST, &text).refused(405, "UNSUPPORTED");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, DELETE"));
    cache.request("POST", &path("blobs/uploads/"), &[], b"").refused(405, "UNSUPPORTED");
    let mount = format!("blobs/uploads/?mount={}&from=x", sha256(&layer));
    cache.request("POST", &path(mount), &[], b"").refused(405, "UNSUPPORTED");
    assert!(upstream.asked().is_empty());
    // Nor, by way of the name that the other one has, to a repository of ours.
    cache.push_image("a/b", "v1", 7);
    let named = "/v2/a/b/manifests/v1?ns=up.example";
    let kind = [("Content-Type", OCI_MANIFEST)];
    cache.request("PUT", named, &kind, text.as_bytes()).refused(405, "UNSUPPORTED");
    cache.get(named).expect(200);
    cache.delete(named).expect(202);
    cache.get("/v2/a/b/manifests/v1").expect(200);
    // What is kept can be thrown away.
    cache.get(&path("manifests/v1")).expect(200);
    cache.delete(&path("manifests/v1")).expect(202);
    cache.push_image("up.example-not", "v1", 7);
}

#[test]
fn wrong_content_never_arrives_whole_and_is_not_kept() {
    let layer = content(2, 700_000);
    let digest = sha256(&layer);
    for (index, reply) in wrong_replies(&layer).into_iter().enumerate() {
        let is_good = Arc::new(AtomicBool::new(false));
        let (good, right) = (Arc::clone(&is_good), layer.clone());
        let upstream = Elsewhere::start(move |_| {
            if good.load(Ordering::SeqCst) { Reply::ok(right.clone()) } else { reply.clone() }
        });
        let server = cache(&upstream.url());
        let at = path(format_args!("blobs/{digest}"));
        let mut stream = connect(server.addr);
        std::io::Write::write_all(
            &mut stream,
            format!("GET {at} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes(),
        )
        .unwrap();
        // The connection may end before the head went out.
        if let Some(answer) = try_read_answer(&mut stream, false) {
            assert!(answer.status == 502 || !answer.is_whole, "case {index}: {} came whole", answer.status);
        }
        server.expect_no_uploads();
        assert!(std::fs::read_dir(server.dir.path().join("blobs/sha256")).map_or(0, Iterator::count) <= 1);
        // The next client is lucky.
        is_good.store(true, Ordering::SeqCst);
        let answer = server.get(&at).expect(200);
        assert!(answer.is_whole && answer.body == layer, "case {index}");
    }
}

#[test]
fn a_length_that_is_not_said_is_no_obstacle() {
    let layer = content(2, 700_000);
    let blob = layer.clone();
    let upstream = Elsewhere::start(move |_| Reply::ok(blob.clone()).chunked());
    let server = cache(&upstream.url());
    let answer = server.get(&path(format_args!("blobs/{}", sha256(&layer)))).expect(200);
    assert!(answer.is_whole && answer.body == layer && answer.header("content-length").is_none());
    let again = server.get(&path(format_args!("blobs/{}", sha256(&layer)))).expect(200);
    assert_eq!(again.header("content-length"), Some("700000"));
    assert_eq!(upstream.count("GET", "/blobs/"), 1);
}

#[test]
fn parts_and_heads_of_what_is_not_here_yet() {
    let layer = content(2, 700_000);
    let blob = layer.clone();
    let upstream = Elsewhere::start(move |_| Reply::ok(blob.clone()));
    let server = cache(&upstream.url());
    let at = path(format_args!("blobs/{}", sha256(&layer)));
    let head = server.head(&at).expect(200);
    assert_eq!(head.header("content-length"), Some("700000"));
    assert_eq!(upstream.count("GET", "/blobs/"), 0, "a question fetches nothing");
    let part = server.request("GET", &at, &[("Range", "bytes=699990-")], b"").expect(206);
    assert_eq!(part.body, &layer[699_990..]);
    server.request("GET", &at, &[("Range", "bytes=700000-")], b"").expect(416);
}

#[test]
fn many_clients_one_fetch() {
    let (text, config, layer) = one_image(1);
    let inner = plain(&text, &[&config, &layer]);
    let upstream = Elsewhere::start(move |asked| {
        std::thread::sleep(Duration::from_millis(100));
        let reply = inner(asked);
        if asked.path.contains("/blobs/") {
            reply.pausing_after(300_000, Duration::from_millis(400))
        } else {
            reply
        }
    });
    let server = cache(&upstream.url());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                assert_eq!(server.get(&path("manifests/v1")).expect(200).body, text.as_bytes());
                let answer = server.get(&path(format_args!("blobs/{}", sha256(&layer)))).expect(200);
                assert!(answer.is_whole && answer.body == layer);
            });
        }
    });
    assert_eq!((upstream.count("GET", "/manifests/"), upstream.count("GET", "/blobs/")), (1, 1));
}

#[test]
fn a_fetch_goes_on_when_its_client_goes_away() {
    let layer = content(2, 700_000);
    let blob = layer.clone();
    let upstream =
        Elsewhere::start(move |_| Reply::ok(blob.clone()).pausing_after(300_000, Duration::from_millis(300)));
    let server = cache(&upstream.url());
    let at = path(format_args!("blobs/{}", sha256(&layer)));
    let mut stream = connect(server.addr);
    std::io::Write::write_all(
        &mut stream,
        format!("GET {at} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes(),
    )
    .unwrap();
    std::io::Read::read_exact(&mut stream, &mut [0; 1_000]).unwrap();
    drop(stream);
    let until = Instant::now() + Duration::from_secs(30);
    while server.get(&at).body != layer {
        assert!(Instant::now() < until);
    }
    assert_eq!(upstream.count("GET", "/blobs/"), 1);
}

#[test]
fn tags_are_asked_for_again() {
    let texts = [one_image(1).0, one_image(5).0];
    let now = Arc::new(Mutex::new(texts[0].clone()));
    let said = Arc::clone(&now);
    let upstream = Elsewhere::start(move |_| manifest_reply(&said.lock().unwrap()));
    let server =
        cache_with(UpstreamSettings { refresh_seconds: 1, ..settings(&upstream.url()) }, Limits::default());
    let get = || server.get(&path("manifests/v1")).expect(200).body;
    for _ in 0..3 {
        assert_eq!(get(), texts[0].as_bytes());
    }
    assert_eq!(
        (upstream.count("GET", ""), upstream.count("HEAD", "")),
        (1, 0),
        "fresh tags are not asked for"
    );
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(get(), texts[0].as_bytes());
    assert_eq!((upstream.count("GET", ""), upstream.count("HEAD", "")), (1, 1), "unchanged is not fetched");
    texts[1].clone_into(&mut now.lock().unwrap());
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(get(), texts[1].as_bytes());
    assert_eq!(upstream.count("GET", ""), 2);
    // Back to one that is still here.
    texts[0].clone_into(&mut now.lock().unwrap());
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(get(), texts[0].as_bytes());
    assert_eq!(upstream.count("GET", ""), 2);
}

#[test]
fn an_upstream_that_does_not_know_heads() {
    let texts = [one_image(1).0, one_image(5).0];
    let now = Arc::new(Mutex::new(texts[0].clone()));
    let said = Arc::clone(&now);
    let upstream = Elsewhere::start(move |asked| {
        if asked.method == "HEAD" { Reply::new(405, "") } else { manifest_reply(&said.lock().unwrap()) }
    });
    let server =
        cache_with(UpstreamSettings { refresh_seconds: 1, ..settings(&upstream.url()) }, Limits::default());
    assert_eq!(server.get(&path("manifests/v1")).expect(200).body, texts[0].as_bytes());
    texts[1].clone_into(&mut now.lock().unwrap());
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(server.get(&path("manifests/v1")).expect(200).body, texts[1].as_bytes());
}

#[test]
fn what_the_upstream_says_is_passed_on() {
    let status = Arc::new(Mutex::new(Reply::new(404, "{}")));
    let said = Arc::clone(&status);
    let upstream = Elsewhere::start(move |_| said.lock().unwrap().clone());
    let digest = sha256(b"x");
    for (reply, status_code, code) in [
        (Reply::new(404, "{}"), 404, ""),
        (Reply::new(403, "{}"), 403, "DENIED"),
        (Reply::new(500, "{}"), 502, "UNKNOWN"),
        (Reply::new(204, ""), 502, "UNKNOWN"),
        (Reply::new(206, "x"), 502, "UNKNOWN"),
        (Reply::new(301, ""), 502, "UNKNOWN"),
        (Reply::new(504, ""), 504, "UNKNOWN"),
    ] {
        *status.lock().unwrap() = reply;
        let server = cache(&upstream.url());
        let of = |unknown: &'static str| if code.is_empty() { unknown } else { code };
        server.get(&path("manifests/v1")).refused(status_code, of("MANIFEST_UNKNOWN"));
        server.get(&path(format_args!("blobs/{digest}"))).refused(status_code, of("BLOB_UNKNOWN"));
        assert_eq!(server.head(&path(format_args!("blobs/{digest}"))).status, status_code);
    }
}

#[test]
fn an_upstream_that_was_asked_too_often_is_left_alone() {
    let (text, ..) = one_image(1);
    let is_busy = Arc::new(AtomicBool::new(false));
    let (busy, inner) = (Arc::clone(&is_busy), plain(&text, &[]));
    let upstream = Elsewhere::start(move |asked| {
        let is_busy = busy.load(Ordering::SeqCst);
        if is_busy { Reply::new(429, "{}").with("Retry-After", "77") } else { inner(asked) }
    });
    let server =
        cache_with(UpstreamSettings { refresh_seconds: 1, ..settings(&upstream.url()) }, Limits::default());
    server.get(&path("manifests/v1")).expect(200);
    is_busy.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(
        server.get(&path("manifests/v1")).expect(200).header("warning").is_some(),
        "what is here is served"
    );
    let before = upstream.asked().len();
    for _ in 0..3 {
        let answer = server.get(&path("manifests/v2")).refused(429, "TOOMANYREQUESTS");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((70..=78).contains(&seconds));
    }
    assert_eq!(upstream.asked().len(), before, "it is not asked again before its time");
}

#[test]
fn an_upstream_that_is_gone_costs_no_time() {
    let gone = Elsewhere::start(|_| Reply::new(404, "")).url();
    std::thread::sleep(Duration::from_millis(100));
    let server = cache(&gone);
    let start = Instant::now();
    for _ in 0..20 {
        server.get(&path("manifests/v1")).refused(502, "UNKNOWN");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_upstream_that_stops_in_the_middle() {
    let layer = content(2, 700_000);
    let blob = layer.clone();
    let upstream =
        Elsewhere::start(move |_| Reply::ok(blob.clone()).pausing_after(300_000, Duration::from_secs(20)));
    let limits = Limits { batch_time: Duration::from_millis(500), ..Limits::default() };
    let server = cache_with(settings(&upstream.url()), limits);
    let start = Instant::now();
    let answer = server.get(&path(format_args!("blobs/{}", sha256(&layer))));
    assert!(!answer.is_whole && answer.body.len() < layer.len());
    assert!(start.elapsed() < Duration::from_secs(10));
    server.expect_no_uploads();
}

#[test]
fn manifests_that_are_none() {
    let (text, ..) = one_image(1);
    let big = image(&[], &[], &format!(r#","annotations":{{"a":"{}"}}"#, "x".repeat(4 * 1024 * 1024)));
    let other = sha256(b"other").to_string();
    let cases = [
        manifest_reply("{}"),
        manifest_reply("no json"),
        Reply::ok(text.clone()).with("Content-Type", OCI_MANIFEST).with("Docker-Content-Digest", other),
        manifest_reply(&big),
        manifest_reply(&big).chunked(),
        Reply::ok(text.clone()).with("Content-Type", OCI_INDEX),
        manifest_reply(&text).cut_after(20),
        manifest_reply(&text).saying(text.len() + 1),
        Reply::ok(r#"{"schemaVersion":1,"name":"a"}"#)
            .with("Content-Type", "application/vnd.docker.distribution.manifest.v1+json"),
        Reply::ok("<html>log in first</html>").with("Content-Type", "text/html"),
    ];
    for (index, reply) in cases.into_iter().enumerate() {
        let upstream = Elsewhere::start(move |_| reply.clone());
        let server = cache(&upstream.url());
        let answer = server.get(&path("manifests/v1"));
        assert_eq!(answer.status, 502, "case {index}: {}", String::from_utf8_lossy(&answer.body));
        server.get(&path("tags/list")).expect(404);
        server.expect_no_uploads();
    }
    // By digest, what has another one is refused; without a type in the answer, that of the manifest counts.
    let (wrong, right) = (text.clone(), text.clone());
    let upstream =
        Elsewhere::start(move |_| Reply::ok(wrong.clone()).with("Content-Type", "application/json"));
    let server = cache(&upstream.url());
    server.get(&path(format_args!("manifests/{}", sha256(b"x")))).refused(502, "UNKNOWN");
    let answer = server.get(&path(format_args!("manifests/{}", sha256(right.as_bytes())))).expect(200);
    assert_eq!(answer.header("content-type"), Some(OCI_MANIFEST));
    assert_eq!(
        server.get(&path(format_args!("manifests/{}", sha512(right.as_bytes())))).expect(200).body,
        right.as_bytes()
    );
}
