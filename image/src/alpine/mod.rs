//! The base `alpine`: Alpine Linux 3.22.2 for aarch64, as its medium for the Raspberry Pi, with a kernel for virtual
//! machines and the packages that a node needs besides.
//!
//! # What is believed
//!
//! A mirror is believed nothing. Three keys are built in ([`keys`]):
//!
//! - The release key signs each tarball as a whole, in a file `.asc` beside it ([`openpgp`]). That covers firmware,
//!   kernel and initramfs, which nothing else of Alpine's covers. A `.sha256` beside a tarball proves nothing, as whoever
//!   changes one changes the other; it is not read.
//! - The keys of the packages sign the index of each repository, that on the medium too ([`index`]). The index names each
//!   package by a hash, each package names its files by one, and each package carries a signature as well
//!   ([`package`]). The node's own `apk` checks the last two again when it installs.
//!
//! What was checked is pinned by its SHA-256 in `image/alpine.lock` ([`lock`]): on first use, and when
//! `trustnet-image lock --base alpine` is run. From then on a file is taken if it has that hash, from the cache without a
//! network; for packages, the signatures are checked all the same.
//!
//! Two things are not covered. An old index is signed like a new one, so a mirror may withhold updates from whoever makes
//! the lock file. And nothing protects the card once it is written: whoever holds it can change it.

pub mod base;
pub mod gzip;
pub mod index;
pub mod keys;
pub mod lock;
pub mod mirror;
pub mod openpgp;
pub mod package;
pub mod release;
pub mod resolve;
pub mod services;
pub mod version;

mod fetch;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use fetch::{Files, fetch, fetch_pinned};
pub use keys::Keys;

use crate::cache::FetchError;
use crate::tree::TreeError;

/// Why there is no Alpine base.
#[derive(Debug, thiserror::Error)]
pub enum AlpineError {
    /// A file cannot be had.
    #[error(
        "{why}\nAlpine's files cannot be had. Next: --alpine-mirror URL for another mirror, --base-dir DIR for a copy of one on \
         this machine, or --base debian for a base of Debian's packages"
    )]
    Fetch {
        /// Why.
        #[from]
        why: FetchError,
    },
    /// A tarball is not Alpine's.
    #[error(
        "{file} is not to be trusted: {why}; nothing of it was used. Take another mirror: --alpine-mirror URL"
    )]
    Signature {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The medium alone does not hold what is installed first.
    #[error(
        "what a node installs first, the medium has to hold, but {0}; the list is the overlay's etc/apk/world"
    )]
    World(#[source] resolve::ResolveError),
    /// The overlay's list of packages cannot be read.
    #[error("the overlay's etc/apk/world is malformed: {0}")]
    WorldSyntax(String),
    /// The lock file lacks something.
    #[error("image/alpine.lock has no {0}; make it again: trustnet-image lock --base alpine")]
    NotPinned(String),
    /// See [`lock::AlpineLockError`].
    #[error(transparent)]
    Lock(#[from] lock::AlpineLockError),
    /// See [`index::IndexError`].
    #[error(transparent)]
    Index(#[from] index::IndexError),
    /// See [`package::PackageError`].
    #[error(transparent)]
    Package(#[from] package::PackageError),
    /// See [`release::ReleaseError`].
    #[error(transparent)]
    Release(#[from] release::ReleaseError),
    /// See [`resolve::ResolveError`].
    #[error(transparent)]
    Resolve(#[from] resolve::ResolveError),
    /// See [`TreeError`].
    #[error(transparent)]
    Tree(#[from] TreeError),
}
