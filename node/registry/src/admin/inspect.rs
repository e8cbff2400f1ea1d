//! What an image is made of, for a person.

use serde::{Deserialize, Serialize};

use super::list::closure;
use crate::digest::Digest;
use crate::error::Result;
use crate::image::{Config, Descriptor, Document, shown};
use crate::meta::{blobs, manifests, tags};
use crate::name::{Reference, RepoName, Tag};
use crate::store::Store;

pub use crate::image::Platform;

/// Most tags and referrers that are named.
const MAX_NAMED: usize = 500;

/// What an image is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    /// Its repository.
    pub repository: RepoName,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's media type.
    pub media_type: String,
    /// What kind of artifact it is, if it is no image.
    pub artifact_type: Option<String>,
    /// Bytes of the manifest and all that it needs, each file counted once.
    pub bytes: u64,
    /// Files that it needs and that are missing or damaged.
    pub missing: Vec<Digest>,
    /// The tags that mean it.
    pub tags: Vec<Tag>,
    /// What it runs on.
    pub platform: Option<Platform>,
    /// When it was made, as its configuration says.
    pub created: Option<String>,
    /// What it is attached to.
    pub subject: Option<Digest>,
    /// The configuration, then the layers, in order.
    pub layers: Vec<Layer>,
    /// The images of an index.
    pub images: Vec<IndexEntry>,
    /// What is attached to it.
    pub referrers: Vec<Referrer>,
}

/// A layer, or the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// One image of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Its manifest.
    pub digest: Digest,
    /// What it runs on, as the index says.
    pub platform: Option<Platform>,
    /// Bytes of the manifest and all that it needs.
    pub bytes: u64,
}

/// Something attached to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    /// Its manifest.
    pub digest: Digest,
    /// What kind it is: a signature, a list of contents.
    pub artifact_type: Option<String>,
}

fn layer(descriptor: &Descriptor) -> Layer {
    let media_type = shown(&descriptor.media_type);
    Layer { digest: descriptor.digest, media_type, bytes: descriptor.size }
}

impl Store {
    /// Bytes of a manifest and all that it needs, and what of it is not there.
    fn weigh(&self, repo: &RepoName, digest: &Digest) -> Result<(u64, Vec<Digest>)> {
        self.meta.read(|view| {
            let (mut bytes, mut missing) = (0, Vec::new());
            for digest in closure(view, repo, digest)? {
                match blobs::size(view, &digest)? {
                    Some(len) => bytes += len,
                    None => missing.push(digest),
                }
            }
            Ok((bytes, missing))
        })
    }

    /// Tells what an image is made of.
    ///
    /// # Errors
    /// When there is no such image, it is damaged, or the disk fails.
    pub fn inspect(&self, repo: &RepoName, reference: &Reference) -> Result<Inspected> {
        let found = self.find_manifest(repo, reference)?;
        let digest = found.digest;
        let document = Document::read(&self.read_document(&digest)?)?;
        let (bytes, missing) = self.weigh(repo, &digest)?;
        let (tags, referrers) = self.meta.read(|view| {
            let mut tags = tags::of(view, repo, &digest)?;
            tags.truncate(MAX_NAMED);
            let mut referrers = Vec::new();
            manifests::for_each_referrer(view, repo, &digest, None, |digest, row| {
                let artifact_type = row.artifact_type.as_deref().map(shown);
                referrers.push(Referrer { digest, artifact_type });
                referrers.len() < MAX_NAMED
            })?;
            Ok((tags, referrers))
        })?;
        // A configuration need not be one of an image; what cannot be read as one says nothing.
        let config = document.config.as_ref().filter(|_| document.artifact_type.is_none());
        let config = config.and_then(|config| self.read_document(&config.digest).ok());
        let config = config.and_then(|text| serde_json::from_slice::<Config>(&text).ok());
        let platform = config.as_ref().map(|config| config.platform.clone());
        let mut images = Vec::new();
        for entry in document.manifests.iter().flatten() {
            let (bytes, _) = self.weigh(repo, &entry.digest)?;
            images.push(IndexEntry { digest: entry.digest, platform: entry.platform.clone(), bytes });
        }
        Ok(Inspected {
            repository: repo.clone(),
            digest,
            media_type: found.media_type,
            artifact_type: document.artifact_type.as_deref().map(shown),
            bytes,
            missing,
            tags,
            platform: platform.filter(|platform| !platform.architecture.is_empty()),
            created: config.and_then(|config| config.created).as_deref().map(shown),
            subject: document.subject.map(|subject| subject.digest),
            layers: document.config.iter().chain(document.layers.iter().flatten()).map(layer).collect(),
            images,
            referrers,
        })
    }
}
