//! The operator's commands, on a store and through the socket of a registry that serves.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/operator.rs"]
mod operator;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::archive::{Desk, layout, pack, target};
use common::{OCI_MANIFEST, Server, content, image, index, sha256, subject};
use operator::{Served, ask, import, removal};
use trustnet_registry::admin::{
    AdminError, Administration, Answer, Channel, Event, Opening, Operation, execute,
};
use trustnet_registry::transfer::ExportFormat;

fn act(server: &Server, operation: &Operation) -> (Answer, Vec<Event>) {
    let mut desk = Desk::default();
    let answer = execute(server.store(), operation, &mut desk).unwrap();
    (answer, desk.events)
}

fn repositories(events: &[Event]) -> Vec<(String, u64, u64)> {
    let mut found = Vec::new();
    for event in events {
        if let Event::Repository(summary) = event {
            found.push((summary.name.to_string(), summary.tags, summary.bytes));
        }
    }
    found
}

#[test]
fn every_repository_and_tag_is_named_once() {
    let server = Server::start();
    assert_eq!(act(&server, &Operation::List { repo: None }), (Answer::Listed { count: 0 }, vec![]));
    for name in ["a", "a-b", "a/b", "a0", "b"] {
        server.push_image(name, "v1", 1);
    }
    server.push_image("a", "v2", 2);
    server.push_blob("only-blobs", b"x");
    let (answer, events) = act(&server, &Operation::List { repo: None });
    assert_eq!(answer, Answer::Listed { count: 6 });
    let mut names: Vec<_> = repositories(&events);
    names.sort();
    let bytes = 550 + server.get("/v2/b/manifests/v1").body.len() as u64;
    assert_eq!(names[0], ("a".to_owned(), 2, 2 * bytes), "files are counted once");
    assert_eq!(names[4], ("b".to_owned(), 1, bytes));
    assert_eq!(names[5], ("only-blobs".to_owned(), 0, 1));
    let (answer, events) = act(&server, &Operation::List { repo: Some("a".parse().unwrap()) });
    assert_eq!(answer, Answer::Listed { count: 2 });
    let Event::Tag(tag) = &events[1] else { panic!() };
    assert_eq!((tag.tag.as_str(), tag.bytes, tag.is_whole), ("v2", bytes, true));
    let nothing = Operation::List { repo: Some("none".parse().unwrap()) };
    assert!(execute(server.store(), &nothing, &mut Desk::default()).is_err());
}

