//! What can be asked for, what is told meanwhile, and what comes of it: the words of the socket and of `--json`.

use serde::{Deserialize, Serialize};

use super::{Idle, Inspected, Removal, RepositorySummary, RepositoryUsage, TagSummary, Usage};
use crate::digest::Digest;
use crate::name::RepoName;
use crate::target::Target;
use crate::transfer::{ExportFormat, Exported, Imported, PlatformChoice};

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Names the repositories, or the tags of one, as events.
    List {
        /// Whose tags; `None`: the repositories.
        repo: Option<RepoName>,
    },
    /// Tells what an image is made of.
    Inspect {
        /// Which one. A repository alone means its tag `latest`.
        target: Target,
    },
    /// Removes a tag, a manifest, or a whole repository.
    Remove {
        /// What goes.
        target: Target,
        /// Only says what would go.
        dry_run: bool,
        /// Also tags that never change, and what they need.
        #[serde(default)]
        force: bool,
    },
    /// Collects garbage.
    Collect {
        /// Only says what would go.
        dry_run: bool,
        /// Empties the quarantine, too.
        purge: bool,
    },
    /// Reads every file and compares it with its digest.
    Scrub {
        /// Looks at the digests, not only at the pieces.
        deep: bool,
    },
    /// Counts the bytes of each repository, as events, and of the whole.
    Usage,
    /// Takes an archive in, which follows.
    Import {
        /// What its image is to be called; `None`: as the archive says.
        target: Option<Target>,
        /// Takes one image of an index only.
        platform: Option<PlatformChoice>,
    },
    /// Gives an image out as an archive.
    Export {
        /// Which one.
        target: Target,
        /// As what.
        format: ExportFormat,
        /// Gives one image of an index only.
        platform: Option<PlatformChoice>,
    },
}

impl Operation {
    /// Whether bytes follow it.
    pub fn takes_bytes(&self) -> bool {
        matches!(self, Self::Import { .. })
    }
}

/// How far something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is worked on.
    pub item: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 if that is not known.
    pub total: u64,
}

/// Something told before the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A repository.
    Repository(RepositorySummary),
    /// A tag.
    Tag(TagSummary),
    /// What a repository takes.
    Usage(RepositoryUsage),
    /// A file is damaged and out of service.
    Damaged {
        /// Its digest.
        digest: Digest,
    },
    /// How far it is.
    Progress(Progress),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Everything was named.
    Listed {
        /// How many.
        count: u64,
    },
    /// What the image is made of.
    Inspected(Box<Inspected>),
    /// What went, or would.
    Removed(Removal),
    /// What was collected.
    Collected(CollectReport),
    /// What was found.
    Scrubbed(ScrubReport),
    /// What the whole takes.
    Usage(Usage),
    /// What was taken in.
    Imported(Imported),
    /// What was given out.
    Exported(Exported),
}

/// What a collection did, and what it left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectReport {
    /// Links of repositories to blobs removed.
    pub links: u64,
    /// Files taken out of service.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files removed from quarantine.
    pub purged_files: u64,
    /// Their bytes: what the disk got back.
    pub purged_bytes: u64,
    /// Uploads ended that rested too long.
    pub uploads: u64,
    /// Whether it was too soon after a start to collect anything but the quarantine.
    pub is_too_soon: bool,
    /// What is left that goes by itself, later.
    pub left: Idle,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubReport {
    /// Files read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files found damaged, now out of service.
    pub damaged: u64,
    /// Files that are out of service since an earlier look and have not come back.
    pub missing: u64,
}
