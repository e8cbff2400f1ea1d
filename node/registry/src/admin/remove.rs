//! What goes when a person removes an image, and that it goes.
//!
//! A tag takes its image with it unless another tag or an index still leads there: that is what a person means who
//! removes an image. What goes with a manifest is what only it needs, and what is attached to it and nothing else needs.
//!
//! The operator may do more than clients, but not by accident: tags that never change, and what they need, go by force
//! only.

use std::collections::{BTreeMap, BTreeSet};

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::list::{check_repository, held};
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::journal::Change;
use crate::meta::tables::{LINKS, MANIFESTS, View, repo_key, split_digest};
use crate::meta::{blobs, manifests, tags};
use crate::name::{Reference, RepoName, Tag};
use crate::policy::{StorageRules, immutable};
use crate::store::{Changes, Store};
use crate::target::Target;

/// Most tags that a report names.
const MAX_NAMED: usize = 100;

/// What goes, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// How many tags.
    pub tags: u64,
    /// The first of them.
    pub names: Vec<Tag>,
    /// How many manifests.
    pub manifests: u64,
    /// How many files nobody will need after that.
    pub files: u64,
    /// Their bytes, which collections give back to the disk.
    pub bytes: u64,
    /// The first of the tags that never change, by the settings, and that go or lose what they need: by force.
    #[serde(default)]
    pub immutable: Vec<Tag>,
}

/// The same, in full.
#[derive(Default)]
struct Plan {
    tags: BTreeSet<Tag>,
    manifests: BTreeSet<Digest>,
    /// Set when the whole repository goes.
    links: Vec<Digest>,
}

fn plan(view: &impl View, target: &Target) -> Result<Plan> {
    let repo = &target.repo;
    check_repository(view, repo)?;
    let mut plan = Plan::default();
    let unknown = |reference: &Reference| RegistryError::ManifestUnknown(reference.clone());
    let first = match &target.reference {
        None => {
            let prefix = repo_key(repo);
            plan.tags = tags::list(view, repo, None, usize::MAX)?.into_iter().collect();
            for key in view.keys(MANIFESTS, &prefix, None, usize::MAX)? {
                plan.manifests.insert(split_digest(&key[prefix.len()..])?.0);
            }
            for key in view.keys(LINKS, &prefix, None, usize::MAX)? {
                plan.links.push(split_digest(&key[prefix.len()..])?.0);
            }
            return Ok(plan);
        }
        Some(reference @ Reference::Tag(tag)) => {
            let digest = tags::get(view, repo, tag)?.ok_or_else(|| unknown(reference))?;
            plan.tags.insert(tag.clone());
            let is_only = tags::of(view, repo, &digest)?.iter().all(|other| other == tag);
            if !is_only || manifests::is_needed(view, repo, &digest)? {
                return Ok(plan);
            }
            digest
        }
        Some(reference @ Reference::Digest(digest)) => {
            manifests::get(view, repo, digest)?.ok_or_else(|| unknown(reference))?;
            *digest
        }
    };
    let mut to_visit = vec![first];
    plan.manifests.insert(first);
    while let Some(digest) = to_visit.pop() {
        plan.tags.extend(tags::of(view, repo, &digest)?);
        let mut candidates = manifests::needs(view, repo, &digest)?;
        manifests::for_each_referrer(view, repo, &digest, None, |referrer, _| {
            candidates.push(referrer);
            true
        })?;
        for candidate in candidates {
            // What is still needed here is looked at again when the last that needs it goes.
            let stays = manifests::get(view, repo, &candidate)?.is_none()
                || tags::is_tagged(view, repo, &candidate)?
                || manifests::needed_by(view, repo, &candidate)?
                    .iter()
                    .any(|other| !plan.manifests.contains(other));
            if !stays && plan.manifests.insert(candidate) {
                to_visit.push(candidate);
            }
        }
    }
    Ok(plan)
}

