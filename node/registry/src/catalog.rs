//! Manifests of repositories: pushed, looked up, listed, deleted.

use crate::content::Content;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::ingest::Ingest;
use crate::journal::Change;
use crate::limits::{MAX_REFERRERS_PER_PAGE, REFERRERS_PAGE_BYTES};
use crate::manifest::{Manifest, is_media_type};
use crate::meta::database::Durable;
use crate::meta::tables::{LINKS, MANIFESTS, View, repo_key};
use crate::meta::{blobs, leases, manifests, pulled, tags};
use crate::name::{Reference, RepoName, Tag};
use crate::policy::immutable;
use crate::store::Store;

/// How often it is noted that a copy is pulled, in milliseconds of registry time: it is kept for days.
const PULL_NOTED_EVERY_MS: u64 = 60 * 60 * 1_000;

/// What a push of a manifest gave.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) digest: Digest,
    pub(crate) subject: Option<Digest>,
}

/// A manifest that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    /// Its length, in bytes.
    pub(crate) len: u64,
}

/// One page of the list of referrers.
#[derive(Debug, Default)]
pub(crate) struct ReferrersPage {
    /// Descriptors, as JSON.
    pub(crate) descriptors: Vec<String>,
    /// The last one looked at, if there are more.
    pub(crate) next: Option<Digest>,
}

