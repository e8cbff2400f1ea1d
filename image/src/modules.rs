//! Kernel modules: which are taken, what they need, and the files with which `modprobe` finds them (modules.dep(5)).
//!
//! Debian's package has no such files: its installer runs depmod. Here they are made from each module's `.modinfo`.

use std::collections::{BTreeMap, BTreeSet};

use object::{Object, ObjectSection};

use crate::tree::{Node, Tree, TreeError};

/// What finds the boot medium, in the initramfs: disks, cards, file systems.
pub const FOR_BOOT: &[&str] = &[
    "virtio_blk",
    "virtio_mmio",
    "virtio_scsi",
    "sd_mod",
    "usb-storage",
    "uas",
    "nvme",
    "bcm2835",
    "sdhci-iproc",
    "dwc2",
    "phy-generic",
    "xhci-pci",
    "xhci-pci-renesas",
    "reset-raspberrypi",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_utf8",
    "squashfs",
    "overlay",
    "loop",
];

/// What a running node needs besides.
pub const FOR_RUNNING: &[&str] = &[
    "ext4",
    "crc32c_generic",
    "virtio_net",
    "virtio-rng",
    "i6300esb",
    "bcm2835_wdt",
    "genet",
    "usbnet",
    "cdc_ether",
    "cdc_ncm",
    "rndis_host",
    "smsc95xx",
    "lan78xx",
    "microchip",
    "r8152",
    "asix",
    "ax88179_178a",
    "macb",
    "e1000e",
    "brcmfmac",
    "brcmfmac-wcc",
    "nf_tables",
    "nft_ct",
    "nft_limit",
    "nft_log",
    "nft_reject",
    "nft_reject_inet",
    "nf_log_syslog",
    "bcm2835-rng",
    "iproc-rng200",
    "broadcom",
    "bcm7xxx",
    "realtek",
    "raspberrypi-cpufreq",
    "i2c-bcm2835",
    "usbhid",
];

/// Why the modules cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A module that is wanted is not in the kernel's package.
    #[error("the kernel has no module {0}; the lists are in image/src/modules.rs")]
    Missing(String),
    /// A module that cannot be read.
    #[error("the module {name} cannot be read: {why}")]
    Unreadable {
        /// Its path.
        name: String,
        /// Why.
        why: String,
    },
    /// See [`TreeError`].
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What a module says of itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Info {
    depends: Vec<String>,
    aliases: Vec<String>,
    softdeps: Vec<String>,
}

/// The modules of a kernel, as they are packed: most are never wanted.
pub struct Modules {
    /// Version, as `uname -r` gives it.
    pub version: String,
    /// By name, with `-` for `_` made alike: path below `kernel/` and content.
    packed: BTreeMap<String, (String, Vec<u8>)>,
    /// What is built in and so never missing, by name: its path.
    built_in: BTreeMap<String, String>,
}

/// A module, unpacked.
struct Module {
    /// Below `kernel/`.
    path: String,
    content: Vec<u8>,
    info: Info,
}

fn key(name: &str) -> String {
    name.replace('-', "_")
}

fn name_of(path: &str) -> Option<&str> {
    let file = path.rsplit('/').next()?;
    file.strip_suffix(".ko").or_else(|| file.strip_suffix(".ko.xz"))
}

