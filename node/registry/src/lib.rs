//! The OCI image registry: the distribution specification over content-addressed files.
//!
//! ```text
//!   http/      paths, bodies, answers; knows no files
//!     |  tls, acme      certificates: the cluster's own authority, public ones
//!     |  upstream       other registries that copies are kept of, over client
//!     |
//!   store      what a change is: content (blobs), catalog (manifests, tags, referrers), uploads
//!   |  |  |
//!   |  |  meta       one redb file that answers every request, and can be made again
//!   |  journal       what happened to each repository, as lines of text: what it is made again from
//!   blobs, ingest    files under their digest, and files that grow
//!         |
//!       files        the only place that touches the disk; tests put one there that fails
//!
//!   collect, scrub, care     what the registry does by itself
//!   evict                    copies of other registries that make way
//!
//!   settings                 one file that says who may do what (`access`) and what may be stored (`policy`)
//!   logs                     who asked for what, written down for the operator
//!   admin, transfer          what an operator does with it, serving or stopped: look, remove, import, export
//!   service                  all of it, started and stopped
//! ```
//!
//! What is acknowledged is on disk, whole and flushed, and survives a crash at any step. Nothing is served before all of
//! it is there under its digest. Memory is bounded by the limits, not by what clients send: see [`limits`].

pub mod access;
mod acme;
pub mod admin;
mod blobs;
mod care;
mod catalog;
mod client;
mod collect;
mod content;
mod digest;
mod error;
mod evict;
mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http;
mod image;
mod ingest;
mod journal;
mod layout;
pub mod limits;
mod logs;
mod manifest;
mod meta;
mod metrics;
mod name;
mod pieces;
mod policy;
mod rebuild;
mod scrub;
mod service;
mod settings;
mod space;
mod store;
mod target;
mod text;
mod tls;
pub mod transfer;
mod upload_id;
mod uploads;
mod upstream;
mod uptime;

pub use acme::{
    Acme, AcmeError, AcmeSettings, Attempts, Challenges, Directory, Pace, Proof, serve_challenges,
};
pub use care::{Care, Plan};
pub use collect::{Collected, Policy};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::{Mismatch, RegistryError, Result};
pub use files::{Entry, FileHandle, Files, OsFiles};
pub use http::{Extras, Peer, Registry, serve, serve_tls, serve_tls_until, serve_until};
pub use limits::Limits;
pub use logs::{AccessLog, LogSection};
pub use manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
pub use meta::damaged::Damage;
pub use name::{NameError, Reference, RepoName, Tag};
pub use pieces::{PIECE_BYTES, PieceHasher, PieceList};
pub use policy::{
    ImmutableSection, QuotaSection, Removal, RetentionSection, Space, StorageRules, StorageSection,
};
pub use rebuild::Rebuilt;
pub use scrub::{Depth, Scrubbed};
pub use service::{Machine, Rules, Running, Setup, StartError, start};
pub use settings::{
    Compiled, LimitsSection, LiveSettings, MAX_SETTINGS_BYTES, SETTINGS_FILE, Secret, Settings,
    SettingsError, Size,
};
pub use store::{Options, Store};
pub use target::Target;
pub use tls::{
    Authority, CLOCK_FLOOR_SECONDS, Certificates, Import, Keeper, Names, TlsError, TlsSettings, now_seconds,
    server_config, trust,
};
pub use upload_id::{NoUploadId, UploadId};
pub use upstream::{Pulls, UpstreamError, UpstreamSettings, UpstreamSettingsError, Upstreams};
pub use uptime::{Clock, SystemClock};

#[cfg(test)]
mod tests;
