//! Images go in and out as archives, and what is wrong with an archive changes nothing.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{Read, Write};

use common::archive::{
    LAYOUT, blob_path, docker_archive, export, import, layout, pack, tar, tar_file, tar_head,
};
use common::{OCI_INDEX, OCI_MANIFEST, Server, content, image, index, sha256};
use trustnet_registry::admin::{Answer, Operation, execute};
use trustnet_registry::transfer::{ExportFormat, FolderTar, unpack};
use trustnet_registry::{RegistryError, Store};

/// How many files the repositories' links and tags lead to, as text, to see that nothing changed.
fn listing(server: &Server) -> String {
    let mut desk = common::archive::Desk::default();
    execute(server.store(), &Operation::List { repo: None }, &mut desk).unwrap();
    format!("{:?}", desk.events)
}

#[track_caller]
fn refused(store: &Store, archive: Vec<u8>, name: Option<&str>, why: &str) {
    match import(store, archive, name) {
        Err(error @ RegistryError::ArchiveInvalid(_)) => {
            assert!(error.to_string().contains(why), "{error}");
        }
        other => panic!("{why}: {other:?}"),
    }
}

#[test]
fn a_layout_comes_in_and_is_served() {
    let server = Server::start();
    let files = layout("docker.io/library/app:v2", 1);
    let Answer::Imported(imported) = import(server.store(), pack(&files), None).unwrap() else { panic!() };
    assert_eq!(imported.images.len(), 1);
    let (manifest, layer) = (&files[4].1, &files[3].1);
    assert_eq!(server.get("/v2/library/app/manifests/v2").expect(200).body, *manifest);
    assert_eq!(server.get(&format!("/v2/library/app/blobs/{}", sha256(layer))).expect(200).body, *layer);
    let before = listing(&server);
    import(server.store(), pack(&files), None).unwrap();
    assert_eq!(listing(&server), before, "the same again changes nothing");
    server.expect_no_uploads();
}

#[test]
fn names_are_given_or_taken_from_the_archive() {
    let server = Server::start();
    import(server.store(), pack(&layout("v7", 1)), Some("team/a")).unwrap();
    server.get("/v2/team/a/manifests/v7").expect(200);
    import(server.store(), pack(&layout("v7", 1)), Some("team/b:other")).unwrap();
    server.get("/v2/team/b/manifests/other").expect(200);
    server.get("/v2/team/b/manifests/v7").expect(404);
    refused(server.store(), pack(&layout("v7", 1)), None, "--as");
    let digest = format!("team/c@{}", sha256(b""));
    assert!(matches!(
        import(server.store(), pack(&layout("v7", 1)), Some(&digest)),
        Err(RegistryError::BadParameter(_))
    ));
}

#[test]
fn the_order_of_files_and_gzip_do_not_matter() {
    let server = Server::start();
    let mut files = layout("a:v1", 1);
    files.reverse();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&pack(&files)).unwrap();
    let packed = gzip.finish().unwrap();
    import(server.store(), packed.clone(), None).unwrap();
    server.get("/v2/a/manifests/v1").expect(200);
    refused(server.store(), packed[..packed.len() / 2].to_vec(), Some("b:v1"), "");
    server.get("/v2/b/manifests/v1").expect(404);
}

#[test]
fn whatever_breaks_off_leaves_no_tag() {
    let server = Server::start();
    let whole = pack(&layout("a:v1", 1));
    for cut in [0, 5, 300, 600, 1_400, 2_000, 100_000, whole.len() - 1_024] {
        refused(server.store(), whole[..cut].to_vec(), None, "");
        server.get("/v2/a/tags/list").refused(404, "NAME_UNKNOWN");
    }
    server.expect_no_uploads();
    assert_eq!(listing(&server), "[]");
    import(server.store(), whole, None).unwrap();
}

