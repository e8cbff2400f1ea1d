//! What `docker save` and `podman save` write: a list of images, each with its configuration and layers as files. It holds
//! no manifests, so these are made; the configuration says what the layers have to be once unpacked.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::gather::Gathered;
use crate::digest::{Digest, Hasher};
use crate::error::{RegistryError, Result};
use crate::files::FileHandle;
use crate::image::{Config, Descriptor, Document, Platform};
use crate::manifest::OCI_MANIFEST;
use crate::store::Store;

/// Media type of an image's configuration.
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer, to which the compression is added.
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Most images in one archive.
const MAX_IMAGES: usize = 1_000;
/// Longest layer once unpacked, in bytes: what is checked must end at some time.
const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// An image in the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Vec<String>,
}

/// An image that was made of an entry.
pub(super) struct Made {
    pub(super) names: Vec<String>,
    pub(super) platform: Platform,
    pub(super) descriptor: Descriptor,
}

fn invalid(why: impl Into<String>) -> RegistryError {
    RegistryError::ArchiveInvalid(why.into())
}

/// Reads a file from its start.
struct FromStart<'a> {
    file: &'a dyn FileHandle,
    offset: u64,
    len: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let part = buf.len().min(usize::try_from(self.len - self.offset).unwrap_or(usize::MAX));
        self.file.read_at(&mut buf[..part], self.offset)?;
        self.offset += part as u64;
        Ok(part)
    }
}

/// Gives a layer's media type, once it is sure that it unpacks to what the configuration says.
fn check_layer(store: &Store, (digest, len): (Digest, u64), expected: &Digest) -> Result<String> {
    let (file, len) = store.open_content(&digest, len)?.ok_or(RegistryError::BlobUnknown(digest))?;
    let mut magic = [0; 4];
    let magic_len = len.min(4) as usize;
    file.read_at(&mut magic[..magic_len], 0)
        .map_err(|e| RegistryError::io("read", &digest.to_string(), e))?;
    let (actual, media_type) = match magic {
        [0x1f, 0x8b, ..] => {
            let packed = FromStart { file: &*file, offset: 0, len };
            (unpacked_digest(packed, expected)?, format!("{OCI_LAYER}+gzip"))
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            return Err(invalid(
                "a layer is packed with zstd, which cannot be checked here; import an OCI layout",
            ));
        }
        _ if digest.algorithm() == expected.algorithm() => (digest, OCI_LAYER.to_owned()),
        _ => {
            let digest = crate::ingest::digest_of(&*file, &digest.to_string(), expected.algorithm())?;
            (digest, OCI_LAYER.to_owned())
        }
    };
    if actual != *expected {
        return Err(invalid(format!("a layer is damaged: its digest is {actual}, not {expected}")));
    }
    Ok(media_type)
}

fn unpacked_digest(packed: impl Read, expected: &Digest) -> Result<Digest> {
    let mut hasher = Hasher::new(expected.algorithm());
    let mut unpacked = MultiGzDecoder::new(packed).take(MAX_UNPACKED_BYTES);
    let mut buffer = vec![0; super::COPY_BYTES];
    loop {
        let read =
            unpacked.read(&mut buffer).map_err(|e| invalid(format!("a layer cannot be unpacked: {e}")))?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..read]);
    }
}

fn make(store: &Store, gathered: &mut Gathered, entry: Entry) -> Result<Made> {
    let (config_digest, config_len) = gathered.find(store, &entry.config)?;
    let config: Config = serde_json::from_slice(&store.read_document(&config_digest)?)
        .map_err(|error| invalid(format!("the configuration {} cannot be read: {error}", entry.config)))?;
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != entry.layers.len() {
        let (said, there) = (diff_ids.len(), entry.layers.len());
        return Err(invalid(format!(
            "the configuration {} has {said} layers, the image {there}",
            entry.config
        )));
    }
    let mut layers = Vec::new();
    for (path, diff_id) in entry.layers.iter().zip(diff_ids) {
        let (digest, len) = gathered.find(store, path)?;
        let media_type = check_layer(store, (digest, len), diff_id)?;
        layers.push(Descriptor::new(&media_type, digest, len));
    }
    let document = Document {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: Some(Descriptor::new(OCI_CONFIG, config_digest, config_len)),
        layers: Some(layers),
        ..Document::default()
    };
    let text = serde_json::to_vec(&document).map_err(|error| invalid(error.to_string()))?;
    let len = text.len() as u64;
    let digest = store.take_file(&mut text.as_slice(), len, None)?;
    gathered.placed.push(digest);
    Ok(Made {
        names: entry.repo_tags.unwrap_or_default(),
        platform: config.platform,
        descriptor: Descriptor::new(OCI_MANIFEST, digest, len),
    })
}

/// Makes the images that an archive's `manifest.json` names.
pub(super) fn images(store: &Store, gathered: &mut Gathered, list: &[u8]) -> Result<Vec<Made>> {
    let entries: Vec<Entry> = serde_json::from_slice(list)
        .map_err(|error| invalid(format!("manifest.json cannot be read: {error}")))?;
    if entries.len() > MAX_IMAGES {
        return Err(invalid(format!("it holds more than {MAX_IMAGES} images")));
    }
    entries.into_iter().map(|entry| make(store, gathered, entry)).collect()
}
