//! Garbage collection, while requests are served.
//!
//! What goes, in this order, each in its own short transactions:
//!
//! 1. manifests without a tag that no manifest with one leads to, if the policy says so;
//! 2. links to blobs that no manifest of the repository needs;
//! 3. files that no repository holds, and files that the metadata does not know (a crash left them);
//! 4. what has been in quarantine long enough, uploads that rested too long, leases that ended, old lines of journals.
//!
//! Nothing goes that is leased. Every candidate is looked at again in the write transaction that removes it, and whoever
//! tells a client of content leases it in a transaction that looks, too: so one of the two sees the other. Files are
//! taken away behind the gate: an upload that ends meanwhile puts its file there either before the collector looks, and
//! then it is held, or after it is done.
//!
//! After a start nothing is collected for the time of a lease: those from before a crash may be lost.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use crate::digest::Digest;
use crate::error::Result;
use crate::journal::{Change, Contents};
use crate::meta::database::Durable;
use crate::meta::tables::{BLOBS, LINKS, MANIFESTS, View, repo_key, split_digest, split_repo};
use crate::meta::{blobs, leases, manifests, pulled, tags};
use crate::name::RepoName;
use crate::store::Store;

/// Rows looked at, and candidates removed, by one transaction.
const BATCH: usize = 256;

