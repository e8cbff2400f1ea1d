//! The base `debian`: a userland shaped like Alpine's, assembled from Debian's arm64 packages, for machines that cannot
//! reach Alpine's mirrors. It takes the very same overlay.
//!
//! Debian's `OpenRC` comes without most services, so stand-ins with Alpine's names are in `image/base-debian/root`.

use std::path::Path;

use crate::archive::cpio;
use crate::base::{Base, Boot, Start};
use crate::deb;
use crate::elf::missing_libraries;
use crate::files::{FilesError, read_folder};
use crate::lock::Pin;
use crate::modules::{FOR_BOOT, FOR_RUNNING, ModuleError, Modules};
use crate::parts;
use crate::squash::{SquashError, squashfs};
use crate::tree::{Node, Tree, TreeError};

/// Size of an image: what the FAT partition holds, and room for an update beside it.
const IMAGE_BYTES: u64 = 256 * 1024 * 1024;
/// Modules that the first program loads before it looks for hardware: of those the kernel does not tell by itself.
const BOOT_MODULES: &str = "loop,squashfs,overlay,vfat,nls_cp437,nls_ascii,nls_utf8,sd-mod,usb-storage,bcm2835,\
    sdhci-iproc,phy-generic,dwc2";
/// Packages say there under which licences they are.
const DOCUMENTATION: &str = "usr/share/doc";

/// What is taken of a package.
enum Take {
    /// All but what nobody needs on a node.
    All,
    /// These paths, and what is below them.
    Only(&'static [&'static str]),
}
use Take::{All, Only};

const LIB: &str = "usr/lib/aarch64-linux-gnu";

/// Name of the package of the kernel; its version is in the name, the lock file has the whole.
pub const KERNEL: &str = "linux-image-";

