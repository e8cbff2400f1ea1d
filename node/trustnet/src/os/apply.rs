//! `trustnet os apply`: reads `trustnet.toml` and writes the base system's files. The decisions are in
//! [`super::settings`] and [`super::files`]; here is what touches the disk.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::keys::Role;
use crate::os::files::{self, Facts, File};
use crate::os::mistakes::{self, FILE, Mistake};
use crate::os::settings::{self, Settings};

/// Where the node's home lies below the root.
pub const NODE_HOME: &str = "opt/trustnet/node";
/// Where services leave notes below the root.
pub const RUN: &str = "run/trustnet";
/// Keys of `warden` below the root.
const WARDEN_KEYS: &str = "etc/ssh/authorized_keys/warden";
/// What joins wireless networks, below the root; not every base has it.
const SUPPLICANT: [&str; 2] = ["sbin/wpa_supplicant", "usr/sbin/wpa_supplicant"];

/// What came of applying the settings.
#[derive(Debug)]
pub struct Applied {
    /// Mistakes in the file, in order.
    pub mistakes: Vec<Mistake>,
    /// Files that changed.
    pub changed: Vec<&'static str>,
    /// Files that could not be written, and why.
    pub failed: Vec<String>,
}

/// The boot medium: as named, else where the service `trustnet-media` found it.
pub fn media(named: Option<&Path>, root: &Path) -> Option<PathBuf> {
    if let Some(dir) = named {
        return Some(dir.to_owned());
    }
    let note = fs::read_to_string(root.join(RUN).join("media")).ok()?;
    Some(PathBuf::from(note.trim_end())).filter(|dir| dir.is_absolute())
}

/// Reads the settings of a boot medium. A missing file is no mistake.
pub fn read_settings(media: Option<&Path>) -> (Settings, Vec<Mistake>) {
    let Some(path) = media.map(|dir| dir.join(FILE)) else { return Default::default() };
    let mut bytes = Vec::new();
    let read = fs::File::open(&path)
        // One byte more than allowed, so that a longer file is noticed.
        .and_then(|file| file.take(settings::MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => settings::parse(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
        Err(error) => {
            let mistake = Mistake::of_file(format!("it cannot be read: {error}"), "all of it is left out");
            (Settings::unknown(), vec![mistake])
        }
    }
}

/// Applies the settings of `media` to the system below `root`.
pub fn apply(media: Option<&Path>, root: &Path) -> Applied {
    let (mut settings, mut mistakes) = read_settings(media);
    if settings.wifi.is_some() && !SUPPLICANT.iter().any(|path| root.join(path).exists()) {
        mistakes.push(Mistake::of_file(
            "[wifi] cannot be used, for this image has no wpa_supplicant (images of base alpine have it)",
            "the cable is used",
        ));
        settings.wifi = None;
    }
    let facts = Facts { wired: wired_cards(root), node_key: node_key(root) };
    let mut applied = Applied { mistakes: Vec::new(), changed: Vec::new(), failed: Vec::new() };
    for (path, file) in files::files(&settings, &facts) {
        match put(&root.join(path), &file) {
            Ok(true) => applied.changed.push(path),
            Ok(false) => {}
            Err(error) => applied.failed.push(format!("cannot write /{path}: {error}")),
        }
    }
    if !root.join(WARDEN_KEYS).exists() {
        mistakes.push(Mistake::of_file(
            "there is no valid SSH key in [ssh] keys",
            "nobody can log in until there is one",
        ));
    }
    let report = File::Text { text: mistakes::report(&mistakes), mode: 0o644 };
    if let Err(error) = put(&root.join(RUN).join("report.txt"), &report) {
        applied.failed.push(format!("cannot write the report: {error}"));
    }
    applied.mistakes = mistakes;
    applied
}

/// Makes the file what it should be; says whether that changed anything.
fn put(path: &Path, file: &File) -> io::Result<bool> {
    match file {
        File::Absent => match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        },
        File::Text { text, mode } => {
            if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
                return Ok(false);
            }
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            write_atomically(path, text, *mode)?;
            Ok(true)
        }
    }
}

/// Beside it first, then renamed: a reader never sees half of a file.
fn write_atomically(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // A leftover might have other permissions, and they are set only when a file is made.
    if let Err(error) = fs::remove_file(&partial)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

/// Names of real cards with a cable, in order: those behind a device, without wireless ones.
fn wired_cards(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join("sys/class/net")) else { return Vec::new() };
    let mut cards: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("device").exists())
        .filter(|entry| !entry.path().join("wireless").exists() && !entry.path().join("phy80211").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        // The kernel allows more in a name than is safe in a file of settings.
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'))
        .collect();
    cards.sort_by_key(|name| (name.len(), name.clone()));
    cards
}

/// The node's public key: of its home, or of the home that is being made.
pub fn node_key(root: &Path) -> Option<[u8; 32]> {
    let home = root.join(NODE_HOME);
    let name = format!("{}.pub", Role::Node.file_name());
    ["config", super::provision::NEW_KEYS].iter().find_map(|dir| {
        let text = fs::read_to_string(home.join(dir).join(&name)).ok()?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.split_whitespace().nth(2)?, &mut key).ok()?;
        Some(key)
    })
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
