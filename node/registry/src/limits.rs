//! How much of anything the registry takes, holds or waits for. Constants are what the formats fix; [`Limits`] is
//! what an operator may change.

use std::time::Duration;

/// Longest name of a repository, in bytes. Most clients allow 255 for the host and the name together.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest tag, in bytes, as the specification fixes it.
pub const MAX_TAG_BYTES: usize = 128;
/// Longest manifest, in bytes: the size that the specification asks every registry to take.
pub const MAX_MANIFEST_BYTES: u64 = 4 * 1024 * 1024;
/// Most descriptors in one manifest. Each becomes two rows of the metadata; the longest manifest would hold 40,000
/// short ones, no image comes near a thousand.
pub const MAX_REFERENCES: usize = 10_000;
/// Longest media type or artifact type, in bytes, as RFC 6838 has it (two names of at most 127 and a slash).
pub const MAX_MEDIA_TYPE_BYTES: usize = 255;
/// Most tags that one push of a manifest by digest may name.
pub const MAX_TAG_PARAMETERS: usize = 100;
/// Tags in one answer: what is sent when the client names no number, and the most when it does.
pub const MAX_TAGS_PER_PAGE: usize = 1_000;
/// Descriptors of referrers in one answer.
pub const MAX_REFERRERS_PER_PAGE: usize = 500;
/// A page of referrers ends when its descriptors are longer than this together, in bytes: each may carry annotations
/// as long as a manifest.
pub const REFERRERS_PAGE_BYTES: usize = 256 * 1024;
/// How much of a body is gathered before it is written and hashed in one go, in bytes. Twice this is in memory for
/// each upload.
pub const UPLOAD_BATCH_BYTES: usize = 256 * 1024;
/// How much of a file is read at once, in bytes. Twice this is in memory for each download.
pub const READ_BYTES: usize = 128 * 1024;
/// Longest head of a request, in bytes: room for a hundred of the longest tags, and as much again.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The buffer of a connection, in bytes. Bodies come in parts of at most this.
pub const CONNECTION_BUFFER_BYTES: usize = 64 * 1024;
/// How much of a refused body is read, in bytes, so that the client sees the answer rather than a broken connection.
pub const DRAIN_BYTES: usize = 1024 * 1024;
/// Bodies and files up to this many bytes pass without a place among the large ones.
pub const SMALL_BYTES: u64 = 64 * 1024;

/// What an operator may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once; further ones wait in the system's queue.
    pub max_connections: usize,
    /// Connections open at once from one address; further ones are closed. A fraction of the above, so that one client
    /// cannot have all of them.
    pub max_connections_per_address: usize,
    /// Uploads that send at once.
    pub max_uploads: usize,
    /// Downloads that are sent at once.
    pub max_downloads: usize,
    /// Upload sessions that are open, sending or not.
    pub max_sessions: usize,
    /// Largest blob, in bytes.
    pub max_blob_bytes: u64,
    /// How long a request waits for its place among the uploads or downloads.
    pub place_wait: Duration,
    /// From the first byte of a request's head, or from the end of the last answer, to the end of the head.
    pub head_time: Duration,
    /// How long a client may take to agree on TLS.
    pub handshake_time: Duration,
    /// How long a client may take to send [`UPLOAD_BATCH_BYTES`].
    pub batch_time: Duration,
    /// How long a client may refuse to take any byte of an answer.
    pub write_time: Duration,
    /// How long a request waits for another one of the same upload to end.
    pub takeover_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 256,
            max_connections_per_address: 128,
            max_uploads: 8,
            max_downloads: 16,
            max_sessions: 512,
            max_blob_bytes: 64 * 1024 * 1024 * 1024,
            place_wait: Duration::from_secs(60),
            head_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(10),
            batch_time: Duration::from_mins(4),
            write_time: Duration::from_secs(60),
            takeover_time: Duration::from_secs(10),
        }
    }
}