impl Modules {
    /// The modules in `tree`, which holds `usr/lib/modules/VERSION` as the package has it.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub fn read(tree: &Tree, version: &str) -> Result<Self, ModuleError> {
        let root = format!("usr/lib/modules/{version}/");
        let mut packed = BTreeMap::new();
        for (path, entry) in tree.iter() {
            let Some(place) = path.strip_prefix(&root).and_then(|path| path.strip_prefix("kernel/")) else {
                continue;
            };
            let (Some(name), Node::File(content)) = (name_of(place), &entry.node) else { continue };
            packed.insert(key(name), (place.to_owned(), content.clone()));
        }
        let built_in = String::from_utf8_lossy(tree.read(&format!("{root}modules.builtin"))?).into_owned();
        let built_in =
            built_in.lines().filter_map(|path| Some((key(name_of(path)?), path.to_owned()))).collect();
        Ok(Self { version: version.to_owned(), packed, built_in })
    }

    fn open(&self, name: &str) -> Result<Module, ModuleError> {
        let (place, content) = self.packed.get(name).ok_or_else(|| ModuleError::Missing(name.to_owned()))?;
        let unreadable = |why: String| ModuleError::Unreadable { name: place.clone(), why };
        let unpacked = place.strip_suffix(".xz");
        let content = if unpacked.is_some() {
            unpack(content).map_err(|error| unreadable(error.to_string()))?
        } else {
            content.clone()
        };
        let info = Info::read(&content).map_err(unreadable)?;
        Ok(Module { path: unpacked.unwrap_or(place).to_owned(), content, info })
    }

    /// The modules of the given names with all that they need, below `usr/lib/modules/VERSION`, and modprobe's files.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub fn select(&self, names: &[&str]) -> Result<Tree, ModuleError> {
        let mut wanted = BTreeMap::new();
        let mut open: Vec<String> = names.iter().map(|name| key(name)).collect();
        while let Some(name) = open.pop() {
            if wanted.contains_key(&name) || self.built_in.contains_key(&name) {
                continue;
            }
            let module = self.open(&name)?;
            open.extend(module.info.depends.iter().map(|name| key(name)));
            // Wanted if it is there: a soft dependency may be of another kernel.
            let softdeps = module.info.softdeps.iter().map(|name| key(name));
            open.extend(softdeps.filter(|name| self.packed.contains_key(name)));
            wanted.insert(name, module);
        }
        let root = format!("usr/lib/modules/{}", self.version);
        Ok(tree_of(&root, &wanted, self.built_in.values())?)
    }
}

/// Modules and the files with which modprobe finds them, below `root`.
fn tree_of<'a>(
    root: &str,
    modules: &BTreeMap<String, Module>,
    built_in: impl Iterator<Item = &'a String>,
) -> Result<Tree, TreeError> {
    let mut tree = Tree::new();
    let (mut deps, mut aliases, mut softdeps) = (String::new(), String::new(), String::new());
    for (name, Module { path, content, info }) in modules {
        tree.file(&format!("{root}/kernel/{path}"), 0o644, content.clone())?;
        let needs: String = needs(modules, name).iter().map(|path| format!(" kernel/{path}")).collect();
        deps.push_str(&format!("kernel/{path}:{needs}\n"));
        for alias in &info.aliases {
            aliases.push_str(&format!("alias {alias} {name}\n"));
        }
        if !info.softdeps.is_empty() {
            softdeps.push_str(&format!("softdep {name} pre: {}\n", info.softdeps.join(" ")));
        }
    }
    let built_in: String = built_in.map(|path| format!("{path}\n")).collect();
    for (file, text) in [
        ("modules.dep", deps),
        ("modules.alias", aliases),
        ("modules.softdep", softdeps),
        ("modules.builtin", built_in),
    ] {
        tree.file(&format!("{root}/{file}"), 0o644, text)?;
    }
    Ok(tree)
}

/// Paths of all modules that one needs, the nearest first, as depmod lists them.
fn needs<'a>(modules: &'a BTreeMap<String, Module>, name: &str) -> Vec<&'a str> {
    let mut paths = Vec::new();
    let mut open: Vec<String> = vec![name.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(module) = open.pop().and_then(|name| modules.get(&name)) {
        for depends in module.info.depends.iter().map(|name| key(name)) {
            if let Some(module) = modules.get(&depends)
                && seen.insert(depends.clone())
            {
                paths.push(module.path.as_str());
                open.push(depends);
            }
        }
    }
    paths
}

