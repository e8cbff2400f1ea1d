//! What a caller may choose.

use crate::error::{Result, StoreError};
use crate::record::PAGE_BYTES;

/// Length of a new log segment in bytes: 8 MiB. A start reads all of the newest one, for damage behind its end; a slow card
/// reads 5 MB a second.
pub const DEFAULT_SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// redb's page cache in bytes: 4 MiB is enough for state alone (redb's own default is 1 GiB).
pub const DEFAULT_REDB_CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Pruned segments kept to be written again instead of zero-filling new ones.
pub const DEFAULT_MAX_SPARES: usize = 2;
/// Largest segment in bytes: offsets on disk are 32 bits wide.
const MAX_SEGMENT_BYTES: u64 = 1024 * 1024 * 1024;

/// Options of a data directory. Any of them may change from one start to the next.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Length of a new log segment in bytes, a multiple of 4096. A record must fit into one and leave 4096 bytes, so
    /// below `MAX_RECORD_BYTES` this is the limit of a record. Existing segments keep their length.
    pub segment_bytes: u64,
    /// redb's page cache in bytes.
    pub redb_cache_bytes: usize,
    /// Pruned segments kept ready; further ones are deleted.
    pub max_spares: usize,
    /// Whether the next segment is zero-filled by a thread once the current one is half full. If not, it is made
    /// when it is needed, or by `prepare_spare`.
    pub background_spare: bool,
    /// Key of the log's checksums, used by `initialise` only. `None`: drawn from the operating system. Tests fix it.
    pub log_key: Option<[u8; 32]>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            redb_cache_bytes: DEFAULT_REDB_CACHE_BYTES,
            max_spares: DEFAULT_MAX_SPARES,
            background_spare: true,
            log_key: None,
        }
    }
}

impl Options {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let page = PAGE_BYTES as u64;
        if self.segment_bytes <= page || !self.segment_bytes.is_multiple_of(page) {
            return Err(StoreError::BadOption {
                option: "segment_bytes",
                why: "a multiple of 4096, above 4096",
            });
        }
        if self.segment_bytes > MAX_SEGMENT_BYTES {
            return Err(StoreError::BadOption { option: "segment_bytes", why: "at most 1 GiB" });
        }
        Ok(())
    }
}
