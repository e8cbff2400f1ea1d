//! Images as archives: taken in and given out without a network.
//!
//! ```text
//!   folder --.                      import                                    export
//!   a tar  ---+-> archive (bytes) -> gather (files, verified) -> names  \      |
//!   gzip   --'                                                   docker  > adopt (one transaction)
//! ```
//!
//! Known are the OCI image layout, as a folder or as a tar, and what `docker save` and `podman save` write. Nothing of an
//! archive is ever written under a name of its own: its files go into the store under their digest, and paths are only
//! looked up. An import that fails leaves no tag and no link; the files that had arrived are collected later, unless they
//! are wanted by then.

mod adopt;
mod docker;
mod export;
mod folder;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gather;
mod import;
mod path;
mod tar_read;
mod tar_write;
mod unpack;

pub use crate::image::{NoPlatform, Platform, PlatformChoice};
pub use export::{ExportFormat, Exported, export};
pub use folder::FolderTar;
pub use import::{Imported, ImportedImage, import};
pub use unpack::unpack;

/// The file that says that an archive is an OCI layout.
const OCI_LAYOUT: &str = "oci-layout";
/// The list of an OCI layout's images.
const INDEX_JSON: &str = "index.json";
/// The list of a docker archive's images.
const MANIFEST_JSON: &str = "manifest.json";
/// What an image of a layout is called: a tag, or a whole name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name, as containerd and docker write it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// Most files in an archive.
const MAX_ENTRIES: usize = 20_000;
/// Longest path in an archive, in bytes.
const MAX_PATH_BYTES: usize = 512;
/// Most manifests in one import or export.
const MAX_MANIFESTS: usize = 2_000;
/// How deep indexes may stand in each other.
const MAX_DEPTH: usize = 8;
/// How much is copied at once, in bytes.
const COPY_BYTES: usize = 128 * 1024;
