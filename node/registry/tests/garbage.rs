//! Requests put together at random from what hurts: nothing panics, nothing is the server's own fault.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{OCI_INDEX, OCI_MANIFEST, Server, connect, content, image, sha256, sha512, subject};

/// How many requests; `REGISTRY_GARBAGE` makes them more.
fn rounds() -> u64 {
    std::env::var("REGISTRY_GARBAGE").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3_000)
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn pick<'a>(&mut self, from: &'a [String]) -> &'a str {
        &from[self.below(from.len())]
    }

    /// Changes some bytes of a text.
    fn spoil(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        for _ in 0..self.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            match self.below(3) {
                0 => bytes[at] = self.below(256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\"{}[],:%/\\\0 -0\xff"[self.below(15)]),
            }
        }
        bytes
    }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn nothing_panics() {
    let panics = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&panics);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let server = Server::start();
    let text = server.push_image("a", "v1", 1);
    let attached = image(&content(1, 50), &[], &subject(&text));
    let (blob, manifest) = (sha256(&content(1_001, 500)).to_string(), sha256(text.as_bytes()).to_string());
    let methods = owned(&["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "X"]);
    let names = owned(&["a", "b", "a/b", "..", "A", "", "a//b", "a%2Fb", "%2e%2e", "%ff", "x/blobs/uploads"]);
    let mut references = owned(&["v1", "latest", "sha256:x", "md5:00", "", "..", "%00", ":", "sha512:"]);
    references.extend([blob.clone(), manifest.clone(), sha512(b"x").to_string(), "t".repeat(200)]);
    let kinds = owned(&["blobs", "manifests", "referrers", "tags", "blobs/uploads", "uploads", "_catalog"]);
    let queries = owned(&[
        "",
        "?",
        "?n=1",
        "?n=-1",
        "?n=99999999999999999999",
        "?last=%",
        "?last=v",
        "?tag=a&tag=b",
        "?tag=-",
        "?digest=",
        "?mount=x",
        "?artifactType=a/b",
        "?digest-algorithm=sha512",
        "?from=..&mount=",
        "?&&=&=&",
    ]);
    let mut queries = queries;
    queries.extend([format!("?digest={blob}"), format!("?mount={blob}&from=a"), format!("?last={manifest}")]);
    let headers = owned(&[
        "",
        "Range: bytes=0-1",
        "Range: bytes=-",
        "Range: bytes=9999-",
        "Content-Range: 0-4",
        "Content-Range: 5-0",
        "Content-Range: 18446744073709551615-18446744073709551615",
        "Expect: 100-continue",
        "If-Range: \"x\"",
        "Accept: */*",
        "Content-Type: a/b",
        "Content-Type: \t",
        "X: \u{fc}",
    ]);
    let types = [OCI_MANIFEST, OCI_INDEX, "application/json", ""];
    let bodies = [
        b"".to_vec(),
        b"hello".to_vec(),
        text.clone().into_bytes(),
        attached.into_bytes(),
        content(3, 70_000),
    ];
    let mut chance = Chance(2_026);
    let mut uploads = vec![server.start_upload("a")];
    let mut answered = 0;
    for round in 0..rounds() {
        let method = chance.pick(&methods).to_owned();
        let path = match chance.below(4) {
            0 => uploads[chance.below(uploads.len())].clone() + chance.pick(&queries),
            _ => format!(
                "/v2/{}/{}/{}{}",
                chance.pick(&names),
                chance.pick(&kinds),
                chance.pick(&references),
                chance.pick(&queries)
            ),
        };
        let body = &bodies[chance.below(bodies.len())];
        let body = chance.spoil(body);
        let kind = types[chance.below(types.len())];
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
        for header in [chance.pick(&headers), chance.pick(&headers)] {
            if !header.is_empty() {
                head.extend_from_slice(format!("{header}\r\n").as_bytes());
            }
        }
        if !kind.is_empty() {
            head.extend_from_slice(format!("Content-Type: {kind}\r\n").as_bytes());
        }
        match chance.below(5) {
            0 => head.extend_from_slice(
                format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()).as_bytes(),
            ),
            _ => head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes()),
        }
        let head = if chance.below(10) == 0 { chance.spoil(&head) } else { head };
        let mut stream = connect(server.addr);
        let _ = stream.write_all(&head).and_then(|()| stream.write_all(&body));
        let _ = stream.write_all(b"\r\n0\r\n\r\n");
        // So that a request that says more than it sends ends, too.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        assert!(!line.starts_with("HTTP/1.1 5"), "{round}: {line} to {}", String::from_utf8_lossy(&head));
        answered += u64::from(line.starts_with("HTTP/1.1"));
        if round % 50 == 0 && uploads.len() < 20 {
            uploads.push(server.start_upload("a"));
        }
    }
    assert!(answered > rounds() / 2, "{answered}");
    assert_eq!(panics.load(Ordering::SeqCst), 0);
    server.push_image("a", "v2", 7);
    assert_eq!(server.get("/health").expect(200).json()["damaged"], 0);
}
