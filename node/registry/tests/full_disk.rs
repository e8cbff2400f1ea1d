//! A disk that fills up in the middle of a push, and has room again later.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::{OCI_MANIFEST, Server, content, image, sha256};
use trustnet_registry::{Entry, FileHandle, Files, Options, OsFiles};

/// Files on a disk on which so many more bytes can be written.
#[derive(Debug)]
struct SmallDisk {
    files: OsFiles,
    room: Arc<AtomicI64>,
}

#[derive(Debug)]
struct SmallFile {
    file: Box<dyn FileHandle>,
    room: Arc<AtomicI64>,
}

impl SmallDisk {
    fn file(&self, file: Box<dyn FileHandle>) -> Box<dyn FileHandle> {
        Box::new(SmallFile { file, room: Arc::clone(&self.room) })
    }
}

impl FileHandle for SmallFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        self.file.read_at(buf, off)
    }

    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()> {
        let len = i64::try_from(buf.len()).unwrap();
        if self.room.fetch_sub(len, Ordering::SeqCst) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(buf, off)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

impl Files for SmallDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn FileHandle>> {
        Ok(self.file(self.files.create(name)?))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn FileHandle>> {
        Ok(self.file(self.files.open(name, write)?))
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        self.files.make_dir(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        self.files.list(folder)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.files.sync_dir(folder)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.files.exists(name)
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.files.lock(name)
    }

    fn describe(&self, name: &str) -> String {
        self.files.describe(name)
    }
}

#[test]
fn a_push_goes_on_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let room = Arc::new(AtomicI64::new(i64::MAX));
    let files = SmallDisk { files: OsFiles::new(dir.path()), room: Arc::clone(&room) };
    let server = Server::on(dir, files, &Options::default());
    let early = server.push_image("a", "v1", 1);
    let bytes = content(2, 2_000_000);
    let at = server.start_upload("a");
    room.store(700_000, Ordering::SeqCst);
    server.request("PATCH", &at, &[], &bytes).refused(507, "DENIED");
    room.store(0, Ordering::SeqCst);
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
    room.store(i64::MAX, Ordering::SeqCst);
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
    let room = Arc::new(AtomicI64::new(i64::MAX));
    let files = SmallDisk { files: OsFiles::new(dir.path()), room: Arc::clone(&room) };
    let server = Server::on(dir, files, &Options::default());
    let bytes = content(3, 50_000);
    let at = server.start_upload("a");
    server.request("PATCH", &at, &[], &bytes).expect(202);
    // There is no room for the metadata. The bytes are all there.
    room.store(0, Ordering::SeqCst);
    let put = format!("{at}?digest={}", sha256(&bytes));
    assert!(server.request("PUT", &put, &[], b"").status >= 500);
    room.store(i64::MAX, Ordering::SeqCst);
    let again = server.request("PUT", &put, &[], b"");
    if again.status != 201 {
        // They had their name already: the client starts anew.
        again.refused(404, "BLOB_UPLOAD_UNKNOWN");
        server.push_blob("a", &bytes);
    }
    assert_eq!(server.get(&format!("/v2/a/blobs/{}", sha256(&bytes))).expect(200).body, bytes);
}