impl Info {
    fn read(module: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(module).map_err(|error| error.to_string())?;
        let section = file.section_by_name(".modinfo").ok_or("it has no section .modinfo")?;
        let data = section.data().map_err(|error| error.to_string())?;
        Ok(Self::parse(data))
    }

    fn parse(data: &[u8]) -> Self {
        let mut info = Self::default();
        for field in data.split(|byte| *byte == 0) {
            match String::from_utf8_lossy(field).split_once('=') {
                Some(("depends", names)) => {
                    info.depends.extend(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
                }
                Some(("alias", alias)) => info.aliases.push(alias.to_owned()),
                Some(("softdep", text)) => {
                    let names = text.split_whitespace().filter(|word| !word.ends_with(':'));
                    info.softdeps.extend(names.map(str::to_owned));
                }
                _ => {}
            }
        }
        info
    }
}

fn unpack(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut liblzma::read::XzDecoder::new(content), &mut out)?;
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn modules() -> BTreeMap<String, Module> {
        let module = |path: &str, depends: &[&str], alias: &str| {
            let depends = depends.iter().map(|name| (*name).to_owned()).collect();
            let info = Info { depends, aliases: vec![alias.to_owned()], softdeps: Vec::new() };
            Module { path: path.to_owned(), content: b"x".to_vec(), info }
        };
        [
            ("ext4", module("fs/ext4.ko", &["jbd2", "crc16"], "fs-ext4")),
            ("jbd2", module("fs/jbd2.ko", &["crc16"], "j")),
            ("crc16", module("lib/crc16.ko", &[], "c")),
            ("usb_storage", module("drivers/usb-storage.ko", &["usbcore"], "usb:v*")),
        ]
        .into_iter()
        .map(|(name, module)| (name.to_owned(), module))
        .collect()
    }

    #[test]
    fn modprobe_finds_what_a_module_needs() {
        let built_in = ["kernel/net/ipv6.ko".to_owned()];
        let tree = tree_of("modules/6.12", &modules(), built_in.iter()).unwrap();
        let read = |file: &str| {
            String::from_utf8_lossy(tree.read(&format!("modules/6.12/{file}")).unwrap()).into_owned()
        };
        let dep = read("modules.dep");
        assert!(dep.contains("kernel/fs/ext4.ko: kernel/fs/jbd2.ko kernel/lib/crc16.ko\n"), "{dep}");
        assert!(dep.contains("kernel/drivers/usb-storage.ko:\n"), "what is built in is not listed: {dep}");
        assert!(tree.get("modules/6.12/kernel/lib/crc16.ko").is_some());
        assert!(read("modules.alias").contains("alias usb:v* usb_storage\n"));
        assert_eq!(read("modules.builtin"), "kernel/net/ipv6.ko\n");
    }

    #[test]
    fn a_module_that_is_not_there_is_named_and_one_that_is_built_in_is_not_missed() {
        let mut tree = Tree::new();
        tree.file("usr/lib/modules/6.12/modules.builtin", 0o644, "kernel/net/ipv6/ipv6.ko\n").unwrap();
        tree.file("usr/lib/modules/6.12/kernel/fs/bad.ko.xz", 0o644, "no archive").unwrap();
        let modules = Modules::read(&tree, "6.12").unwrap();
        assert!(modules.select(&["ipv6"]).is_ok());
        assert!(modules.select(&["ext5"]).unwrap_err().to_string().contains("ext5"));
        assert!(modules.select(&["bad"]).unwrap_err().to_string().contains("fs/bad.ko.xz"));
    }

    #[test]
    fn modinfo_is_read_field_by_field() {
        let info = Info::parse(
            b"license=GPL\0depends=a,b-c\0alias=pci:v1\0alias=of:N*\0softdep=pre: crc32c post: x\0depends=\0",
        );
        assert_eq!(info.depends, ["a", "b-c"]);
        assert_eq!(info.aliases, ["pci:v1", "of:N*"]);
        assert_eq!(info.softdeps, ["crc32c", "x"]);
    }
}
