//! The HTTP side: one handler for all paths, since names of repositories contain slashes.

mod blobs;
mod body;
mod chunk;
mod connection;
mod door;
mod fetch;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod growing;
mod handler;
mod lists;
mod manifests;
mod metrics;
mod observe;
mod pages;
mod parts;
mod pass;
mod peer;
mod pull;
mod query;
mod range;
mod receive;
mod respond;
mod route;
mod secure;
mod serve;
mod uploads;
mod visit;

pub use handler::{Extras, Registry};
pub(crate) use metrics::serve_metrics;
pub use peer::Peer;
pub(crate) use query::encode;
pub(crate) use serve::serve_router;
pub use serve::{serve, serve_tls, serve_tls_until, serve_until};
