//! Tags that never change: neither moved nor deleted, nor anything taken away that they need.

use std::collections::BTreeSet;

use super::StorageRules;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::meta::tables::View;
use crate::meta::{manifests, tags};
use crate::name::{RepoName, Tag};

/// Refuses to make tags mean `digest` that never change and mean something else.
pub(crate) fn check_push(
    view: &impl View,
    rules: &StorageRules,
    repo: &RepoName,
    (pushed, digest): (&[Tag], &Digest),
) -> Result<()> {
    for tag in pushed.iter().filter(|tag| rules.is_immutable(repo, tag)) {
        if tags::get(view, repo, tag)?.is_some_and(|before| before != *digest) {
            return Err(RegistryError::TagImmutable(tag.clone()));
        }
    }
    Ok(())
}

/// Refuses to remove a tag that never changes.
pub(crate) fn check_untag(view: &impl View, rules: &StorageRules, repo: &RepoName, tag: &Tag) -> Result<()> {
    if rules.is_immutable(repo, tag) && tags::get(view, repo, tag)?.is_some() {
        return Err(RegistryError::TagImmutable(tag.clone()));
    }
    Ok(())
}

/// The tags that never change and need one of `digests`, by itself or through others. If there is but one digest, the tags
/// that mean it itself come first.
pub(crate) fn needing(
    view: &impl View,
    rules: &StorageRules,
    repo: &RepoName,
    digests: impl IntoIterator<Item = Digest>,
) -> Result<Vec<Tag>> {
    let mut needing = Vec::new();
    if !rules.has_immutable(repo) {
        return Ok(needing);
    }
    let mut seen: BTreeSet<Digest> = digests.into_iter().collect();
    let mut to_visit: Vec<Digest> = seen.iter().copied().collect();
    while let Some(digest) = to_visit.pop() {
        needing
            .extend(tags::of(view, repo, &digest)?.into_iter().filter(|tag| rules.is_immutable(repo, tag)));
        to_visit.extend(
            manifests::needed_by(view, repo, &digest)?.into_iter().filter(|above| seen.insert(*above)),
        );
    }
    Ok(needing)
}

/// Refuses to remove a blob or manifest that a tag needs that never changes.
pub(crate) fn check_removal(
    view: &impl View,
    rules: &StorageRules,
    repo: &RepoName,
    digest: &Digest,
) -> Result<()> {
    match needing(view, rules, repo, [*digest])?.into_iter().next() {
        Some(tag) => Err(RegistryError::TagImmutable(tag)),
        None => Ok(()),
    }
}
