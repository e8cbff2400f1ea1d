//! All that an image is made of, gathered once: several VMs are made of the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::base_debian::{self, Base, BaseError};
use crate::build::{self, BuildError, Settings};
use crate::cache::Cache;
use crate::debian::{Archive, DEFAULT_MIRROR, DebianError};
use crate::lock::{self, LockError, Pin};
use crate::screen::Screen;
use crate::tree::Tree;

/// Where the inputs come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The repository.
    pub repository: PathBuf,
    /// The program for aarch64.
    pub program: PathBuf,
    /// The Debian mirror.
    pub mirror: String,
    /// Downloads.
    pub cache: Cache,
}

/// Where the parts of an image come from.
#[derive(Debug, clap::Args, Clone)]
pub struct SourceArgs {
    /// The program for aarch64, as cross/build makes it [default: target/dist-aarch64/trustnet]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Use nothing but what was downloaded before
    #[arg(long)]
    offline: bool,
    /// Where downloads are kept [default: ~/.cache/trustnet-image]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The Debian mirror
    #[arg(long, value_name = "URL", default_value = DEFAULT_MIRROR)]
    mirror: String,
}

impl SourceArgs {
    /// The sources that the arguments name.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let program = self.program.clone().unwrap_or_else(|| {
            let target =
                std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
            target.join("dist-aarch64/trustnet")
        });
        let cache = Cache::new(self.cache.clone().unwrap_or_else(Cache::default_dir), self.offline);
        Sources { repository, program, mirror: self.mirror.clone(), cache }
    }
}

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// See [`BuildError`].
    #[error(transparent)]
    Build(#[from] BuildError),
    /// See [`DebianError`].
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// See [`BaseError`].
    #[error(transparent)]
    Base(#[from] BaseError),
    /// See [`LockError`].
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// The inputs.
pub struct Inputs {
    /// The base.
    pub base: Base,
    /// The overlay with the program.
    pub overlay: Tree,
    /// The packages of the base as they were taken.
    pub pins: Vec<Pin>,
    /// Version of the image.
    pub version: String,
}

impl Inputs {
    /// Gathers them.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn gather(sources: &Sources, screen: &Screen) -> Result<Self, InputError> {
        let program = build::read_program(&sources.program)?;
        let lock = sources.repository.join("image/debian.lock");
        let text = std::fs::read_to_string(&lock).map_err(|why| BuildError::Read { path: lock, why })?;
        let pins = lock::parse(&text)?;
        let packages = Archive::new(&sources.mirror, &sources.cache, screen).packages(&pins)?;
        let base = base_debian::assemble(&packages, &sources.repository.join("image/base-debian"))?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let time = source_time(&sources.repository);
        let overlay = build::overlay(&sources.repository.join("overlays"), &program, &version, time)?;
        Ok(Self { base, overlay, pins: packages.into_iter().map(|(pin, _)| pin).collect(), version })
    }

    /// An image with these settings, and what lies on its FAT partition.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn image(&self, settings: &Settings) -> Result<(Vec<u8>, Tree), BuildError> {
        let medium = build::medium(&self.base, &self.overlay, settings, &self.version)?;
        Ok((build::disk(&medium)?, medium))
    }
}

/// When the sources were written, in seconds since 1970: below that no node's clock goes. `SOURCE_DATE_EPOCH`, else the
/// time of the last commit, else 0. Not the time of the build: the same sources give the same image.
fn source_time(repository: &Path) -> u64 {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let committed = || {
        let output = Command::new("git")
            .arg("-C")
            .arg(repository)
            .args(["log", "-1", "--format=%ct"])
            .output()
            .ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    given.or_else(committed).unwrap_or(0)
}

/// Crates of the program with version and licence, as cargo knows them; empty where cargo is not there.
#[must_use]
pub fn crates(repository: &Path) -> Vec<(String, String, String)> {
    let metadata = Command::new("cargo")
        .current_dir(repository)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "aarch64-unknown-linux-musl",
        ])
        .output();
    let Ok(output) = metadata else { return Vec::new() };
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else { return Vec::new() };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("NOASSERTION").to_owned();
    let packages = value["packages"].as_array().into_iter().flatten();
    let mut crates: Vec<_> =
        packages.map(|p| (text(&p["name"]), text(&p["version"]), text(&p["license"]))).collect();
    crates.sort();
    crates
}
