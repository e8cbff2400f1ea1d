//! What clients get wrong, by accident or on purpose: refused with the specification's codes, nothing lost, nothing leaked.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use common::{OCI_MANIFEST, Server, connect, content, image, read_answer, sha256};
use trustnet_registry::{Limits, Options};

#[test]
fn digests_that_do_not_match() {
    let server = Server::start();
    let wrong = sha256(b"something else");
    let path = format!("/v2/a/blobs/uploads/?digest={wrong}");
    server.request("POST", &path, &[], b"content").refused(400, "DIGEST_INVALID");
    let at = server.start_upload("a");
    server.request("PATCH", &at, &[], b"content").expect(202);
    server.request("PUT", &format!("{at}?digest={wrong}"), &[], b"").refused(400, "DIGEST_INVALID");
    server.get(&at).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.get(&format!("/v2/a/blobs/{wrong}")).refused(404, "BLOB_UNKNOWN");
    server.get(&format!("/v2/a/blobs/{}", sha256(b"content"))).refused(404, "BLOB_UNKNOWN");
    server.expect_no_uploads();
    let at = server.start_upload("a");
    for (query, code) in
        [("", "UNSUPPORTED"), ("?digest=", "DIGEST_INVALID"), ("?digest=sha256:x", "DIGEST_INVALID")]
    {
        server.request("PUT", &format!("{at}{query}"), &[], b"").refused(400, code);
    }
    server.request("POST", "/v2/a/blobs/uploads/?digest=x", &[], b"x").refused(400, "DIGEST_INVALID");
    server.get(&at).expect(204);
}

#[test]
fn paths_that_lead_elsewhere() {
    let server = Server::start();
    std::fs::write(server.dir.path().join("secret"), "secret").unwrap();
    let digest = server.push_blob("a", b"x");
    for path in [
        "/v2/../secret",
        "/v2/a/../../secret",
        "/v2/a/blobs/../../secret",
        "/v2/a/manifests/../../../secret",
        "/v2/a/manifests/..%2f..%2fsecret",
        "/v2/%2e%2e/manifests/secret",
        "/v2/a/blobs/uploads/../../secret",
        "/v2/a/blobs/uploads/%2e%2e%2fsecret",
        "//v2/a/tags/list",
        "/v2//a/tags/list",
        "/v2/a%00b/tags/list",
        "/v2/a/tags/list/../../../../secret",
        "/../secret",
        "/secret",
        "/v2/_journal/tags/list",
        "/v2/a/_journal/manifests/x",
    ] {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"] {
            let answer = server.request(method, path, &[("Content-Type", OCI_MANIFEST)], b"{}");
            assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
            assert!(!String::from_utf8_lossy(&answer.body).contains("secret\"}"), "{method} {path}");
        }
    }
    for name in ["A", "a..b", "a/", "-a", "a_", &"x".repeat(256), &"x/".repeat(200)] {
        let answer = server.request("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"");
        assert!(answer.status == 400 || answer.status == 404, "{name}: {}", answer.status);
    }
    for tag in [".x", "-x", "x%20y", "%c3%a4", &"x".repeat(129)] {
        let answer = server.put_manifest("a", tag, OCI_MANIFEST, &image(b"x", &[], ""));
        answer.refused(400, "NAME_INVALID");
    }
    assert_eq!(std::fs::read_dir(server.dir.path().join("repositories")).unwrap().count(), 1);
    server.get(&format!("/v2/a/blobs/{digest}")).expect(200);
}

