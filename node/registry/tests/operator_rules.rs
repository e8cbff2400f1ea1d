//! What the operator's commands keep to as well: tags that never change, quotas, copies of upstreams. By the socket of a
//! registry that serves, and on one that is stopped.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/operator.rs"]
mod operator;

use std::path::Path;

use common::archive::{Desk, layout, pack, target};
use common::{OCI_INDEX, OCI_MANIFEST, Server, image, index, sha256};
use operator::{Served, ask, ask_heeding, import, removal};
use trustnet_registry::admin::{AdminError, Answer, Heed, Operation, Removal, execute};

const IMMUTABLE: &str = "[[immutable]]\nrepositories = [\"a\", \"team/*\"]\ntags = [\"rc*\", \"v*\"]\n";

fn write_settings(directory: &Path, text: &str) {
    std::fs::write(directory.join("registry.toml"), text).unwrap();
}

fn by_force(name: &str, dry_run: bool) -> Operation {
    Operation::Remove { target: target(name), dry_run, force: true }
}

fn removed<E: std::fmt::Debug>(answer: Result<Answer, E>) -> Removal {
    match answer.unwrap() {
        Answer::Removed(removal) => removal,
        other => panic!("{other:?}"),
    }
}

/// Expects that the rule is named, and the way out.
#[track_caller]
fn is_kept(error: &str, tag: &str) {
    for word in [tag, "[[immutable]]", "v* of a", "--force"] {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn what_never_changes_goes_by_force_only() {
    let server = Server::governed(&format!("[access]\nanonymous = [\"pull\", \"push\"]\n{IMMUTABLE}"));
    let (kept, other) = (server.push_image("a", "latest", 1), server.push_image("a", "next", 3));
    server.put_manifest("a", "v1", OCI_INDEX, &index(&[&kept], "")).expect(201);
    server.put_manifest("a", "also", OCI_MANIFEST, &other).expect(201);
    let act = |operation: &Operation| execute(server.store(), operation, &mut Desk::default());
    let digest = sha256(kept.as_bytes());
    // The tag itself, the image that it needs through its index, the whole repository; said and done.
    for name in ["a:v1", &format!("a@{digest}"), "a"] {
        for dry_run in [true, false] {
            let error = act(&removal(name, dry_run)).unwrap_err();
            assert_eq!((error.code(), error.status().as_u16()), ("DENIED", 409));
            is_kept(&error.to_string(), "the tag v1 is immutable");
        }
    }
    server.get("/v2/a/manifests/v1").expect(200);
    server.get(&format!("/v2/a/manifests/{digest}")).expect(200);
    // What no such tag needs goes as ever: a tag whose image stays, an image of other tags.
    assert_eq!(removed(act(&removal("a:latest", false))).manifests, 0);
    let free = removed(act(&removal(&format!("a@{}", sha256(other.as_bytes())), false)));
    assert_eq!((free.tags, free.manifests, free.immutable.len()), (2, 1, 0));
    let would = removed(act(&by_force("a", true)));
    assert_eq!((would.tags, would.manifests, would.immutable[0].as_str()), (1, 2, "v1"));
    // An image that is taken from under the tag is named by the tag that loses it.
    let gone = removed(act(&by_force(&format!("a@{digest}"), false)));
    assert_eq!((gone.tags, gone.manifests, gone.immutable.len()), (0, 1, 1));
    assert_eq!(removed(act(&by_force("a:v1", false))).immutable.len(), 1);
    server.get("/v2/a/manifests/v1").expect(404);
}

#[test]
fn an_image_attached_to_another_is_kept_for_its_own_tag() {
    let server = Server::governed(&format!("[access]\nanonymous = [\"pull\", \"push\"]\n{IMMUTABLE}"));
    let text = server.push_image("a", "latest", 1);
    let signature = image(&common::content(1, 50), &[], &common::subject(&text));
    let by_digest = sha256(signature.as_bytes()).to_string();
    server.put_manifest("a", &by_digest, OCI_MANIFEST, &signature).expect(201);
    server.put_manifest("a", "v-list", OCI_INDEX, &index(&[&signature], "")).expect(201);
    // It stays for the tag that never changes, so that takes no force.
    let gone = removed(execute(server.store(), &removal("a:latest", false), &mut Desk::default()));
    assert_eq!((gone.manifests, gone.immutable.len()), (1, 0));
    for name in ["v-list", &by_digest] {
        server.get(&format!("/v2/a/manifests/{name}")).expect(200);
    }
}

#[test]
fn a_removal_keeps_to_the_rules_of_a_registry_that_serves_and_of_one_that_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    write_settings(dir.path(), IMMUTABLE);
    let mut served = Served::governed(dir.path());
    ask(dir.path(), &import(), &mut Desk::sending(pack(&layout("a:v1", 1)))).unwrap();
    let refused = |operation: &Operation| {
        let error = ask_heeding(dir.path(), Heed::Yes, operation, &mut Desk::default()).unwrap_err();
        assert_eq!(error.code(), "DENIED", "{error}");
        error.to_string()
    };
    let by_socket = refused(&removal("a:v1", false));
    is_kept(&by_socket, "the tag v1 is immutable");
    served.get("/v2/a/manifests/v1").expect(200);
    served.stop();
    assert_eq!(refused(&removal("a:v1", false)), by_socket);
    assert_eq!(refused(&removal("a", true)), by_socket);
    // A file that is wrong could mean anything: without force nothing goes.
    write_settings(dir.path(), "[[immutable]]\nrepository = 1\n");
    let wrong = ask_heeding(dir.path(), Heed::Yes, &removal("a:v1", false), &mut Desk::default());
    assert!(matches!(wrong, Err(AdminError::Settings(_))), "{wrong:?}");
    write_settings(dir.path(), IMMUTABLE);
    let force = by_force("a:v1", false);
    let gone = removed(ask_heeding(dir.path(), Heed::IfRight, &force, &mut Desk::default()));
    assert_eq!((gone.tags, gone.immutable[0].as_str()), (1, "v1"));
    ask(dir.path(), &import(), &mut Desk::sending(pack(&layout("a:v1", 1)))).unwrap();
    write_settings(dir.path(), "[[immutable]]\nrepository = 1\n");
    let gone = removed(ask_heeding(dir.path(), Heed::IfRight, &force, &mut Desk::default()));
    assert_eq!((gone.tags, gone.immutable.len()), (1, 0), "what is immutable cannot be known");
}

#[test]
fn clients_of_an_earlier_version_ask_without_force() {
    let text = r#"{"remove":{"target":{"repo":"a","reference":"v1"},"dry_run":false}}"#;
    assert_eq!(serde_json::from_str::<Operation>(text).unwrap(), removal("a:v1", false));
}

const COPIES: &str = "[[upstream]]\nprefix = \"up\"\nurl = \"http://127.0.0.1:1\"\nusername = \"u\"\n\
                      password_file = \"PASSWORD\"\n";

#[test]
fn nothing_is_imported_among_the_copies_of_an_upstream() {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "p").unwrap();
    write_settings(dir.path(), &COPIES.replace("PASSWORD", password.to_str().unwrap()));
    let import_as = |name: Option<&str>, archive: Vec<u8>| {
        let operation = Operation::Import { target: name.map(target), platform: None };
        ask_heeding(dir.path(), Heed::Yes, &operation, &mut Desk::sending(archive))
    };
    let check = || {
        for (name, own) in [(Some("up/app:v1"), "x:v1"), (None, "up/app:v1"), (Some("up/a/b"), "x:v1")] {
            let error = import_as(name, pack(&layout(own, 1))).unwrap_err();
            assert_eq!(error.code(), "UNSUPPORTED", "{name:?} {own}: {error}");
            assert!(error.to_string().contains("under another name"), "{error}");
        }
        // Known from the name alone, so said before anything is read.
        let error = import_as(Some("up/app"), b"no archive at all".to_vec()).unwrap_err();
        assert_eq!(error.code(), "UNSUPPORTED", "{error}");
        import_as(Some("upper/app:v1"), pack(&layout("x:v1", 1))).unwrap();
        import_as(Some("up:v1"), pack(&layout("x:v1", 1))).unwrap();
    };
    let mut served = Served::governed(dir.path());
    check();
    served.get("/v2/upper/app/manifests/v1").expect(200);
    served.stop();
    // The password of the upstream is not needed for that.
    std::fs::remove_file(&password).unwrap();
    check();
    write_settings(dir.path(), "[[upstream]]\nprefix = \"UP\"\nurl = \"http://127.0.0.1:1\"\n");
    let error = import_as(Some("b:v1"), pack(&layout("x:v1", 1))).unwrap_err();
    assert!(matches!(&error, AdminError::Upstream(_)) && error.to_string().contains("\"UP\""), "{error}");
}

