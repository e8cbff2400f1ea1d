//! The registry over TLS: what clients see, what those do not get that do not keep to the rules, and that others never
//! notice.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/secure.rs"]
mod secure;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::*;
use secure::{Client, get, is_ended};
use trustnet_registry::{Keeper, Limits, Names, Options, now_seconds};

fn names(host: &str) -> Names {
    Names::of_machine(host, &["127.0.0.2".parse().unwrap()], &[]).unwrap()
}

struct Secured {
    server: Server,
    keeper: Keeper,
    addr: SocketAddr,
    ca: PathBuf,
}

fn start(limits: Limits) -> Secured {
    let server = Server::with(limits, &Options::default());
    let keeper = Keeper::open(server.dir.path(), &names("pi"), now_seconds()).unwrap();
    let addr = server.serve_tls(keeper.certificates());
    let ca = server.dir.path().join("tls/ca.pem");
    Secured { server, keeper, addr, ca }
}

#[test]
fn both_versions_and_every_name() {
    let it = start(Limits::default());
    let text = it.server.push_image("a", "v1", 1);
    for versions in [vec![&rustls::version::TLS13], vec![&rustls::version::TLS12]] {
        let client = Client { versions, ..Client::trusting(&it.ca) };
        for name in ["localhost", "pi", "pi.local", "127.0.0.1", "127.0.0.2", "::1"] {
            let answer = client.get(it.addr, name, "/v2/a/manifests/v1").unwrap().expect(200);
            assert_eq!(answer.body, text.as_bytes(), "{name}");
        }
        assert!(client.get(it.addr, "other.local", "/v2/").is_err());
    }
    let stream = Client::trusting(&it.ca).connect(it.addr, "pi").unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    // A client that speaks nothing we speak is told so; one that does not say is served.
    let only = |alpn: &[&[u8]]| {
        let alpn = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Client { alpn, ..Client::trusting(&it.ca) }.get(it.addr, "pi", "/v2/")
    };
    assert!(only(&[b"h2"]).is_err());
    only(&[]).unwrap().expect(200);
    // Nobody's challenge is answered, and nothing else is told instead.
    assert!(only(&[b"acme-tls/1"]).is_err());
}

#[test]
fn a_client_of_another_authority_is_not_fooled() {
    let (it, other) = (start(Limits::default()), start(Limits::default()));
    assert!(Client::trusting(&other.ca).get(it.addr, "localhost", "/v2/").is_err());
}

#[test]
fn a_large_blob_passes_whole() {
    let it = start(Limits::default());
    let blob = content(3, 5_000_000);
    let digest = it.server.push_blob("a", &blob);
    let answer = Client::trusting(&it.ca)
        .get(it.addr, "localhost", &format!("/v2/a/blobs/{digest}"))
        .unwrap()
        .expect(200);
    assert!(answer.is_whole && answer.body == blob);
}

#[test]
fn the_certificate_is_exchanged_while_clients_are_connected() {
    let mut it = start(Limits::default());
    let client = Client::trusting(&it.ca);
    let mut open = client.connect(it.addr, "pi").unwrap();
    get(&mut open, "/v2/").expect(200);
    let leaf = |stream: &secure::Stream| stream.conn.peer_certificates().unwrap()[0].clone();
    let before = leaf(&open);
    assert!(client.connect(it.addr, "new.local").is_err());
    assert!(it.keeper.check(&names("new"), now_seconds()).unwrap());
    let mut later = client.connect(it.addr, "new.local").unwrap();
    assert_ne!(leaf(&later), before);
    get(&mut later, "/v2/").expect(200);
    // Who was there before notices nothing.
    get(&mut open, "/v2/").expect(200);
    assert!(client.connect(it.addr, "pi").is_err());
}

#[test]
fn handshakes_that_do_not_end_leave_room_for_others() {
    let limits =
        Limits { max_connections: 8, handshake_time: Duration::from_millis(300), ..Limits::default() };
    let it = start(limits);
    let client = Client::trusting(&it.ca);
    let mut open = client.connect(it.addr, "pi").unwrap();
    let mut idle: Vec<TcpStream> = (0..12).map(|_| connect(it.addr)).collect();
    // Half of them say something that looks like the beginning of a handshake.
    for stream in idle.iter_mut().step_by(2) {
        // One address has so many handshakes and no more: some are ended already.
        let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]);
    }
    let start = Instant::now();
    for _ in 0..3 {
        get(&mut open, "/v2/").expect(200);
        it.server.get("/v2/").expect(200);
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    // This one comes from the same address, and so has to wait for the end of theirs.
    while !client.get(it.addr, "pi", "/v2/").is_ok_and(|answer| answer.status == 200) {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(idle.iter_mut().all(is_ended));
}

#[test]
fn what_is_no_tls_ends_there() {
    let it = start(Limits { handshake_time: Duration::from_secs(2), ..Limits::default() });
    let mut long = vec![0; 70_000];
    long[..5].copy_from_slice(&[22, 3, 3, 0xff, 0xff]);
    for bytes in [
        &b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\0\0\0\0\0\0\0\0",
        b"SSH-2.0-x\r\n",
        &[22; 300],
        &long,
        b"",
    ] {
        let mut stream = connect(it.addr);
        let _ = stream.write_all(bytes);
        assert!(is_ended(&mut stream), "{:?}", &bytes[..bytes.len().min(20)]);
    }
    Client::trusting(&it.ca).get(it.addr, "pi", "/v2/").unwrap().expect(200);
    // And TLS where none is spoken.
    assert!(Client::trusting(&it.ca).connect(it.server.addr, "pi").is_err());
}

/// Runs a program that knows what it thinks of certificates; `None`, loudly, if it is not here.
fn run(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!(
                "NOT RUN: {program} is not installed, so what it thinks of our certificates is not checked"
            );
            None
        }
        output => {
            let output = output.unwrap();
            let said = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
        }
    }
}

#[test]
fn other_peoples_programs_accept_the_certificates() {
    let it = start(Limits::default());
    it.server.push_image("a", "v1", 1);
    let port = it.addr.port();
    let ca = it.ca.to_str().unwrap();
    let server = it.server.dir.path().join("tls/server.pem");
    // OpenSSL.
    let strict = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, server.to_str().unwrap()];
    for check in [["-verify_hostname", "pi.local"], ["-verify_ip", "127.0.0.1"]] {
        let arguments: Vec<_> = strict[..6].iter().chain(&check).chain(&strict[6..]).copied().collect();
        if let Some((is_good, said)) = run("openssl", &arguments) {
            assert!(is_good, "{said}");
        }
    }
    // curl, with whatever it was built on.
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/v2/");
        if let Some((is_good, said)) = run("curl", &["-sSf", "--max-time", "20", "--cacert", ca, &url]) {
            assert!(is_good, "{said}");
        }
        if let Some((is_good, _)) = run("curl", &["-sSf", "--max-time", "20", &url]) {
            assert!(!is_good, "curl trusts what nobody told it to");
        }
    }
    // Go, by way of skopeo, which takes a folder as `trust` writes it.
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(&it.ca, folder.path().join("ca.crt")).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let image = format!("docker://{host}:{port}/a:v1");
        let certificates = folder.path().to_str().unwrap();
        if let Some((is_good, said)) =
            run("skopeo", &["inspect", "--raw", "--cert-dir", certificates, &image])
        {
            assert!(is_good && said.contains("schemaVersion"), "{said}");
        }
        if let Some((is_good, _)) = run("skopeo", &["inspect", "--raw", &image]) {
            assert!(!is_good, "skopeo trusts what nobody told it to");
        }
    }
}
