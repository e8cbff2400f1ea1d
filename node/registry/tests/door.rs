//! What is decided before anybody is asked who they are: web pages, methods, proxies, and that all of it counts.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::Write as _;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Server, connect, read_answer, sha256};
use trustnet_registry::{Extras, Limits, Options, Rules, Setup, start};

/// A request of these lines, and no others.
fn raw(addr: SocketAddr, lines: &[&str]) -> Answer {
    let mut stream = connect(addr);
    stream.write_all(format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).as_bytes()).unwrap();
    read_answer(&mut stream, false)
}

fn message(answer: &Answer) -> String {
    answer.json()["errors"][0]["message"].as_str().unwrap().to_owned()
}

#[test]
fn web_pages_get_nothing_of_an_open_registry() {
    let server = Server::start();
    let digest = server.push_blob("a", b"x");
    let blob = format!("/v2/a/blobs/{digest}");
    let requests = [
        ("GET", "/v2/".to_owned()),
        ("GET", "/token".to_owned()),
        ("GET", blob.clone()),
        ("DELETE", blob.clone()),
        ("POST", "/v2/a/blobs/uploads/".to_owned()),
        ("POST", format!("/v2/a/blobs/uploads/?digest={}", sha256(b"y"))),
        ("PUT", "/v2/a/manifests/v1".to_owned()),
        // What a browser asks before it lets a page send more.
        ("OPTIONS", blob.clone()),
    ];
    let page = [("Origin", "https://stranger.example"), ("Content-Type", "text/plain")];
    for headers in [&page[..], &[("Origin", "null")], &[("Sec-Fetch-Site", "cross-site")]] {
        for (method, path) in &requests {
            let answer = server.request(method, path, headers, b"y").refused(403, "DENIED");
            assert!(message(&answer).contains("web pages"), "{method} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    for (method, path) in &requests {
        let answer = raw(server.addr, &[&format!("{method} {path} HTTP/1.1"), "Host: stranger.example:8000"]);
        let answer = answer.refused(403, "DENIED");
        assert!(message(&answer).contains("\"stranger.example:8000\""), "{method} {path}");
    }
    server.expect_no_uploads();
    server.get(&format!("/v2/a/blobs/{}", sha256(b"y"))).refused(404, "BLOB_UNKNOWN");
    // A person who looks, a program of old, a monitor.
    server.request("GET", &blob, &[("Sec-Fetch-Site", "none")], b"").expect(200);
    raw(server.addr, &[&format!("GET {blob} HTTP/1.0")]).expect(200);
    raw(server.addr, &["GET /health HTTP/1.1", "Host: stranger.example"]).expect(200);
}

#[test]
fn an_open_registry_answers_to_the_names_of_its_machine() {
    let extras = Extras { host: "pi".to_owned(), ..Extras::default() };
    let server = Server::with_extras(Limits::default(), &Options::default(), extras);
    let status =
        |addr: SocketAddr, host: &str| raw(addr, &["GET /v2/ HTTP/1.1", &format!("Host: {host}")]).status;
    for host in
        ["127.0.0.1:8000", "[::1]:8000", "localhost", "pi:8000", "pi.local", "host.docker.internal:80"]
    {
        assert_eq!(status(server.addr, host), 200, "{host}");
    }
    assert_eq!(status(server.addr, "pj:8000"), 403);
    // As the program starts it: by what the machine says of itself.
    let (dir, runtime) = (tempfile::tempdir().unwrap(), tokio::runtime::Runtime::new().unwrap());
    let mut setup = Setup::new(dir.path(), "127.0.0.1:0".parse().unwrap());
    setup.machine = || ("box".to_owned(), Vec::new());
    setup.rules = Rules::Open;
    let running = runtime.block_on(start(setup)).unwrap();
    assert_eq!((status(running.address(), "box.local"), status(running.address(), "pi")), (200, 403));
    runtime.block_on(running.stop());
}

#[test]
fn who_keeps_to_rules_answers_to_every_name() {
    let server = Server::governed("");
    raw(server.addr, &["GET /v2/ HTTP/1.1", "Host: registry.example.org", "Origin: https://a.example"])
        .expect(200);
}

#[test]
fn a_method_that_an_address_does_not_know_asks_for_no_login() {
    let server = Server::governed("[access]\nanonymous = []\n[limits]\nrequests_per_second = 1\nburst = 6");
    let digest = sha256(b"x");
    for (method, path, allow) in [
        ("POST", format!("/v2/a/blobs/{digest}"), "GET, HEAD, DELETE"),
        ("PATCH", "/v2/a/manifests/v1".to_owned(), "GET, HEAD, PUT, DELETE"),
        ("GET", "/v2/a/blobs/uploads/".to_owned(), "POST"),
        ("DELETE", "/v2/a/tags/list".to_owned(), "GET, HEAD"),
        ("PUT", "/token".to_owned(), "GET"),
        ("POST", "/health".to_owned(), "GET, HEAD"),
    ] {
        let answer = server.request(method, &path, &[], b"").refused(405, "UNSUPPORTED");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    server.request("POST", "/v2/", &[], b"").refused(429, "TOOMANYREQUESTS");
}

#[test]
fn what_makes_no_sense_counts_as_well() {
    for (path, status) in
        [("/v2/a/tags/list?n=%zz", 400), ("/v2/A/tags/list", 400), ("/nothing", 404), ("/v2/a/blobs/x", 400)]
    {
        let server = Server::governed("[limits]\nrequests_per_second = 1\nburst = 3");
        for _ in 0..3 {
            server.get(path).expect(status);
        }
        server.get(path).refused(429, "TOOMANYREQUESTS");
        // Of the same bucket as what makes sense; but it can be seen that the registry lives.
        server.get("/v2/a/tags/list").refused(429, "TOOMANYREQUESTS");
        for _ in 0..20 {
            server.get("/health").expect(200);
        }
    }
}

const FEW: &str = "[limits]\nrequests_per_second = 1\nburst = 3\n";

fn asked_for(server: &Server, client: &str) -> u16 {
    server.request("GET", "/v2/a/tags/list", &[("X-Forwarded-For", client)], b"").status
}

#[test]
fn clients_of_a_proxy_are_counted_each_for_itself() {
    let server = Server::governed(&format!("[access]\nproxies = [\"127.0.0.0/8\"]\n{FEW}"));
    for _ in 0..3 {
        assert_eq!(asked_for(&server, "203.0.113.1"), 404);
    }
    assert_eq!(asked_for(&server, "203.0.113.1"), 429);
    // Whatever it writes itself, the proxy adds what it saw.
    for before in ["198.51.100.7", "\u{e9}", ""] {
        assert_eq!(asked_for(&server, &format!("{before}, 203.0.113.1:4711")), 429, "{before}");
    }
    assert_eq!(asked_for(&server, "203.0.113.2"), 404);
    let two = [("X-Forwarded-For", "203.0.113.3"), ("X-Forwarded-For", "203.0.113.1")];
    server.request("GET", "/v2/a/tags/list", &two, b"").refused(429, "TOOMANYREQUESTS");
    // What cannot be read is the proxy's own.
    for client in ["unknown", "\u{e9}", ""] {
        assert_eq!(asked_for(&server, client), 404, "{client}");
    }
    server.get("/v2/a/tags/list").refused(429, "TOOMANYREQUESTS");
}

#[test]
fn who_is_no_proxy_speaks_for_nobody() {
    let server = Server::governed(&format!("[access]\nproxies = [\"192.0.2.4\"]\n{FEW}"));
    for number in 1..=3 {
        assert_eq!(asked_for(&server, &format!("203.0.113.{number}")), 404);
    }
    assert_eq!(asked_for(&server, "203.0.113.4"), 429);
}

#[test]
fn guesses_through_a_proxy_slow_down_who_guesses() {
    let server = Server::governed("[access]\nproxies = [\"127.0.0.1\"]\n");
    let guess = |client: &str| {
        let login = format!("Basic {}", STANDARD.encode("alice:guess"));
        let headers = [("X-Forwarded-For", client), ("Authorization", login.as_str())];
        server.request("GET", "/v2/", &headers, b"").status
    };
    let statuses: Vec<u16> = (0..6).map(|_| guess("203.0.113.1")).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    assert_eq!((guess("203.0.113.2"), guess("203.0.113.1")), (401, 429));
}

#[test]
fn a_proxy_has_as_many_connections_as_there_are() {
    let limits = "[limits]\nconnections = 4\nconnections_per_address = 1\n";
    let server = Server::governed(&format!("[access]\nproxies = [\"127.0.0.1\"]\n{limits}"));
    let mut held: Vec<_> = (0..3).map(|_| connect(server.addr)).collect();
    for stream in &mut held {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        read_answer(stream, false).expect(200);
    }
    server.get("/health").expect(200);
}
