//! What can go wrong with a data directory, and what the operator can do about it.

use std::fmt;
use std::io;

/// Thirty-two bytes shown as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex32(pub [u8; 32]);

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A process id for a message, or that it is not known.
struct Pid(Option<u32>);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "pid {pid}"),
            None => f.write_str("pid unknown"),
        }
    }
}

/// Result of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused a read, a write or a flush. After one on the log, the signer record or the
    /// state the store is poisoned.
    #[error(
        "cannot {action} {path}: {source}; stop the node and check the disk (dmesg, free space, permissions) before starting it again; if a sector cannot be read for good, run `trustnet repair`"
    )]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Which file or directory.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// No space is left for a file that has to grow.
    #[error("the disk is full: cannot {action} {path}; free some space and start the node again")]
    DiskFull {
        /// What was tried, as a verb.
        action: &'static str,
        /// Which file had to grow.
        path: String,
    },
    /// Another process holds the data directory.
    #[error("{path} is in use by another process ({}); stop that node, or give this one another --home", Pid(*pid))]
    InUse {
        /// The data directory.
        path: String,
        /// The process id that the other process left in `LOCK`, if it can be read.
        pid: Option<u32>,
    },
    /// There is no store in this directory.
    #[error(
        "{path} holds no store; initialise it first (a home that already owns a validator key: initialise_lost)"
    )]
    NotInitialised {
        /// The data directory.
        path: String,
    },
    /// `initialise` was called for a directory that holds a store.
    #[error("{path} already holds a store; open it, or move it away first")]
    AlreadyInitialised {
        /// The data directory.
        path: String,
    },
    /// `initialise` was cut short by a crash. Nothing was ever signed from this directory.
    #[error("{path} was only half initialised (a crash or a full disk); initialise it again")]
    HalfInitialised {
        /// The data directory.
        path: String,
    },
    /// `repair` was cut short by a crash.
    #[error("the repair of {path} was interrupted; run `trustnet repair --apply` again")]
    HalfRepaired {
        /// The data directory.
        path: String,
    },
    /// The directory, or a file in it, belongs to another chain.
    #[error("{path} belongs to chain {}, not to {}; give this node another --home, or the genesis of that chain (if only this one file is foreign: stop the node, run `trustnet repair`)", Hex32(*found), Hex32(*expected))]
    OtherChain {
        /// The file that says so.
        path: String,
        /// The genesis hash in the directory.
        found: [u8; 32],
        /// The genesis hash that was asked for.
        expected: [u8; 32],
    },
    /// A record of a later format.
    #[error(
        "{path} was written by a newer version of this software (format {version}); install that version again"
    )]
    NewerFormat {
        /// Which file.
        path: String,
        /// The format version found.
        version: u8,
    },
    /// Acknowledged records of the log are missing or damaged, so neither the chain after them nor what this node
    /// signed can be trusted.
    #[error(
        "the log is damaged in the middle: segment {segment:06}, offset {offset}, after height {height}; stop the node, run `trustnet repair`: it shows what is left, sets the rest aside, and lets the node fetch it from its peers"
    )]
    DamagedMiddle {
        /// The log segment's number.
        segment: u64,
        /// Where the first unreadable record begins, in bytes.
        offset: u64,
        /// Height of the last good record before it.
        height: u64,
    },
    /// One stored block or certificate fails its checksum. The store goes on; fetch the block from a peer and
    /// append it again.
    #[error(
        "block {height} is damaged on disk: segment {segment:06}, offset {offset}; fetch it from a peer again"
    )]
    Damaged {
        /// Height of the block.
        height: u64,
        /// The log segment's number.
        segment: u64,
        /// Where its record begins, in bytes.
        offset: u64,
    },
    /// A segment of the log that the index needs is not there.
    #[error(
        "segment {segment:06} of the log is missing; put it back if you have it, else stop the node, run `trustnet repair`: it lets the node fetch what is missing from its peers"
    )]
    MissingSegment {
        /// The segment's number.
        segment: u64,
    },
    /// The state database failed or is damaged.
    #[error(
        "the state database {path} failed: {source}; start the node again, and if it happens again, stop it and run `trustnet repair`"
    )]
    State {
        /// The database file.
        path: String,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// The state database opens but does not say what it must.
    #[error(
        "the state database {path} is damaged ({what}); stop the node, run `trustnet repair`: it makes the state again from the log, or lets the node fetch the chain from its peers"
    )]
    StateDamaged {
        /// The database file.
        path: String,
        /// Which part is missing or malformed.
        what: &'static str,
    },
    /// Something handed in is longer than its place on disk.
    #[error("{what} of {bytes} bytes is too large to store: the limit is {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its length.
        bytes: u64,
        /// The most that fits.
        limit: u64,
    },
    /// A height that does not follow.
    #[error("height {height} is out of order: expected {expected}")]
    OutOfOrder {
        /// The height handed in.
        height: u64,
        /// The height that has to come next (the lowest allowed, for a checkpoint).
        expected: u64,
    },
    /// A certificate for a block that is not stored.
    #[error("block {height} ({}) is not stored; append it before its certificate", Hex32(*hash))]
    NoBlock {
        /// Its height.
        height: u64,
        /// Its hash.
        hash: [u8; 32],
    },
    /// A certificate for a second block at a committed height: consensus is broken, or the caller is.
    #[error("height {height} is already committed with block {}; refusing {}", Hex32(*stored), Hex32(*refused))]
    Conflict {
        /// The height.
        height: u64,
        /// The committed block.
        stored: [u8; 32],
        /// The other one.
        refused: [u8; 32],
    },
    /// An option that cannot work.
    #[error("option {option} is unusable: {why}")]
    BadOption {
        /// Its name.
        option: &'static str,
        /// What it has to be.
        why: &'static str,
    },
    /// A write or a flush failed earlier. What the disk holds is undefined until the store is opened again.
    #[error("the store stopped after an earlier disk error; restart the node")]
    Poisoned,
}

impl StoreError {
    /// Wraps an I/O error, telling a full disk apart.
    pub(crate) fn io(action: &'static str, path: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { action, path },
            _ => Self::Io { action, path, source },
        }
    }
}