/// Packages and what is taken of them. All of `main` unless marked in the lock file.
const PACKAGES: &[(&str, Take)] = &[
    ("busybox-static", Only(&["usr/bin/busybox"])),
    ("openrc", Only(&["usr/sbin", "usr/bin", "usr/lib/rc", "etc/rc.conf"])),
    ("librc1t64", All),
    ("libeinfo1", All),
    (
        "libc6",
        Only(&[
            "usr/lib/ld-linux-aarch64.so.1",
            "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
            "usr/lib/aarch64-linux-gnu/libc.so.6",
            "usr/lib/aarch64-linux-gnu/libm.so.6",
            "usr/lib/aarch64-linux-gnu/libresolv.so.2",
            "usr/lib/aarch64-linux-gnu/libdl.so.2",
            "usr/lib/aarch64-linux-gnu/libpthread.so.0",
            "usr/lib/aarch64-linux-gnu/libnss_dns.so.2",
            "usr/lib/aarch64-linux-gnu/libnss_files.so.2",
        ]),
    ),
    ("libgcc-s1", All),
    (
        "libpam0g",
        Only(&["usr/lib/aarch64-linux-gnu/libpam.so.0", "usr/lib/aarch64-linux-gnu/libpam_misc.so.0"]),
    ),
    ("libpam-modules", Only(&["usr/lib/aarch64-linux-gnu/security/pam_permit.so"])),
    ("libcap2", Only(&["usr/lib/aarch64-linux-gnu"])),
    ("libaudit1", All),
    ("libselinux1", All),
    ("libpcre2-8-0", All),
    (
        "libcap-ng0",
        Only(&["usr/lib/aarch64-linux-gnu/libcap-ng.so.0", "usr/lib/aarch64-linux-gnu/libcap-ng.so.0.0.0"]),
    ),
    ("ifupdown-ng", Only(&["usr/sbin", "usr/libexec/ifupdown-ng", "etc/network/ifupdown-ng.conf"])),
    ("libbsd0", All),
    ("libmd0", All),
    ("openssh-server", Only(&["usr/sbin/sshd", "usr/lib/openssh"])),
    ("openssh-client", Only(&["usr/bin/ssh-keygen"])),
    ("openssh-sftp-server", Only(&["usr/lib/openssh", "usr/lib/sftp-server"])),
    ("libcrypt1", All),
    ("libssl3t64", Only(&["usr/lib/aarch64-linux-gnu/libcrypto.so.3"])),
    ("libwrap0", All),
    ("libwtmpdb0", All),
    ("libsqlite3-0", All),
    ("libnsl2", All),
    ("libtirpc3t64", All),
    ("zlib1g", All),
    (
        "libgssapi-krb5-2",
        Only(&[
            "usr/lib/aarch64-linux-gnu/libgssapi_krb5.so.2",
            "usr/lib/aarch64-linux-gnu/libgssapi_krb5.so.2.2",
        ]),
    ),
    (
        "libkrb5-3",
        Only(&["usr/lib/aarch64-linux-gnu/libkrb5.so.3", "usr/lib/aarch64-linux-gnu/libkrb5.so.3.3"]),
    ),
    ("libk5crypto3", All),
    ("libkrb5support0", All),
    ("libkeyutils1", All),
    ("libcom-err2", All),
    ("libedit2", All),
    ("libtinfo6", All),
    (
        "e2fsprogs",
        Only(&[
            "usr/sbin/mke2fs",
            "usr/sbin/mkfs.ext4",
            "usr/sbin/e2fsck",
            "usr/sbin/fsck.ext4",
            "usr/sbin/resize2fs",
            "usr/sbin/tune2fs",
            "usr/sbin/e2label",
            "usr/sbin/dumpe2fs",
            "etc/mke2fs.conf",
        ]),
    ),
    ("libblkid1", All),
    ("libext2fs2t64", Only(&["usr/lib/aarch64-linux-gnu"])),
    ("libss2", All),
    ("libuuid1", All),
    ("util-linux", Only(&["usr/bin/partx", "usr/sbin/blkid", "usr/bin/flock"])),
    ("fdisk", Only(&["usr/sbin/sfdisk"])),
    ("libfdisk1", All),
    ("libsmartcols1", All),
    ("libmount1", All),
    (
        "libncursesw6",
        Only(&["usr/lib/aarch64-linux-gnu/libncursesw.so.6", "usr/lib/aarch64-linux-gnu/libncursesw.so.6.5"]),
    ),
    (
        "libreadline8t64",
        Only(&["usr/lib/aarch64-linux-gnu/libreadline.so.8", "usr/lib/aarch64-linux-gnu/libreadline.so.8.2"]),
    ),
    ("libzstd1", All),
    ("nftables", Only(&["usr/sbin/nft"])),
    ("libnftables1", All),
    ("libnftnl11", All),
    ("libmnl0", All),
    ("libjansson4", All),
    ("libxtables12", All),
    (
        "libgmp10",
        Only(&["usr/lib/aarch64-linux-gnu/libgmp.so.10", "usr/lib/aarch64-linux-gnu/libgmp.so.10.5.0"]),
    ),
    ("opendoas", Only(&["usr/bin/doas"])),
    ("openntpd", Only(&["usr/sbin/ntpd", "usr/sbin/ntpctl", "usr/sbin/openntpd", "etc/openntpd"])),
    ("systemd-boot-efi", Only(&["usr/lib/systemd/boot/efi/systemd-bootaa64.efi"])),
    ("raspi-firmware", Only(&["usr/lib/raspi-firmware"])),
    (
        "firmware-brcm80211",
        Only(&[
            "usr/lib/firmware/brcm/brcmfmac43430",
            "usr/lib/firmware/brcm/brcmfmac43455",
            "usr/lib/firmware/brcm/brcmfmac43436",
            "usr/lib/firmware/cypress/cyfmac43430",
            "usr/lib/firmware/cypress/cyfmac43455",
        ]),
    ),
];

/// Names of all packages but the kernel, for the lock file.
pub fn package_names() -> impl Iterator<Item = &'static str> {
    PACKAGES.iter().map(|(name, _)| *name)
}

