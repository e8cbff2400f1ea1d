//! From a base, the overlay and the program to an image.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::tar_gz;
use crate::base::Base;
use crate::boot;
use crate::fat;
use crate::files::{FilesError, read_folder};
use crate::tree::{Tree, TreeError};

/// Where the template of the user's settings lies in the overlay.
const SETTINGS_TEMPLATE: &str = "usr/share/trustnet/trustnet.toml";
/// Names that the program answers to.
const NAMES: [&str; 5] =
    ["trustnet-node", "trustnet-query", "trustnet-status", "trustnet-provision", "trustnet-test"];
/// Group `shadow` of both bases.
const SHADOW_GID: u32 = 42;

/// Why no image came of it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file of the caller's.
    #[error("cannot read {}: {why}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The program is of another machine, or not static.
    #[error("{} {what}; build it with: cross/build", .path.display())]
    Program {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The parts do not make an image.
    #[error("cannot put the image together: {0}")]
    Assemble(#[from] io::Error),
    /// See [`FilesError`].
    #[error(transparent)]
    Files(#[from] FilesError),
    /// See [`TreeError`].
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What differs between two nodes' images.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The whole of `trustnet.toml`; the template if `None`.
    pub config: Option<String>,
    /// A public SSH key for warden, put behind the template.
    pub ssh_key: Option<String>,
    /// More files for the FAT partition.
    pub files: Tree,
}

/// The program for the node, checked.
///
/// # Errors
/// [`BuildError`].
pub fn read_program(path: &Path) -> Result<Vec<u8>, BuildError> {
    let wrong = |what| BuildError::Program { path: path.to_owned(), what };
    let program = std::fs::read(path).map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => wrong("is not there"),
        _ => BuildError::Read { path: path.to_owned(), why },
    })?;
    match crate::elf::machine(&program) {
        None => Err(wrong("is no program")),
        Some(machine) if machine != object::elf::EM_AARCH64 => Err(wrong("is not for aarch64")),
        Some(_) if crate::elf::needed(&program).is_some_and(|needed| !needed.is_empty()) => {
            Err(wrong("is not static"))
        }
        Some(_) => Ok(program),
    }
}

/// The overlay: `overlays/`, the program, and what the build knows.
///
/// # Errors
/// [`BuildError`].
pub fn overlay(folder: &Path, program: &[u8], version: &str, build_unix_s: u64) -> Result<Tree, BuildError> {
    let mut tree = read_folder(folder)?;
    tree.file("usr/bin/trustnet", 0o755, program)?;
    for name in NAMES {
        tree.link(&format!("usr/bin/{name}"), "trustnet")?;
    }
    tree.file("etc/trustnet/version", 0o644, format!("{version}\n"))?;
    tree.file("etc/trustnet/build-time", 0o644, format!("{build_unix_s}\n"))?;
    for (path, entry) in tree.iter_mut() {
        match path {
            "etc/shadow" => (entry.mode, entry.gid) = (0o640, SHADOW_GID),
            "etc/doas.conf" => entry.mode = 0o600,
            "root" => entry.mode = 0o700,
            _ => {}
        }
    }
    Ok(tree)
}

/// What lies on the FAT partition.
///
/// # Errors
/// [`BuildError`].
pub fn medium(base: &Base, overlay: &Tree, settings: &Settings, version: &str) -> Result<Tree, BuildError> {
    let mut medium = base.medium.clone();
    medium.file("config.txt", 0o644, boot::pi_config(&base.boot.boards))?;
    medium.file("cmdline.txt", 0o644, boot::pi_command_line(&base.boot.boards))?;
    medium.file("EFI/BOOT/BOOTAA64.EFI", 0o644, base.uefi.clone())?;
    medium.file("loader/loader.conf", 0o644, boot::uefi_loader())?;
    medium.file("loader/entries/trustnet-1.conf", 0o644, boot::uefi_entry(&base.boot.machines, version))?;
    medium.file("trustnet.apkovl.tar.gz", 0o644, tar_gz(overlay)?)?;
    medium.file("trustnet.toml", 0o644, settings_text(overlay, settings))?;
    medium.lay_over(settings.files.clone())?;
    Ok(medium)
}

fn settings_text(overlay: &Tree, settings: &Settings) -> String {
    let template =
        || String::from_utf8_lossy(overlay.read(SETTINGS_TEMPLATE).unwrap_or_default()).into_owned();
    let text = settings.config.clone().unwrap_or_else(template);
    let Some(key) = &settings.ssh_key else { return text };
    let line = format!("keys = [{}]", toml_text(key.trim()));
    // In its place, behind the explanation.
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter().position(|line| line.starts_with("# keys = [\"ssh-")) {
        Some(place) => lines[place] = &line,
        None => lines.extend(["[ssh]", &line]),
    }
    lines.join("\n") + "\n"
}

/// A text as a TOML string.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The image.
///
/// # Errors
/// [`BuildError`].
pub fn disk(base: &Base, medium: &Tree) -> Result<Vec<u8>, BuildError> {
    Ok(fat::image(medium, base.image_bytes)?)
}
