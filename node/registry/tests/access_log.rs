//! What clients ask for is written down, without what opens doors, and whatever becomes of that file.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{Server, content, request, sha256};
use serde_json::Value;
use tokio::runtime::Runtime;
use trustnet_registry::{AccessLog, Extras, Limits, Options, OsFiles, Rules, Setup, Store, start};

/// The lines of the log of a registry that was stopped.
fn lines(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("logs/access.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn setup(dir: &Path, settings: &str) -> Setup {
    let file = dir.join("registry.toml");
    std::fs::write(&file, settings).unwrap();
    let mut setup = Setup::new(dir, "127.0.0.1:0".parse().unwrap());
    setup.rules = Rules::File(file);
    setup
}

/// Starts a registry, asks it, and stops it.
fn run(setup: Setup, ask: impl FnOnce(SocketAddr)) {
    let runtime = Runtime::new().unwrap();
    let running = runtime.block_on(start(setup)).unwrap();
    ask(running.address());
    runtime.block_on(running.stop());
}

#[test]
fn who_asks_for_what_is_written_when_the_registry_stops() {
    let dir = tempfile::tempdir().unwrap();
    let (blob, token) = (content(1, 700), "Basic c2VjcmV0OnNlY3JldA==");
    let digest = sha256(&blob);
    run(setup(dir.path(), "[access]\nanonymous = [\"pull\", \"push\"]\n"), |addr| {
        let agent = [("User-Agent", "test/1 \"x\"")];
        let push = format!("/v2/a/blobs/uploads/?digest={digest}&secret=hidden");
        request(addr, "POST", &push, &agent, &blob).expect(201);
        request(addr, "GET", &format!("/v2/a/blobs/{digest}"), &[], b"").expect(200);
        request(addr, "GET", "/v2/a/manifests/none?ns=hidden", &[("Authorization", token)], b"").expect(401);
        request(addr, "GET", "/health", &[], b"").expect(200);
        request(addr, "GET", "/elsewhere", &[], b"").expect(404);
        request(addr, "GET", &format!("/v2/{}", "x".repeat(5_000)), &[], b"").expect(404);
    });
    let lines = lines(dir.path());
    let of = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("status"), [201, 200, 401, 404]);
    assert_eq!(of("method"), ["POST", "GET", "GET", "GET"]);
    assert_eq!(
        of("path")[..3],
        ["/v2/a/blobs/uploads/", &format!("/v2/a/blobs/{digest}"), "/v2/a/manifests/none"]
    );
    assert_eq!(lines[3]["path"].as_str().unwrap().len(), 512);
    assert_eq!(of("who")[..3], ["anonymous", "anonymous", ""]);
    assert!(of("client").iter().all(|client| client == "127.0.0.1"));
    assert_eq!((&lines[1]["bytes"], &lines[0]["agent"]), (&Value::from(700), &Value::from("test/1 \"x\"")));
    let time = lines[0]["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    let path = dir.path().join("logs/access.log");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("hidden") && !text.contains("c2Vj"), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn without_it_there_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    run(setup(dir.path(), "[log]\naccess = false\n"), |addr| {
        request(addr, "GET", "/v2/", &[], b"").expect(200);
    });
    assert!(!dir.path().join("logs").exists());
}

#[test]
fn a_log_that_cannot_be_written_fails_no_request() {
    let dir = tempfile::tempdir().unwrap();
    // Where the folder should be.
    std::fs::write(dir.path().join("logs"), "").unwrap();
    run(setup(dir.path(), "[access]\nanonymous = [\"pull\", \"push\"]\n"), |addr| {
        for _ in 0..3 {
            request(addr, "GET", "/v2/", &[], b"").expect(200);
        }
        let blob = content(1, 700);
        let push = format!("/v2/a/blobs/uploads/?digest={}", sha256(&blob));
        request(addr, "POST", &push, &[], &blob).expect(201);
    });
    assert_eq!(std::fs::read(dir.path().join("logs")).unwrap(), b"");
}

#[test]
fn the_folder_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    run(setup(dir.path(), "[access]\nanonymous = [\"pull\", \"push\"]\n"), |addr| {
        request(addr, "GET", "/v2/", &[], b"").expect(200);
    });
    let store = Store::open_rebuilding(OsFiles::new(dir.path()), &Options::default()).unwrap();
    store.collect(&trustnet_registry::Policy::default()).unwrap();
    let bytes = std::fs::metadata(dir.path().join("logs/access.log")).unwrap().len();
    assert_eq!((store.usage().unwrap().log_bytes, bytes > 0), (bytes, true));
    assert_eq!(lines(dir.path()).len(), 1);
}

/// One user, with the password "alice secret".
const LOGIN: &str = r#"
[access]
anonymous = []
[[user]]
name = "alice"
password = "$pbkdf2-sha256$i=10000$MDEyMzQ1Njc4OWFiY2RlZg$aqgdwqYezaPOdUdF7yCjmalkJN8QcFbaEkvrr2L5He0"
[[rule]]
who = ["alice"]
repositories = ["*"]
actions = ["pull"]
"#;

#[test]
fn whoever_has_a_name_is_told_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let login = [("Authorization", "Basic YWxpY2U6YWxpY2Ugc2VjcmV0")];
    run(setup(dir.path(), LOGIN), |addr| {
        request(addr, "GET", "/v2/a/tags/list", &login, b"").expect(404);
        request(addr, "GET", "/token?service=x&account=alice", &login, b"").expect(200);
        request(addr, "GET", "/v2/a/tags/list", &[], b"").expect(401);
    });
    let lines = lines(dir.path());
    let of = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("who"), ["user:alice", "user:alice", ""]);
    assert_eq!(of("path"), ["/v2/a/tags/list", "/token", "/v2/a/tags/list"]);
}

/// As whoever puts the registry behind a listener of their own has it.
#[test]
fn a_log_may_be_given_to_any_registry() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(OsFiles::new(dir.path()), &Options::default()).unwrap();
    let log = AccessLog::start(&store).unwrap();
    let server = Server::with_extras(
        Limits::default(),
        &Options::default(),
        Extras { log: Some(std::sync::Arc::clone(&log)), ..Extras::default() },
    );
    server.get("/v2/").expect(200);
    log.stop();
    server.get("/v2/").expect(200);
    assert_eq!(lines(dir.path()).len(), 1);
}
