//! Blobs of repositories: pushed, mounted, looked up, deleted.

use std::sync::atomic::Ordering;

use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::files::FileHandle;
use crate::ingest::{Complete, Ingest};
use crate::journal::Change;
use crate::meta::damaged::{self, Damage};
use crate::meta::database::Durable;
use crate::meta::{blobs, leases};
use crate::name::RepoName;
use crate::policy::immutable;
use crate::store::Store;

/// Holders of a blob that are looked at before it counts as not to be found: a client that is told so uploads it.
const MAX_HOLDERS: usize = 1_000;

/// A file that can be sent, and its length in bytes.
pub(crate) type Content = (Box<dyn FileHandle>, u64);

impl Store {
    /// Ends an upload: what has arrived becomes a blob of `repo`, if its digest is `digest`.
    pub(crate) fn push_blob(&self, repo: &RepoName, ingest: Ingest, digest: Digest) -> Result<()> {
        let complete = ingest.complete(digest)?;
        let deciding = complete.reserved.as_ref().map(|_| self.reservations.deciding());
        let pushed = self.hold_blob(repo, &complete, digest);
        // What was reserved first: it is held now.
        drop(complete);
        drop(deciding);
        pushed
    }

    fn hold_blob(&self, repo: &RepoName, complete: &Complete, digest: Digest) -> Result<()> {
        let rules = self.rules();
        let is_held = self.meta.read(|view| blobs::size_in(view, repo, &digest))?.is_some();
        if !is_held {
            // Once more below: this time before the file has its name.
            self.room(repo, complete.reserved.as_deref())?.check(complete.len)?;
        }
        self.place(complete, || {
            self.change(|txn, changes| {
                blobs::insert(txn, &digest, complete.len)?;
                if blobs::link(txn, repo, &digest)? {
                    self.check_quota(txn, &rules, repo, complete.reserved.as_deref())?;
                    changes.push(repo, Change::Link(digest));
                }
                leases::renew(txn, &digest, self.lease_until_ms())
            })
        })
    }

    /// Length of a blob, in bytes. Leases it: a client that is told of a blob will not push it.
    pub(crate) fn stat_blob(&self, repo: &RepoName, digest: &Digest) -> Result<u64> {
        let (len, until_ms) = self
            .meta
            .read(|view| Ok((blobs::size_in(view, repo, digest)?, leases::until_ms(view, digest)?)))?;
        let len = len.ok_or(RegistryError::BlobUnknown(*digest))?;
        if self.is_lease_due(until_ms) {
            // Looked at again in the transaction that leases: the collector may have been quicker.
            self.meta.write(Durable::Later, |txn| {
                blobs::size_in(txn, repo, digest)?.ok_or(RegistryError::BlobUnknown(*digest))?;
                leases::renew(txn, digest, self.lease_until_ms())
            })?;
        }
        Ok(len)
    }

    /// Whether a lease has run so far that it is worth a write to renew it.
    pub(crate) fn is_lease_due(&self, until_ms: u64) -> bool {
        until_ms < self.now_ms().saturating_add(self.lease_ms / 4 * 3)
    }

    /// Opens a blob.
    pub(crate) fn open_blob(&self, repo: &RepoName, digest: &Digest) -> Result<Content> {
        let len = self.meta.read(|view| blobs::size_in(view, repo, digest))?;
        let len = len.ok_or(RegistryError::BlobUnknown(*digest))?;
        self.open_content(digest, len)?.ok_or(RegistryError::BlobUnknown(*digest))
    }

    /// Opens a file that the metadata knows; `None`, and it is out of service, if it is not as the metadata says.
    pub(crate) fn open_content(&self, digest: &Digest, len: u64) -> Result<Option<Content>> {
        let placed = self.placed.load(Ordering::SeqCst);
        let file = self.blobs.open(digest)?;
        let measured = file.as_ref().map(|file| file.len()).transpose();
        let measured = measured.map_err(|e| RegistryError::io("measure", &digest.to_string(), e))?;
        if measured == Some(len) {
            return Ok(file.map(|file| (file, len)));
        }
        self.report_damage(digest, Vec::new(), placed)?;
        Ok(None)
    }

