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

/// The modules of a kernel.
pub struct Modules {
    /// Version, as `uname -r` gives it.
    pub version: String,
    /// By name, with `-` for `_` made alike: path below `kernel/` and content, unpacked.
    modules: BTreeMap<String, (String, Vec<u8>, Info)>,
    /// What is built in and so never missing.
    built_in: BTreeSet<String>,
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
        let mut modules = BTreeMap::new();
        for (path, entry) in tree.iter() {
            let Some(place) = path.strip_prefix(&root).and_then(|path| path.strip_prefix("kernel/")) else {
                continue;
            };
            let (Some(name), Node::File(content)) = (name_of(place), &entry.node) else { continue };
            let unreadable = |why: String| ModuleError::Unreadable { name: place.into(), why };
            let content = if place.ends_with(".ko.xz") {
                unpack(content).map_err(|e| unreadable(e.to_string()))?
            } else {
                content.clone()
            };
            let info = Info::read(&content).map_err(unreadable)?;
            modules.insert(key(name), (place.trim_end_matches(".xz").to_owned(), content, info));
        }
        let built_in = tree.read(&format!("{root}modules.builtin"))?;
        let built_in = String::from_utf8_lossy(built_in).lines().filter_map(name_of).map(key).collect();
        Ok(Self { version: version.to_owned(), modules, built_in })
    }

    /// The modules of the given names with all that they need, below `usr/lib/modules/VERSION`, and modprobe's files.
    ///
    /// # Errors
    /// [`ModuleError::Missing`].
    pub fn select(&self, names: &[&str]) -> Result<Tree, ModuleError> {
        let mut wanted = BTreeSet::new();
        let mut open: Vec<String> = names.iter().map(|name| key(name)).collect();
        while let Some(name) = open.pop() {
            if wanted.contains(&name) || self.built_in.contains(&name) {
                continue;
            }
            let (_, _, info) = self.modules.get(&name).ok_or_else(|| ModuleError::Missing(name.clone()))?;
            open.extend(info.depends.iter().map(|name| key(name)));
            // Wanted if it is there: a soft dependency may be of another kernel.
            open.extend(
                info.softdeps.iter().map(|name| key(name)).filter(|name| self.modules.contains_key(name)),
            );
            wanted.insert(name);
        }
        let root = format!("usr/lib/modules/{}", self.version);
        let mut tree = Tree::new();
        let (mut deps, mut aliases, mut softdeps) = (String::new(), String::new(), String::new());
        for name in &wanted {
            let (path, content, info) = &self.modules[name];
            tree.file(&format!("{root}/kernel/{path}"), 0o644, content.clone())?;
            let needs = self.needs(name);
            deps.push_str(&format!(
                "kernel/{path}:{}\n",
                needs.iter().map(|path| format!(" kernel/{path}")).collect::<String>()
            ));
            for alias in &info.aliases {
                aliases.push_str(&format!("alias {alias} {name}\n"));
            }
            if !info.softdeps.is_empty() {
                softdeps.push_str(&format!("softdep {name} pre: {}\n", info.softdeps.join(" ")));
            }
        }
        for (file, text) in [("modules.dep", deps), ("modules.alias", aliases), ("modules.softdep", softdeps)]
        {
            tree.file(&format!("{root}/{file}"), 0o644, text)?;
        }
        Ok(tree)
    }

    /// Paths of all modules that one needs, the nearest first, as depmod lists them.
    fn needs(&self, name: &str) -> Vec<&str> {
        let mut paths = Vec::new();
        let mut open: Vec<String> = vec![name.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            let Some((_, _, info)) = self.modules.get(&name) else { continue };
            for depends in info.depends.iter().map(|name| key(name)) {
                if let Some((path, _, _)) = self.modules.get(&depends)
                    && seen.insert(depends.clone())
                {
                    paths.push(path.as_str());
                    open.push(depends);
                }
            }
        }
        paths
    }
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

    fn modules() -> Modules {
        let module = |depends: &[&str], alias: &str| {
            let depends = depends.iter().map(|name| (*name).to_owned()).collect();
            (b"x".to_vec(), Info { depends, aliases: vec![alias.to_owned()], softdeps: Vec::new() })
        };
        let all = [
            ("ext4", "fs/ext4.ko", module(&["jbd2", "crc16"], "fs-ext4")),
            ("jbd2", "fs/jbd2.ko", module(&["crc16"], "j")),
            ("crc16", "lib/crc16.ko", module(&[], "c")),
            ("usb_storage", "drivers/usb-storage.ko", module(&["usbcore"], "usb:v*")),
        ];
        let modules = all
            .into_iter()
            .map(|(name, path, (content, info))| (name.into(), (path.into(), content, info)))
            .collect();
        Modules { version: "6.12".into(), modules, built_in: ["usbcore".to_owned()].into() }
    }

    #[test]
    fn modules_bring_what_they_need() {
        let tree = modules().select(&["ext4", "usb-storage"]).unwrap();
        let dep = String::from_utf8(tree.read("usr/lib/modules/6.12/modules.dep").unwrap().to_vec()).unwrap();
        assert!(dep.contains("kernel/fs/ext4.ko: kernel/fs/jbd2.ko kernel/lib/crc16.ko\n"), "{dep}");
        assert!(dep.contains("kernel/drivers/usb-storage.ko:\n"), "what is built in is not listed: {dep}");
        assert!(tree.get("usr/lib/modules/6.12/kernel/lib/crc16.ko").is_some());
        let alias = tree.read("usr/lib/modules/6.12/modules.alias").unwrap();
        assert!(String::from_utf8_lossy(alias).contains("alias usb:v* usb_storage\n"));
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let missing = modules().select(&["ext5"]).unwrap_err();
        assert!(missing.to_string().contains("ext5"));
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
