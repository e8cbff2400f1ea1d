//! Debian's archive: signed index, pinned packages, and what replaces a pin that the mirrors have dropped.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;

use crate::cache::{Cache, FetchError, sha256_hex};
use crate::lock::Pin;
use crate::screen::Screen;

/// The mirror that is asked unless told otherwise. Plain HTTP, as apt does it: the index is signed, and names the hash of
/// every package.
pub const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
/// The release.
const SUITE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The largest index, uncompressed, in bytes.
const MAX_INDEX_BYTES: u64 = 256 * 1024 * 1024;

/// Why Debian's archive does not give what is needed.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// A download failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The index is not signed by Debian.
    #[error("the index of {mirror} is not signed by Debian's archive keys: {why}")]
    Signature {
        /// The mirror.
        mirror: String,
        /// What gpgv said.
        why: String,
    },
    /// gpgv or the keys are missing.
    #[error("cannot check Debian's signature: {0}; run: apt-get install gpgv debian-archive-keyring")]
    NoGpgv(String),
    /// The index is not what it should be.
    #[error("the index of {mirror} is malformed: {why}")]
    Index {
        /// The mirror.
        mirror: String,
        /// What is wrong.
        why: String,
    },
    /// A package is not there.
    #[error("Debian {SUITE} has no package {0} for arm64")]
    NoPackage(String),
}

/// A package as the index describes it.
type Stanza = BTreeMap<String, String>;

/// Debian's archive on one mirror.
pub struct Archive<'a> {
    mirror: &'a str,
    cache: &'a Cache,
    screen: &'a Screen,
}

/// The index of one or more components.
pub struct Index(BTreeMap<String, Pin>, BTreeMap<String, String>);

impl<'a> Archive<'a> {
    /// The archive on a mirror.
    #[must_use]
    pub fn new(mirror: &'a str, cache: &'a Cache, screen: &'a Screen) -> Self {
        Self { mirror: mirror.trim_end_matches('/'), cache, screen }
    }

    /// The package that a pin names.
    ///
    /// # Errors
    /// [`FetchError`]; [`FetchError::Gone`] when the mirror has dropped it.
    pub fn package(&self, pin: &Pin) -> Result<Vec<u8>, FetchError> {
        let url = format!("{}/{}", self.mirror, pin.path);
        self.cache.pinned(&url, &pin.sha256, self.screen)
    }

