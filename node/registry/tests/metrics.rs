//! What is counted is told, on a port of its own.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/cache.rs"]
mod cache;
mod common;
#[path = "common/elsewhere.rs"]
mod elsewhere;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use common::{content, request, sha256};
use elsewhere::Elsewhere;
use tokio::runtime::Runtime;
use trustnet_registry::{Rules, Setup, start};

/// The value of a line.
fn value(text: &str, line: &str) -> Option<u64> {
    let found = text.lines().find_map(|found| found.strip_prefix("trustnet_registry_")?.strip_prefix(line));
    found.and_then(|value| value.trim().parse().ok())
}

/// Each family says once what it is, before its lines.
fn check_families(text: &str) {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert_eq!(text.matches(&format!("# TYPE {family} ")).count(), 1, "{line}");
    }
}

#[test]
fn everything_is_counted_and_told_apart_from_the_images() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let mut setup = Setup::new(dir.path(), "127.0.0.1:0".parse().unwrap());
    setup.metrics = Some("127.0.0.1:0".parse().unwrap());
    let running = runtime.block_on(start(setup)).unwrap();
    let (images, metrics): (SocketAddr, SocketAddr) = (running.address(), running.metrics_address().unwrap());
    let body = content(1, 100_000);
    let digest = sha256(&body);
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    request(images, "POST", &path, &[], &body).expect(201);
    request(images, "GET", &format!("/v2/a/blobs/{digest}"), &[], b"").expect(200);
    request(images, "GET", "/v2/a/manifests/none", &[], b"").expect(404);
    request(images, "POST", "/v2/a/blobs/uploads/", &[], b"").expect(202);
    request(images, "GET", "/metrics", &[], b"").expect(404);
    let ask = || {
        let answer = request(metrics, "GET", "/metrics", &[], b"").expect(200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        String::from_utf8(answer.body).unwrap()
    };
    // What was sent is counted after it was sent: whoever got it may be quicker.
    let until = Instant::now() + Duration::from_secs(10);
    let mut text = ask();
    while value(&text, "sent_bytes_total ").unwrap() <= 100_000 && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
        text = ask();
    }
    let is = |line: &str, expected: u64| assert_eq!(value(&text, line), Some(expected), "{line} in {text}");
    is(r#"requests_total{method="POST",route="upload",status="201"}"#, 1);
    is(r#"requests_total{method="GET",route="blob",status="200"}"#, 1);
    is(r#"requests_total{method="GET",route="manifest",status="404"}"#, 1);
    is(r#"request_duration_seconds_count{route="upload"}"#, 2);
    is("blobs ", 1);
    is("blobs_bytes ", 100_000);
    is("uploads_open ", 1);
    is("damaged_files ", 0);
    is("connections_total ", 5);
    assert!(value(&text, "received_bytes_total ").unwrap() > 100_000);
    assert!(value(&text, "sent_bytes_total ").unwrap() > 100_000);
    assert!(value(&text, "disk_free_bytes ").unwrap() > 0);
    is(r#"upstream_pulls_total{outcome="hit"}"#, 0);
    check_families(&text);
    request(metrics, "GET", "/v2/", &[], b"").expect(404);
    request(metrics, "POST", "/metrics", &[], b"").expect(405);
    runtime.block_on(running.stop());
}

#[test]
fn what_came_of_pulls_from_upstreams_is_told() {
    let (text, config, layer) = cache::one_image(1);
    let upstream = Elsewhere::start(cache::plain(&text, &[&config, &layer]));
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let file = dir.path().join("registry.toml");
    let settings = format!("[[upstream]]\nprefix = \"up.example\"\nurl = \"{}\"\n", upstream.url());
    std::fs::write(&file, settings).unwrap();
    let mut setup = Setup::new(dir.path(), "127.0.0.1:0".parse().unwrap());
    (setup.rules, setup.metrics) = (Rules::File(file), Some("127.0.0.1:0".parse().unwrap()));
    let running = runtime.block_on(start(setup)).unwrap();
    let (images, metrics) = (running.address(), running.metrics_address().unwrap());
    let get = |rest: &str| request(images, "GET", &cache::path(rest), &[], b"");
    get("manifests/v1").expect(200);
    get("manifests/v1").expect(200);
    get("manifests/none").expect(404);
    get(&format!("blobs/{}", sha256(&layer))).expect(200);
    let told = String::from_utf8(request(metrics, "GET", "/metrics", &[], b"").expect(200).body).unwrap();
    for (outcome, expected) in [("hit", 1), ("fetched", 2), ("stale", 0), ("failed", 1)] {
        let line = format!(r#"upstream_pulls_total{{outcome="{outcome}"}}"#);
        assert_eq!(value(&told, &line), Some(expected), "{outcome} in {told}");
    }
    let received = (text.len() + layer.len()) as u64;
    assert_eq!(value(&told, "upstream_received_bytes_total "), Some(received));
    check_families(&told);
    runtime.block_on(running.stop());
}
