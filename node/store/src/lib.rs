//! What must survive a power cut: the block log, the signer record, the state tables.
//!
//! The store knows heights, hashes and bytes; it knows no blocks, no votes and no ledger. One thread owns it and waits
//! for the disk. Nothing is written but on request.
//!
//! ```text
//! data/
//!   LOCK               held by the process that uses the directory; its process id
//!   vote.lock          what this validator last signed, two slots          (module signer)
//!   log/000000.seg ..  votes, blocks, certificates; zero-filled ahead      (modules record, segment, log, recover)
//!   log/key            the key of the log's checksums, again               (module keyfile)
//!   state.redb         leaves of the state, indexes of the log             (modules state, meta)
//!   state.sum          a checksum of each of its pages                     (modules checked, sums)
//!   damaged-DATE/      what a repair set aside                             (module repair)
//! ```
//!
//! A step of consensus costs one `write` and one `fdatasync`. What was acknowledged survives a power cut at any
//! moment; the signer record that `open` reports is never older than the last acknowledged one, or it is reported as
//! lost, and then the node must stay silent until its peers have told it what it signed.
//!
//! A directory that [`Store::open`] refuses can be examined and repaired: [`rehearse`], [`repair`].
//!
//! Every file sits on the traits [`Disk`] and [`Dir`]; the tests put [`MemDir`] there and cut the power at every
//! flush.

mod checked;
mod disk;
mod echo;
mod error;
mod fault;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod index;
mod init;
mod keyfile;
mod log;
mod medium;
mod memdir;
mod memfile;
mod meta;
mod open;
mod options;
mod osdir;
mod overlay;
mod payload;
mod read;
mod record;
mod recover;
mod repair;
mod segment;
mod signer;
mod state;
mod store;
mod sums;
mod types;

pub use disk::{Dir, Disk, LockError};
pub use error::{Hex32, Result, StoreError};
pub use fault::Fault;
pub use init::{initialise, initialise_lost};
pub use memdir::{MemDir, MemLock};
pub use memfile::MemFile;
pub use options::{DEFAULT_MAX_SPARES, DEFAULT_REDB_CACHE_BYTES, DEFAULT_SEGMENT_BYTES, Options};
pub use osdir::{OsDir, OsFile, OsLock, free_ratio};
pub use overlay::Overlay;
pub use record::{MAX_RECORD_BYTES, MAX_SIGN_BYTES};
pub use repair::{Distrust, Finding, Progress, Repair, Step, rehearse, repair};
pub use store::Store;
pub use types::{LostReason, PruneReport, Recovered, Signer, StoredBlock, Tail, Usage};
