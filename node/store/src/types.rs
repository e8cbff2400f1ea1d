//! What the store tells its caller.

use std::fmt;

/// What this validator last signed, as far as the data directory knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The directory was initialised for a key that never signed, and nothing was signed since.
    Fresh,
    /// The bytes of the newest durable signer record. It may be newer than the last one that was acknowledged (a
    /// crash came between the flush and the answer), never older.
    Known(Vec<u8>),
    /// The record is gone: stay silent until the peers have told what this key signed.
    Lost(LostReason),
}

/// Why the signer record counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostReason {
    /// The directory was made by `initialise_lost`: the key is older than the directory. Or a repair took away what may
    /// have been signed.
    NewDirectory,
    /// `vote.lock` is not there.
    Missing,
    /// Both slots of `vote.lock` fail their checksum.
    Damaged,
    /// Every signer record that can be read is older than one that is known to have been acknowledged: a slot was
    /// damaged, or `vote.lock` was replaced by an older copy.
    Outdated,
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewDirectory => "the data directory is newer than the validator key, or was repaired",
            Self::Missing => "vote.lock is missing from the data directory",
            Self::Damaged => "both slots of vote.lock are damaged",
            Self::Outdated => "vote.lock is older than what this node is known to have signed",
        })
    }
}

/// How the log ended when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With a whole record.
    Clean,
    /// A write was cut short by a crash; what it left was cut off. Nothing of it had been acknowledged.
    TornTail {
        /// Length of the records cut off, in bytes.
        bytes: u64,
    },
}

/// What was found when a store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// What this validator last signed.
    pub signer: Signer,
    /// Height of the last checkpoint: what `load_leaves` gives.
    pub state_height: u64,
    /// Blocks `state_height + 1 ..= last_commit_height` are stored with their certificates, to be replayed. Equal to
    /// `state_height` if there is nothing to replay.
    pub last_commit_height: u64,
    /// How the log ended.
    pub tail: Tail,
    /// Blocks stored above the last committed height, in the order of height and hash.
    pub undecided: Vec<(u64, [u8; 32])>,
}

/// A committed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its hash.
    pub hash: [u8; 32],
    /// Its bytes, as handed in.
    pub block: Vec<u8>,
    /// Its certificate's bytes, as handed in.
    pub certificate: Vec<u8>,
}

/// What pruning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// The lowest height whose block is still stored (0 if no block is).
    pub first_height: u64,
    /// Segments kept to be written again.
    pub recycled: u64,
    /// Segments deleted.
    pub deleted: u64,
}

/// Room taken on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All segments, spare ones included, in bytes.
    pub log_bytes: u64,
    /// The state database, in bytes.
    pub state_bytes: u64,
    /// Number of segments, spare ones included.
    pub segments: u64,
}
