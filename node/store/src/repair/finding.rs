//! What an examination finds and a repair does, for people.

use std::fmt;

use crate::error::Hex32;
use crate::types::LostReason;

/// Something that an examination found. What is not [`Finding::is_damage`] a start deals with by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An earlier repair did not end.
    Interrupted,
    /// `initialise` did not end.
    HalfInitialised,
    /// The state database cannot be used.
    StateDamaged {
        /// Why.
        why: String,
    },
    /// The caller says that what is stored does not fit together.
    Distrusted {
        /// Why.
        why: String,
    },
    /// Records of the log that were acknowledged are missing or damaged.
    LogDamaged {
        /// The log segment's number.
        segment: u64,
        /// Where the first of them begins, in bytes.
        offset: u64,
        /// Height of the last good record before it.
        height: u64,
    },
    /// A segment of the log that the next start would read is not there.
    SegmentMissing {
        /// Its number.
        segment: u64,
    },
    /// The device cannot read some sectors of the log, in which nothing is stored.
    SectorsUnreadable {
        /// The log segment's number.
        segment: u64,
        /// Where the first one is, in bytes.
        offset: u64,
    },
    /// Without the state the log can be read back to the first block only, and it does not reach so far.
    LogTooShort,
    /// The key of the log's checksums is damaged; the state has it, too, if the state is good.
    KeyDamaged,
    /// The record of what this validator signed is not to be trusted.
    SignerLost {
        /// Why.
        reason: LostReason,
    },
    /// A slot or a copy in `vote.lock` is bad, and the state, which could tell whether a newer record was there, is gone.
    SignerDoubtful,
    /// `vote.lock` cannot be read by the device.
    SignerUnreadable,
    /// `vote.lock` is of another chain.
    SignerForeign {
        /// The genesis hash in it.
        chain: [u8; 32],
    },
    /// Stored blocks below the last checkpoint that fail their checksum.
    BlocksDamaged {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
        /// How many between them.
        count: u64,
    },
    /// The last write was cut short.
    TornTail {
        /// How many bytes of it there are.
        bytes: u64,
    },
}

impl Finding {
    /// Whether a start refuses because of it.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Interrupted
            | Self::StateDamaged { .. }
            | Self::Distrusted { .. }
            | Self::LogDamaged { .. }
            | Self::SegmentMissing { .. }
            | Self::SectorsUnreadable { .. }
            | Self::LogTooShort
            | Self::SignerDoubtful
            | Self::SignerUnreadable
            | Self::SignerForeign { .. } => true,
            Self::HalfInitialised
            | Self::KeyDamaged
            | Self::SignerLost { .. }
            | Self::BlocksDamaged { .. }
            | Self::TornTail { .. } => false,
        }
    }

    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Interrupted => "repair-interrupted",
            Self::HalfInitialised => "half-initialised",
            Self::StateDamaged { .. } => "state-damaged",
            Self::Distrusted { .. } => "inconsistent",
            Self::LogDamaged { .. } => "log-damaged",
            Self::SegmentMissing { .. } => "segment-missing",
            Self::SectorsUnreadable { .. } => "sectors-unreadable",
            Self::LogTooShort => "log-too-short",
            Self::KeyDamaged => "key-damaged",
            Self::SignerLost { .. } => "signer-lost",
            Self::SignerDoubtful => "signer-doubtful",
            Self::SignerUnreadable => "signer-unreadable",
            Self::SignerForeign { .. } => "signer-foreign",
            Self::BlocksDamaged { .. } => "blocks-damaged",
            Self::TornTail { .. } => "torn-tail",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("an earlier repair was interrupted"),
            Self::HalfInitialised => {
                f.write_str("the directory was only half made; the node makes it again when it starts")
            }
            Self::StateDamaged { why } => write!(f, "the state database is damaged: {why}"),
            Self::Distrusted { why } => f.write_str(why),
            Self::LogDamaged { segment, offset, height } => write!(
                f,
                "the log is damaged: segment {segment:06}, offset {offset}, after height {height}; something that was written there is gone"
            ),
            Self::SegmentMissing { segment } => write!(f, "segment {segment:06} of the log is missing"),
            Self::SectorsUnreadable { segment, offset } => write!(
                f,
                "the disk cannot read segment {segment:06} of the log at offset {offset}; nothing was written there"
            ),
            Self::LogTooShort => f.write_str(
                "the state cannot be made again: what is left of the log does not reach back to the first block",
            ),
            Self::KeyDamaged => f.write_str("log/key is missing or damaged"),
            Self::SignerLost { reason } => write!(
                f,
                "{reason}; a validator stays silent until the others have told what it signed"
            ),
            Self::SignerDoubtful => f.write_str(
                "a part of vote.lock is damaged, and without the state nobody can tell whether it held a newer record",
            ),
            Self::SignerUnreadable => f.write_str("the disk cannot read vote.lock"),
            Self::SignerForeign { chain } => write!(f, "vote.lock belongs to chain {}", Hex32(*chain)),
            Self::BlocksDamaged { first, last, count: 1 } if first == last => write!(
                f,
                "block {first} is damaged; the node works without it, but cannot hand it to others"
            ),
            Self::BlocksDamaged { first, last, count } => write!(
                f,
                "{count} blocks between {first} and {last} are damaged; the node works without them, but cannot hand them to others"
            ),
            Self::TornTail { bytes } => {
                write!(f, "the last write was cut short ({bytes} bytes); the next start cuts it off, nothing is lost")
            }
        }
    }
}

