//! What an operator may do with a registry: look, remove, collect, scrub, move images in and out.
//!
//! ```text
//!   Administration      finds out whether the registry serves or is stopped
//!     |        \
//!     |         client ~~~ socket ~~~ server      the registry serves: it does the work itself
//!     |                                 |
//!     +-------- execute ----------------+         one way to do each operation, on a store
//!                  |
//!       list, inspect, remove, idle, usage (here); transfer, collect, scrub
//! ```
//!
//! The socket stands in the data directory, in a folder that only the registry's user may enter. Whoever can connect may
//! do everything; there is nothing to log in to.

mod client;
mod execute;
mod idle;
mod inspect;
mod list;
mod operation;
mod remove;
mod server;
mod usage;
mod wire;

pub use client::{AdminError, Administration, Heed, Opening};
pub use execute::{Channel, execute};
pub use idle::Idle;
pub use inspect::{Inspected, Layer, Platform, Referrer};
pub use list::{RepositorySummary, TagSummary};
pub use operation::{Answer, CollectReport, Event, Operation, Progress, ScrubReport};
pub use remove::Removal;
pub use server::AdminServer;
pub use usage::{RepositoryUsage, Usage};

/// Rows looked at in one transaction while nothing is changed.
pub(crate) const PAGE: usize = 256;