#[test]
fn wrong_digests_and_missing_files_are_named() {
    let server = Server::start();
    for index in [2, 3, 4] {
        let mut files = layout("a:v1", 1);
        *files[index].1.last_mut().unwrap() ^= 1;
        refused(server.store(), pack(&files), None, "its digest is");
    }
    for index in [2, 3, 4] {
        // What the store holds already an archive need not hold.
        let server = Server::start();
        let mut files = layout("a:v1", 2);
        let hex = files.remove(index).0.rsplit('/').next().unwrap().to_owned();
        refused(server.store(), pack(&files), None, &hex);
    }
    for name in ["index.json", "oci-layout"] {
        let files: Vec<_> = layout("a:v1", 1).into_iter().filter(|(path, _)| path != name).collect();
        refused(server.store(), pack(&files), None, "neither an OCI layout nor a docker archive");
    }
    let files = [("oci-layout", LAYOUT), ("index.json", b"{".as_slice())];
    refused(server.store(), tar(&files), None, "index.json");
    let files = [("oci-layout", LAYOUT), ("index.json", br#"{"schemaVersion":2,"manifests":[]}"#.as_slice())];
    refused(server.store(), tar(&files), None, "no image");
    assert_eq!(listing(&server), "[]");
}

#[test]
fn path_tricks_are_refused_and_nothing_is_written_outside() {
    let server = Server::start();
    let outside = server.dir.path().parent().unwrap().join("trustnet-registry-escaped");
    for path in ["../trustnet-registry-escaped", "/tmp/trustnet-registry-escaped", "a/../../x", "a\\..\\x"] {
        refused(server.store(), tar(&[(path, b"x")]), Some("a:v1"), "path");
    }
    let link = |kind, target: &str| [tar_head("dir/link", kind, 0, target), vec![0; 1024]].concat();
    refused(server.store(), link(b'2', "../../x"), Some("a:v1"), "leads out");
    refused(server.store(), link(b'1', "/etc/passwd"), Some("a:v1"), "path");
    refused(server.store(), [tar_head("dev", b'3', 0, ""), vec![0; 1024]].concat(), Some("a:v1"), "no file");
    refused(server.store(), tar(&[("blobs/sha256/../../x", b"x")]), Some("a:v1"), "leads out");
    refused(server.store(), tar(&[("blobs/md5/00", b"x")]), Some("a:v1"), "not named by");
    assert!(!outside.exists());
    server.expect_no_uploads();
}

#[test]
fn links_that_lead_in_circles_end() {
    let server = Server::start();
    let list = br#"[{"Config":"a","RepoTags":["x:v1"],"Layers":[]}]"#;
    let circle = [
        tar_head("a", b'2', 0, "b"),
        tar_head("b", b'2', 0, "a"),
        tar_file("manifest.json", list),
        vec![0; 1024],
    ]
    .concat();
    refused(server.store(), circle, None, "which is not in it");
}

#[test]
fn records_and_counts_are_bounded() {
    let server = Server::start();
    let long_name = [tar_head("x", b'L', 1 << 30, ""), vec![b'a'; 4_096]].concat();
    refused(server.store(), long_name, Some("a:v1"), "longer than");
    let pax = [tar_head("x", b'x', 1 << 30, ""), vec![b'a'; 4_096]].concat();
    refused(server.store(), pax, Some("a:v1"), "longer than");
    let many: Vec<u8> =
        (0..20_001).flat_map(|n| tar_head(&format!("d{n}"), b'5', 0, "")).chain([0; 1024]).collect();
    refused(server.store(), many, Some("a:v1"), "more than 20000 files");
    for bad in ["5 path=x\n", "99 path=x\n", "0 a=b\n", "x a=b\n", "10 size=zz\n", "22 GNU.sparse.major=1\n"]
    {
        let pax = [tar_file("x", bad.as_bytes()), vec![0; 1024]].concat();
        let mut pax = pax;
        pax[..512].copy_from_slice(&tar_head("x", b'x', bad.len() as u64, ""));
        refused(server.store(), pax, Some("a:v1"), "");
    }
    let mut long_index = layout("a:v1", 1);
    long_index[1].1.resize(4 * 1024 * 1024 + 1, b' ');
    refused(server.store(), pack(&long_index), None, "longer than");
    server.expect_no_uploads();
}

#[test]
fn a_lot_of_zeros_behind_gzip_takes_no_memory_and_no_tag() {
    let server = Server::start();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    // 64 MiB that call themselves 1 GiB: more, and the disk might be too full for the claim alone.
    gzip.write_all(&tar_head("layer.tar", b'0', (1 << 30) - 1, "")).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(64 << 20), &mut gzip).unwrap();
    refused(server.store(), gzip.finish().unwrap(), Some("a:v1"), "broke off");
    server.expect_no_uploads();
}

#[test]
fn a_docker_archive_comes_in_with_all_of_its_names() {
    let server = Server::start();
    let layer = content(1, 50_000);
    let diff_id = sha256(&layer).to_string();
    import(server.store(), docker_archive(r#"["app:v1","localhost:5000/b/app:v2"]"#, &layer, &diff_id), None)
        .unwrap();
    let manifest = server.get("/v2/app/manifests/v1").expect(200).json();
    assert_eq!(manifest["layers"][0]["digest"], diff_id.as_str());
    server.get(&format!("/v2/b/app/blobs/{diff_id}")).expect(200);
    assert_eq!(server.get("/v2/b/app/manifests/v2").expect(200).json(), manifest);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&layer).unwrap();
    let packed = gzip.finish().unwrap();
    import(server.store(), docker_archive("null", &packed, &diff_id), Some("packed")).unwrap();
    let manifest = server.get("/v2/packed/manifests/latest").expect(200).json();
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let wrong = sha256(b"something else").to_string();
    refused(server.store(), docker_archive("null", &packed, &wrong), Some("x:v1"), "a layer is damaged");
    refused(server.store(), docker_archive("null", &layer, &wrong), Some("x:v1"), "a layer is damaged");
    refused(server.store(), docker_archive("null", &packed[..900], &diff_id), Some("x:v1"), "");
    server.get("/v2/x/manifests/v1").expect(404);
}

#[test]
fn what_goes_out_comes_in_again_and_is_the_same_every_time() {
    let server = Server::start();
    let text = server.push_image("a/b", "v1", 1);
    let archive = export(server.store(), "a/b:v1", ExportFormat::Oci).unwrap();
    assert_eq!(archive, export(server.store(), "a/b:v1", ExportFormat::Oci).unwrap());
    let docker = export(server.store(), "a/b:v1", ExportFormat::Docker).unwrap();
    let other = Server::start();
    import(other.store(), archive.clone(), None).unwrap();
    assert_eq!(other.get("/v2/a/b/manifests/v1").expect(200).body, text.as_bytes());
    assert_eq!(archive, export(other.store(), "a/b:v1", ExportFormat::Oci).unwrap());
    import(other.store(), docker, Some("c:v9")).unwrap();
    assert_eq!(other.get("/v2/c/manifests/v9").expect(200).body, text.as_bytes());
    assert!(matches!(
        export(server.store(), "a/b:v2", ExportFormat::Oci),
        Err(RegistryError::ManifestUnknown(_))
    ));
}

#[test]
fn an_index_goes_whole_or_by_platform() {
    let server = Server::start();
    let (arm, amd) = (server.push_image("a", "arm", 1), server.push_image("a", "amd", 2));
    let entry = |text: &str, arch: &str| {
        let digest = sha256(text.as_bytes());
        format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":{},"platform":{{"os":"linux","architecture":"{arch}"}}}}"#,
            text.len()
        )
    };
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{},{}]}}"#,
        entry(&arm, "arm64"),
        entry(&amd, "amd64")
    );
    server.put_manifest("a", "all", OCI_INDEX, &list).expect(201);
    let archive = export(server.store(), "a:all", ExportFormat::Oci).unwrap();
    let other = Server::start();
    import(other.store(), archive.clone(), None).unwrap();
    assert_eq!(other.get("/v2/a/manifests/all").expect(200).body, list.as_bytes());
    other.get(&format!("/v2/a/manifests/{}", sha256(amd.as_bytes()))).expect(200);
    let one = |platform: &str, bytes: Vec<u8>| {
        let platform = Some(platform.parse().unwrap());
        let operation = Operation::Import { target: Some("one:v1".parse().unwrap()), platform };
        execute(other.store(), &operation, &mut common::archive::Desk::sending(bytes))
    };
    one("linux/arm64", archive.clone()).unwrap();
    assert_eq!(other.get("/v2/one/manifests/v1").expect(200).body, arm.as_bytes());
    assert!(one("linux/riscv64", archive).unwrap_err().to_string().contains("no image for linux/riscv64"));
    let error = export(server.store(), "a:all", ExportFormat::Docker).unwrap_err().to_string();
    assert!(error.contains("linux/arm64, linux/amd64"), "{error}");
    let nested = index(&[&list], "");
    server.put_manifest("a", "nested", OCI_INDEX, &nested).expect(201);
    import(other.store(), export(server.store(), "a:nested", ExportFormat::Oci).unwrap(), None).unwrap();
    assert_eq!(other.get("/v2/a/manifests/nested").expect(200).body, nested.as_bytes());
}

