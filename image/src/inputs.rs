//! All that an image is made of, gathered once: several VMs are made of the same.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::alpine::mirror::{self, Mirror, Origin};
use crate::alpine::{self, AlpineError, Keys};
use crate::base::Base;
use crate::base_debian::{self, BaseError};
use crate::build::{self, BuildError, Settings};
use crate::cache::{Cache, FetchError};
use crate::debian::{Archive, DEFAULT_MIRROR, DebianError};
use crate::lock::{self, LockError};
use crate::screen::Screen;
use crate::tree::{Tree, TreeError};

/// Where the overlay names the packages that Alpine installs first.
const WORLD: &str = "etc/apk/world";

/// What an image is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BaseKind {
    /// Alpine Linux.
    Alpine,
    /// A userland shaped like Alpine's, of Debian's packages: where Alpine's mirrors cannot be reached.
    Debian,
}

/// Where the inputs come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The repository.
    pub repository: PathBuf,
    /// The program for aarch64.
    pub program: PathBuf,
    /// The base.
    pub base: BaseKind,
    /// The Debian mirror.
    pub mirror: String,
    /// Where Alpine's files are.
    pub alpine: Origin,
    /// Downloads.
    pub cache: Cache,
}

/// Where the parts of an image come from.
#[derive(Debug, clap::Args, Clone)]
pub struct SourceArgs {
    /// What the image is built on
    #[arg(long, value_enum, default_value = "alpine")]
    base: BaseKind,
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
    /// The Alpine mirror
    #[arg(long, value_name = "URL", default_value = mirror::DEFAULT_MIRROR)]
    alpine_mirror: String,
    /// A folder with Alpine's files, laid out as on a mirror; then no mirror is asked
    #[arg(long, value_name = "DIR", conflicts_with = "alpine_mirror")]
    base_dir: Option<PathBuf>,
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
        let url = || Origin::Url(self.alpine_mirror.clone());
        let alpine = self.base_dir.clone().map_or_else(url, Origin::Folder);
        Sources { repository, program, base: self.base, mirror: self.mirror.clone(), alpine, cache }
    }
}

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// See [`BuildError`].
    #[error(transparent)]
    Build(#[from] BuildError),
    /// See [`AlpineError`].
    #[error(transparent)]
    Alpine(#[from] AlpineError),
    /// See [`DebianError`].
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// See [`BaseError`].
    #[error(transparent)]
    Base(#[from] BaseError),
    /// See [`LockError`].
    #[error(transparent)]
    Lock(#[from] LockError),
    /// See [`TreeError`].
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A lock file cannot be written.
    #[error("cannot write {}: {why}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// The inputs.
pub struct Inputs {
    /// The base.
    pub base: Base,
    /// The overlay with the program.
    pub overlay: Tree,
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
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let time = source_time(&sources.repository);
        let overlay = build::overlay(&sources.repository.join("overlays"), &program, &version, time)?;
        let base = match sources.base {
            BaseKind::Alpine => {
                let lock = sources.repository.join("image/alpine.lock");
                let mirror = Mirror::new(&sources.alpine, &sources.cache, screen);
                alpine_base(&mirror, &Keys::alpine(), &lock, &overlay)?
            }
            BaseKind::Debian => debian_base(sources, *screen)?,
        };
        Ok(Self { base, overlay, version })
    }

    /// An image with these settings, and what lies on its FAT partition.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn image(&self, settings: &Settings) -> Result<(Vec<u8>, Tree), BuildError> {
        let medium = build::medium(&self.base, &self.overlay, settings, &self.version)?;
        Ok((build::disk(&self.base, &medium)?, medium))
    }
}

fn debian_base(sources: &Sources, screen: Screen) -> Result<Base, InputError> {
    let lock = sources.repository.join("image/debian.lock");
    let text = std::fs::read_to_string(&lock).map_err(|why| BuildError::Read { path: lock, why })?;
    let packages = Archive::new(&sources.mirror, &sources.cache, &screen).packages(&lock::parse(&text)?)?;
    Ok(base_debian::assemble(&packages, &sources.repository.join("image/base-debian"))?)
}

/// The base of Alpine's files: those that the lock file names; without one the newest, and they are pinned.
///
/// # Errors
/// [`InputError`].
pub fn alpine_base(
    mirror: &Mirror<'_>,
    keys: &Keys,
    lock: &Path,
    overlay: &Tree,
) -> Result<Base, InputError> {
    let world = String::from_utf8_lossy(overlay.read(WORLD)?);
    let files = match std::fs::read_to_string(lock) {
        Ok(text) => {
            match alpine::fetch_pinned(
                mirror,
                keys,
                alpine::lock::parse(&text).map_err(AlpineError::from)?,
                &world,
            ) {
                Err(AlpineError::Fetch { why: FetchError::Gone { url, .. } }) => {
                    mirror.note(&format!(
                    "NOTE: {url} has gone from the mirror; taking what is newest and signed instead. To pin it: trustnet-image lock --base alpine"
                ));
                    alpine::fetch(mirror, keys, &world)?
                }
                files => files?,
            }
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            mirror
                .note("NOTE: there is no image/alpine.lock yet: taking what is newest and signed by Alpine");
            let files = alpine::fetch(mirror, keys, &world)?;
            write_alpine_lock(&files, lock)?;
            mirror.note(&format!(
                "NOTE: pinned {} files in {}; commit it, and the same sources give the same image",
                files.pins.len(),
                lock.display()
            ));
            files
        }
        Err(why) => return Err(BuildError::Read { path: lock.to_owned(), why }.into()),
    };
    let missing = alpine::services::missing(&files, overlay).map_err(AlpineError::from)?;
    if !missing.is_empty() {
        mirror.note(&format!(
            "NOTE: no package brings these services that the overlay starts: {}",
            missing.join(", ")
        ));
    }
    Ok(alpine::base::assemble(&files)?)
}

/// Writes the lock file of the Alpine base.
///
/// # Errors
/// [`InputError::Write`].
pub fn write_alpine_lock(files: &alpine::Files, lock: &Path) -> Result<(), InputError> {
    let written = std::fs::write(lock, alpine::lock::format(&files.pins));
    written.map_err(|why| InputError::Write { path: lock.to_owned(), why })
}

/// Pins the newest files of the Alpine base.
///
/// # Errors
/// [`InputError`].
pub fn lock_alpine(sources: &Sources, screen: &Screen) -> Result<(PathBuf, usize), InputError> {
    let world = sources.repository.join("overlays").join(WORLD);
    let world = std::fs::read_to_string(&world).map_err(|why| BuildError::Read { path: world, why })?;
    let mirror = Mirror::new(&sources.alpine, &sources.cache, screen);
    let files = alpine::fetch(&mirror, &Keys::alpine(), &world)?;
    let lock = sources.repository.join("image/alpine.lock");
    write_alpine_lock(&files, &lock)?;
    Ok((lock, files.pins.len()))
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