/// Why the base cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// A package that is needed is not in the lock file.
    #[error("the lock file has no package {0}; make it again: trustnet-image lock --base debian")]
    NotPinned(&'static str),
    /// A package cannot be unpacked.
    #[error("cannot unpack {package}: {why}")]
    Package {
        /// Which.
        package: String,
        /// Why.
        why: std::io::Error,
    },
    /// A program would not start.
    #[error("{program} needs {library}, which no package brings; add one in image/src/base_debian.rs")]
    Library {
        /// The program.
        program: String,
        /// What it needs.
        library: String,
    },
    /// A package is of another architecture.
    #[error("{path} is not for aarch64: a package of another architecture is in the lock file")]
    Architecture {
        /// A program in it.
        path: String,
    },
    /// See [`ModuleError`].
    #[error(transparent)]
    Modules(#[from] ModuleError),
    /// See [`SquashError`].
    #[error(transparent)]
    Squash(#[from] SquashError),
    /// The archives of the base cannot be written.
    #[error("cannot put the base together: {0}")]
    Archive(#[from] std::io::Error),
    /// See [`TreeError`].
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// See [`FilesError`].
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// Puts the base together from packages. `stand_ins` is the folder `image/base-debian`.
///
/// # Errors
/// [`BaseError`].
pub fn assemble(packages: &[(Pin, Vec<u8>)], stand_ins: &Path) -> Result<Base, BaseError> {
    let mut root = Tree::merged_usr();
    for (name, take) in PACKAGES {
        let (_, bytes) =
            packages.iter().find(|(pin, _)| pin.name == *name).ok_or(BaseError::NotPinned(name))?;
        let keep = |path: &str| {
            let wanted = match take {
                All => true,
                Only(paths) => paths.iter().any(|wanted| path.starts_with(wanted)),
            };
            wanted && !is_of_no_use(path) || is_copyright(path)
        };
        let unpacked = deb::unpack(bytes, &mut root, keep);
        unpacked.map_err(|why| BaseError::Package { package: (*name).to_owned(), why })?;
    }
    let (kernel_pin, kernel_bytes) =
        packages.iter().find(|(pin, _)| pin.name.starts_with(KERNEL)).ok_or(BaseError::NotPinned(KERNEL))?;
    let mut kernel_tree = Tree::new();
    let unpacked = deb::unpack(kernel_bytes, &mut kernel_tree, |path| {
        path.starts_with("boot/vmlinuz")
            || path.starts_with("usr/lib/modules/")
            || is_device_tree(path)
            || is_copyright(path)
    });
    unpacked.map_err(|why| BaseError::Package { package: kernel_pin.name.clone(), why })?;

    let version = kernel_pin.name.trim_start_matches(KERNEL).to_owned();
    let kernel = kernel_tree.read(&format!("boot/vmlinuz-{version}"))?.to_vec();
    let modules = Modules::read(&kernel_tree, &version)?;
    let boot_modules = modules.select(FOR_BOOT)?;
    let all: Vec<&str> = FOR_BOOT.iter().chain(FOR_RUNNING).copied().collect();
    let mut modloop = Tree::new();
    for (path, entry) in modules.select(&all)?.iter() {
        if let Some(path) = path.strip_prefix("usr/lib/").filter(|path| path.starts_with("modules")) {
            modloop.put(path, entry.clone())?;
        }
    }

    let mut medium = firmware(&root, &kernel_tree, &version)?;
    let parts = packages.iter().map(|(pin, _)| {
        let path = format!("{DOCUMENTATION}/{}/copyright", pin.name);
        let tree = if pin.name.starts_with(KERNEL) { &kernel_tree } else { &root };
        parts::debian(pin, tree.read(&path).ok())
    });
    let parts = parts.collect();
    let uefi = root.read("usr/lib/systemd/boot/efi/systemd-bootaa64.efi")?.to_vec();
    for path in ["usr/lib/systemd", "usr/lib/raspi-firmware", DOCUMENTATION] {
        root.remove(path);
    }
    let mut initramfs = Tree::merged_usr();
    initramfs.file("usr/bin/busybox", 0o755, root.read("usr/bin/busybox")?)?;
    initramfs.lay_over(boot_modules)?;
    initramfs.lay_over(read_folder(&stand_ins.join("initramfs"))?)?;

    shape(&mut root)?;
    root.lay_over(read_folder(&stand_ins.join("root"))?)?;
    if let Some((library, program)) = missing_libraries(&root).into_iter().next() {
        return Err(BaseError::Library { program, library });
    }
    for (path, entry) in root.iter() {
        if let Node::File(content) = &entry.node
            && crate::elf::machine(content).is_some_and(|machine| machine != object::elf::EM_AARCH64)
        {
            return Err(BaseError::Architecture { path: path.to_owned() });
        }
    }
    medium.file("boot/vmlinuz", 0o644, kernel)?;
    medium.file("boot/initramfs", 0o644, zstd::encode_all(cpio(&initramfs).as_slice(), 9)?)?;
    medium.file("boot/modloop", 0o644, squashfs(&modloop)?)?;
    medium.file("apks/.boot_repository", 0o644, "")?;
    medium.file("apks/base.squashfs", 0o644, squashfs(&root)?)?;
    let name = format!("Debian trixie, Linux {version}");
    let start = Start {
        kernel: "boot/vmlinuz".into(),
        initramfs: "boot/initramfs".into(),
        options: format!("modules={BOOT_MODULES}"),
    };
    let boot = Boot { boards: start.clone(), machines: start };
    Ok(Base { name, medium, boot, uefi, image_bytes: IMAGE_BYTES, parts })
}

/// What says under which licences a package is.
fn is_copyright(path: &str) -> bool {
    path.strip_prefix(DOCUMENTATION).is_some_and(|rest| rest.ends_with("/copyright"))
}

/// Documentation and the like.
fn is_of_no_use(path: &str) -> bool {
    [DOCUMENTATION, "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug"]
        .iter()
        .any(|below| path.starts_with(below))
}

/// What packages do when they are installed, and links that Alpine has.
fn shape(root: &mut Tree) -> Result<(), TreeError> {
    for (link, target) in [
        ("usr/sbin/ifup", "ifupdown-ng"),
        ("usr/sbin/ifdown", "ifupdown-ng"),
        ("usr/sbin/ifquery", "ifupdown-ng"),
        ("usr/sbin/init", "../bin/busybox"),
        ("usr/bin/sh", "busybox"),
        ("usr/lib/modules", "/.modloop/modules"),
        ("var/run", "/run"),
        ("var/lock", "/run/lock"),
        ("etc/mtab", "/proc/mounts"),
    ] {
        root.link(link, target)?;
    }
    for dir in [
        "dev",
        "proc",
        "sys",
        "run",
        "media",
        "mnt",
        "opt",
        "srv",
        "home",
        "var/lib",
        "var/log",
        "var/spool",
        "etc/rc.conf.d",
        "etc/insserv.conf.d",
        "etc/network/if-pre-up.d",
        "etc/network/if-up.d",
        "etc/network/if-down.d",
        "etc/network/if-post-down.d",
    ] {
        root.dir(dir, 0o755)?;
    }
    root.dir("root", 0o700)?;
    root.dir("tmp", 0o1777)?;
    root.dir("var/empty", 0o711)?;
    root.file("etc/ld.so.conf", 0o644, format!("/{LIB}\n/usr/lib\n"))?;
    Ok(())
}

const DEVICE_TREES: &[&str] = &[
    "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-3-b-plus.dtb",
    "bcm2837-rpi-3-a-plus.dtb",
    "bcm2837-rpi-zero-2-w.dtb",
    "bcm2711-rpi-4-b.dtb",
    "bcm2711-rpi-400.dtb",
    "bcm2712-rpi-5-b.dtb",
];

fn is_device_tree(path: &str) -> bool {
    DEVICE_TREES.iter().any(|name| path.ends_with(&format!("/broadcom/{name}")))
}

/// What the firmware of the boards reads from the card.
fn firmware(root: &Tree, kernel: &Tree, version: &str) -> Result<Tree, TreeError> {
    let mut firmware = Tree::new();
    for name in ["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"] {
        firmware.file(name, 0o644, root.read(&format!("usr/lib/raspi-firmware/{name}"))?)?;
    }
    for name in DEVICE_TREES {
        let tree = kernel.read(&format!("usr/lib/linux-image-{version}/broadcom/{name}"))?;
        // The firmware asks for the Pi 3's by the chip's other name.
        firmware.file(&name.replace("bcm2837-", "bcm2710-"), 0o644, tree)?;
        firmware.file(name, 0o644, tree)?;
    }
    Ok(firmware)
}