/// What is collected, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long after its last push a manifest goes that no tag leads to. `None`: never, since a push by digest was
    /// acknowledged like any other; it goes when it is deleted.
    pub untagged: Option<Duration>,
    /// How long files stay in quarantine.
    pub quarantine: Duration,
    /// Journals below this length are not written anew, in bytes.
    pub journal_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { untagged: None, quarantine: Duration::from_hours(24), journal_bytes: 64 * 1024 }
    }
}

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests removed.
    pub manifests: u64,
    /// Links of repositories to blobs removed.
    pub links: u64,
    /// Files taken out of service that no repository held.
    pub files: u64,
    /// Files taken out of service that the metadata did not know.
    pub orphans: u64,
    /// Bytes of the files taken out of service.
    pub bytes: u64,
    /// Files removed from quarantine.
    pub purged: u64,
    /// Their bytes.
    pub purged_bytes: u64,
    /// Uploads ended that rested too long.
    pub uploads: u64,
    /// Journals written anew.
    pub journals: u64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Store {
    /// Collects once. Blocks on the disk; requests are served meanwhile.
    ///
    /// # Errors
    /// When the metadata or the disk fails. What was removed until then is consistent.
    pub fn collect(&self, policy: &Policy) -> Result<Collected> {
        let begun_ms = self.now_ms();
        let done = self.collect_all(policy);
        self.metrics.collection(&done, self.now_ms().saturating_sub(begun_ms));
        done
    }

    fn collect_all(&self, policy: &Policy) -> Result<Collected> {
        let mut done = Collected::default();
        let now_ms = self.now_ms();
        if now_ms >= self.grace_until_ms() {
            if let Some(age) = policy.untagged {
                done.manifests = self.collect_manifests(now_ms.saturating_sub(millis(age)))?;
            }
            done.links = self.collect_links()?;
            (done.files, done.bytes) = self.collect_files()?;
            let (orphans, bytes) = self.collect_orphans()?;
            (done.orphans, done.bytes) = (orphans, done.bytes + bytes);
        }
        (done.purged, done.purged_bytes) =
            self.blobs.purge(now_ms.saturating_sub(millis(policy.quarantine)))?;
        done.uploads = self.uploads.expire(now_ms);
        for repo in self.journals.repositories()? {
            done.journals += u64::from(self.rewrite_journal(&repo, policy.journal_bytes)?);
        }
        self.meta.write(Durable::Now, |txn| {
            leases::remove_ended(txn, now_ms)?;
            leases::note_time(txn, now_ms)
        })?;
        Ok(done)
    }

    /// Empties the quarantine before its time; gives how many files, and their bytes. For a full disk: what was taken out
    /// of service can be looked at no longer.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn purge_quarantine(&self) -> Result<(u64, u64)> {
        self.blobs.purge(u64::MAX)
    }

    /// Takes out of service what nobody needs any more, without waiting for the next collection.
    pub(crate) fn collect_unneeded(&self) -> Result<()> {
        self.collect_links()?;
        let (_, bytes) = self.collect_files()?;
        self.metrics.collected_bytes.add(bytes);
        Ok(())
    }

    /// Writes a journal anew if that is worth while, or if its last lines belong to a transaction that failed.
    fn rewrite_journal(&self, repo: &RepoName, min_bytes: u64) -> Result<bool> {
        // Within a write transaction, so that no line is added meanwhile.
        self.meta.write(Durable::Later, |txn| {
            let is_suspect = self.suspects().contains(repo);
            let is_rewritten =
                self.journals.rewrite(repo, || contents(txn, repo), (is_suspect, min_bytes))?;
            self.suspects().remove(repo);
            Ok(is_rewritten)
        })
    }

    /// Gives batches of the keys of a table to `each`.
    pub(crate) fn for_each_batch(
        &self,
        table: crate::meta::tables::Definition,
        mut each: impl FnMut(&[Vec<u8>]) -> Result<()>,
    ) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let keys = self.meta.read(|view| view.keys(table, &[], after.as_deref(), BATCH))?;
            let Some(last) = keys.last() else { return Ok(()) };
            each(&keys)?;
            after = Some(last.clone());
        }
    }

    pub(crate) fn is_leased(&self, view: &impl View, digest: &Digest) -> Result<bool> {
        Ok(leases::until_ms(view, digest)? > self.now_ms())
    }

    /// Removes links that no manifest needs.
    fn collect_links(&self) -> Result<u64> {
        let mut removed = 0;
        self.for_each_batch(LINKS, |keys| {
            let found = self.meta.read(|view| {
                let mut found = Vec::new();
                for key in keys {
                    let (repo, rest) = split_repo(key)?;
                    let (digest, _) = split_digest(rest)?;
                    if self.is_idle_link(view, &repo, &digest)? {
                        found.push((repo, digest));
                    }
                }
                Ok(found)
            })?;
            if found.is_empty() {
                return Ok(());
            }
            removed += self.change(|txn, changes| {
                let mut removed = 0;
                for (repo, digest) in &found {
                    if self.is_idle_link(txn, repo, digest)? && blobs::unlink(txn, repo, digest)? {
                        changes.push(repo, Change::Unlink(*digest));
                        removed += 1;
                    }
                }
                Ok(removed)
            })?;
            Ok(())
        })?;
        Ok(removed)
    }

    fn is_idle_link(&self, view: &impl View, repo: &RepoName, digest: &Digest) -> Result<bool> {
        Ok(!self.is_leased(view, digest)? && !manifests::is_needed(view, repo, digest)?)
    }

    /// Takes files out of service that no repository holds.
    fn collect_files(&self) -> Result<(u64, u64)> {
        let (mut removed, mut bytes) = (0, 0);
        self.for_each_batch(BLOBS, |keys| {
            let found = self.meta.read(|view| {
                let mut found = Vec::new();
                for key in keys {
                    let (digest, _) = split_digest(key)?;
                    if self.is_idle_file(view, &digest)? {
                        found.push(digest);
                    }
                }
                Ok(found)
            })?;
            if found.is_empty() {
                return Ok(());
            }
            let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            let gone = self.change(|txn, _| {
                let mut gone = Vec::new();
                for digest in &found {
                    if self.is_idle_file(txn, digest)? {
                        bytes += blobs::size(txn, digest)?.unwrap_or(0);
                        blobs::forget(txn, digest)?;
                        gone.push(*digest);
                    }
                }
                Ok(gone)
            })?;
            removed += gone.len() as u64;
            gone.iter().try_for_each(|digest| self.blobs.quarantine(digest, self.now_ms()))
        })?;
        Ok((removed, bytes))
    }

    fn is_idle_file(&self, view: &impl View, digest: &Digest) -> Result<bool> {
        Ok(!self.is_leased(view, digest)? && !blobs::is_held(view, digest)?)
    }

    /// Takes files out of service that the metadata does not know.
    fn collect_orphans(&self) -> Result<(u64, u64)> {
        let (mut removed, mut bytes, mut found) = (0, 0, Vec::new());
        self.blobs.for_each(|digest, len| {
            if self.meta.read(|view| blobs::size(view, &digest))?.is_none() {
                found.push((digest, len));
            }
            Ok(())
        })?;
        for (digest, len) in found {
            let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            if self.meta.read(|view| blobs::size(view, &digest))?.is_none() {
                self.blobs.quarantine(&digest, self.now_ms())?;
                removed += 1;
                bytes += len;
            }
        }
        Ok((removed, bytes))
    }

    /// Removes manifests that were last pushed before `before_ms` and that no tag leads to.
    fn collect_manifests(&self, before_ms: u64) -> Result<u64> {
        let mut repos: Vec<RepoName> = Vec::new();
        self.for_each_batch(MANIFESTS, |keys| {
            for key in keys {
                let (repo, _) = split_repo(key)?;
                if repos.last() != Some(&repo) {
                    repos.push(repo);
                }
            }
            Ok(())
        })?;
        let mut removed = 0;
        for repo in &repos {
            let dead = self.meta.read(|view| self.dead_manifests(view, repo, before_ms))?;
            for batch in dead.chunks(BATCH) {
                removed += self.change(|txn, changes| {
                    let mut removed = 0;
                    for digest in batch {
                        // Whoever made it live since then has leased it.
                        if !self.is_leased(txn, digest)? && manifests::delete(txn, repo, digest)? {
                            changes.push(repo, Change::Delete(*digest));
                            removed += 1;
                        }
                    }
                    Ok(removed)
                })?;
            }
        }
        Ok(removed)
    }

    /// Marks from tags, young and leased manifests, down to what they need and what is attached to them; gives the rest.
    fn dead_manifests(&self, view: &impl View, repo: &RepoName, before_ms: u64) -> Result<Vec<Digest>> {
        let prefix = repo_key(repo);
        let mut is_live: BTreeMap<Digest, bool> = BTreeMap::new();
        let mut to_visit = Vec::new();
        for key in view.keys(MANIFESTS, &prefix, None, usize::MAX)? {
            let (digest, _) = split_digest(&key[prefix.len()..])?;
            let is_young = manifests::get(view, repo, &digest)?.is_some_and(|row| row.pushed_ms >= before_ms);
            let is_root =
                is_young || tags::is_tagged(view, repo, &digest)? || self.is_leased(view, &digest)?;
            is_live.insert(digest, is_root);
            if is_root {
                to_visit.push(digest);
            }
        }
        while let Some(digest) = to_visit.pop() {
            let mut reached = manifests::needs(view, repo, &digest)?;
            manifests::for_each_referrer(view, repo, &digest, None, |referrer, _| {
                reached.push(referrer);
                true
            })?;
            for other in reached {
                if let Some(live) = is_live.get_mut(&other)
                    && !std::mem::replace(live, true)
                {
                    to_visit.push(other);
                }
            }
        }
        Ok(is_live.into_iter().filter(|(_, live)| !live).map(|(digest, _)| digest).collect())
    }
}