/// Refuses a manifest that needs what is not there, or says another length of it; `is_partial`: what is not there may
/// still be fetched.
pub(crate) fn check_needed(
    view: &impl View,
    repo: &RepoName,
    manifest: &Manifest,
    is_partial: bool,
) -> Result<()> {
    for needed in &manifest.needed {
        let digest = &needed.digest;
        let mut len = blobs::size_in(view, repo, digest)?;
        if len.is_none() && manifests::get(view, repo, digest)?.is_some() {
            len = blobs::size(view, digest)?;
        }
        match len {
            Some(len) if len != needed.size => {
                let why = format!("it says that {digest} has {} bytes; it has {len}", needed.size);
                return Err(RegistryError::ManifestInvalid(why));
            }
            None if !needed.optional && !is_partial => {
                return Err(RegistryError::ManifestBlobUnknown(*digest));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Store {
    /// Makes what has arrived a manifest of `repo`, under its digest and `tags`.
    ///
    /// `expected` is the digest that it must have; `None`: any. `content_type` is what the client called it, without
    /// parameters.
    pub(crate) fn push_manifest(
        &self,
        repo: &RepoName,
        ingest: Ingest,
        (expected, pushed_tags): (Option<Digest>, &[Tag]),
        content_type: Option<&str>,
    ) -> Result<Pushed> {
        self.add_manifest(repo, ingest, (expected, pushed_tags), content_type, false)
    }

    /// Keeps a manifest of an upstream in `repo`, whose blobs may not be here yet.
    pub(crate) fn keep_manifest(
        &self,
        repo: &RepoName,
        ingest: Ingest,
        (expected, tag): (Option<Digest>, Option<&Tag>),
        content_type: Option<&str>,
    ) -> Result<()> {
        let tags = tag.map(std::slice::from_ref).unwrap_or_default();
        self.add_manifest(repo, ingest, (expected, tags), content_type, true).map(drop)
    }

    /// Makes a tag mean a manifest that `repo` holds; says whether it holds it.
    pub(crate) fn move_tag(&self, repo: &RepoName, tag: &Tag, digest: &Digest) -> Result<bool> {
        let is_here = self.meta.read(|view| manifests::get(view, repo, digest))?.is_some();
        if !is_here {
            return Ok(false);
        }
        let rules = self.rules();
        self.change(|txn, changes| {
            let is_here = manifests::get(txn, repo, digest)?.is_some() && blobs::size(txn, digest)?.is_some();
            if is_here {
                immutable::check_push(txn, &rules, repo, (std::slice::from_ref(tag), digest))?;
                tags::set(txn, repo, tag, (digest, self.now_ms()))?;
                changes.push(repo, Change::Tag(tag.clone(), *digest));
            }
            Ok(is_here)
        })
    }

    fn add_manifest(
        &self,
        repo: &RepoName,
        ingest: Ingest,
        (expected, pushed_tags): (Option<Digest>, &[Tag]),
        content_type: Option<&str>,
        is_partial: bool,
    ) -> Result<Pushed> {
        if content_type.is_some_and(|kind| !is_media_type(kind)) {
            return Err(RegistryError::ManifestInvalid("its Content-Type is not a media type".to_owned()));
        }
        let manifest = Manifest::read(ingest.file(), ingest.len(), content_type)?;
        self.meta.read(|view| check_needed(view, repo, &manifest, is_partial))?;
        let complete = match expected {
            Some(digest) => ingest.complete(digest)?,
            None => ingest.complete_as_is()?,
        };
        let digest = complete.digest;
        let rules = self.rules();
        // All of this once more below: this time before the file has its name.
        let is_held = self.meta.read(|view| {
            immutable::check_push(view, &rules, repo, (pushed_tags, &digest))?;
            Ok(manifests::get(view, repo, &digest)?.is_some())
        })?;
        if !is_held {
            self.room(repo, None)?.check(complete.len)?;
        }
        self.place(&complete, || {
            self.change(|txn, changes| {
                check_needed(txn, repo, &manifest, is_partial)?;
                immutable::check_push(txn, &rules, repo, (pushed_tags, &digest))?;
                let is_held = manifests::get(txn, repo, &digest)?.is_some();
                // What was pushed or imported stays our own, also when the upstream has the same.
                let is_own = is_held && pulled::last_ms(txn, repo, &digest)?.is_none();
                blobs::insert(txn, &digest, complete.len)?;
                manifests::insert(txn, repo, &digest, (&manifest, complete.len, self.now_ms()))?;
                if !is_held {
                    self.check_quota(txn, &rules, repo, None)?;
                }
                if is_partial && !is_own {
                    pulled::note(txn, repo, &digest, self.now_ms())?;
                    changes.push(repo, Change::Copy(digest, manifest.media_type.clone()));
                }
                if !is_partial {
                    changes.push(repo, Change::Manifest(digest, manifest.media_type.clone()));
                }
                for tag in pushed_tags {
                    tags::set(txn, repo, tag, (&digest, self.now_ms()))?;
                    changes.push(repo, Change::Tag(tag.clone(), digest));
                }
                let until_ms = self.lease_until_ms();
                leases::renew(txn, &digest, until_ms)?;
                manifest.needed.iter().try_for_each(|needed| leases::renew(txn, &needed.digest, until_ms))
            })
        })?;
        Ok(Pushed { digest, subject: manifest.subject })
    }

    /// Finds a manifest, and leases it: a client that is told of it will not push it. Of a copy it is noted that it was
    /// pulled.
    pub(crate) fn find_manifest(&self, repo: &RepoName, reference: &Reference) -> Result<Found> {
        let (found, until_ms, pulled_ms) = self.meta.read(|view| {
            let found = find(view, repo, reference)?;
            let until_ms = leases::until_ms(view, &found.digest)?;
            let pulled_ms = pulled::last_ms(view, repo, &found.digest)?;
            Ok((found, until_ms, pulled_ms))
        })?;
        let now_ms = self.now_ms();
        let is_pull_due = pulled_ms.is_some_and(|ms| now_ms.saturating_sub(ms) >= PULL_NOTED_EVERY_MS);
        if !self.is_lease_due(until_ms) && !is_pull_due {
            return Ok(found);
        }
        self.meta.write(Durable::Later, |txn| {
            let found = find(txn, repo, reference)?;
            leases::renew(txn, &found.digest, self.lease_until_ms())?;
            if is_pull_due && pulled::last_ms(txn, repo, &found.digest)?.is_some() {
                pulled::note(txn, repo, &found.digest, now_ms)?;
            }
            Ok(found)
        })
    }

    /// Opens a manifest that was found.
    pub(crate) fn open_manifest(&self, found: &Found) -> Result<Content> {
        let content = self.open_content(&found.digest, found.len)?;
        content.ok_or(RegistryError::ManifestUnknown(Reference::Digest(found.digest)))
    }

    /// Removes a tag, or a manifest with all of its tags.
    pub(crate) fn delete_manifest(&self, repo: &RepoName, reference: &Reference) -> Result<()> {
        let rules = self.rules();
        self.change(|txn, changes| {
            let is_gone = match reference {
                Reference::Tag(tag) => {
                    immutable::check_untag(txn, &rules, repo, tag)?;
                    changes.push(repo, Change::Untag(tag.clone()));
                    tags::unset(txn, repo, tag)?
                }
                Reference::Digest(digest) => {
                    immutable::check_removal(txn, &rules, repo, digest)?;
                    changes.push(repo, Change::Delete(*digest));
                    manifests::delete(txn, repo, digest)?
                }
            };
            if is_gone { Ok(()) } else { Err(RegistryError::ManifestUnknown(reference.clone())) }
        })
    }

    /// Up to `limit` tags after `last`, and whether there are more.
    pub(crate) fn list_tags(
        &self,
        repo: &RepoName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Tag>, bool)> {
        self.meta.read(|view| {
            let prefix = repo_key(repo);
            if !view.any(LINKS, &prefix)? && !view.any(MANIFESTS, &prefix)? {
                return Err(RegistryError::RepositoryUnknown(repo.clone()));
            }
            let mut found = tags::list(view, repo, last, limit + 1)?;
            let is_more = found.len() > limit;
            found.truncate(limit);
            Ok((found, is_more))
        })
    }

    /// What is attached to `subject`, after the referrer `after`; only what has `artifact_type`, if that is given.
    pub(crate) fn list_referrers(
        &self,
        repo: &RepoName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
    ) -> Result<ReferrersPage> {
        self.meta.read(|view| {
            let (mut page, mut bytes, mut last) = (ReferrersPage::default(), 0, None);
            manifests::for_each_referrer(view, repo, subject, after, |digest, row| {
                if artifact_type.is_some_and(|wanted| row.artifact_type.as_deref() != Some(wanted)) {
                    return true;
                }
                if page.descriptors.len() >= MAX_REFERRERS_PER_PAGE || bytes >= REFERRERS_PAGE_BYTES {
                    page.next = last;
                    return false;
                }
                bytes += row.descriptor.len();
                page.descriptors.push(row.descriptor);
                last = Some(digest);
                true
            })?;
            Ok(page)
        })
    }
}

fn find(view: &impl View, repo: &RepoName, reference: &Reference) -> Result<Found> {
    let unknown = || RegistryError::ManifestUnknown(reference.clone());
    let digest = match reference {
        Reference::Tag(tag) => tags::get(view, repo, tag)?.ok_or_else(unknown)?,
        Reference::Digest(digest) => *digest,
    };
    let row = manifests::get(view, repo, &digest)?.ok_or_else(unknown)?;
    // Without this row the file is damaged and out of service.
    let len = blobs::size(view, &digest)?.ok_or_else(unknown)?;
    Ok(Found { digest, media_type: row.media_type, len })
}
