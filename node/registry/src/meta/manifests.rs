//! Manifests of repositories: what they need, and what is attached to them.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::blobs::{self, Kind};
use super::tables::{MANIFESTS, NEEDED, NEEDS, REFERRERS, View, key, put, remove, split_digest};
use super::{pulled, tags};
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::manifest::Manifest;
use crate::name::RepoName;

/// What is kept of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestRow {
    pub(crate) media_type: String,
    /// When it was last pushed, in milliseconds of registry time.
    pub(crate) pushed_ms: u64,
    /// What it is attached to, as text.
    pub(crate) subject: Option<String>,
}

/// One entry of the list of referrers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReferrerRow {
    pub(crate) artifact_type: Option<String>,
    /// Its descriptor, as JSON.
    pub(crate) descriptor: String,
}

fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>> {
    postcard::to_stdvec(row).map_err(|_| RegistryError::MetadataDamaged("a row cannot be written"))
}

fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T> {
    postcard::from_bytes(value).map_err(|_| RegistryError::MetadataDamaged("a row cannot be read"))
}

/// A manifest that `repo` holds.
pub(crate) fn get(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<Option<ManifestRow>> {
    view.get(MANIFESTS, &key(repo, &[&digest.key()]))?.map(|value| decode(&value)).transpose()
}

/// Makes `repo` hold a manifest of `len` bytes, whose file is in place. It is no copy before that is noted.
pub(crate) fn insert(
    txn: &WriteTransaction,
    repo: &RepoName,
    digest: &Digest,
    (manifest, len, now_ms): (&Manifest, u64, u64),
) -> Result<()> {
    let own = digest.key();
    let subject = manifest.subject.map(|subject| subject.to_string());
    let row = ManifestRow { media_type: manifest.media_type.clone(), pushed_ms: now_ms, subject };
    put(txn, MANIFESTS, &key(repo, &[&own]), &encode(&row)?)?;
    pulled::forget(txn, repo, digest)?;
    blobs::hold(txn, digest, Kind::Manifest, repo)?;
    {
        let (mut needs, mut needed) = (txn.open_table(NEEDS)?, txn.open_table(NEEDED)?);
        for other in &manifest.needed {
            let other = other.digest.key();
            needs.insert(key(repo, &[&own, &other]).as_slice(), [].as_slice())?;
            needed.insert(key(repo, &[&other, &own]).as_slice(), [].as_slice())?;
        }
    }
    if let Some(subject) = manifest.subject {
        let artifact_type = manifest.artifact_type().map(str::to_owned);
        let row = ReferrerRow { artifact_type, descriptor: manifest.as_referrer(digest, len)? };
        put(txn, REFERRERS, &key(repo, &[&subject.key(), &own]), &encode(&row)?)?;
    }
    Ok(())
}

/// Removes a manifest, its tags and its place among the referrers; says whether it was there.
pub(crate) fn delete(txn: &WriteTransaction, repo: &RepoName, digest: &Digest) -> Result<bool> {
    let Some(row) = get(txn, repo, digest)? else { return Ok(false) };
    let own = digest.key();
    for tag in tags::of(txn, repo, digest)? {
        tags::unset(txn, repo, &tag)?;
    }
    for other in needs(txn, repo, digest)? {
        remove(txn, NEEDS, &key(repo, &[&own, &other.key()]))?;
        remove(txn, NEEDED, &key(repo, &[&other.key(), &own]))?;
    }
    if let Some(subject) = row.subject.and_then(|subject| subject.parse::<Digest>().ok()) {
        remove(txn, REFERRERS, &key(repo, &[&subject.key(), &own]))?;
    }
    pulled::forget(txn, repo, digest)?;
    blobs::release(txn, digest, Kind::Manifest, repo)?;
    remove(txn, MANIFESTS, &key(repo, &[&own]))
}

/// What a manifest needs.
pub(crate) fn needs(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<Vec<Digest>> {
    let prefix = key(repo, &[&digest.key()]);
    let keys = view.keys(NEEDS, &prefix, None, usize::MAX)?;
    keys.iter().map(|key| Ok(split_digest(&key[prefix.len()..])?.0)).collect()
}

/// Whether a manifest of `repo` needs `digest`.
pub(crate) fn is_needed(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<bool> {
    view.any(NEEDED, &key(repo, &[&digest.key()]))
}

/// The manifests of `repo` that need `digest`.
pub(crate) fn needed_by(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<Vec<Digest>> {
    let prefix = key(repo, &[&digest.key()]);
    let keys = view.keys(NEEDED, &prefix, None, usize::MAX)?;
    keys.iter().map(|key| Ok(split_digest(&key[prefix.len()..])?.0)).collect()
}

/// Gives what is attached to `subject`, after the referrer `after`, to `each`, until that says `false`.
pub(crate) fn for_each_referrer(
    view: &impl View,
    repo: &RepoName,
    subject: &Digest,
    after: Option<&Digest>,
    mut each: impl FnMut(Digest, ReferrerRow) -> bool,
) -> Result<()> {
    let prefix = key(repo, &[&subject.key()]);
    let after = after.map(|after| key(repo, &[&subject.key(), &after.key()]));
    view.scan(REFERRERS, &prefix, after.as_deref(), &mut |key, value| {
        Ok(each(split_digest(&key[prefix.len()..])?.0, decode(value)?))
    })
}
