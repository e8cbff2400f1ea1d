//! Puts the base together: the medium, the packages beside it, the boot loader.

use super::fetch::Files;
use super::package::Package;
use super::release::{ARCHITECTURE, RELEASE};
use crate::base::{Base, Boot, Part, Start};
use crate::tree::TreeError;

/// Size of an image. Twice that of the base `debian`: there are two kernels with two sets of modules, and an update lays
/// new ones beside them before it removes the old.
const IMAGE_BYTES: u64 = 512 * 1024 * 1024;
/// Modules that Alpine's first program loads before it looks for hardware: those of Alpine's own media.
const MODULES: &str = "loop,squashfs,sd-mod,usb-storage";
/// Where the overlay's first service finds packages.
const EXTRA: &str = "trustnet/apks";

/// The base of these files.
///
/// # Errors
/// [`TreeError`].
pub fn assemble(files: &Files) -> Result<Base, TreeError> {
    let mut medium = files.medium.tree.clone();
    for package in &files.extra {
        medium.file(&format!("{EXTRA}/{}", file(package)), 0o644, package.bytes.clone())?;
    }
    let release = Part {
        kind: "operating-system",
        name: "alpine-rpi, alpine-netboot".into(),
        version: RELEASE.into(),
        purl: format!("pkg:generic/alpine@{RELEASE}?arch={ARCHITECTURE}"),
        sha256: None,
        licence: None,
    };
    let tarballs = files.pins.iter().filter(|pin| pin.path.ends_with(".tar.gz")).map(|pin| Part {
        name: pin.path.rsplit('/').next().unwrap_or(&pin.path).into(),
        sha256: Some(pin.sha256.clone()),
        ..release.clone()
    });
    let packages = files.medium.packages.iter().chain(&files.extra).chain([&files.loader]).map(part);
    let mut parts: Vec<Part> = tarballs.chain(packages).collect();
    parts.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    parts.dedup();
    let start = |kernel: &str| Start {
        kernel: format!("boot/vmlinuz-{kernel}"),
        initramfs: format!("boot/initramfs-{kernel}"),
        // Each kernel its own modules; without this every file in boot/ is tried.
        options: format!("modules={MODULES} modloop=/boot/modloop-{kernel}"),
    };
    let boot = Boot { boards: start("rpi"), machines: start("virt") };
    let name = format!("Alpine Linux {RELEASE}");
    Ok(Base { name, medium, boot, uefi: files.uefi.clone(), image_bytes: IMAGE_BYTES, parts })
}

fn file(package: &Package) -> String {
    format!("{}-{}.apk", package.name, package.version)
}

fn part(package: &Package) -> Part {
    let Package { name, version, licence, bytes, .. } = package;
    Part {
        kind: "application",
        name: name.clone(),
        version: version.clone(),
        purl: format!("pkg:apk/alpine/{name}@{version}?arch={ARCHITECTURE}&distro=alpine-{RELEASE}"),
        sha256: Some(crate::cache::sha256_hex(bytes)),
        licence: (!licence.is_empty()).then(|| licence.clone()),
    }
}
