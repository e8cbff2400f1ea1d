//! HTTPS without a thought: a certificate authority of the cluster's own, a server certificate that renews itself, and
//! what clients need to trust it.
//!
//! ```text
//!   names      what a server is called
//!   facts      what a certificate says of itself: when it is valid, for which names
//!   files      keys and certificates on disk, whole or not at all
//!   authority  the cluster's own authority: made once, exported, imported, signs
//!   keeper     keeps a server certificate that is valid now, for the names of now
//!   resolver   which certificate a client is shown; exchanged while serving
//!   config     rustls as we want it
//!   trust      what each client needs
//! ```
//!
//! Decisions live in `names`, `facts`, `keeper::due` and `trust::plan`, which know neither clock nor disk.

mod authority;
mod config;
mod error;
mod facts;
mod files;
mod keeper;
mod names;
mod resolver;
mod settings;
pub mod trust;

pub use authority::{Authority, Import};
pub(crate) use config::provider;
pub use config::server_config;
pub use error::TlsError;
#[cfg(test)]
pub(crate) use facts::DAY_SECONDS;
pub(crate) use facts::Facts;
pub(crate) use files::{Access, Folder};
pub use keeper::{CLOCK_FLOOR_SECONDS, Keeper, now_seconds};
pub use names::Names;
pub use resolver::Certificates;
pub(crate) use resolver::{ACME_ALPN, certified};
pub use settings::TlsSettings;