    /// The packages that pins name. One that the mirror has dropped is replaced by its successor from the signed
    /// index, loudly.
    ///
    /// # Errors
    /// [`DebianError`].
    pub fn packages(&self, pins: &[Pin]) -> Result<Vec<(Pin, Vec<u8>)>, DebianError> {
        let mut index = None;
        let mut packages = Vec::new();
        for pin in pins {
            match self.package(pin) {
                Ok(bytes) => packages.push((pin.clone(), bytes)),
                Err(FetchError::Gone { .. }) => {
                    if index.is_none() {
                        index = Some(self.index()?);
                    }
                    let found = index.as_ref().and_then(|index: &Index| index.successor(&pin.name));
                    let now = found.ok_or_else(|| DebianError::NoPackage(pin.name.clone()))?;
                    self.screen.note(&format!(
                        "NOTE: {} {} has gone from the mirror; taking its signed successor {} {}. To pin it: trustnet-image lock --base debian",
                        pin.name, pin.version, now.name, now.version
                    ));
                    let bytes = self.package(&now)?;
                    packages.push((now, bytes));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(packages)
    }

    /// Debian's index for arm64, its signature checked.
    ///
    /// # Errors
    /// [`DebianError`].
    pub fn index(&self) -> Result<Index, DebianError> {
        let dist = format!("{}/dists/{SUITE}", self.mirror);
        let signed = self.cache.fresh(&format!("{dist}/InRelease"), self.screen)?;
        let release = self.check_signature(&signed)?;
        let mut index = Index(BTreeMap::new(), BTreeMap::new());
        for component in ["main", "non-free-firmware"] {
            let path = format!("{component}/binary-arm64/Packages.xz");
            let sha256 = release_hash(&release, &path)
                .ok_or_else(|| self.malformed(format!("{path} is not listed in InRelease")))?;
            let packed = self.cache.pinned(&format!("{dist}/{path}"), &sha256, self.screen)?;
            let mut text = String::new();
            let read = liblzma::read::XzDecoder::new(packed.as_slice())
                .take(MAX_INDEX_BYTES)
                .read_to_string(&mut text);
            read.map_err(|error| self.malformed(format!("{path}: {error}")))?;
            index.add(component, &text);
        }
        Ok(index)
    }

    fn malformed(&self, why: String) -> DebianError {
        DebianError::Index { mirror: self.mirror.into(), why }
    }

    /// The text that is signed. gpgv gives it back: what stands outside the signature must not be read.
    fn check_signature(&self, signed: &[u8]) -> Result<String, DebianError> {
        let no_gpgv = |error: std::io::Error| DebianError::NoGpgv(error.to_string());
        if !std::path::Path::new(KEYRING).exists() {
            return Err(DebianError::NoGpgv(format!("{KEYRING} is missing")));
        }
        let name = format!("trustnet-inrelease-{}-{}", std::process::id(), sha256_hex(signed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, signed).map_err(no_gpgv)?;
        let checked = Command::new("gpgv").args(["--keyring", KEYRING, "--output", "-"]).arg(&path).output();
        // A file in the folder for temporary files; nothing depends on its removal.
        let _ = std::fs::remove_file(&path);
        let checked = checked.map_err(no_gpgv)?;
        if !checked.status.success() {
            let why = String::from_utf8_lossy(&checked.stderr).trim().to_owned();
            return Err(DebianError::Signature { mirror: self.mirror.into(), why });
        }
        String::from_utf8(checked.stdout).map_err(|error| self.malformed(error.to_string()))
    }
}

/// The SHA-256 of a file of the index.
fn release_hash(release: &str, path: &str) -> Option<String> {
    let hashes = release.split("\nSHA256:\n").nth(1)?;
    let lines = hashes.lines().take_while(|line| line.starts_with(' '));
    let line = lines.into_iter().find(|line| line.ends_with(&format!(" {path}")))?;
    Some(line.split_whitespace().next()?.to_owned())
}

impl Index {
    fn add(&mut self, component: &str, text: &str) {
        for stanza in text.split("\n\n").map(stanza) {
            if let Some(pin) = pin(component, &stanza) {
                if let Some(depends) = stanza.get("Depends") {
                    self.1.insert(pin.name.clone(), depends.clone());
                }
                self.0.insert(pin.name.clone(), pin);
            }
        }
    }

    /// The package of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Pin> {
        self.0.get(name).cloned()
    }

    /// The kernel that is current: its name has its version in it, a package without content points to it.
    #[must_use]
    pub fn kernel(&self) -> Option<Pin> {
        let name = self.1.get("linux-image-arm64")?.split([' ', ',']).next()?;
        self.find(name)
    }

    fn successor(&self, name: &str) -> Option<Pin> {
        if name.starts_with("linux-image-") { self.kernel() } else { self.find(name) }
    }
}

fn stanza(text: &str) -> Stanza {
    let fields = text.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(": "));
    fields.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn pin(component: &str, stanza: &Stanza) -> Option<Pin> {
    Some(Pin {
        component: component.to_owned(),
        name: stanza.get("Package")?.clone(),
        version: stanza.get("Version")?.clone(),
        sha256: stanza.get("SHA256")?.clone(),
        bytes: stanza.get("Size")?.parse().ok()?,
        path: stanza.get("Filename")?.clone(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "Package: linux-image-arm64\nVersion: 6.12.9-1\nDepends: linux-image-6.12.9+deb13-arm64 (= 6.12.9-1)\n\
        SHA256: aa\nSize: 3\nFilename: pool/a\n\nPackage: linux-image-6.12.9+deb13-arm64\nVersion: 6.12.9-1\n\
        Description: a\n kernel: Depends: nothing\nSHA256: bb\nSize: 4\nFilename: pool/b\n\nPackage: broken\nVersion: 1\n";

    #[test]
    fn the_index_knows_packages_and_the_current_kernel() {
        let mut index = Index(BTreeMap::new(), BTreeMap::new());
        index.add("main", TEXT);
        assert_eq!(index.kernel().unwrap().sha256, "bb");
        assert_eq!(index.successor("linux-image-6.12.1+deb13-arm64").unwrap().sha256, "bb");
        assert!(index.find("broken").is_none());
    }

    #[test]
    fn hashes_come_from_the_sha256_section_only() {
        let release = "Suite: stable\nMD5Sum:\n 11 5 main/binary-arm64/Packages.xz\nSHA256:\n 22 5 main/binary-arm64/Packages\n \
            33 5 main/binary-arm64/Packages.xz\nOther: x\n 44 5 main/binary-arm64/Packages.xz\n";
        assert_eq!(release_hash(release, "main/binary-arm64/Packages.xz").as_deref(), Some("33"));
        assert_eq!(release_hash(release, "contrib/binary-arm64/Packages.xz"), None);
    }

    #[test]
    fn an_index_that_nobody_signed_is_refused() {
        let (cache, screen) = (Cache::new(std::env::temp_dir(), true), Screen::quiet());
        let archive = Archive::new(DEFAULT_MIRROR, &cache, &screen);
        let refused =
            archive.check_signature(b"Suite: stable\nSHA256:\n 22 5 main/binary-arm64/Packages.xz\n");
        assert!(
            matches!(refused, Err(DebianError::Signature { .. } | DebianError::NoGpgv(_))),
            "{refused:?}"
        );
    }
}
