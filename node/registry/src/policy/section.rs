//! The sections of the settings that say what may be stored: `[storage]`, `[[quota]]`, `[[retention]]`, `[[immutable]]`.

use std::num::NonZeroU32;

use serde::Deserialize;
use toml::Spanned;

use super::{DAY_MS, Retention};
use crate::access::{Mistake, RepoPattern, TagPattern};
use crate::settings::Size;

/// `[storage]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSection {
    /// How much is stored at most, each file counted once.
    pub max: Option<Size>,
    /// How much of the disk stays free.
    pub min_free: Size,
    /// The same, in percent of the disk. The larger of the two counts.
    pub min_free_percent: Spanned<u8>,
}

impl Default for StorageSection {
    fn default() -> Self {
        Self { max: None, min_free: Size(256 * 1024 * 1024), min_free_percent: Spanned::new(0..0, 2) }
    }
}

/// `[[quota]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaSection {
    /// Which repositories share it.
    pub repositories: RepoPattern,
    /// How much they hold at most, together. What two of them hold counts for each.
    pub max: Size,
}

/// `[[retention]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSection {
    /// In which repositories.
    pub repositories: Spanned<Vec<RepoPattern>>,
    /// Which tags.
    #[serde(default = "all_tags")]
    pub tags: Vec<TagPattern>,
    /// How many of them stay in each repository: those that were pushed last.
    pub keep_newest: Option<NonZeroU32>,
    /// How long they stay at least after their last push, in days that the registry has been running.
    pub keep_days: Option<u32>,
}

impl RetentionSection {
    pub(super) fn rule(&self) -> Result<Retention, Mistake> {
        if self.keep_newest.is_none() && self.keep_days.is_none() {
            let problem =
                "a [[retention]] says keep_newest, keep_days, or both; this one would remove every tag";
            return Err((self.repositories.span(), problem.to_owned()));
        }
        Ok(Retention {
            repositories: self.repositories.get_ref().clone(),
            tags: self.tags.clone(),
            keep_newest: self.keep_newest.map(NonZeroU32::get),
            keep_ms: self.keep_days.map(|days| u64::from(days) * DAY_MS),
        })
    }
}

/// `[[immutable]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImmutableSection {
    /// In which repositories.
    pub repositories: Vec<RepoPattern>,
    /// Which tags.
    #[serde(default = "all_tags")]
    pub tags: Vec<TagPattern>,
}

fn all_tags() -> Vec<TagPattern> {
    vec![TagPattern::all()]
}
