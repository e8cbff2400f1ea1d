//! Blobs: every way to push one, and every way to get one.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Server, content, sha256, sha512};

#[test]
fn the_base_answers() {
    let server = Server::start();
    let answer = server.get("/v2/").expect(200);
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
    server.get("/v2").expect(200);
    server.head("/v2/").expect(200);
    assert_eq!(server.get("/health").expect(200).json()["status"], "ok");
    server.get("/").expect(404);
    let answer = server.request("POST", "/v2/", &[], b"").refused(405, "UNSUPPORTED");
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

#[test]
fn every_way_to_push() {
    let server = Server::start();
    let bytes = content(1, 300_000);
    for (number, digest) in [sha256(&bytes), sha512(&bytes)].into_iter().enumerate() {
        let repo = format!("a/b{number}");
        let pull = |repo: &str| {
            let answer = server.get(&format!("/v2/{repo}/blobs/{digest}")).expect(200);
            assert_eq!(answer.body, bytes);
            assert_eq!(answer.header("docker-content-digest"), Some(digest.to_string().as_str()));
            assert_eq!(answer.header("content-length"), Some("300000"));
        };
        // A single POST.
        let path = format!("/v2/{repo}/one/blobs/uploads/?digest={digest}");
        let answer = server.request("POST", &path, &[], &bytes).expect(201);
        let location = format!("/v2/{repo}/one/blobs/{digest}");
        assert_eq!(answer.header("location"), Some(location.as_str()));
        pull(&format!("{repo}/one"));
        // POST, then PUT.
        let at = server.start_upload(&format!("{repo}/two"));
        server.request("PUT", &format!("{at}?digest={digest}"), &[], &bytes).expect(201);
        pull(&format!("{repo}/two"));
        server.get(&at).refused(404, "BLOB_UPLOAD_UNKNOWN");
        // In chunks; the last one with the PUT.
        let at = server.start_upload(&format!("{repo}/three"));
        for (start, end) in [(0, 100_000), (100_000, 200_000)] {
            let range = format!("{start}-{}", end - 1);
            let answer =
                server.request("PATCH", &at, &[("Content-Range", &range)], &bytes[start..end]).expect(202);
            let expected = format!("0-{}", end - 1);
            assert_eq!(answer.header("range"), Some(expected.as_str()));
            assert_eq!(answer.header("location"), Some(at.as_str()));
        }
        let put = format!("{at}?digest={digest}");
        server.request("PUT", &put, &[("Content-Range", "200000-299999")], &bytes[200_000..]).expect(201);
        pull(&format!("{repo}/three"));
        // As a stream of unknown length.
        let at = server.start_upload(&format!("{repo}/four"));
        let chunked = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n0\r\n\r\n"].concat();
        server.request("PATCH", &at, &[("Transfer-Encoding", "chunked")], &chunked).expect(202);
        server.request("PUT", &format!("{at}?digest={digest}"), &[], b"").expect(201);
        pull(&format!("{repo}/four"));
    }
    // With the algorithm named in advance.
    let path = "/v2/x/blobs/uploads/?digest-algorithm=sha512";
    let at = server.request("POST", path, &[], b"").expect(202).header("location").unwrap().to_owned();
    server.request("PUT", &format!("{at}?digest={}", sha512(b"y")), &[], b"y").expect(201);
    server
        .request("POST", "/v2/x/blobs/uploads/?digest-algorithm=md5", &[], b"")
        .refused(400, "DIGEST_INVALID");
    // The empty blob.
    server.push_blob("x", b"");
    assert_eq!(server.get(&format!("/v2/x/blobs/{}", sha256(b""))).expect(200).body, b"");
}

#[test]
fn chunks_must_follow_one_another() {
    let server = Server::start();
    let bytes = content(2, 3_000);
    let at = server.start_upload("a");
    let stands = |range: &str| {
        let answer = server.get(&at).expect(204);
        assert_eq!((answer.header("range"), answer.header("location")), (Some(range), Some(at.as_str())));
    };
    let refused = |method: &str, path: &str, range: &str, body: &[u8], stands: &str| {
        let answer = server.request(method, path, &[("Content-Range", range)], body);
        let answer = answer.refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!((answer.header("range"), answer.header("location")), (Some(stands), Some(at.as_str())));
    };
    let put = format!("{at}?digest={}", sha256(&bytes));
    stands("0-0");
    refused("PATCH", &at, "1000-1999", &bytes[1000..2000], "0-0");
    refused("PUT", &put, "2000-2999", &bytes[2000..], "0-0");
    server.request("PATCH", &at, &[("Content-Range", "0-999")], &bytes[..1000]).expect(202);
    stands("0-999");
    refused("PATCH", &at, "0-999", &bytes[..1000], "0-999");
    refused("PATCH", &at, "500-1499", &bytes[500..1500], "0-999");
    refused("PUT", &put, "2000-2999", &bytes[2000..], "0-999");
    // Ranges that are none, or not those of the body.
    for range in ["1000-999", "a-b", "bytes 1000-1999/3000", "1000", "1000-18446744073709551615"] {
        let answer = server.request("PATCH", &at, &[("Content-Range", range)], &bytes[1000..2000]);
        assert_eq!(answer.status, 400, "{range}");
    }
    let short = server.request("PATCH", &at, &[("Content-Range", "1000-1999")], &bytes[1000..1500]);
    short.refused(400, "SIZE_INVALID");
    let chunked = b"5\r\nabcde\r\n0\r\n\r\n";
    for range in ["1000-1003", "1000-1009"] {
        let headers = [("Content-Range", range), ("Transfer-Encoding", "chunked")];
        let other = server.start_upload("a");
        server.request("PATCH", &other, &[("Content-Range", "0-999")], &bytes[..1000]).expect(202);
        server.request("PATCH", &other, &headers, chunked).refused(400, "SIZE_INVALID");
    }
    stands("0-999");
    server.request("PATCH", &at, &[("Content-Range", "1000-1999")], &bytes[1000..2000]).expect(202);
    server.request("PUT", &put, &[("Content-Range", "2000-2999")], &bytes[2000..]).expect(201);
    assert_eq!(server.get(&format!("/v2/a/blobs/{}", sha256(&bytes))).body, bytes);
}

#[test]
fn an_upload_goes_on_after_a_restart() {
    let mut server = Server::start();
    let bytes = content(3, 2_500_000);
    let at = server.start_upload("a/b");
    server.request("PATCH", &at, &[("Content-Range", "0-1499999")], &bytes[..1_500_000]).expect(202);
    server.restart();
    assert_eq!(server.get(&at).expect(204).header("range"), Some("0-1499999"));
    server.request("PATCH", &at, &[("Content-Range", "0-4")], b"xxxxx").refused(416, "BLOB_UPLOAD_INVALID");
    server.request("PATCH", &at, &[("Content-Range", "1500000-2499999")], &bytes[1_500_000..]).expect(202);
    server.restart();
    server.request("PUT", &format!("{at}?digest={}", sha256(&bytes)), &[], b"").expect(201);
    server.restart();
    assert_eq!(server.get(&format!("/v2/a/b/blobs/{}", sha256(&bytes))).body, bytes);
}

#[test]
fn uploads_are_cancelled_and_belong_to_their_repository() {
    let server = Server::start();
    let at = server.start_upload("a");
    let elsewhere = at.replace("/v2/a/", "/v2/b/");
    server.get(&elsewhere).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.request("PATCH", &elsewhere, &[], b"x").refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.delete(&elsewhere).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.delete(&at).expect(204);
    server.get(&at).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.delete(&at).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.expect_no_uploads();
}

#[test]
fn blobs_are_mounted() {
    let server = Server::start();
    let digest = server.push_blob("a", b"mounted");
    let mount = |to: &str, query: &str| {
        server.request("POST", &format!("/v2/{to}/blobs/uploads/?mount={digest}{query}"), &[], b"")
    };
    let answer = mount("b", "&from=a").expect(201);
    assert_eq!(answer.header("docker-content-digest"), Some(digest.to_string().as_str()));
    let location = answer.header("location").unwrap();
    assert_eq!(server.get(location).expect(200).body, b"mounted");
    mount("c", "").expect(201);
    server.get(&format!("/v2/c/blobs/{digest}")).expect(200);
    // What is not there cannot be mounted, and an upload begins.
    let answer = mount("d", "&from=nowhere").expect(202);
    let at = answer.header("location").unwrap();
    server.request("PUT", &format!("{at}?digest={digest}"), &[], b"mounted").expect(201);
    let unknown = sha256(b"unknown");
    server.request("POST", &format!("/v2/e/blobs/uploads/?mount={unknown}"), &[], b"").expect(202);
    // Once nobody holds it, nobody can mount it.
    for repo in ["a", "b", "c", "d"] {
        server.delete(&format!("/v2/{repo}/blobs/{digest}")).expect(202);
    }
    mount("e", "").expect(202);
    server.request("POST", "/v2/e/blobs/uploads/?mount=sha256:x", &[], b"").refused(400, "DIGEST_INVALID");
    server
        .request("POST", &format!("/v2/e/blobs/uploads/?mount={digest}&from=../a"), &[], b"")
        .refused(400, "NAME_INVALID");
}

#[test]
fn parts_of_a_blob() {
    let server = Server::start();
    let bytes = content(4, 200_000);
    let digest = server.push_blob("a", &bytes);
    let path = format!("/v2/a/blobs/{digest}");
    let get = |range: &str| server.request("GET", &path, &[("Range", range)], b"");
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=500-1499", 500, 1500),
        ("bytes=500-", 500, 200_000),
        ("bytes=-500", 199_500, 200_000),
        ("bytes=-300000", 0, 200_000),
        ("bytes=199000-300000", 199_000, 200_000),
    ] {
        let answer = get(range).expect(206);
        assert_eq!(answer.body, &bytes[start..end], "{range}");
        let expected = format!("bytes {start}-{}/200000", end - 1);
        assert_eq!(answer.header("content-range"), Some(expected.as_str()));
    }
    for range in ["bytes=500-0", "bytes=200000-", "bytes=300000-400000", "bytes=-0"] {
        let answer = get(range).expect(416);
        assert_eq!(answer.header("content-range"), Some("bytes */200000"));
    }
    for range in ["bytes=0-1,4-5", "lines=1-2", "nonsense"] {
        assert_eq!(get(range).expect(200).body.len(), 200_000, "{range}");
    }
    let etag = server.head(&path).expect(200).header("etag").unwrap().to_owned();
    let conditional =
        |etag: &str| server.request("GET", &path, &[("Range", "bytes=0-9"), ("If-Range", etag)], b"");
    conditional(&etag).expect(206);
    conditional("\"other\"").expect(200);
}

#[test]
fn head_tells_without_sending() {
    let server = Server::start();
    let digest = server.push_blob("a", &content(5, 100_000));
    let answer = server.head(&format!("/v2/a/blobs/{digest}")).expect(200);
    assert_eq!(answer.header("content-length"), Some("100000"));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.to_string().as_str()));
    server.head(&format!("/v2/b/blobs/{digest}")).expect(404);
    server.head(&format!("/v2/a/blobs/{}", sha256(b"other"))).expect(404);
}

#[test]
fn deleting_is_seen_at_once_and_by_one_repository() {
    let server = Server::start();
    let digest = server.push_blob("a", b"x");
    server.push_blob("b", b"x");
    server.delete(&format!("/v2/a/blobs/{digest}")).expect(202);
    server.get(&format!("/v2/a/blobs/{digest}")).refused(404, "BLOB_UNKNOWN");
    server.delete(&format!("/v2/a/blobs/{digest}")).refused(404, "BLOB_UNKNOWN");
    server.get(&format!("/v2/b/blobs/{digest}")).expect(200);
    server.push_blob("a", b"x");
    server.get(&format!("/v2/a/blobs/{digest}")).expect(200);
}
