//! What must survive a power cut: the block log, the signer record, the state tables.

pub mod disk;
mod error;
mod options;
mod osdir;
mod record;
mod store;
mod types;

pub use disk::{Dir, Disk, LockError};
pub use error::{Hex32, Result, StoreError};
pub use options::Options;
pub use osdir::{OsDir, OsFile, OsLock, free_ratio};
pub use record::{MAX_RECORD_BYTES, MAX_SIGN_BYTES};
pub use store::{Store, initialise, initialise_lost};
pub use types::{LostReason, PruneReport, Recovered, Signer, StoredBlock, Tail, Usage};
