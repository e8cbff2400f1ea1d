//! TrustNet's OCI image registry: the distribution specification over content-addressed files.

mod digest;
mod error;
pub mod limits;
mod name;

pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::{RegistryError, Result};
pub use limits::Limits;
pub use name::{NameError, Reference, RepoName, Tag};
