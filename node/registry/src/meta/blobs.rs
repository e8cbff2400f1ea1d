//! Which files there are, and which repositories hold them.

use redb::WriteTransaction;

use super::tables::{BLOBS, HOLDERS, LINKS, View, key, number, put, remove};
use super::{damaged, usage};
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::name::RepoName;

/// As what a repository holds a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Blob,
    Manifest,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Blob => b'b',
            Self::Manifest => b'm',
        }
    }
}

/// Length of the file of `digest`, in bytes; `None` if it is not in service.
pub(crate) fn size(view: &impl View, digest: &Digest) -> Result<Option<u64>> {
    view.get(BLOBS, &digest.key())?.map(|value| number(&value)).transpose()
}

/// Notes that there is a file of `digest`, whole.
pub(crate) fn insert(txn: &WriteTransaction, digest: &Digest, len: u64) -> Result<()> {
    damaged::clear(txn, digest)?;
    let before = size(txn, digest)?.unwrap_or(0);
    usage::change_stored(txn, before, len)?;
    put(txn, BLOBS, &digest.key(), &len.to_le_bytes())
}

/// Notes that the file of `digest` is no longer in service.
pub(crate) fn forget(txn: &WriteTransaction, digest: &Digest) -> Result<()> {
    usage::change_stored(txn, size(txn, digest)?.unwrap_or(0), 0)?;
    remove(txn, BLOBS, &digest.key()).map(drop)
}

/// Length of a blob that `repo` holds, in bytes; `None` if it holds no such blob.
pub(crate) fn size_in(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<Option<u64>> {
    if !is_linked(view, repo, digest)? {
        return Ok(None);
    }
    size(view, digest)
}

/// Whether `repo` holds a blob, in service or not.
pub(crate) fn is_linked(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<bool> {
    Ok(view.get(LINKS, &key(repo, &[&digest.key()]))?.is_some())
}

fn holder_key(digest: &Digest, kind: Kind, repo: &RepoName) -> Vec<u8> {
    let mut key = digest.key();
    key.push(kind.byte());
    key.extend_from_slice(repo.as_str().as_bytes());
    key
}

/// Notes who holds the file of `digest`, which is in service, and counts it.
pub(crate) fn hold(txn: &WriteTransaction, digest: &Digest, kind: Kind, repo: &RepoName) -> Result<()> {
    let key = holder_key(digest, kind, repo);
    if txn.get(HOLDERS, &key)?.is_some() {
        return Ok(());
    }
    let len = size(txn, digest)?.unwrap_or(0);
    put(txn, HOLDERS, &key, &len.to_le_bytes())?;
    usage::change(txn, repo, 0, len)
}

pub(crate) fn release(txn: &WriteTransaction, digest: &Digest, kind: Kind, repo: &RepoName) -> Result<()> {
    let key = holder_key(digest, kind, repo);
    // What was counted, since a damaged file's length is known no more.
    let Some(counted) = txn.get(HOLDERS, &key)? else { return Ok(()) };
    usage::change(txn, repo, number(&counted)?, 0)?;
    remove(txn, HOLDERS, &key).map(drop)
}

/// Whether any repository holds the file of `digest`.
pub(crate) fn is_held(view: &impl View, digest: &Digest) -> Result<bool> {
    view.any(HOLDERS, &digest.key())
}

/// Gives the repositories that hold a blob to `each`, until that says `false`.
pub(crate) fn for_each_holder(
    view: &impl View,
    digest: &Digest,
    mut each: impl FnMut(RepoName) -> bool,
) -> Result<()> {
    let mut prefix = digest.key();
    prefix.push(Kind::Blob.byte());
    view.scan(HOLDERS, &prefix, None, &mut |key, _| {
        let name = std::str::from_utf8(&key[prefix.len()..]).ok().and_then(|name| name.parse().ok());
        Ok(each(name.ok_or(RegistryError::MetadataDamaged("a holder without a name"))?))
    })
}

/// Makes `repo` hold a blob; says whether that is new.
pub(crate) fn link(txn: &WriteTransaction, repo: &RepoName, digest: &Digest) -> Result<bool> {
    let key = key(repo, &[&digest.key()]);
    if txn.get(LINKS, &key)?.is_some() {
        return Ok(false);
    }
    put(txn, LINKS, &key, &[])?;
    hold(txn, digest, Kind::Blob, repo)?;
    Ok(true)
}

/// Makes `repo` hold a blob no longer; says whether it did.
pub(crate) fn unlink(txn: &WriteTransaction, repo: &RepoName, digest: &Digest) -> Result<bool> {
    release(txn, digest, Kind::Blob, repo)?;
    remove(txn, LINKS, &key(repo, &[&digest.key()]))
}

/// The repositories that hold a file, as a blob or as a manifest, each once.
pub(crate) fn holders(view: &impl View, digest: &Digest) -> Result<Vec<RepoName>> {
    let prefix = digest.key();
    let mut found = Vec::new();
    for key in view.keys(HOLDERS, &prefix, None, usize::MAX)? {
        let name = key.get(prefix.len() + 1..).and_then(|name| std::str::from_utf8(name).ok());
        let repo: Option<RepoName> = name.and_then(|name| name.parse().ok());
        found.push(repo.ok_or(RegistryError::MetadataDamaged("a holder without a name"))?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}
