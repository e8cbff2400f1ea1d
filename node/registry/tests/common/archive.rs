//! Archives made by hand, and the operator's side of an operation.

#![allow(dead_code, clippy::unwrap_used)]

use std::io::{self, Read};

use trustnet_registry::admin::{Answer, Channel, Event, Operation, execute};
use trustnet_registry::transfer::ExportFormat;
use trustnet_registry::{RegistryError, Store, Target};

use super::{content, sha256};

/// A head of a tar archive, with a checksum that is right.
pub fn tar_head(path: &str, kind: u8, len: u64, link: &str) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{len:011o}\0").as_bytes());
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A file of a tar archive, with the zeros after it.
pub fn tar_file(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut file = tar_head(path, b'0', bytes.len() as u64, "");
    file.extend_from_slice(bytes);
    file.resize(file.len().next_multiple_of(512), 0);
    file
}

/// An archive of files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar: Vec<u8> = files.iter().flat_map(|(path, bytes)| tar_file(path, bytes)).collect();
    tar.extend_from_slice(&[0; 1024]);
    tar
}

pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

pub fn blob_path(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(bytes).hex())
}

/// The files of a layout with one image, called `name`.
pub fn layout(name: &str, seed: u64) -> Vec<(String, Vec<u8>)> {
    let config =
        br#"{"architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec();
    let layer = content(seed, 200_000);
    let manifest = super::image(&config, &[&layer], "").into_bytes();
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}]}}"#,
        super::OCI_MANIFEST,
        sha256(&manifest),
        manifest.len()
    );
    let mut files =
        vec![("oci-layout".to_owned(), LAYOUT.to_vec()), ("index.json".to_owned(), index.into_bytes())];
    files.extend([config, layer, manifest].map(|bytes| (blob_path(&bytes), bytes)));
    files
}

pub fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar(&files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

/// What `docker save` writes: an image with these names, as JSON, and one layer.
pub fn docker_archive(names: &str, layer: &[u8], diff_id: &str) -> Vec<u8> {
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let list = format!(r#"[{{"Config":"c.json","RepoTags":{names},"Layers":["one/layer.tar"]}}]"#);
    [
        tar_head("one/", b'5', 0, ""),
        tar_file("one/VERSION", b"1.0"),
        tar_file("real.tar", layer),
        tar_head("one/layer.tar", b'2', 0, "../real.tar"),
        tar_file("c.json", config.as_bytes()),
        tar_file("manifest.json", list.as_bytes()),
        vec![0; 10_240],
    ]
    .concat()
}

/// The operator's side: what is sent, and what came.
#[derive(Default)]
pub struct Desk {
    pub from: io::Cursor<Vec<u8>>,
    pub to: Vec<u8>,
    pub events: Vec<Event>,
}

impl Desk {
    pub fn sending(bytes: Vec<u8>) -> Self {
        Self { from: io::Cursor::new(bytes), ..Self::default() }
    }
}

impl Channel for Desk {
    fn event(&mut self, event: Event) -> io::Result<()> {
        self.events.push(event);
        Ok(())
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.from.read(buf)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.extend_from_slice(bytes);
        Ok(())
    }
}

pub fn target(text: &str) -> Target {
    text.parse().unwrap()
}

pub fn import(store: &Store, archive: Vec<u8>, name: Option<&str>) -> Result<Answer, RegistryError> {
    let operation = Operation::Import { target: name.map(target), platform: None };
    execute(store, &operation, &mut Desk::sending(archive))
}

pub fn export(store: &Store, name: &str, format: ExportFormat) -> Result<Vec<u8>, RegistryError> {
    let mut desk = Desk::default();
    let operation = Operation::Export { target: target(name), format, platform: None };
    execute(store, &operation, &mut desk)?;
    Ok(desk.to)
}
