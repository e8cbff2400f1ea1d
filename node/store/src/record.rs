//! Records of the log.

/// Everything on disk starts at a multiple of this many bytes.
pub const PAGE_BYTES: usize = 4096;
/// The longest record, header and payload, in bytes: 8 MiB.
pub const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;
/// The longest signer record, in bytes.
pub const MAX_SIGN_BYTES: usize = 4000;
