//! Other registries that this one keeps copies of: what is asked for and not here is fetched from there, verified,
//! kept, and served from here ever after.
//!
//! ```text
//!   settings   which registries, under which names
//!   challenge  what a registry wants to see first: pure
//!   tokens     what it gave for that
//!   remote     one upstream: manifests, blobs, tokens, redirects
//!   upstreams  all of them: which name belongs to which, what is fresh
//!   flights    what is on its way, each thing once
//! ```
//!
//! How it joins the HTTP side stands in `http::pull`. An image `library/alpine` of the upstream with the prefix
//! `docker.io` is the repository `docker.io/library/alpine` here. Clients ask for it by that name, or, as the
//! specification's main has it, by `library/alpine` and `?ns=docker.io`.

mod challenge;
mod error;
mod flights;
mod remote;
mod settings;
mod tokens;
#[allow(clippy::module_inception)]
mod upstreams;

pub use error::UpstreamError;
pub use settings::{UpstreamSettings, UpstreamSettingsError};
pub use upstreams::{Pulls, Upstreams};

pub(crate) use flights::{Progress, Source, Transfer, blob as blob_flight, manifest as manifest_flight};
pub(crate) use remote::Remote;
pub(crate) use upstreams::Outcome;