#[test]
fn an_image_tells_what_it_is_made_of() {
    let server = Server::start();
    let config = br#"{"architecture":"arm64","os":"linux","variant":"v8","created":"2026-01-01T00:00:00Z"}"#;
    let layer = content(1, 1_000);
    server.push_blob("a", config);
    server.push_blob("a", &layer);
    let text = image(config, &[&layer], "");
    server.put_manifest("a", "latest", OCI_MANIFEST, &text).expect(201);
    let more = format!(r#","artifactType":"application/x.sig"{}"#, subject(&text));
    let signature = image(config, &[], &more);
    server.put_manifest("a", &sha256(signature.as_bytes()).to_string(), OCI_MANIFEST, &signature).expect(201);
    let (Answer::Inspected(found), _) = act(&server, &Operation::Inspect { target: target("a") }) else {
        panic!()
    };
    assert_eq!(found.digest, sha256(text.as_bytes()));
    assert_eq!(found.bytes, (text.len() + config.len() + layer.len()) as u64);
    assert_eq!(found.platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
    assert_eq!(found.layers.len(), 2);
    assert_eq!(found.referrers[0].artifact_type.as_deref(), Some("application/x.sig"));
    assert!(found.missing.is_empty() && found.tags.len() == 1);
    let list = index(&[&text], "");
    server.put_manifest("a", "all", common::OCI_INDEX, &list).expect(201);
    let (Answer::Inspected(all), _) = act(&server, &Operation::Inspect { target: target("a:all") }) else {
        panic!()
    };
    assert_eq!((all.images.len(), all.images[0].bytes), (1, found.bytes));
    let gone = Operation::Inspect { target: target("a:gone") };
    assert!(execute(server.store(), &gone, &mut Desk::default()).is_err());
}

fn remove(server: &Server, name: &str, dry_run: bool) -> trustnet_registry::admin::Removal {
    match act(server, &removal(name, dry_run)).0 {
        Answer::Removed(removal) => removal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tag_takes_its_image_with_it_unless_something_leads_there() {
    let server = Server::start();
    let text = server.push_image("a", "v1", 1);
    server.put_manifest("a", "also", OCI_MANIFEST, &text).expect(201);
    let first = remove(&server, "a:also", false);
    assert_eq!((first.tags, first.manifests, first.files, first.bytes), (1, 0, 0, 0));
    server.put_manifest("a", "all", common::OCI_INDEX, &index(&[&text], "")).expect(201);
    assert_eq!(remove(&server, "a:v1", false).manifests, 0, "the index still needs it");
    server.get(&format!("/v2/a/manifests/{}", sha256(text.as_bytes()))).expect(200);
    let signature = image(&content(1, 50), &[], &subject(&text));
    server.put_manifest("a", &sha256(signature.as_bytes()).to_string(), OCI_MANIFEST, &signature).expect(201);
    let would = remove(&server, "a:all", true);
    assert_eq!(would, remove(&server, "a:all", false), "what was said is what is done");
    assert_eq!(
        (would.tags, would.manifests, would.files),
        (1, 3, 5),
        "index, image, signature, config, layer"
    );
    server.get(&format!("/v2/a/manifests/{}", sha256(signature.as_bytes()))).expect(404);
}

#[test]
fn what_is_attached_stays_while_an_index_needs_it() {
    let server = Server::start();
    let text = server.push_image("a", "v1", 1);
    let signature = image(&content(1, 50), &[], &subject(&text));
    let by_digest = sha256(signature.as_bytes()).to_string();
    server.put_manifest("a", &by_digest, OCI_MANIFEST, &signature).expect(201);
    server.put_manifest("a", "signatures", common::OCI_INDEX, &index(&[&signature], "")).expect(201);
    assert_eq!(remove(&server, "a:v1", false).manifests, 1);
    server.get(&format!("/v2/a/manifests/{by_digest}")).expect(200);
    // It goes with what needs it.
    assert_eq!(remove(&server, "a:signatures", false).manifests, 2);
    // And when both go at once.
    let text = server.push_image("a", "v1", 1);
    server.put_manifest("a", &by_digest, OCI_MANIFEST, &signature).expect(201);
    let list = index(&[&signature, &text], "");
    server.put_manifest("a", "all", common::OCI_INDEX, &list).expect(201);
    assert_eq!(remove(&server, "a:v1", false).manifests, 0);
    assert_eq!(remove(&server, "a:all", false).manifests, 3);
}

#[test]
fn what_another_repository_holds_is_not_freed() {
    let server = Server::start();
    server.push_image("a", "v1", 1);
    server.push_image("b", "v1", 1);
    assert_eq!(remove(&server, "a", true).files, 0);
    let gone = remove(&server, "a", false);
    assert_eq!((gone.tags, gone.manifests, gone.bytes), (1, 1, 0));
    server.get("/v2/a/tags/list").refused(404, "NAME_UNKNOWN");
    server.get("/v2/b/manifests/v1").expect(200);
    let last = remove(&server, "b", false);
    assert_eq!(last.files, 3);
    let again = removal("b", false);
    assert!(execute(server.store(), &again, &mut Desk::default()).is_err());
}

#[test]
fn usage_adds_up() {
    let server = Server::start();
    server.push_image("a", "v1", 1);
    server.push_image("b", "v1", 1);
    server.push_image("b", "v2", 2);
    server.start_upload("a");
    let (Answer::Usage(usage), events) = act(&server, &Operation::Usage) else { panic!() };
    assert_eq!((usage.repositories, usage.files, usage.uploads), (2, 6, 1));
    assert_eq!(usage.bytes, 2 * usage.shared_bytes);
    let Event::Usage(a) = &events[0] else { panic!() };
    let Event::Usage(b) = &events[1] else { panic!() };
    assert_eq!((a.bytes, a.own_bytes), (usage.shared_bytes, 0));
    assert_eq!((b.bytes, b.own_bytes), (usage.bytes, usage.shared_bytes));
    assert!(usage.free_bytes.unwrap() <= usage.disk_bytes.unwrap() && usage.metadata_bytes > 0);
}

#[test]
fn a_registry_that_serves_does_the_same_as_one_that_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(Administration::open(dir.path(), Opening::default()).unwrap().is_serving());
    let archive = pack(&layout("a:v1", 1));
    ask(dir.path(), &import(), &mut Desk::sending(archive.clone())).unwrap();
    served.get("/v2/a/manifests/v1").expect(200);
    let export = Operation::Export { target: target("a:v1"), format: ExportFormat::Docker, platform: None };
    let operations = [
        Operation::List { repo: None },
        Operation::List { repo: Some("a".parse().unwrap()) },
        Operation::Inspect { target: target("a:v1") },
        removal("a:v1", true),
        Operation::Scrub { deep: true },
        export,
    ];
    let all = || -> Vec<(Answer, Vec<Event>, Vec<u8>)> {
        let one = |operation| {
            let mut desk = Desk::default();
            let answer = ask(dir.path(), operation, &mut desk).unwrap();
            desk.events.retain(|event| !matches!(event, Event::Progress(_)));
            (answer, desk.events, desk.to)
        };
        operations.iter().map(one).collect()
    };
    let by_socket = all();
    served.stop();
    assert!(!Administration::open(dir.path(), Opening::default()).unwrap().is_serving());
    assert_eq!(by_socket, all());
    assert!(by_socket[5].2.len() > 200_000);
    // What it gave out comes in again, over the socket.
    ask(dir.path(), &removal("a", false), &mut Desk::default()).unwrap();
    let mut served = Served::start(dir.path());
    served.get("/v2/a/manifests/v1").expect(404);
    ask(dir.path(), &import(), &mut Desk::sending(by_socket[5].2.clone())).unwrap();
    served.get("/v2/a/manifests/v1").expect(200);
    served.stop();
}

#[test]
fn refusals_come_over_the_socket_with_their_code() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let error =
        ask(dir.path(), &Operation::Inspect { target: target("a:v1") }, &mut Desk::default()).unwrap_err();
    assert_eq!(error.code(), "MANIFEST_UNKNOWN");
    // Far more than the socket takes at once, refused at its beginning: the sender must see why.
    let error = ask(dir.path(), &import(), &mut Desk::sending(vec![1; 4_000_000])).unwrap_err();
    assert!(error.to_string().contains("neither a tar archive"), "{error}");
    let error = Administration::open(dir.path(), Opening { end_leases: true, ..Opening::default() });
    assert!(matches!(error, Err(AdminError::Serving(_))));
    assert!(matches!(Administration::rebuild(dir.path()), Err(AdminError::Serving(_))));
    served.stop();
    assert!(Administration::rebuild(dir.path()).is_ok());
}

#[test]
fn where_there_is_no_registry_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    assert!(matches!(Administration::open(&empty, Opening::default()), Err(AdminError::NoRegistry(_))));
    assert!(matches!(Administration::rebuild(&empty), Err(AdminError::NoRegistry(_))));
    assert!(!empty.exists());
    assert!(Administration::open(&empty, Opening { create: true, ..Opening::default() }).is_ok());
}

#[test]
fn the_socket_is_the_owners_and_bad_lines_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let path = dir.path().join("admin/socket");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.path().join("admin")), mode(&path)), (0o700, 0o600));
    let long = format!("{}\n", "x".repeat(20_000));
    let other = r#"{"version":9,"operation":"usage"}"#.to_owned() + "\n";
    for line in
        ["{}\n", "nonsense\n", "{\"version\":1,\"operation\":{\"remove\":{\"target\":1}}}\n", &long, &other]
    {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = stream.write_all(line.as_bytes());
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        assert!(reply.starts_with("{\"error\""), "{line}: {reply}");
    }
    // Clients that say nothing, or break off in the middle of an import, hold nobody up for ever.
    let silent: Vec<_> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let mut broken = UnixStream::connect(&path).unwrap();
    broken.write_all(b"{\"version\":1,\"operation\":{\"import\":{\"target\":null,\"platform\":null}}}\n{\"data\":9}\nabc").unwrap();
    drop(broken);
    ask(dir.path(), &Operation::Usage, &mut Desk::default()).unwrap();
    let before = Instant::now();
    served.stop();
    assert!(before.elapsed() < Duration::from_secs(30), "the silent ones are let go of");
    for mut stream in silent {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.is_empty() || said.starts_with("{\"error\""), "{said}");
    }
    assert!(!path.exists());
}

