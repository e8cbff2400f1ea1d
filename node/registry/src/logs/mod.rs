//! The access log: who asked for what, and what was answered, a JSON object a line, in `logs/access.log`.
//!
//! ```text
//!   record     one line
//!   rotating   the file, which makes way for a new one when it is long enough
//!   writer     gathers lines and writes them, on a thread of its own; a request only leaves its line there
//! ```
//!
//! It is for the operator who wants to know afterwards, not for the registry: a line that cannot be written is counted
//! and dropped, and nothing is flushed to the medium, which on a board wears out.

mod record;
mod rotating;
mod writer;

pub(crate) use record::Record;
#[cfg(test)]
pub(crate) use rotating::MAX_FILE_BYTES;
pub(crate) use rotating::log_bytes;
pub use writer::AccessLog;
#[cfg(test)]
pub(crate) use writer::Pace;

use serde::Deserialize;

/// `[log]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Whether the access log is written.
    pub access: bool,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { access: true }
    }
}
