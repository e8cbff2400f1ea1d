//! Tags, and which tags mean a manifest.

use redb::WriteTransaction;

use super::tables::{TAGGED, TAGS, View, key, number, put, remove, repo_key, split_digest};
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::name::{RepoName, Tag};

/// What a tag means.
pub(crate) fn get(view: &impl View, repo: &RepoName, tag: &Tag) -> Result<Option<Digest>> {
    let value = view.get(TAGS, &key(repo, &[tag.as_str().as_bytes()]))?;
    value.map(|value| Ok(split_digest(&value)?.0)).transpose()
}

/// What a tag means, and when it was last pushed, in milliseconds of registry time.
pub(crate) fn get_with_time(view: &impl View, repo: &RepoName, tag: &Tag) -> Result<Option<(Digest, u64)>> {
    let value = view.get(TAGS, &key(repo, &[tag.as_str().as_bytes()]))?;
    let read = |value: Vec<u8>| {
        let (digest, time) = split_digest(&value)?;
        // Metadata of earlier versions did not keep the time.
        let pushed_ms = if time.is_empty() { 0 } else { number(time)? };
        Ok((digest, pushed_ms))
    };
    value.map(read).transpose()
}

/// Makes a tag mean `digest`, from the registry time `now_ms` on.
pub(crate) fn set(
    txn: &WriteTransaction,
    repo: &RepoName,
    tag: &Tag,
    (digest, now_ms): (&Digest, u64),
) -> Result<()> {
    unset(txn, repo, tag)?;
    let value = [digest.key().as_slice(), &now_ms.to_le_bytes()].concat();
    put(txn, TAGS, &key(repo, &[tag.as_str().as_bytes()]), &value)?;
    put(txn, TAGGED, &key(repo, &[&digest.key(), tag.as_str().as_bytes()]), &[])
}

/// Removes a tag; says whether it was there.
pub(crate) fn unset(txn: &WriteTransaction, repo: &RepoName, tag: &Tag) -> Result<bool> {
    let Some(digest) = get(txn, repo, tag)? else { return Ok(false) };
    remove(txn, TAGGED, &key(repo, &[&digest.key(), tag.as_str().as_bytes()]))?;
    remove(txn, TAGS, &key(repo, &[tag.as_str().as_bytes()]))
}

fn parse(bytes: &[u8]) -> Result<Tag> {
    let tag = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    tag.ok_or(RegistryError::MetadataDamaged("a tag"))
}

/// The tags that mean `digest`.
pub(crate) fn of(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<Vec<Tag>> {
    let prefix = key(repo, &[&digest.key()]);
    let keys = view.keys(TAGGED, &prefix, None, usize::MAX)?;
    keys.iter().map(|key| parse(&key[prefix.len()..])).collect()
}

/// Whether a tag means `digest`.
pub(crate) fn is_tagged(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<bool> {
    view.any(TAGGED, &key(repo, &[&digest.key()]))
}

/// The tags that begin with a text.
pub(crate) fn beginning_with(view: &impl View, repo: &RepoName, begin: &str) -> Result<Vec<Tag>> {
    let keys = view.keys(TAGS, &key(repo, &[begin.as_bytes()]), None, usize::MAX)?;
    keys.iter().map(|found| parse(&found[repo_key(repo).len()..])).collect()
}

/// Up to `limit` tags after `last`, which need not exist, in the order of their bytes.
pub(crate) fn list(view: &impl View, repo: &RepoName, last: Option<&str>, limit: usize) -> Result<Vec<Tag>> {
    let prefix = repo_key(repo);
    let after = last.map(|last| key(repo, &[last.as_bytes()]));
    let keys = view.keys(TAGS, &prefix, after.as_deref(), limit)?;
    keys.iter().map(|key| parse(&key[prefix.len()..])).collect()
}