/// Whether a repository holds everything that one of its manifests needs.
fn is_complete(view: &impl View, repo: &RepoName, manifest: &Digest) -> Result<bool> {
    for needed in manifests::needs(view, repo, manifest)? {
        let is_held =
            blobs::is_linked(view, repo, &needed)? || manifests::get(view, repo, &needed)?.is_some();
        if !is_held {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the metadata says of a repository.
fn contents(view: &impl View, repo: &RepoName) -> Result<Contents> {
    let (mut contents, prefix) = (Contents::default(), repo_key(repo));
    for key in view.keys(LINKS, &prefix, None, usize::MAX)? {
        contents.links.insert(split_digest(&key[prefix.len()..])?.0);
    }
    for key in view.keys(MANIFESTS, &prefix, None, usize::MAX)? {
        let (digest, _) = split_digest(&key[prefix.len()..])?;
        if let Some(row) = manifests::get(view, repo, &digest)? {
            contents.manifests.insert(digest, row.media_type);
            // As when it came. One that lacks a blob is written as a copy, too: it must not lead to what the repository
            // does not hold.
            let is_copy = pulled::last_ms(view, repo, &digest)?.is_some();
            if is_copy || !is_complete(view, repo, &digest)? {
                contents.copies.insert(digest);
            }
        }
    }
    for tag in tags::list(view, repo, None, usize::MAX)? {
        if let Some((digest, pushed_ms)) = tags::get_with_time(view, repo, &tag)? {
            contents.tagged_at.insert(tag.clone(), pushed_ms);
            contents.tags.insert(tag, digest);
        }
    }
    Ok(contents)
}
