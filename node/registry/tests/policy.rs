//! What may be stored, as clients see it: quotas, space that stays free, tags that never change.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/disk.rs"]
mod disk;

use common::{OCI_MANIFEST, Server, content, image, sha256};
use disk::Disk;
use trustnet_registry::Options;

const OPEN: &str = "[access]\nanonymous = [\"pull\", \"push\", \"delete\"]\n";

#[test]
fn space_that_stays_free() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path(), 900_000);
    let settings = format!("{OPEN}[storage]\nmin_free = 1000\nmin_free_percent = 10");
    let server = Server::governed_on(dir, disk.clone(), &settings, &Options::default());
    let kept = server.push_blob("a", &content(1, 400));
    let at = server.start_upload("a");
    server.request("PATCH", &at, &[], &content(3, 1_000)).expect(202);
    disk.set_free(100_300);
    // Said before any of it is sent, if the client says how much it is; else as it comes.
    let digest = sha256(&content(5, 500));
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let refused = server.request("POST", &path, &[], &content(5, 500)).refused(507, "DENIED");
    let message = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("100300") && message.contains("100000"), "{message}");
    let chunked = [("Transfer-Encoding", "chunked")];
    let body = [b"1f4\r\n".as_slice(), &content(5, 500), b"\r\n0\r\n\r\n"].concat();
    server.request("POST", &path, &chunked, &body).refused(507, "DENIED");
    server.request("PATCH", &at, &[], &content(7, 400)).refused(507, "DENIED");
    disk.set_free(50);
    server.request("POST", "/v2/a/blobs/uploads/", &[], b"").refused(507, "DENIED");
    server.put_manifest("a", "x", OCI_MANIFEST, &image(&content(1, 400), &[], "")).refused(507, "DENIED");
    // Reading goes on, and so does what makes room.
    server.get(&format!("/v2/a/blobs/{kept}")).expect(200);
    server.get("/health").expect(200);
    let mount = format!("/v2/b/blobs/uploads/?mount={kept}&from=a");
    server.request("POST", &mount, &[], b"").expect(201);
    server.delete(&format!("/v2/b/blobs/{kept}")).expect(202);
    // And what had arrived is still there when there is room again.
    disk.set_free(900_000);
    let end = server.get(&at).expect(204);
    assert_eq!(end.header("range"), Some("0-999"));
    let digest = sha256(&content(3, 1_000));
    server.request("PUT", &format!("{at}?digest={digest}"), &[], b"").expect(201);
    server.put_manifest("a", "x", OCI_MANIFEST, &image(&content(1, 400), &[], "")).expect(201);
    server.expect_no_uploads();
}

#[test]
fn quotas_are_told_before_and_during_an_upload() {
    let quotas = "[[quota]]\nrepositories = \"team/*\"\nmax = 1000\n";
    let server = Server::governed(&format!("{OPEN}{quotas}"));
    server.push_blob("team/a", &content(1, 600));
    let large = content(3, 500);
    let path = format!("/v2/team/b/blobs/uploads/?digest={}", sha256(&large));
    let refused = server.request("POST", &path, &[], &large).refused(403, "DENIED");
    assert!(
        refused.json()["errors"][0]["message"].as_str().unwrap().starts_with("team/* holds the 1000 bytes")
    );
    let body = [b"1f4\r\n".as_slice(), &large, b"\r\n0\r\n\r\n"].concat();
    server.request("POST", &path, &[("Transfer-Encoding", "chunked")], &body).refused(403, "DENIED");
    let at = server.start_upload("team/b");
    server.request("PATCH", &at, &[], &content(5, 300)).expect(202);
    server.request("PATCH", &at, &[], &content(7, 200)).refused(403, "DENIED");
    // What has arrived of it is taken from the others, too.
    let third = content(9, 300);
    let path = format!("/v2/team/c/blobs/uploads/?digest={}", sha256(&third));
    server.request("POST", &path, &[], &third).refused(403, "DENIED");
    server.get(&format!("/v2/team/c/blobs/{}", sha256(&third))).refused(404, "BLOB_UNKNOWN");
    let digest = sha256(&content(5, 300));
    server.request("PUT", &format!("{at}?digest={digest}"), &[], b"").expect(201);
    server.push_blob("other", &content(11, 5_000));
    server.push_blob("team/a", &content(13, 100));
    server.request("POST", "/v2/team/a/blobs/uploads/", &[], b"").refused(403, "DENIED");
    // Room is made by deleting.
    server.delete(&format!("/v2/team/a/blobs/{}", sha256(&content(1, 600)))).expect(202);
    server.push_blob("team/c", &third);
    server.expect_no_uploads();
}

#[test]
fn immutable_tags() {
    let rule = "[[immutable]]\nrepositories = [\"team/*\"]\ntags = [\"v*\"]\n";
    let server = Server::governed(&format!("{OPEN}{rule}"));
    let first = server.push_image("team/a", "v1", 1);
    let second = server.push_image("team/a", "latest", 3);
    server.put_manifest("team/a", "v1", OCI_MANIFEST, &first).expect(201);
    let refused = server.put_manifest("team/a", "v1", OCI_MANIFEST, &second).refused(409, "DENIED");
    assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("v1 is immutable"));
    let digest = sha256(second.as_bytes());
    let path = format!("/v2/team/a/manifests/{digest}?tag=v1");
    server.request("PUT", &path, &[("Content-Type", OCI_MANIFEST)], second.as_bytes()).refused(409, "DENIED");
    let layer = sha256(&content(1_001, 500));
    for path in [
        "/v2/team/a/manifests/v1".to_owned(),
        format!("/v2/team/a/manifests/{}", sha256(first.as_bytes())),
        format!("/v2/team/a/blobs/{layer}"),
    ] {
        server.delete(&path).refused(409, "DENIED");
    }
    server.get("/v2/team/a/manifests/v1").expect(200);
    server.get(&format!("/v2/team/a/blobs/{layer}")).expect(200);
    server.delete("/v2/team/a/manifests/latest").expect(202);
    server.push_image("other", "v1", 5);
    server.delete("/v2/other/manifests/v1").expect(202);
}

#[test]
fn what_has_arrived_of_other_uploads_counts() {
    let server = Server::governed(&format!("{OPEN}[[quota]]\nrepositories = \"a\"\nmax = 100000\n"));
    let part = content(1, 60_000);
    let first = server.start_upload("a");
    server.request("PATCH", &first, &[], &part).expect(202);
    let second = server.start_upload("a");
    server.request("PATCH", &second, &[], &part).refused(403, "DENIED");
    // The first one does not stand in its own way.
    server.request("PATCH", &first, &[], &part[..30_000]).expect(202);
    let whole = [&part[..], &part[..30_000]].concat();
    let end = format!("{first}?digest={}", sha256(&whole));
    server.request("PUT", &end, &[], &[]).expect(201);
    // Other repositories have their own.
    server.push_blob("b", &part);
}
