//! A disk that fills up in the middle of a push, and has room again later.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/disk.rs"]
mod disk;

use common::{OCI_MANIFEST, Server, content, image, sha256};
use disk::Disk;
use trustnet_registry::Options;

const TO_THE_LAST_BYTE: &str = "[access]\nanonymous = [\"pull\", \"push\", \"delete\"]\n\
                                [storage]\nmin_free = 0\nmin_free_percent = 0\n";

#[test]
fn a_push_goes_on_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::filling_up(dir.path(), u64::MAX);
    let server = Server::governed_on(dir, disk.clone(), TO_THE_LAST_BYTE, &Options::default());
    let early = server.push_image("a", "v1", 1);
    let bytes = content(2, 2_000_000);
    let at = server.start_upload("a");
    disk.set_free(700_000);
    server.request("PATCH", &at, &[], &bytes).refused(507, "DENIED");
    disk.set_free(0);
    let range = server.get(&at).expect(204).header("range").unwrap().to_owned();
    let offset = range[2..].parse::<usize>().unwrap() + 1;
    assert!(offset < 700_000 && offset > 100_000, "{offset}");
    // Everything else that needs room is refused, whatever needs none works.
    let path = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"small"));
    server.request("POST", &path, &[], b"small").refused(507, "DENIED");
    server.put_manifest("a", "v2", OCI_MANIFEST, &image(b"{}", &[], "")).refused(507, "DENIED");
    assert_eq!(server.get("/v2/a/manifests/v1").expect(200).body, early.as_bytes());
    server.get(&format!("/v2/a/blobs/{}", sha256(&content(1_001, 500)))).expect(200);
    assert!(server.delete("/v2/a/manifests/v1").status >= 500);
    // Room again: the upload is what it was, and goes on.
    disk.set_free(u64::MAX);
    let chunk = format!("{offset}-1999999");
    server.request("PATCH", &at, &[("Content-Range", &chunk)], &bytes[offset..]).expect(202);
    server.request("PUT", &format!("{at}?digest={}", sha256(&bytes)), &[], b"").expect(201);
    assert_eq!(server.get(&format!("/v2/a/blobs/{}", sha256(&bytes))).expect(200).body, bytes);
    assert_eq!(server.get("/v2/a/manifests/v1").expect(200).body, early.as_bytes());
    server.delete("/v2/a/manifests/v1").expect(202);
    server.push_blob("a", b"small");
}

#[test]
fn the_end_of_an_upload_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::filling_up(dir.path(), u64::MAX);
    let server = Server::governed_on(dir, disk.clone(), TO_THE_LAST_BYTE, &Options::default());
    let bytes = content(3, 50_000);
    let at = server.start_upload("a");
    server.request("PATCH", &at, &[], &bytes).expect(202);
    // There is no room for the metadata. The bytes are all there.
    disk.set_free(0);
    let put = format!("{at}?digest={}", sha256(&bytes));
    assert!(server.request("PUT", &put, &[], b"").status >= 500);
    disk.set_free(u64::MAX);
    let again = server.request("PUT", &put, &[], b"");
    if again.status != 201 {
        // They had their name already: the client starts anew.
        again.refused(404, "BLOB_UPLOAD_UNKNOWN");
        server.push_blob("a", &bytes);
    }
    assert_eq!(server.get(&format!("/v2/a/blobs/{}", sha256(&bytes))).expect(200).body, bytes);
}
