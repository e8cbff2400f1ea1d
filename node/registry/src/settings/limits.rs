//! `[limits]`: how much clients may ask for.

use serde::Deserialize;

use super::size::Size;
use crate::access::Rate;
use crate::limits::Limits;

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Requests a second of one client, in the long run; 0: no limit.
    pub requests_per_second: u32,
    /// Requests of one client at once, after a pause.
    pub burst: u32,
    /// Largest blob. Read at the start only, as are those below.
    pub max_blob: Option<Size>,
    /// Connections open at once.
    pub connections: Option<usize>,
    /// Connections open at once from one address.
    pub connections_per_address: Option<usize>,
    /// Uploads that send at once.
    pub uploads: Option<usize>,
    /// Downloads that are sent at once.
    pub downloads: Option<usize>,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            requests_per_second: 200,
            burst: 4_000,
            max_blob: None,
            connections: None,
            connections_per_address: None,
            uploads: None,
            downloads: None,
        }
    }
}

impl LimitsSection {
    /// No limit on how often clients ask.
    pub(super) fn none() -> Self {
        Self { requests_per_second: 0, ..Self::default() }
    }

    pub(crate) fn rate(&self) -> Rate {
        Rate { per_second: self.requests_per_second, burst: self.burst }
    }

    /// How often one network may look whether the registry lives: at least as often as clients may ask by default, since
    /// monitors do not know what is set here.
    pub(crate) fn look_rate(&self) -> Rate {
        let default = Self::default();
        let at_least = |own: u32, default: u32| if own == 0 { 0 } else { own.max(default) };
        Rate {
            per_second: at_least(self.requests_per_second, default.requests_per_second),
            burst: self.burst.max(default.burst),
        }
    }

    /// `limits` with what is said here.
    #[must_use]
    pub fn apply(&self, limits: &Limits) -> Limits {
        Limits {
            max_blob_bytes: self.max_blob.map_or(limits.max_blob_bytes, |size| size.0),
            max_connections: self.connections.unwrap_or(limits.max_connections),
            max_connections_per_address: self
                .connections_per_address
                .unwrap_or(limits.max_connections_per_address),
            max_uploads: self.uploads.unwrap_or(limits.max_uploads),
            max_downloads: self.downloads.unwrap_or(limits.max_downloads),
            ..limits.clone()
        }
    }
}
