//! Quotas: how much repositories may hold.
//!
//! What a repository holds is each of its blobs and manifests, once. What two repositories of a quota hold both counts
//! twice, since neither may lose it when the other one deletes it; only `max` of `[storage]` counts files.
//!
//! An upload is refused as soon as it could not be kept, and once more in the transaction that would keep it: others may
//! have come first. What is reserved counts as held, except for whom it is reserved for.

use super::StorageRules;
use super::reserve::Reserved;
use crate::access::RepoPattern;
use crate::error::{RegistryError, Result};
use crate::meta::tables::View;
use crate::meta::usage;
use crate::name::RepoName;
use crate::store::Store;
use crate::upload_id::UploadId;
use crate::uploads::Session;

/// What counts against a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Which repositories share it.
    pub(crate) repositories: RepoPattern,
    /// Whether files count, each once, as for the disk and `max` of `[storage]`; else what each repository holds.
    pub(crate) is_of_files: bool,
}

impl Counted {
    /// All files.
    pub(crate) fn files() -> Self {
        Self { repositories: RepoPattern::all(), is_of_files: true }
    }
}

/// A limit that a repository is under.
struct Limit {
    used: u64,
    max: u64,
    counted: Counted,
    /// What to call it.
    what: String,
}

fn limits(view: &impl View, rules: &StorageRules, repo: &RepoName) -> Result<Vec<Limit>> {
    let mut limits = Vec::new();
    if let Some(max) = rules.max_bytes {
        let (used, what) = (usage::stored(view)?, "the registry".to_owned());
        limits.push(Limit { used, max, counted: Counted::files(), what });
    }
    for quota in rules.quotas.iter().filter(|quota| quota.repositories.matches(repo)) {
        let used = usage::of_all(view, &quota.repositories)?;
        let counted = Counted { repositories: quota.repositories.clone(), is_of_files: false };
        limits.push(Limit { used, max: quota.max_bytes, counted, what: quota.repositories.to_string() });
    }
    Ok(limits)
}

/// How much a repository may still take.
#[derive(Debug)]
pub(crate) struct Room {
    /// In bytes.
    pub(crate) bytes: u64,
    /// The limit that is reached first; `None` if there is none.
    limit: Option<(String, u64)>,
}

impl Room {
    /// Refuses `bytes` that do not fit.
    pub(crate) fn check(&self, bytes: u64) -> Result<()> {
        if bytes > self.bytes { Err(self.refusal()) } else { Ok(()) }
    }

    /// What is said to what does not fit.
    pub(crate) fn refusal(&self) -> RegistryError {
        let (what, max) = self.limit.clone().unwrap_or_else(|| ("the registry".to_owned(), u64::MAX));
        RegistryError::QuotaExceeded { what, max }
    }
}

impl Store {
    /// Refuses what was added to a repository, and `own` was reserved for, if it holds too much now.
    pub(crate) fn check_quota(
        &self,
        view: &impl View,
        rules: &StorageRules,
        repo: &RepoName,
        own: Option<&Reserved>,
    ) -> Result<()> {
        let is_over = |Limit { used, max, counted, .. }: &Limit| {
            used.saturating_add(self.reservations.within(&counted.repositories, own)) > *max
        };
        let over = limits(view, rules, repo)?.into_iter().find(is_over);
        over.map_or(Ok(()), |Limit { max, what, .. }| Err(RegistryError::QuotaExceeded { what, max }))
    }

    /// How much a repository may still take of what `own` was reserved for.
    pub(crate) fn room(&self, repo: &RepoName, own: Option<&Reserved>) -> Result<Room> {
        self.room_beside(repo, |repositories| self.reservations.within(repositories, own))
    }

    /// The same for an upload that begins or goes on, which is `own` if it is a session: what has arrived of others counts,
    /// since it takes the disk as well.
    pub(crate) fn upload_room(&self, repo: &RepoName, own: Option<UploadId>) -> Result<Room> {
        self.room_beside(repo, |repositories| self.coming(repositories, own))
    }

    /// What is on its way to these repositories, in bytes; `own` is not counted.
    fn coming(&self, repositories: &RepoPattern, own: Option<UploadId>) -> u64 {
        let is_meant = |session: &Session| Some(session.id) != own && repositories.matches(&session.repo);
        self.uploads.open_bytes_of(is_meant).saturating_add(self.reservations.within(repositories, None))
    }

    fn room_beside(&self, repo: &RepoName, beside: impl Fn(&RepoPattern) -> u64) -> Result<Room> {
        let rules = self.rules();
        if !rules.has_quotas() {
            return Ok(Room { bytes: u64::MAX, limit: None });
        }
        let limits = self.meta.read(|view| limits(view, &rules, repo))?;
        let rooms = limits.into_iter().map(|Limit { used, max, counted, what }| {
            (max.saturating_sub(used.saturating_add(beside(&counted.repositories))), what, max)
        });
        let least = rooms.min_by_key(|(bytes, ..)| *bytes);
        Ok(least.map_or(Room { bytes: u64::MAX, limit: None }, |(bytes, what, max)| Room {
            bytes,
            limit: Some((what, max)),
        }))
    }

    /// The limits that a repository is under: what counts against each, and by how much `bytes` more would go beyond it.
    pub(crate) fn quota_excesses(&self, repo: &RepoName, bytes: u64) -> Result<Vec<(Counted, u64)>> {
        let rules = self.rules();
        let limits = self.meta.read(|view| limits(view, &rules, repo))?;
        let excess = |Limit { used, max, counted, .. }| {
            let coming = self.coming(&counted.repositories, None);
            let excess = used.saturating_add(coming).saturating_add(bytes).saturating_sub(max);
            (counted, excess)
        };
        Ok(limits.into_iter().map(excess).collect())
    }

    /// How many bytes are stored, each file counted once.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn stored_bytes(&self) -> Result<u64> {
        self.meta.read(usage::stored)
    }

    /// How many bytes a repository holds: each of its blobs and manifests, once.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn held_bytes(&self, repo: &RepoName) -> Result<u64> {
        self.meta.read(|view| usage::of(view, repo))
    }
}
