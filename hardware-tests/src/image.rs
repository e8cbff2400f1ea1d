//! The image under test: the product's, with a key for `warden` and one more line for `doas`.

use std::fs;
use std::path::{Path, PathBuf};

use trustnet_image::build::Settings;
use trustnet_image::cache::sha256_hex;
use trustnet_image::inputs::{Inputs, Sources};
use trustnet_image::screen::Screen;
use trustnet_image::tree::{Node, Tree};
use trustnet_image::vm;

use crate::Failure;

/// Root for the tests: what hangs a machine, or listens on a closed port, is nothing that `warden` may do on a node.
const DOAS_LINE: &str = "permit nopass warden as root cmd sh\n";

/// All of which images are made.
pub struct Maker {
    inputs: Inputs,
    key: PathBuf,
    public: String,
    dir: PathBuf,
}

/// An image as a file, and what is taken out of it to start it without firmware.
#[derive(Debug, Clone)]
pub struct Image {
    /// The whole disk.
    pub disk: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// The device tree of the Raspberry Pi 3.
    pub device_tree: PathBuf,
    /// The kernel's command line of the UEFI entry.
    pub command_line: String,
    /// SHA-256 of the disk.
    pub sha256: String,
}

impl Maker {
    /// Gathers the parts; images go to `dir`.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn new(sources: &Sources, dir: &Path) -> Result<Self, Failure> {
        let inputs = gather(sources)?;
        let key = dir.join("warden.key");
        let public = vm::make_key(&key)?.trim().to_owned();
        Ok(Self { inputs, key, public, dir: dir.to_owned() })
    }

    /// The same, its parts gathered anew.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn again(&self, sources: &Sources) -> Result<Self, Failure> {
        let inputs = gather(sources)?;
        Ok(Self { inputs, key: self.key.clone(), public: self.public.clone(), dir: self.dir.join("again") })
    }

    /// The private key that logs in.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Makes an image. `toml` is more of its settings, `files` more of its FAT partition.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn make(&self, name: &str, toml: &str, files: Tree) -> Result<Image, Failure> {
        let config = format!(
            "hostname = \"{name}\"\n\n[ssh]\nkeys = [{}]\n\n{toml}",
            serde_json::Value::from(self.public.as_str())
        );
        let settings = Settings { config: Some(config), ssh_key: None, files };
        let (bytes, medium) = self.inputs.image(&settings)?;
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        let keep = |file: &str, bytes: &[u8]| -> Result<PathBuf, Failure> {
            let path = dir.join(file);
            fs::write(&path, bytes)?;
            Ok(path)
        };
        let entry = String::from_utf8_lossy(medium.read("loader/entries/trustnet-1.conf")?).into_owned();
        let line = entry.lines().find_map(|line| line.strip_prefix("options "));
        Ok(Image {
            sha256: sha256_hex(&bytes),
            disk: keep("disk.raw", &bytes)?,
            kernel: keep("vmlinuz", medium.read("boot/vmlinuz")?)?,
            initramfs: keep("initramfs", medium.read("boot/initramfs")?)?,
            device_tree: keep("bcm2837-rpi-3-b.dtb", medium.read("bcm2837-rpi-3-b.dtb")?)?,
            command_line: line.unwrap_or_default().to_owned(),
        })
    }
}

fn gather(sources: &Sources) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::gather(sources, &Screen::stderr())?;
    for (path, entry) in inputs.overlay.iter_mut() {
        if path == "etc/doas.conf"
            && let Node::File(content) = &mut entry.node
        {
            content.extend_from_slice(DOAS_LINE.as_bytes());
        }
    }
    Ok(inputs)
}