    /// Takes a file out of service that was found damaged. Repositories keep their links, so that the same content
    /// pushed again heals it everywhere.
    ///
    /// `placed` is the number of files placed before this one was looked at. If more were since, the damaged file may
    /// have been healed: then nothing is done, and the answer is `false`.
    pub(crate) fn report_damage(&self, digest: &Digest, pieces: Vec<u32>, placed: u64) -> Result<bool> {
        let _gate = self.gate.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.placed.load(Ordering::SeqCst) != placed {
            return Ok(false);
        }
        tracing::error!(%digest, ?pieces, "a file is damaged; it is out of service until it is pushed again");
        let at_ms = self.now_ms();
        self.change(|txn, _| {
            blobs::forget(txn, digest)?;
            damaged::note(txn, digest, &Damage { at_ms, pieces })
        })?;
        self.blobs.quarantine(digest, at_ms)?;
        Ok(true)
    }

    /// What was found damaged and has not come back.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn damaged(&self) -> Result<Vec<(Digest, Damage)>> {
        self.meta.read(damaged::list)
    }

    /// Whether any repository holds a blob.
    pub(crate) fn is_anywhere(&self, digest: &Digest) -> Result<bool> {
        self.meta.read(|view| is_anywhere(view, digest, &|_| true))
    }

    /// Makes `repo` hold a blob that `from`, or any repository if that is `None`, holds; says whether it does now. Only
    /// repositories count that `may_pull` says yes to: whoever mounts a blob can read it.
    pub(crate) fn mount_blob(
        &self,
        repo: &RepoName,
        digest: &Digest,
        from: Option<&RepoName>,
        may_pull: &dyn Fn(&RepoName) -> bool,
    ) -> Result<bool> {
        let from = match from {
            Some(from) if !may_pull(from) => return Ok(false),
            from => from,
        };
        let is_there = self.meta.read(|view| match from {
            Some(from) => Ok(blobs::size_in(view, from, digest)?.is_some()),
            None => is_anywhere(view, digest, may_pull),
        })?;
        if !is_there {
            return Ok(false);
        }
        let rules = self.rules();
        self.change(|txn, changes| {
            let is_there = match from {
                Some(from) => blobs::size_in(txn, from, digest)?.is_some(),
                None => is_anywhere(txn, digest, may_pull)?,
            };
            if is_there {
                if blobs::link(txn, repo, digest)? {
                    self.check_quota(txn, &rules, repo, None)?;
                    changes.push(repo, Change::Link(*digest));
                }
                leases::renew(txn, digest, self.lease_until_ms())?;
            }
            Ok(is_there)
        })
    }

    /// Makes `repo` hold a blob no longer. The file goes when nobody holds it.
    pub(crate) fn delete_blob(&self, repo: &RepoName, digest: &Digest) -> Result<()> {
        let rules = self.rules();
        self.change(|txn, changes| {
            if !blobs::unlink(txn, repo, digest)? {
                return Err(RegistryError::BlobUnknown(*digest));
            }
            immutable::check_removal(txn, &rules, repo, digest)?;
            changes.push(repo, Change::Unlink(*digest));
            Ok(())
        })
    }
}

/// Whether any repository holds a blob that `may_pull` says yes to.
fn is_anywhere(
    view: &impl crate::meta::tables::View,
    digest: &Digest,
    may_pull: &dyn Fn(&RepoName) -> bool,
) -> Result<bool> {
    let (mut found, mut looked_at) = (false, 0);
    if blobs::size(view, digest)?.is_some() {
        blobs::for_each_holder(view, digest, |holder| {
            found = may_pull(&holder);
            looked_at += 1;
            !found && looked_at < MAX_HOLDERS
        })?;
    }
    Ok(found)
}
