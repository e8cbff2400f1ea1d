//! Files that are in the store become an image: all of it in one step.

use std::collections::BTreeSet;

use super::{MAX_DEPTH, MAX_MANIFESTS};
use crate::catalog::check_needed;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::image::{Descriptor, Document, is_index};
use crate::journal::Change;
use crate::manifest::Manifest;
use crate::meta::{blobs, leases, manifests, tags};
use crate::name::{RepoName, Tag};
use crate::policy::immutable;
use crate::store::Store;

/// An image and all that it needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Closure {
    /// Manifests and their media types; what an index needs stands before it.
    pub(super) manifests: Vec<(Digest, String)>,
    /// Configurations and layers.
    pub(super) blobs: BTreeSet<Digest>,
}

/// What becomes of a repository.
pub(super) struct Adoption {
    pub(super) repo: RepoName,
    pub(super) closure: Closure,
    pub(super) tags: Vec<(Tag, Digest)>,
}

impl Closure {
    /// Adds a manifest and all that it needs. Each has to be in the store already.
    pub(super) fn add(&mut self, store: &Store, root: &Descriptor) -> Result<()> {
        self.visit(store, root, 0)
    }

    fn visit(&mut self, store: &Store, descriptor: &Descriptor, depth: usize) -> Result<()> {
        if self.manifests.iter().any(|(digest, _)| *digest == descriptor.digest) {
            return Ok(());
        }
        if depth >= MAX_DEPTH || self.manifests.len() >= MAX_MANIFESTS {
            let why = format!(
                "its indexes hold more than {MAX_MANIFESTS} manifests, or stand deeper than {MAX_DEPTH} in each other"
            );
            return Err(RegistryError::ArchiveInvalid(why));
        }
        let text = store.read_document(&descriptor.digest).map_err(|error| missing(descriptor, error))?;
        let document = Document::read(&text)?;
        drop(text);
        if is_index(&descriptor.media_type) {
            for entry in document.manifests.iter().flatten() {
                if entry.is_manifest() {
                    self.visit(store, entry, depth + 1)?;
                } else {
                    self.blobs.insert(entry.digest);
                }
            }
        } else {
            let all = document.config.iter().chain(document.layers.iter().flatten());
            self.blobs.extend(all.map(|blob| blob.digest));
        }
        self.manifests.push((descriptor.digest, descriptor.media_type.clone()));
        Ok(())
    }
}

fn missing(descriptor: &Descriptor, error: RegistryError) -> RegistryError {
    match error {
        RegistryError::BlobUnknown(digest) => {
            let platform = descriptor.platform.as_ref().map(|platform| format!(" (for {platform})"));
            RegistryError::ArchiveInvalid(format!(
                "it names the manifest {digest}{}, which is not in it; to take one platform only, add --platform",
                platform.unwrap_or_default()
            ))
        }
        error => error,
    }
}

impl Store {
    /// Makes repositories hold images whose files are in the store, under their tags: all or nothing.
    pub(super) fn adopt(&self, adoptions: &[Adoption]) -> Result<()> {
        let rules = self.rules();
        self.change(|txn, changes| {
            let until_ms = self.lease_until_ms();
            for Adoption { repo, closure, tags } in adoptions {
                let mut is_more = false;
                for digest in &closure.blobs {
                    // One that may be missing is told from one that may not by the manifest, below.
                    if blobs::size(txn, digest)?.is_none() {
                        continue;
                    }
                    if blobs::link(txn, repo, digest)? {
                        is_more = true;
                        changes.push(repo, Change::Link(*digest));
                    }
                    leases::renew(txn, digest, until_ms)?;
                }
                for (digest, media_type) in &closure.manifests {
                    let len = blobs::size(txn, digest)?.ok_or(RegistryError::ManifestBlobUnknown(*digest))?;
                    let file = self.blobs.open(digest)?.ok_or(RegistryError::ManifestBlobUnknown(*digest))?;
                    let manifest = Manifest::read(&*file, len, Some(media_type))?;
                    check_needed(txn, repo, &manifest, false)?;
                    is_more |= manifests::get(txn, repo, digest)?.is_none();
                    manifests::insert(txn, repo, digest, (&manifest, len, self.now_ms()))?;
                    changes.push(repo, Change::Manifest(*digest, manifest.media_type));
                    leases::renew(txn, digest, until_ms)?;
                }
                for (tag, digest) in tags {
                    immutable::check_push(txn, &rules, repo, (std::slice::from_ref(tag), digest))?;
                    tags::set(txn, repo, tag, (digest, self.now_ms()))?;
                    changes.push(repo, Change::Tag(tag.clone(), *digest));
                }
                // What was held before is not refused for a quota that has shrunk since.
                if is_more {
                    self.check_quota(txn, &rules, repo, None)?;
                }
            }
            Ok(())
        })
    }
}