#[test]
fn a_long_path_has_a_socket_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("d".repeat(120));
    let mut served = Served::start(&long);
    assert!(Administration::open(&long, Opening::default()).unwrap().is_serving());
    ask(&long, &Operation::Usage, &mut Desk::default()).unwrap();
    served.stop();
}

/// An operator whose terminal goes away.
struct Gone;

impl Channel for Gone {
    fn event(&mut self, _: Event) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn an_operator_who_goes_away_ends_the_operation() {
    let server = Server::start();
    server.push_image("a", "v1", 1);
    let export = Operation::Export { target: target("a:v1"), format: ExportFormat::Oci, platform: None };
    for operation in [Operation::List { repo: None }, import(), export, Operation::Usage] {
        assert!(execute(server.store(), &operation, &mut Gone).is_err(), "{operation:?}");
    }
}

#[test]
fn leases_can_be_ended_while_nobody_serves() {
    let dir = tempfile::tempdir().unwrap();
    let archive = pack(&layout("a:v1", 1));
    let create = Opening { create: true, ..Opening::default() };
    Administration::open(dir.path(), create)
        .unwrap()
        .carry_out(&import(), &mut Desk::sending(archive))
        .unwrap();
    let remove = removal("a", false);
    ask(dir.path(), &remove, &mut Desk::default()).unwrap();
    let collect = |opening, dry_run, purge| {
        let operation = Operation::Collect { dry_run, purge };
        let done =
            Administration::open(dir.path(), opening).unwrap().carry_out(&operation, &mut Desk::default());
        match done.unwrap() {
            Answer::Collected(report) => report,
            other => panic!("{other:?}"),
        }
    };
    let kept = collect(Opening::default(), false, true);
    assert_eq!((kept.files, kept.left.leased_files, kept.is_too_soon), (0, 3, true));
    let now = Opening { end_leases: true, ..Opening::default() };
    let would = collect(now, true, true);
    assert_eq!((would.files, would.left.files, would.left.leased_files), (0, 3, 0));
    let done = collect(now, false, false);
    assert_eq!((done.files, done.left.quarantine_files), (3, 3));
    assert_eq!(done.bytes, would.left.bytes);
    let purged = collect(Opening::default(), false, true);
    assert_eq!((purged.purged_files, purged.purged_bytes, purged.left.quarantine_files), (3, done.bytes, 0));
}

#[test]
fn a_scrub_names_what_is_damaged() {
    let server = Server::start();
    server.push_image("a", "v1", 1);
    let layer = sha256(&content(1_001, 500));
    let path = server.dir.path().join("blobs/sha256").join(&layer.hex()[..2]).join(layer.hex());
    std::fs::write(&path, vec![0; 500]).unwrap();
    let (Answer::Scrubbed(report), events) = act(&server, &Operation::Scrub { deep: false }) else {
        panic!()
    };
    assert_eq!((report.files, report.damaged, report.missing), (3, 1, 0));
    assert_eq!(events, [Event::Damaged { digest: layer }]);
    let (Answer::Scrubbed(report), _) = act(&server, &Operation::Scrub { deep: true }) else { panic!() };
    assert_eq!((report.files, report.damaged, report.missing), (2, 0, 1));
    let (_, events) = act(&server, &Operation::List { repo: Some("a".parse().unwrap()) });
    let Event::Tag(tag) = &events[0] else { panic!() };
    assert!(!tag.is_whole);
}

#[test]
fn a_request_that_runs_ends_before_the_registry_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let addr = served.running.as_ref().unwrap().address();
    let body = content(1, 1_000_000);
    let digest = sha256(&body);
    let mut slow = common::connect(addr);
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&body[..500_000]).unwrap();
    let idle = common::connect(addr);
    std::thread::sleep(Duration::from_millis(200));
    let stopping = std::thread::spawn(move || served.stop());
    std::thread::sleep(Duration::from_millis(200));
    slow.write_all(&body[500_000..]).unwrap();
    assert_eq!(common::read_answer(&mut slow, false).status, 201);
    stopping.join().unwrap();
    drop(idle);
    let served = Served::start(dir.path());
    served.get(&format!("/v2/a/blobs/{digest}")).expect(200);
}