/// Something that a repair does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Files are moved into the folder for damaged ones.
    SetAside {
        /// Their names.
        files: Vec<String>,
    },
    /// A copy of a file goes into the folder for damaged ones, then the file ends after its last good record.
    CutLog {
        /// The log segment's number.
        segment: u64,
        /// Where it ends, in bytes.
        offset: u64,
        /// Height of the last good record.
        height: u64,
    },
    /// A sector that cannot be read, and in which nothing is stored, is written.
    HealSector {
        /// The log segment's number.
        segment: u64,
        /// Where it is, in bytes.
        offset: u64,
    },
    /// An empty segment takes the place of a missing one.
    ReplaceSegment {
        /// Its number.
        segment: u64,
    },
    /// The state is made again from the log, by the next start.
    RebuildState {
        /// Height of the last block in the log.
        height: u64,
    },
    /// The state learns where the log ends now.
    AmendState,
    /// The signer record counts as lost.
    LoseSigner,
    /// Nothing can be used: an empty directory, and the chain comes from the peers.
    StartOver,
}

impl Step {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SetAside { .. } => "set-aside",
            Self::CutLog { .. } => "cut-log",
            Self::HealSector { .. } => "heal-sector",
            Self::ReplaceSegment { .. } => "replace-segment",
            Self::RebuildState { .. } => "rebuild-state",
            Self::AmendState => "amend-state",
            Self::LoseSigner => "lose-signer",
            Self::StartOver => "start-over",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAside { files } => write!(f, "set aside {}", files.join(", ")),
            Self::CutLog { segment, offset, height } => write!(
                f,
                "keep a copy of segment {segment:06} and end the log at its offset {offset}, after height {height}; the peers have the rest"
            ),
            Self::HealSector { segment, offset } => {
                write!(f, "fill the unreadable page at offset {offset} of segment {segment:06} with zeros")
            }
            Self::ReplaceSegment { segment } => write!(f, "put an empty segment {segment:06} in its place"),
            Self::RebuildState { height: 0 } => f.write_str("make an empty state"),
            Self::RebuildState { height } => {
                write!(f, "make the state again from blocks 1 to {height} of the log, at the next start")
            }
            Self::AmendState => f.write_str("note in the state where the log ends"),
            Self::LoseSigner => f.write_str(
                "count the signer record as lost: a validator stays silent until the others have told what it signed",
            ),
            Self::StartOver => {
                f.write_str("make an empty directory: the node fetches the chain from its peers")
            }
        }
    }
}
