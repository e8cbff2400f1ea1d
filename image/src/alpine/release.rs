//! The release: which files it has, and what of them lies on the medium.
//!
//! Alpine's tarball for the Raspberry Pi is a medium already: firmware, device trees, kernel, initramfs, modules and a
//! signed repository of packages. Its kernel has no drivers for virtual machines, so those of `virt` are laid beside it,
//! from the tarball for booting over a network.

use std::io;

use super::gzip;
use super::index::{self, Index, IndexError};
use super::keys::Keys;
use super::package::{Package, PackageError};
use crate::tree::{Node, Tree, TreeError};

/// The release.
pub const RELEASE: &str = "3.22.2";
/// The branch that it belongs to.
pub const BRANCH: &str = "v3.22";
/// The architecture.
pub const ARCHITECTURE: &str = "aarch64";
/// Repositories of the branch from which packages are taken that the medium lacks.
pub const REPOSITORIES: [&str; 2] = ["main", "community"];
/// The most that a tarball may unpack to, in bytes.
const MAX_TARBALL_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Files that are written here, not by Alpine.
const OURS: [&str; 3] = ["config.txt", "cmdline.txt", "usercfg.txt"];
/// What boots virtual machines, in the tarball and on the medium.
const MACHINES: [&str; 3] = ["boot/vmlinuz-virt", "boot/initramfs-virt", "boot/modloop-virt"];
/// What a medium for boards must hold.
const BOARDS: [&str; 6] = [
    "boot/vmlinuz-rpi",
    "boot/initramfs-rpi",
    "boot/modloop-rpi",
    "apks/.boot_repository",
    "start4.elf",
    "fixup4.dat",
];

/// Why the release makes no medium.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Malformed, although it is the right file.
    #[error("cannot unpack {file}: {why}")]
    Unpack {
        /// The file.
        file: String,
        /// Why.
        why: io::Error,
    },
    /// A file is not where it was expected.
    #[error("{file} is not laid out as Alpine {RELEASE} is: {why}")]
    Layout {
        /// The file.
        file: String,
        /// What is different.
        why: String,
    },
    /// See [`IndexError`].
    #[error(transparent)]
    Index(#[from] IndexError),
    /// See [`PackageError`].
    #[error(transparent)]
    Package(#[from] PackageError),
    /// See [`TreeError`].
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Path of the tarball for boards, on a mirror.
#[must_use]
pub fn boards_path() -> String {
    format!("{BRANCH}/releases/{ARCHITECTURE}/alpine-rpi-{RELEASE}-{ARCHITECTURE}.tar.gz")
}

/// Path of the tarball whose kernel starts virtual machines, on a mirror.
#[must_use]
pub fn machines_path() -> String {
    format!("{BRANCH}/releases/{ARCHITECTURE}/alpine-netboot-{RELEASE}-{ARCHITECTURE}.tar.gz")
}

/// Path of a file of a repository, on a mirror.
#[must_use]
pub fn repository_path(repository: &str, file: &str) -> String {
    format!("{BRANCH}/{repository}/{ARCHITECTURE}/{file}")
}

/// Path of a file of the medium's own repository.
#[must_use]
pub fn medium_path(file: &str) -> String {
    format!("apks/{ARCHITECTURE}/{file}")
}

/// The medium of a release, and the packages on it.
#[derive(Debug)]
pub struct Medium {
    /// What lies on the FAT partition.
    pub tree: Tree,
    /// Its repository.
    pub index: Index,
    /// Its packages, in the order of the index.
    pub packages: Vec<Package>,
}

/// Makes the medium of the two tarballs. Whether they are Alpine's is known already; here the packages are checked as the
/// node will check them, so that it does not find one that it refuses.
///
/// # Errors
/// [`ReleaseError`].
pub fn medium(boards: &[u8], machines: &[u8], keys: &Keys) -> Result<Medium, ReleaseError> {
    let file = boards_path();
    let layout = |why: String| ReleaseError::Layout { file: file.clone(), why };
    let mut tree = gzip::unpack(boards, MAX_TARBALL_BYTES, |path| !OURS.contains(&path))
        .map_err(|why| ReleaseError::Unpack { file: file.clone(), why })?;
    if let Some((path, _)) = tree.iter().find(|(path, _)| path.contains(".apkovl.")) {
        // Alpine reads one overlay only.
        return Err(layout(format!("it brings an overlay of its own, {path}")));
    }
    for path in BOARDS {
        tree.read(path).map_err(|why| layout(why.to_string()))?;
    }
    for (path, entry) in tree.iter_mut() {
        if matches!(entry.node, Node::Link(_)) {
            return Err(layout(format!("{path} is a link, which a FAT partition cannot hold")));
        }
        entry.mode = if entry.node == Node::Dir { 0o755 } else { 0o644 };
        (entry.uid, entry.gid) = (0, 0);
    }
    let place = medium_path("APKINDEX.tar.gz");
    let index = index::read(tree.read(&place)?, keys, &format!("{place} in {file}"))?;
    let packages = packages(&tree, &index, keys)?;

    let file = machines_path();
    let extra = gzip::unpack(machines, MAX_TARBALL_BYTES, |path| MACHINES.contains(&path))
        .map_err(|why| ReleaseError::Unpack { file: file.clone(), why })?;
    for path in MACHINES {
        let content = extra
            .read(path)
            .map_err(|why| ReleaseError::Layout { file: file.clone(), why: why.to_string() })?;
        let content = if path.contains("vmlinuz") { efi_kernel(content)? } else { content.to_vec() };
        tree.file(path, 0o644, content)?;
    }
    Ok(Medium { tree, index, packages })
}

/// Whether a file is a package by its name.
#[must_use]
pub fn is_package(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("apk"))
}

fn packages(tree: &Tree, index: &Index, keys: &Keys) -> Result<Vec<Package>, ReleaseError> {
    let mut packages = Vec::new();
    for entry in &index.entries {
        let path = medium_path(&entry.file());
        let bytes = tree.read(&path)?.to_vec();
        packages.push(Package::check(&path, bytes, Some(entry), keys)?);
    }
    // What the index does not name nobody vouches for.
    // FAT does not tell large letters from small ones.
    for (path, _) in tree.iter().filter(|(path, _)| is_package(path)) {
        if !index.entries.iter().any(|entry| medium_path(&entry.file()) == path) {
            let why = format!("{path} is not in its index");
            return Err(ReleaseError::Layout { file: boards_path(), why });
        }
    }
    Ok(packages)
}

/// A kernel as UEFI starts it: not compressed, or such that it unpacks itself.
fn efi_kernel(kernel: &[u8]) -> Result<Vec<u8>, ReleaseError> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const MAX_KERNEL_BYTES: u64 = 256 * 1024 * 1024;
    let layout = |why: String| ReleaseError::Layout { file: machines_path(), why };
    let kernel = if kernel.starts_with(GZIP) {
        gzip::first(kernel, MAX_KERNEL_BYTES).map_err(|why| layout(why.to_string()))?.0.content
    } else {
        kernel.to_vec()
    };
    if kernel.starts_with(b"MZ") {
        Ok(kernel)
    } else {
        Err(layout("its kernel for virtual machines is no EFI program".into()))
    }
}
