//! What an image is built on: one of the two bases gives it, and the rest is the same for both.

use crate::tree::Tree;

/// A base, ready for the overlay.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its name and version, for people.
    pub name: String,
    /// What of it lies on the FAT partition.
    pub medium: Tree,
    /// How it boots.
    pub boot: Boot,
    /// The UEFI boot loader.
    pub uefi: Vec<u8>,
    /// Size of an image in bytes. It never changes for a base: a card that is flashed again keeps its data only if the
    /// data partition still begins where it did.
    pub image_bytes: u64,
    /// What it is made of, for the list beside the image.
    pub parts: Vec<Part>,
}

/// The two ways to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The Raspberry Pi's firmware.
    pub boards: Start,
    /// UEFI, and QEMU without it.
    pub machines: Start,
}

/// A kernel and what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Path of the kernel on the FAT partition.
    pub kernel: String,
    /// Path of the initramfs.
    pub initramfs: String,
    /// What the base's first program reads from the command line.
    pub options: String,
}

/// Something that the base is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// A component type of `CycloneDX`.
    pub kind: &'static str,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Package URL.
    pub purl: String,
    /// SHA-256 of the package.
    pub sha256: Option<String>,
    /// Its licence, as its packager names it.
    pub licence: Option<String>,
}
