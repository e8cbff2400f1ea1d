//! How much of anything the server takes on at once.

use std::time::Duration;

/// Longest query string of a URI call, in bytes: the largest transaction in hex, and room for the rest.
pub const MAX_QUERY_BYTES: usize = 48 * 1024;
/// Bodies up to this many bytes are read without waiting for one of the places for large ones.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;
/// Most arguments that a call can bring; no method has more than four.
pub const MAX_ARGS: usize = 16;
/// Elements of a list when the caller names no number.
pub const DEFAULT_PER_PAGE: u64 = 30;
/// Most elements of a list in one answer.
pub const MAX_PER_PAGE: u64 = 100;
/// Most block headers that `/blockchain` shows at once.
pub const MAX_BLOCK_METAS: u64 = 20;

/// Limits of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// Connections open at once; further ones wait in the system's queue.
    pub max_connections: usize,
    /// Longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Bodies above [`SMALL_BODY_BYTES`] that are in memory at once.
    pub max_large_bodies: usize,
    /// Requests in one batch.
    pub max_batch: usize,
    /// Longest answer to a batch, in bytes; what does not fit is answered with an error.
    pub max_answer_bytes: usize,
    /// Calls carried out at once.
    pub max_active_calls: usize,
    /// Calls that wait for their transaction's block at once.
    pub max_commit_waiters: usize,
    /// How long such a call waits.
    pub commit_wait: Duration,
    /// How long the calls of one batch may take together.
    pub batch_time: Duration,
    /// From the first byte of a request to the first byte of its answer.
    pub request_time: Duration,
    /// How long a connection may be silent between requests, or refuse to take an answer.
    pub idle_time: Duration,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            max_connections: 100,
            max_body_bytes: 4 * 1024 * 1024,
            max_large_bodies: 8,
            max_batch: 512,
            max_answer_bytes: 16 * 1024 * 1024,
            max_active_calls: 16,
            max_commit_waiters: 64,
            commit_wait: Duration::from_secs(10),
            batch_time: Duration::from_secs(20),
            request_time: Duration::from_secs(30),
            idle_time: Duration::from_mins(1),
        }
    }
}