#[test]
fn repositories_see_nothing_of_one_another() {
    let server = Server::start();
    let text = server.push_image("secret/a", "v1", 1);
    let (digest, layer) = (sha256(text.as_bytes()), sha256(&content(1_001, 500)));
    for path in [
        format!("/v2/secret/manifests/{digest}"),
        format!("/v2/b/manifests/{digest}"),
        "/v2/b/manifests/v1".into(),
        format!("/v2/secret/blobs/{layer}"),
        format!("/v2/b/blobs/{layer}"),
        format!("/v2/secret/a/b/blobs/{layer}"),
        "/v2/secret/tags/list".into(),
    ] {
        assert_eq!(server.get(&path).status, 404, "{path}");
        assert_eq!(server.head(&path).status, 404, "{path}");
    }
    for path in
        [format!("/v2/b/blobs/{layer}"), format!("/v2/b/manifests/{digest}"), "/v2/b/manifests/v1".into()]
    {
        server.delete(&path).expect(404);
    }
    server.get(&format!("/v2/secret/a/blobs/{layer}")).expect(200);
    // A manifest's digest is no blob.
    server.get(&format!("/v2/secret/a/blobs/{digest}")).refused(404, "BLOB_UNKNOWN");
}

#[test]
fn requests_that_are_none() {
    let server = Server::start();
    for bytes in [
        &b"\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0\0\0\0",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"PATCH /v2/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v2/a/tags/list?n=%ff HTTP/1.1\r\nHost: \xff\r\n\r\n",
    ] {
        let mut stream = connect(server.addr);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let line = String::from_utf8_lossy(&answer);
        assert!(!line.starts_with("HTTP/1.1 5"), "{line}");
    }
    let at = server.start_upload("a");
    for (name, value) in [("Content-Range", "\u{e9}"), ("Range", "\u{e9}"), ("Content-Type", "\u{e9}/x")] {
        let answer = server.request("PATCH", &at, &[(name, value)], b"x");
        assert!(answer.status < 500, "{name}");
    }
    server.put_manifest("a", "v1", "a b/c", "{}").refused(400, "MANIFEST_INVALID");
    server.put_manifest("a", "v1", &format!("a/{}", "x".repeat(1000)), "{}").refused(400, "MANIFEST_INVALID");
    let long = "&x=1".repeat(300);
    server.get(&format!("/v2/a/tags/list?y=2{long}")).refused(400, "UNSUPPORTED");
    server.get("/v2/").expect(200);
}

