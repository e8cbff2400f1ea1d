//! Makes the metadata again from the journals and the blobs.
//!
//! The file is made beside the old one and takes its place when it is complete. A new directory takes the same path:
//! there is nothing to put in.

use crate::blobs::Blobs;
use crate::digest::Digest;
use crate::error::Result;
use crate::ingest::digest_of;
use crate::journal::Journals;
use crate::manifest::Manifest;
use crate::meta::damaged::{self, Damage};
use crate::meta::database::{Durable, Meta};
use crate::meta::{blobs as blob_rows, leases, manifests, pulled, tags, usage};
use crate::name::RepoName;

/// Rows put in by one transaction.
const ROWS_PER_TRANSACTION: usize = 1_000;

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Repositories with a journal.
    pub repositories: u64,
    /// Files below `blobs/`.
    pub files: u64,
    /// Blobs that repositories hold.
    pub links: u64,
    /// Manifests that repositories hold.
    pub manifests: u64,
    /// Tags.
    pub tags: u64,
    /// Lines of journals that were torn or damaged.
    pub bad_lines: u64,
    /// What a journal names and is not there, or is not what it should be.
    pub lost: Vec<String>,
}

pub(crate) fn rebuild(meta: &Meta, blobs: &Blobs, journals: &Journals) -> Result<Rebuilt> {
    let mut report = Rebuilt::default();
    let mut found: Vec<(Digest, u64)> = Vec::new();
    let flush = |found: &mut Vec<(Digest, u64)>| {
        meta.write(Durable::Later, |txn| {
            found.drain(..).try_for_each(|(digest, len)| blob_rows::insert(txn, &digest, len))
        })
    };
    blobs.for_each(|digest, len| {
        report.files += 1;
        found.push((digest, len));
        if found.len() >= ROWS_PER_TRANSACTION { flush(&mut found) } else { Ok(()) }
    })?;
    flush(&mut found)?;
    meta.write(Durable::Later, |txn| usage::begin(txn).and_then(|()| pulled::begin(txn)))?;
    for repo in journals.repositories()? {
        report.repositories += 1;
        add_repository(meta, blobs, journals, &repo, &mut report)?;
    }
    Ok(report)
}

/// Notes which manifests are copies of an upstream's, as the journals say, in metadata of an earlier version. They count
/// as pulled at `now_ms`.
pub(crate) fn find_copies(meta: &Meta, journals: &Journals, now_ms: u64) -> Result<()> {
    for repo in journals.repositories()? {
        let copies = journals.replay(&repo)?.contents.copies;
        meta.write(Durable::Later, |txn| {
            for digest in &copies {
                if manifests::get(txn, &repo, digest)?.is_some() {
                    pulled::note(txn, &repo, digest, now_ms)?;
                }
            }
            Ok(())
        })?;
    }
    meta.write(Durable::Now, pulled::begin)
}

fn add_repository(
    meta: &Meta,
    blobs: &Blobs,
    journals: &Journals,
    repo: &RepoName,
    report: &mut Rebuilt,
) -> Result<()> {
    let replay = journals.replay(repo)?;
    report.bad_lines += replay.bad_lines as u64;
    let contents = replay.contents;
    meta.write(Durable::Later, |txn| {
        for digest in &contents.links {
            if blob_rows::size(txn, digest)?.is_some() {
                blob_rows::link(txn, repo, digest)?;
                report.links += 1;
            } else {
                report.lost.push(format!("blob {digest} of {repo}"));
            }
        }
        Ok(())
    })?;
    for (digest, media_type) in &contents.manifests {
        let Some((manifest, len)) = read_manifest(blobs, digest, media_type)? else {
            report.lost.push(format!("manifest {digest} of {repo}"));
            continue;
        };
        meta.write(Durable::Later, |txn| {
            // The line of a blob's link is not flushed on its own; that a manifest needs it says as much.
            for needed in &manifest.needed {
                let Some(len) = blob_rows::size(txn, &needed.digest)? else { continue };
                // A manifest of an upstream may lie about what was not here when it came. A file that has its digest
                // is whole, whatever is said of it.
                if len != needed.size && !is_whole(blobs, &needed.digest)? {
                    report.lost.push(format!("{} of {repo}, which has another length", needed.digest));
                    blob_rows::forget(txn, &needed.digest)?;
                    damaged::note(txn, &needed.digest, &Damage { at_ms: 0, pieces: Vec::new() })?;
                } else if !contents.manifests.contains_key(&needed.digest)
                    && contents.is_proof(digest, &needed.digest)
                {
                    report.links += u64::from(blob_rows::link(txn, repo, &needed.digest)?);
                }
            }
            manifests::insert(txn, repo, digest, (&manifest, len, 0))?;
            if contents.copies.contains(digest) { pulled::note(txn, repo, digest, 0) } else { Ok(()) }
        })?;
        report.manifests += 1;
    }
    let newest = contents.tagged_at.values().max().copied().unwrap_or(0);
    meta.write(Durable::Later, |txn| {
        // Nothing is from the future: what is held for a while after a push would be held for longer.
        if leases::noted_time_ms(txn)? <= newest {
            leases::note_time(txn, newest.saturating_add(1))?;
        }
        for (tag, digest) in &contents.tags {
            if manifests::get(txn, repo, digest)?.is_some() {
                // Registry time begins anew; their order is kept.
                let at_ms = contents.tagged_at.get(tag).copied().unwrap_or(0);
                tags::set(txn, repo, tag, (digest, at_ms))?;
                report.tags += 1;
            } else {
                report.lost.push(format!("tag {tag} of {repo}"));
            }
        }
        Ok(())
    })
}

fn is_whole(blobs: &Blobs, digest: &Digest) -> Result<bool> {
    let Some(file) = blobs.open(digest)? else { return Ok(false) };
    Ok(digest_of(&*file, &digest.to_string(), digest.algorithm())? == *digest)
}

/// A manifest and its length; `None` if its file is missing or damaged.
fn read_manifest(blobs: &Blobs, digest: &Digest, media_type: &str) -> Result<Option<(Manifest, u64)>> {
    let Some(file) = blobs.open(digest)? else { return Ok(None) };
    let path = digest.to_string();
    if digest_of(&*file, &path, digest.algorithm())? != *digest {
        return Ok(None);
    }
    let len = file.len().map_err(|e| crate::error::RegistryError::io("measure", &path, e))?;
    Ok(Manifest::read(&*file, len, Some(media_type)).ok().map(|manifest| (manifest, len)))
}
