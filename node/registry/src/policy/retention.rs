//! Retention: tags that go by themselves, and what only they kept.
//!
//! The first rule that means a tag decides about it, so that a special rule may stand before a general one. Age is
//! counted in registry time: neither a clock that jumps nor a long time without power makes a tag old.
//!
//! Tags such as `sha256-<hex>.sig`, under which cosign and others attach things to a manifest, are no versions of
//! anything: while their manifest is there they are not counted and stay, and they go with it.

use std::collections::BTreeMap;

use super::{Retention, StorageRules};
use crate::digest::{Algorithm, Digest};
use crate::error::Result;
use crate::journal::Change;
use crate::meta::tables::{TAGS, View, split_repo};
use crate::meta::{manifests, tags};
use crate::name::{RepoName, Tag};
use crate::store::{Changes, Store};
use redb::WriteTransaction;

/// How such tags begin.
const ATTACHED: &str = "sha256-";
/// Tags removed by one transaction.
const BATCH: usize = 64;

/// A tag that goes, or has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// In which repository.
    pub repository: RepoName,
    /// Which tag.
    pub tag: Tag,
    /// What it means.
    pub digest: Digest,
    /// How long ago it was last pushed, in milliseconds of registry time.
    pub age_ms: u64,
    pushed_ms: u64,
}

/// The manifest that something is attached to by the name of its tag.
fn attached_to(tag: &Tag) -> Option<Digest> {
    let (hex, rest) = tag.as_str().strip_prefix(ATTACHED)?.split_at_checked(2 * 32)?;
    let is_attached = rest.is_empty() || rest.starts_with(['.', '-']);
    Digest::from_hex(Algorithm::Sha256, hex).ok().filter(|_| is_attached)
}

impl Retention {
    fn is_about(&self, repo: &RepoName) -> bool {
        self.repositories.iter().any(|pattern| pattern.matches(repo))
    }

    fn is_about_tag(&self, tag: &Tag) -> bool {
        self.tags.iter().any(|pattern| pattern.matches(tag))
    }

    /// Those of the tags, all of which it is about, that go.
    fn outdated(&self, mut tags: Vec<Removal>) -> Vec<Removal> {
        // The newest first. After the metadata was made again the times are made up, but their order is right.
        tags.sort_by(|a, b| b.pushed_ms.cmp(&a.pushed_ms).then_with(|| b.tag.cmp(&a.tag)));
        let newest = self.keep_newest.unwrap_or(0) as usize;
        let rest = tags.into_iter().skip(newest);
        rest.filter(|tag| self.keep_ms.is_none_or(|keep_ms| tag.age_ms > keep_ms)).collect()
    }
}

/// Those of the tags of a repository that go.
fn outdated(rules: &StorageRules, repo: &RepoName, tags: Vec<Removal>) -> Vec<Removal> {
    let mut by_rule: BTreeMap<usize, Vec<Removal>> = BTreeMap::new();
    for tag in tags {
        let is_meant = |rule: &Retention| rule.is_about(repo) && rule.is_about_tag(&tag.tag);
        if let Some(rule) = rules.retention.iter().position(is_meant) {
            by_rule.entry(rule).or_default().push(tag);
        }
    }
    let gone = by_rule.into_iter().flat_map(|(rule, tags)| rules.retention[rule].outdated(tags));
    gone.filter(|tag| !rules.is_immutable(repo, &tag.tag)).collect()
}

impl Store {
    /// The tags that go with the next collection, unless somebody asks for them before.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn plan_retention(&self) -> Result<Vec<Removal>> {
        let (rules, now_ms) = (self.rules(), self.now_ms());
        let mut planned = Vec::new();
        if rules.retention.is_empty() {
            return Ok(planned);
        }
        let mut repos: Vec<RepoName> = Vec::new();
        self.for_each_batch(TAGS, |keys| {
            for key in keys {
                let (repo, _) = split_repo(key)?;
                if repos.last() != Some(&repo) && rules.retention.iter().any(|rule| rule.is_about(&repo)) {
                    repos.push(repo);
                }
            }
            Ok(())
        })?;
        for repo in repos {
            let tags = self.meta.read(|view| ages(view, &repo, now_ms))?;
            planned.extend(outdated(&rules, &repo, tags));
        }
        Ok(planned)
    }

    /// Removes the tags that have to go, and what only they kept; gives those that went. What a client was just told of
    /// stays until the next time.
    ///
    /// # Errors
    /// When the metadata or the disk fails. What was removed until then is consistent.
    pub fn apply_retention(&self) -> Result<Vec<Removal>> {
        if self.now_ms() < self.grace_until_ms() {
            return Ok(Vec::new());
        }
        let (rules, mut gone) = (self.rules(), Vec::new());
        for batch in self.plan_retention()?.chunks(BATCH) {
            gone.extend(self.change(|txn, changes| {
                let mut gone = Vec::new();
                for removal in batch {
                    let Removal { repository: repo, tag, digest, pushed_ms, .. } = removal;
                    // Pushed again since, or in use.
                    let is_same = tags::get_with_time(txn, repo, tag)? == Some((*digest, *pushed_ms));
                    if !is_same || self.is_leased(txn, digest)? {
                        continue;
                    }
                    tags::unset(txn, repo, tag)?;
                    changes.push(repo, Change::Untag(tag.clone()));
                    self.delete_unreached(txn, changes, (&rules, repo), digest)?;
                    gone.push(removal.clone());
                }
                Ok(gone)
            })?);
        }
        Ok(gone)
    }

    /// Removes a manifest that nothing leads to any more, and then likewise what it needed and what is attached to it.
    fn delete_unreached(
        &self,
        txn: &WriteTransaction,
        changes: &mut Changes,
        (rules, repo): (&StorageRules, &RepoName),
        digest: &Digest,
    ) -> Result<()> {
        let mut to_visit = vec![*digest];
        while let Some(digest) = to_visit.pop() {
            let is_there = manifests::get(txn, repo, &digest)?.is_some();
            let is_reached =
                tags::is_tagged(txn, repo, &digest)? || manifests::is_needed(txn, repo, &digest)?;
            if !is_there || is_reached || self.is_leased(txn, &digest)? {
                continue;
            }
            to_visit.extend(manifests::needs(txn, repo, &digest)?);
            manifests::for_each_referrer(txn, repo, &digest, None, |referrer, _| {
                to_visit.push(referrer);
                true
            })?;
            manifests::delete(txn, repo, &digest)?;
            changes.push(repo, Change::Delete(digest));
            for tag in tags::beginning_with(txn, repo, &format!("{ATTACHED}{}", digest.hex()))? {
                if attached_to(&tag) == Some(digest) && !rules.is_immutable(repo, &tag) {
                    to_visit.extend(tags::get(txn, repo, &tag)?);
                    tags::unset(txn, repo, &tag)?;
                    changes.push(repo, Change::Untag(tag));
                }
            }
        }
        Ok(())
    }
}

/// The tags of a repository that rules decide about, as if all of them went.
fn ages(view: &impl View, repo: &RepoName, now_ms: u64) -> Result<Vec<Removal>> {
    let mut ages = Vec::new();
    for tag in tags::list(view, repo, None, usize::MAX)? {
        if let Some(subject) = attached_to(&tag)
            && manifests::get(view, repo, &subject)?.is_some()
        {
            continue;
        }
        if let Some((digest, pushed_ms)) = tags::get_with_time(view, repo, &tag)? {
            let age_ms = now_ms.saturating_sub(pushed_ms);
            ages.push(Removal { repository: repo.clone(), tag, digest, age_ms, pushed_ms });
        }
    }
    Ok(ages)
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