#[test]
fn a_folder_is_read_and_written() {
    let server = Server::start();
    server.push_image("a", "v1", 1);
    let archive = export(server.store(), "a:v1", ExportFormat::Oci).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("layout");
    unpack(&mut archive.as_slice(), &folder).unwrap();
    assert!(unpack(&mut archive.as_slice(), &folder).is_err(), "it is there already");
    let other = Server::start();
    let mut bytes = Vec::new();
    FolderTar::open(&folder).unwrap().read_to_end(&mut bytes).unwrap();
    import(other.store(), bytes, None).unwrap();
    assert_eq!(archive, export(other.store(), "a:v1", ExportFormat::Oci).unwrap());
    let mut damaged = archive.clone();
    let layer = content(1_001, 500);
    let at = archive.windows(500).position(|part| part == layer).unwrap();
    damaged[at] ^= 1;
    for bad in
        [damaged, archive[..archive.len() - 2_000].to_vec(), tar(&[("../x", b"x")]), tar(&[("x", b"x")])]
    {
        let folder = dir.path().join("bad");
        assert!(unpack(&mut bad.as_slice(), &folder).is_err());
        assert!(!folder.exists(), "nothing is left of it");
    }
    std::os::unix::fs::symlink("/etc/passwd", folder.join("blobs/sha256").join("0".repeat(64))).unwrap();
    assert!(FolderTar::open(&folder).is_err(), "links are not followed");
    assert!(FolderTar::open(dir.path()).is_err());
}

#[test]
fn a_damaged_file_does_not_go_out() {
    let server = Server::start();
    server.push_image("a", "v1", 1);
    let layer = sha256(&content(1_001, 500)).hex();
    let path = server.dir.path().join("blobs/sha256").join(&layer[..2]).join(&layer);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(export(server.store(), "a:v1", ExportFormat::Oci), Err(RegistryError::BlobUnknown(_))));
    assert_eq!(server.store().damaged().unwrap().len(), 1, "and it is out of service");
    // The same image taken in again heals it.
    let config = content(1, 50);
    let layer = content(1_001, 500);
    let manifest = image(&config, &[&layer], "");
    let mut files = layout("a:v1", 9);
    files.truncate(2);
    files[1].1 = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"a:v1"}}}}]}}"#,
        sha256(manifest.as_bytes()),
        manifest.len()
    )
    .into_bytes();
    files.extend([config, layer, manifest.into_bytes()].map(|bytes| (blob_path(&bytes), bytes)));
    import(server.store(), pack(&files), None).unwrap();
    assert!(server.store().damaged().unwrap().is_empty());
    export(server.store(), "a:v1", ExportFormat::Oci).unwrap();
}
