//! One node's opinion of another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::ids::NodeIndex;

/// The most current ratings that a node can have received in one category: keeps the trust
/// arithmetic within 64 bits (trust/README.md, "Overflow").
pub const MAX_RATINGS_PER_CATEGORY: u32 = 100_000;

/// What a rating is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Is it there, does it keep its promises?
    Reliability,
    /// Is it fast?
    Performance,
    /// Does it tell the truth?
    Honesty,
}

impl Category {
    /// Every category, in the order of the wire numbers.
    pub const ALL: [Self; 3] = [Self::Reliability, Self::Performance, Self::Honesty];

    /// The category's place in [`Category::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The category with a wire number.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }

    /// Its name, which is also the last key by which contributions are sorted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reliability => "reliability",
            Self::Performance => "performance",
            Self::Honesty => "honesty",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|c| c.name() == text).ok_or(UnknownCategory)
    }
}

/// A text is not the name of a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the categories are reliability, performance and honesty")]
pub struct UnknownCategory;

/// Who rates whom in what: of each such key the last rating is the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RatingKey {
    pub to: NodeIndex,
    pub from: NodeIndex,
    pub category: Category,
}

/// One rating, kept for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rating {
    /// 1 (worst) to 5 (best).
    pub stars: u8,
    /// When the rater says it was given, Unix milliseconds; never later than its block.
    pub time_ms: u64,
    /// Height of its block.
    pub height: u64,
    /// Its transaction's place in the block.
    pub index: u32,
    /// Why, in the rater's words; may be empty.
    pub reason: Box<str>,
}

impl Rating {
    /// The UTC day of the rating's own time.
    pub fn day(&self) -> u32 {
        calendar::day_of(self.time_ms)
    }
}