/// Counts what nobody will need once `plan` is carried out.
fn report(view: &impl View, repo: &RepoName, plan: &Plan) -> Result<Removal> {
    let mut candidates: BTreeSet<Digest> = plan.manifests.iter().chain(&plan.links).copied().collect();
    for digest in &plan.manifests {
        candidates.extend(manifests::needs(view, repo, digest)?);
    }
    let lens: BTreeMap<Digest, Option<u64>> = held(view, repo)?.into_iter().collect();
    let mut removal = Removal {
        tags: plan.tags.len() as u64,
        names: plan.tags.iter().take(MAX_NAMED).cloned().collect(),
        manifests: plan.manifests.len() as u64,
        ..Removal::default()
    };
    for digest in candidates {
        let Some(len) = lens.get(&digest).copied().flatten() else { continue };
        let stays = manifests::get(view, repo, &digest)?.is_some() && !plan.manifests.contains(&digest);
        let is_needed = manifests::needed_by(view, repo, &digest)?
            .iter()
            .any(|manifest| !plan.manifests.contains(manifest));
        if !stays && !is_needed && blobs::holders(view, &digest)?.iter().all(|holder| holder == repo) {
            removal.files += 1;
            removal.bytes += len;
        }
    }
    Ok(removal)
}

/// The tags that never change and that `plan` takes, or takes something from that they need.
fn frozen(view: &impl View, rules: &StorageRules, repo: &RepoName, plan: &Plan) -> Result<BTreeSet<Tag>> {
    let needing = immutable::needing(view, rules, repo, plan.manifests.iter().copied())?;
    let untagged = plan.tags.iter().filter(|tag| rules.is_immutable(repo, tag));
    Ok(untagged.cloned().chain(needing).collect())
}

/// What goes, and what there is to say of it; refused if tags that never change are among it, unless by force.
fn decide(view: &impl View, rules: &StorageRules, target: &Target, force: bool) -> Result<(Plan, Removal)> {
    let repo = &target.repo;
    let plan = plan(view, target)?;
    let frozen = frozen(view, rules, repo, &plan)?;
    if let Some(tag) = frozen.first().filter(|_| !force)
        && let Some((repositories, tags)) = rules.immutable_by(repo, tag)
    {
        let (tag, repositories, tags) = (tag.clone(), repositories.clone(), tags.clone());
        return Err(RegistryError::RemovalImmutable { tag, repositories, tags });
    }
    let mut removal = report(view, repo, &plan)?;
    removal.immutable = frozen.into_iter().take(MAX_NAMED).collect();
    Ok((plan, removal))
}

fn carry_out(txn: &WriteTransaction, changes: &mut Changes, repo: &RepoName, plan: &Plan) -> Result<()> {
    for tag in &plan.tags {
        if tags::unset(txn, repo, tag)? {
            changes.push(repo, Change::Untag(tag.clone()));
        }
    }
    for digest in &plan.manifests {
        if manifests::delete(txn, repo, digest)? {
            changes.push(repo, Change::Delete(*digest));
        }
    }
    for digest in &plan.links {
        if blobs::unlink(txn, repo, digest)? {
            changes.push(repo, Change::Unlink(*digest));
        }
    }
    Ok(())
}

impl Store {
    /// Removes what `target` names, in one step; or only says what that would be. With `force` also tags that never change,
    /// and what they need.
    ///
    /// # Errors
    /// [`RegistryError::RepositoryUnknown`] or [`RegistryError::ManifestUnknown`] if there is no such thing,
    /// [`RegistryError::RemovalImmutable`] if it takes force; else when the metadata or the disk fails. Nothing is removed
    /// then.
    pub fn remove(&self, target: &Target, dry_run: bool, force: bool) -> Result<Removal> {
        let rules = self.rules();
        if dry_run {
            return self.meta.read(|view| Ok(decide(view, &rules, target, force)?.1));
        }
        self.change(|txn, changes| {
            let (plan, removal) = decide(txn, &rules, target, force)?;
            carry_out(txn, changes, &target.repo, &plan)?;
            Ok(removal)
        })
    }
}
