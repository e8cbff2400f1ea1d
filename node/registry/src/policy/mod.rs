//! What may be stored: how much, for how long, and what never changes.
//!
//! The store asks here before it takes anything, and again in the transaction that says that it has. `section` is what
//! the settings say; `quota`, `floor`, `immutable` and `retention` are one rule each. `reserve` holds room for what is on
//! its way, `eviction` decides about copies of upstreams.

pub(crate) mod eviction;
mod floor;
pub(crate) mod immutable;
pub(crate) mod quota;
pub(crate) mod reserve;
mod retention;
mod section;

pub use floor::Space;
pub use retention::Removal;
pub use section::{ImmutableSection, QuotaSection, RetentionSection, StorageSection};

use crate::access::{Mistake, RepoPattern, TagPattern};
use crate::name::{RepoName, Tag};

/// A day, in milliseconds.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Most quotas, rules of retention, or rules of immutable tags.
const MAX_RULES: usize = 1_000;

/// Repositories that may hold so much together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) repositories: RepoPattern,
    pub(crate) max_bytes: u64,
}

/// Tags that go after a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) repositories: Vec<RepoPattern>,
    pub(crate) tags: Vec<TagPattern>,
    pub(crate) keep_newest: Option<u32>,
    pub(crate) keep_ms: Option<u64>,
}

/// Tags that never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Immutable {
    pub(crate) repositories: Vec<RepoPattern>,
    pub(crate) tags: Vec<TagPattern>,
}

/// What may be stored. Without any rules: whatever fits on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageRules {
    pub(crate) max_bytes: Option<u64>,
    pub(crate) min_free_bytes: u64,
    pub(crate) min_free_percent: u8,
    pub(crate) quotas: Vec<Quota>,
    pub(crate) retention: Vec<Retention>,
    pub(crate) immutable: Vec<Immutable>,
}

impl StorageRules {
    pub(crate) fn new(
        storage: &StorageSection,
        quotas: &[QuotaSection],
        retention: &[RetentionSection],
        immutable: &[ImmutableSection],
    ) -> Result<Self, Mistake> {
        let lists = [
            ("quotas", quotas.len()),
            ("retention rules", retention.len()),
            ("immutable rules", immutable.len()),
        ];
        for (what, count) in lists {
            if count > MAX_RULES {
                return Err((
                    0..0,
                    format!("{count} {what} are more than the {MAX_RULES} allowed; merge some"),
                ));
            }
        }
        let percent = storage.min_free_percent.get_ref();
        if *percent > 90 {
            let problem =
                format!("min_free_percent = {percent} leaves no room to store anything; take at most 90");
            return Err((storage.min_free_percent.span(), problem));
        }
        let quota =
            |quota: &QuotaSection| Quota { repositories: quota.repositories.clone(), max_bytes: quota.max.0 };
        let frozen = |rule: &ImmutableSection| Immutable {
            repositories: rule.repositories.clone(),
            tags: rule.tags.clone(),
        };
        Ok(Self {
            max_bytes: storage.max.map(|size| size.0),
            min_free_bytes: storage.min_free.0,
            min_free_percent: *percent,
            quotas: quotas.iter().map(quota).collect(),
            retention: retention.iter().map(RetentionSection::rule).collect::<Result<_, _>>()?,
            immutable: immutable.iter().map(frozen).collect(),
        })
    }

    /// The first rule by which a tag never changes: which repositories, which tags.
    pub(crate) fn immutable_by(&self, repo: &RepoName, tag: &Tag) -> Option<(&RepoPattern, &TagPattern)> {
        self.immutable.iter().find_map(|rule| {
            let repositories = rule.repositories.iter().find(|pattern| pattern.matches(repo))?;
            let tags = rule.tags.iter().find(|pattern| pattern.matches(tag))?;
            Some((repositories, tags))
        })
    }

    /// Whether a tag never changes.
    pub(crate) fn is_immutable(&self, repo: &RepoName, tag: &Tag) -> bool {
        self.immutable_by(repo, tag).is_some()
    }

    /// Whether a repository has tags that never change.
    pub(crate) fn has_immutable(&self, repo: &RepoName) -> bool {
        self.immutable.iter().any(|rule| rule.repositories.iter().any(|pattern| pattern.matches(repo)))
    }

    /// Whether anything limits how much repositories hold.
    pub(crate) fn has_quotas(&self) -> bool {
        self.max_bytes.is_some() || !self.quotas.is_empty()
    }
}