#[test]
fn an_import_into_a_stopped_registry_keeps_to_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let import_of =
        |seed| ask_heeding(dir.path(), Heed::Yes, &import(), &mut Desk::sending(pack(&layout("a:v1", seed))));
    write_settings(dir.path(), IMMUTABLE);
    import_of(1).unwrap();
    let error = import_of(2).unwrap_err();
    assert_eq!(error.code(), "DENIED", "{error}");
    write_settings(dir.path(), "[storage]\nmax = 100000\n");
    let error = import_of(3).unwrap_err();
    assert_eq!(error.code(), "DENIED", "{error}");
    // A file that is wrong is told, not left out; what only looks goes on.
    write_settings(dir.path(), "[storage]\nmaximum = 1\n");
    let error = import_of(4).unwrap_err().to_string();
    assert!(error.contains("registry.toml:2"), "{error}");
    ask(dir.path(), &Operation::List { repo: None }, &mut Desk::default()).unwrap();
}

#[test]
fn what_is_there_already_needs_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let layer = common::content(3, 50_000);
    let docker = common::archive::docker_archive(r#"["b:v1"]"#, &layer, &sha256(&layer).to_string());
    let archives = [pack(&layout("a:v1", 1)), docker];
    let import_of = |archive: &[u8], name: Option<&str>| {
        let operation = Operation::Import { target: name.map(target), platform: None };
        ask_heeding(dir.path(), Heed::Yes, &operation, &mut Desk::sending(archive.to_vec()))
    };
    for archive in &archives {
        import_of(archive, None).unwrap();
    }
    for settings in ["[storage]\nmax = 1000\n", "[[quota]]\nrepositories = \"*\"\nmax = 1000\n"] {
        write_settings(dir.path(), settings);
        for archive in &archives {
            import_of(archive, None).unwrap();
        }
        let another = common::archive::docker_archive("null", b"new", &sha256(b"new").to_string());
        for archive in [&another, &pack(&layout("a:v1", 2)), &archives[0]] {
            let error = import_of(archive, Some("c:v1")).unwrap_err();
            assert_eq!(error.code(), "DENIED", "{settings}: {error}");
        }
    }
}
