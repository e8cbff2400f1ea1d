//! The HTTP side: one handler for all paths, since names of repositories contain slashes.

mod blobs;
mod body;
mod chunk;
mod connection;
mod handler;
mod lists;
mod manifests;
mod peer;
mod query;
mod range;
mod receive;
mod respond;
mod route;
mod serve;
mod uploads;
mod visit;

pub use handler::Registry;
pub use peer::Peer;
pub use serve::serve;
