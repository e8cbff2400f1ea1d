//! The thread that cares for a registry collects, scrubs, and ends when it is told to.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Server, content};
use trustnet_registry::{Care, Options, OsFiles, Plan, Policy};

fn wait_for(what: &str, mut is_done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_collects_and_scrubs() {
    let server = Server::with(
        trustnet_registry::Limits::default(),
        &Options { lease: Duration::from_millis(200), ..Options::default() },
    );
    server.push_image("a", "v1", 1);
    let waste = server.push_blob("a", b"waste");
    let large = server.push_blob("a", &content(2, 3_000_000));
    common_image(&server, &content(2, 3_000_000));
    let plan = Plan {
        collect_every: Duration::from_millis(50),
        policy: Policy::default(),
        scrub_bytes_per_second: 50_000_000,
        scrub_rest: Duration::from_millis(20),
        deep_every: std::num::NonZeroU64::new(2),
    };
    let care = Care::start(server.shared_store(), plan).unwrap();
    wait_for("what nobody needs goes", || server.get(&format!("/v2/a/blobs/{waste}")).status == 404);
    let hex = large.hex();
    let path = server.dir.path().join("blobs/sha256").join(&hex[..2]).join(&hex);
    // In place: a file written anew is empty for a moment, and the scrub may see that.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let changed = content(2, 3_000_000)[1_500_000] ^ 1;
    file.write_all_at(&[changed], 1_500_000).unwrap();
    wait_for("damage is found", || server.get("/health").json()["damaged"] == 1);
    server.get(&format!("/v2/a/blobs/{large}")).refused(404, "BLOB_UNKNOWN");
    assert_eq!(server.store().damaged().unwrap()[0].1.pieces, [1]);
    server.push_blob("a", &content(2, 3_000_000));
    assert_eq!(server.get("/health").json()["damaged"], 0);
    drop(care);
    // The test, the registry and its listener hold the store, and the one that asks here; connections do, too, until the
    // server has seen their end.
    wait_for("the thread lets go", || Arc::strong_count(&server.shared_store()) == 4);
}

#[test]
fn it_removes_tags_as_the_settings_say() {
    let dir = tempfile::tempdir().unwrap();
    let (files, options) =
        (OsFiles::new(dir.path()), Options { lease: Duration::from_millis(200), ..Options::default() });
    let everything = "[access]\nanonymous = [\"pull\", \"push\", \"delete\"]\n";
    let server = Server::governed_on(dir, files, everything, &options);
    for (number, tag) in ["old", "older", "new"].into_iter().enumerate() {
        server.push_image("ci/app", tag, 2 * number as u64);
        server.push_image("app", tag, 2 * number as u64);
    }
    let plan =
        Plan { collect_every: Duration::from_millis(50), scrub_bytes_per_second: 0, ..Plan::default() };
    let _care = Care::start(server.shared_store(), plan).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let tags = |repo: &str| server.get(&format!("/v2/{repo}/tags/list")).json()["tags"].clone();
    assert_eq!(tags("ci/app").as_array().unwrap().len(), 3);
    let retention = "[[retention]]\nrepositories = [\"ci/*\"]\nkeep_newest = 1\n";
    server.change_settings(&format!("{everything}{retention}"));
    wait_for("old tags go", || tags("ci/app") == serde_json::json!(["new"]));
    assert_eq!(tags("app").as_array().unwrap().len(), 3);
    let layer = common::sha256(&content(1_000, 500));
    wait_for("and what only they kept", || {
        std::thread::sleep(Duration::from_millis(300));
        server.get(&format!("/v2/ci/app/blobs/{layer}")).status == 404
    });
    server.get(&format!("/v2/app/blobs/{layer}")).expect(200);
    server.get("/v2/ci/app/manifests/new").expect(200);
}

fn common_image(server: &Server, layer: &[u8]) {
    server.push_blob("a", b"{}");
    server.put_manifest("a", "large", common::OCI_MANIFEST, &common::image(b"{}", &[layer], "")).expect(201);
}

#[test]
fn it_ends_in_the_middle_of_a_slow_scrub() {
    let server = Server::start();
    server.push_blob("a", &content(1, 2_000_000));
    let plan = Plan { scrub_bytes_per_second: 1_000, scrub_rest: Duration::ZERO, ..Plan::default() };
    let start = Instant::now();
    let care = Care::start(server.shared_store(), plan).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    drop(care);
    assert!(start.elapsed() < Duration::from_secs(30));
}
