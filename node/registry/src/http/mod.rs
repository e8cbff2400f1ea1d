//! The HTTP side: one handler for all paths, since names of repositories contain slashes.

mod blobs;
mod body;
mod chunk;
mod connection;
mod handler;
mod lists;
mod manifests;
mod metrics;
mod observe;
mod query;
mod range;
mod receive;
mod respond;
mod route;
mod serve;
mod uploads;

pub use handler::Registry;
pub(crate) use metrics::serve_metrics;
pub use serve::{serve, serve_until};