#[test]
fn heads_that_are_too_long() {
    let server = Server::start();
    let huge = "x".repeat(100_000);
    for head in [
        format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Huge: {huge}\r\n\r\n"),
        format!("GET /v2/{huge} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(5_000)),
    ] {
        let mut stream = connect(server.addr);
        let _ = stream.write_all(head.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        assert!(line.is_empty() || line.contains("431") || line.contains("414"), "{line}");
    }
    server.get("/v2/").expect(200);
}

#[test]
fn a_body_that_breaks_off_is_continued() {
    let server = Server::start();
    let bytes = content(1, 1_000_000);
    let at = server.start_upload("a");
    let mut stream = connect(server.addr);
    let head = format!(
        "PATCH {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nContent-Range: 0-999999\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes[..600_000]).unwrap();
    drop(stream);
    let until = Instant::now() + Duration::from_secs(20);
    let offset = loop {
        let range = server.get(&at).expect(204).header("range").unwrap().to_owned();
        let last: usize = range[2..].parse().unwrap();
        if last == 599_999 || Instant::now() > until {
            break last + 1;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(offset, 600_000, "what arrived is kept");
    let range = format!("{offset}-999999");
    server.request("PATCH", &at, &[("Content-Range", &range)], &bytes[offset..]).expect(202);
    server.request("PUT", &format!("{at}?digest={}", sha256(&bytes)), &[], b"").expect(201);
    // A push in one request leaves nothing.
    let mut stream = connect(server.addr);
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc",
        sha256(b"x")
    );
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    server.expect_no_uploads();
}

#[test]
fn a_client_that_comes_back_takes_its_upload_over() {
    let server = Server::start();
    let bytes = content(2, 500_000);
    let at = server.start_upload("a");
    let mut silent = connect(server.addr);
    let head = format!("PATCH {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n");
    silent.write_all(head.as_bytes()).unwrap();
    silent.write_all(&bytes[..300_000]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // The old connection is still open, and says nothing any more. Asking does not disturb it.
    server.get(&at).expect(204);
    let answer = server
        .request("PATCH", &at, &[("Content-Range", "0-4")], b"abcde")
        .refused(416, "BLOB_UPLOAD_INVALID");
    assert_eq!(answer.header("range"), Some("0-299999"));
    assert_eq!(read_answer(&mut silent, false).status, 400);
    server.request("PATCH", &at, &[("Content-Range", "300000-499999")], &bytes[300_000..]).expect(202);
    server.request("PUT", &format!("{at}?digest={}", sha256(&bytes)), &[], b"").expect(201);
}

#[test]
fn slow_clients_are_left() {
    let limits = Limits {
        head_time: Duration::from_millis(300),
        batch_time: Duration::from_millis(300),
        write_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Server::with(limits, &Options::default());
    let large = content(1, 20_000_000);
    let digest = server.push_blob("a", &large);
    let start = Instant::now();
    // A head that never ends, and one that never begins.
    for head in ["GET /v2/ HTTP/1.1\r\nX: ", ""] {
        let mut stream = connect(server.addr);
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    // A body that stops.
    let at = server.start_upload("a");
    let mut stream = connect(server.addr);
    let head = format!("PATCH {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc");
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream, false).status, 408);
    assert_eq!(server.get(&at).expect(204).header("range"), Some("0-2"));
    // An answer that nobody takes.
    let mut stream = connect(server.addr);
    let head = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!read_answer(&mut stream, false).is_whole);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).expect(200).body.len(), large.len());
}

#[test]
fn more_at_once_than_there_are_places() {
    let limits = Limits {
        max_uploads: 1,
        max_blob_bytes: 500_000,
        place_wait: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::with(limits, &Options { max_sessions: 3, ..Options::default() });
    let at = server.start_upload("a");
    let mut holder = connect(server.addr);
    holder
        .write_all(
            format!("PATCH {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n").as_bytes(),
        )
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let large = content(1, 300_000);
    let path = format!("/v2/a/blobs/uploads/?digest={}", sha256(&large));
    let answer = server.request("POST", &path, &[], &large).refused(429, "TOOMANYREQUESTS");
    assert!(answer.header("retry-after").is_some());
    server.push_blob("a", b"small ones pass");
    drop(holder);
    let until = Instant::now() + Duration::from_secs(20);
    while server.request("POST", &path, &[], &large).status != 201 {
        assert!(Instant::now() < until, "the place is free again");
    }
    // Too large a blob, said or found out.
    let larger = content(2, 500_001);
    let path = format!("/v2/a/blobs/uploads/?digest={}", sha256(&larger));
    server.request("POST", &path, &[], &larger).refused(413, "SIZE_INVALID");
    let chunked = [format!("{:x}\r\n", larger.len()).as_bytes(), &larger, b"\r\n0\r\n\r\n"].concat();
    server.request("POST", &path, &[("Transfer-Encoding", "chunked")], &chunked).refused(413, "SIZE_INVALID");
    // Too many open uploads.
    server.start_upload("a");
    server.start_upload("a");
    server.request("POST", "/v2/a/blobs/uploads/", &[], b"").refused(429, "TOOMANYREQUESTS");
    server.delete(&at).expect(204);
    server.start_upload("a");
}

#[test]
fn a_client_that_waits_to_be_told_to_send() {
    let server = Server::start();
    let at = server.start_upload("a");
    let mut stream = connect(server.addr);
    let head = format!(
        "PATCH {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream, true).status, 100);
    stream.write_all(b"hello").unwrap();
    assert_eq!(read_answer(&mut stream, false).status, 202);
    // One that is refused is not told to.
    let mut stream = connect(server.addr);
    let head = head.replace("Content-Length: 5", "Content-Length: 5\r\nContent-Range: 50-54");
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream, false).status, 416);
}
