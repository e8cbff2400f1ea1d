//! Images given out as archives.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::adopt::Closure;
use super::docker::Entry;
use super::tar_write::TarWriter;
use super::{COPY_BYTES, IMAGE_NAME, INDEX_JSON, MANIFEST_JSON, OCI_LAYOUT, REF_NAME};
use crate::digest::{Digest, Hasher};
use crate::error::{RegistryError, Result};
use crate::files::FileHandle;
use crate::image::{Descriptor, Document, PlatformChoice};
use crate::manifest::{Manifest, OCI_INDEX};
use crate::meta::blobs;
use crate::name::Reference;
use crate::store::Store;
use crate::target::Target;

/// What kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// An OCI image layout.
    Oci,
    /// The same, which `docker load` and `podman load` take as well.
    Docker,
}

/// What was given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The image's manifest.
    pub digest: Digest,
    /// Files in the archive that are content.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

const LAYOUT_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Writes an image as a tar archive: the same bytes whenever the image is the same. A repository alone means its tag
/// `latest`.
///
/// # Errors
/// When there is no such image, part of it is missing or damaged, or `to` takes no more.
pub fn export(
    store: &Store,
    target: &Target,
    format: ExportFormat,
    platform: Option<&PlatformChoice>,
    to: &mut dyn Write,
) -> Result<Exported> {
    let latest = || "latest".parse().map(Reference::Tag);
    let reference = target.reference.clone().map_or_else(latest, Ok)?;
    let found = store.find_manifest(&target.repo, &reference)?;
    let mut root = Descriptor::new(&found.media_type, found.digest, found.len);
    if let (Some(platform), true) = (platform, root.is_index()) {
        let picked = store.pick(&root, platform)?;
        root = picked
            .ok_or_else(|| RegistryError::ArchiveInvalid(format!("{target} has no image for {platform}")))?;
        root.annotations = None;
    }
    let tag = match &reference {
        Reference::Tag(tag) => Some(tag.clone()),
        Reference::Digest(_) => None,
    };
    if let Some(tag) = &tag {
        let names = [(IMAGE_NAME, format!("{}:{tag}", target.repo)), (REF_NAME, tag.to_string())];
        root.annotations = Some(names.into_iter().map(|(key, name)| (key.to_owned(), name)).collect());
    }
    let docker = match format {
        ExportFormat::Oci => None,
        ExportFormat::Docker => {
            let names = tag.iter().map(|tag| format!("{}:{tag}", target.repo)).collect();
            Some(docker_list(store, &root, names)?)
        }
    };
    let mut closure = Closure::default();
    closure.add(store, &root)?;
    let files = files(store, &closure)?;
    let index = Document {
        schema_version: 2,
        media_type: Some(OCI_INDEX.to_owned()),
        manifests: Some(vec![root.clone()]),
        ..Document::default()
    };
    let write = |error| RegistryError::io("write", "the archive", error);
    let mut tar = TarWriter::new(to);
    tar.text(OCI_LAYOUT, LAYOUT_TEXT.as_bytes()).map_err(write)?;
    tar.text(INDEX_JSON, &json(&index)?).map_err(write)?;
    if let Some(docker) = docker {
        tar.text(MANIFEST_JSON, &json(&docker)?).map_err(write)?;
    }
    let mut exported = Exported { digest: root.digest, files: 0, bytes: 0 };
    for (digest, len) in files {
        send(store, &mut tar, &digest, len)?;
        (exported.files, exported.bytes) = (exported.files + 1, exported.bytes + len);
    }
    tar.end().map_err(write)?;
    Ok(exported)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| RegistryError::ManifestInvalid(error.to_string()))
}

fn path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The list that docker reads; an image's files are found under their digests.
fn docker_list(store: &Store, root: &Descriptor, names: Vec<String>) -> Result<[Entry; 1]> {
    let document = Document::read(&store.read_document(&root.digest)?)?;
    if root.is_index() {
        let all: Vec<String> = document
            .manifests
            .iter()
            .flatten()
            .filter_map(|image| image.platform.as_ref().map(ToString::to_string))
            .collect();
        return Err(RegistryError::ArchiveInvalid(format!(
            "a docker archive holds one platform; choose by --platform: {}",
            all.join(", ")
        )));
    }
    let config = document.config.filter(|_| document.artifact_type.is_none());
    let config = config
        .ok_or_else(|| RegistryError::ArchiveInvalid("it is no image that docker could run".to_owned()))?;
    let layers = document.layers.iter().flatten().map(|layer| path(&layer.digest)).collect();
    Ok([Entry { config: path(&config.digest), repo_tags: Some(names), layers }])
}

/// The files of an image and their lengths, by digest. Those that may be missing are left out if they are.
fn files(store: &Store, closure: &Closure) -> Result<Vec<(Digest, u64)>> {
    let mut optional = std::collections::BTreeSet::new();
    for (digest, media_type) in &closure.manifests {
        let len =
            store.meta.read(|view| blobs::size(view, digest))?.ok_or(RegistryError::BlobUnknown(*digest))?;
        let (file, len) = store.open_content(digest, len)?.ok_or(RegistryError::BlobUnknown(*digest))?;
        let manifest = Manifest::read(&*file, len, Some(media_type))?;
        optional.extend(manifest.needed.iter().filter(|needed| needed.optional).map(|needed| needed.digest));
    }
    let mut all: Vec<Digest> = closure.manifests.iter().map(|(digest, _)| *digest).collect();
    all.extend(&closure.blobs);
    all.sort_unstable();
    all.dedup();
    let mut files = Vec::new();
    for digest in all {
        match store.meta.read(|view| blobs::size(view, &digest))? {
            Some(len) => files.push((digest, len)),
            None if optional.contains(&digest) => {}
            None => return Err(RegistryError::BlobUnknown(digest)),
        }
    }
    Ok(files)
}

/// Reads a file and hashes it on its way.
struct Hashed<'a> {
    file: &'a dyn FileHandle,
    offset: u64,
    hasher: Hasher,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let part = buf.len().min(COPY_BYTES);
        self.file.read_at(&mut buf[..part], self.offset)?;
        self.hasher.update(&buf[..part]);
        self.offset += part as u64;
        Ok(part)
    }
}

fn send<W: Write>(store: &Store, tar: &mut TarWriter<W>, digest: &Digest, len: u64) -> Result<()> {
    let placed = store.placed.load(std::sync::atomic::Ordering::SeqCst);
    let (file, len) = store.open_content(digest, len)?.ok_or(RegistryError::BlobUnknown(*digest))?;
    let mut hashed = Hashed { file: &*file, offset: 0, hasher: Hasher::new(digest.algorithm()) };
    tar.file(&path(digest), len, &mut hashed)
        .map_err(|error| RegistryError::io("write", "the archive", error))?;
    if hashed.hasher.finish() == *digest {
        return Ok(());
    }
    store.report_damage(digest, Vec::new(), placed)?;
    Err(RegistryError::BlobUnknown(*digest))
}
