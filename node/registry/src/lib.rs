//! TrustNet's OCI image registry: the distribution specification over content-addressed files.

mod blobs;
mod catalog;
mod content;
mod digest;
mod error;
mod files;
mod http;
mod ingest;
mod journal;
mod layout;
pub mod limits;
mod manifest;
mod meta;
mod name;
mod pieces;
mod rebuild;
mod store;
mod upload_id;
mod uploads;
mod uptime;

pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::{RegistryError, Result};
pub use files::{Entry, FileHandle, Files, OsFiles};
pub use http::{Registry, serve};
pub use limits::Limits;
pub use manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
pub use meta::damaged::Damage;
pub use name::{NameError, Reference, RepoName, Tag};
pub use pieces::{PIECE_BYTES, PieceHasher, PieceList};
pub use rebuild::Rebuilt;
pub use store::{Options, Store};
pub use upload_id::{NoUploadId, UploadId};
pub use uptime::{Clock, SystemClock};
