//! Which repositories and tags there are.

use serde::{Deserialize, Serialize};

use super::PAGE;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::meta::tables::{LINKS, MANIFESTS, View, repo_key, split_digest, split_repo};
use crate::meta::{blobs, manifests, tags};
use crate::name::{RepoName, Tag};
use crate::store::Store;

/// A repository in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySummary {
    /// Its name.
    pub name: RepoName,
    /// Its tags.
    pub tags: u64,
    /// Its manifests.
    pub manifests: u64,
    /// Bytes of all content that it holds, each file counted once.
    pub bytes: u64,
}

/// A tag in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagSummary {
    /// The tag.
    pub tag: Tag,
    /// What it means.
    pub digest: Digest,
    /// The manifest's media type.
    pub media_type: String,
    /// Bytes of the manifest and of all that it needs, down to the layers.
    pub bytes: u64,
    /// Whether all of it is there; damaged files are not.
    pub is_whole: bool,
}

/// The first repository after `after`, by name.
fn next_repository(view: &impl View, after: Option<&RepoName>) -> Result<Option<RepoName>> {
    // Keys are the name, a zero, and more: this is after all of that name, and before every other.
    let after = after.map(|repo| {
        let mut key = repo.as_str().as_bytes().to_vec();
        key.push(1);
        key
    });
    let mut next: Option<RepoName> = None;
    for table in [MANIFESTS, LINKS] {
        if let Some(key) = view.keys(table, &[], after.as_deref(), 1)?.first() {
            let (repo, _) = split_repo(key)?;
            next = Some(next.map_or_else(|| repo.clone(), |other| first_key(other, repo.clone())));
        }
    }
    Ok(next)
}

/// Of two names the one whose keys come first.
fn first_key(a: RepoName, b: RepoName) -> RepoName {
    if repo_key(&a) <= repo_key(&b) { a } else { b }
}

/// The files that a repository holds, with their kind's table, in bytes each. Damaged ones have no length.
pub(crate) fn held(view: &impl View, repo: &RepoName) -> Result<Vec<(Digest, Option<u64>)>> {
    let prefix = repo_key(repo);
    let mut found = Vec::new();
    for table in [LINKS, MANIFESTS] {
        for key in view.keys(table, &prefix, None, usize::MAX)? {
            found.push(split_digest(&key[prefix.len()..])?.0);
        }
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|digest| Ok((digest, blobs::size(view, &digest)?))).collect()
}

/// A manifest and all that it needs in its repository, down to the layers, each once.
pub(crate) fn closure(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<Vec<Digest>> {
    let (mut seen, mut to_visit) = (std::collections::BTreeSet::from([*digest]), vec![*digest]);
    while let Some(next) = to_visit.pop() {
        for needed in manifests::needs(view, repo, &next)? {
            if seen.insert(needed) {
                to_visit.push(needed);
            }
        }
    }
    Ok(seen.into_iter().collect())
}

fn summary(view: &impl View, repo: RepoName) -> Result<RepositorySummary> {
    let bytes = held(view, &repo)?.iter().filter_map(|(_, len)| *len).sum();
    let manifests = view.keys(MANIFESTS, &repo_key(&repo), None, usize::MAX)?.len() as u64;
    let tags = tags::list(view, &repo, None, usize::MAX)?.len() as u64;
    Ok(RepositorySummary { name: repo, tags, manifests, bytes })
}

fn tag_summary(view: &impl View, repo: &RepoName, tag: Tag) -> Result<Option<TagSummary>> {
    let Some(digest) = tags::get(view, repo, &tag)? else { return Ok(None) };
    let Some(row) = manifests::get(view, repo, &digest)? else { return Ok(None) };
    let (mut bytes, mut is_whole) = (0, true);
    for digest in closure(view, repo, &digest)? {
        match blobs::size(view, &digest)? {
            Some(len) => bytes += len,
            None => is_whole = false,
        }
    }
    Ok(Some(TagSummary { tag, digest, media_type: row.media_type, bytes, is_whole }))
}

impl Store {
    /// Gives every repository to `each`, in the order of the metadata's keys; gives how many.
    ///
    /// # Errors
    /// When the metadata fails, or what `each` says.
    pub fn for_each_repository(&self, mut each: impl FnMut(&RepoName) -> Result<()>) -> Result<u64> {
        let (mut count, mut last) = (0, None);
        while let Some(repo) = self.meta.read(|view| next_repository(view, last.as_ref()))? {
            each(&repo)?;
            count += 1;
            last = Some(repo);
        }
        Ok(count)
    }

    pub(crate) fn summarise(&self, repo: &RepoName) -> Result<RepositorySummary> {
        self.meta.read(|view| summary(view, repo.clone()))
    }

    /// Gives the tags of a repository to `each`, in their order; gives how many.
    pub(crate) fn for_each_tag(
        &self,
        repo: &RepoName,
        mut each: impl FnMut(TagSummary) -> Result<()>,
    ) -> Result<u64> {
        let (mut count, mut last): (u64, Option<Tag>) = (0, None);
        loop {
            let (page, is_more) = self.list_tags(repo, last.as_ref().map(Tag::as_str), PAGE)?;
            for tag in &page {
                if let Some(summary) = self.meta.read(|view| tag_summary(view, repo, tag.clone()))? {
                    each(summary)?;
                    count += 1;
                }
            }
            last = page.into_iter().last();
            if !is_more || last.is_none() {
                return Ok(count);
            }
        }
    }
}

/// Refuses a repository that does not exist.
pub(crate) fn check_repository(view: &impl View, repo: &RepoName) -> Result<()> {
    let prefix = repo_key(repo);
    if view.any(LINKS, &prefix)? || view.any(MANIFESTS, &prefix)? {
        Ok(())
    } else {
        Err(RegistryError::RepositoryUnknown(repo.clone()))
    }
}
