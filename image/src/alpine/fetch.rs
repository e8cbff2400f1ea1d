//! Gathers the base's files: from a mirror with signatures, or as the lock file names them.

use super::AlpineError;
use super::index::{self, Entry, Index};
use super::keys::Keys;
use super::lock::FilePin;
use super::mirror::Mirror;
use super::openpgp;
use super::package::Package;
use super::release::{self, Medium, REPOSITORIES};
use super::resolve::{Choice, resolve};
use super::version::Demand;
use crate::cache::sha256_hex;

/// What a node needs beyond the overlay's `etc/apk/world`: installed by the overlay at each start.
const EXTRA: [&str; 4] = ["e2fsprogs-extra", "nftables", "partx", "wpa_supplicant"];
/// What Alpine's first program installs by itself, from the medium.
const INSTALLED: [&str; 2] = ["alpine-base", "openssl"];
/// The package with the UEFI boot loader: not installed, one file of it is on the medium.
const LOADER: &str = "systemd-boot";
/// The boot loader in it.
const LOADER_FILE: &str = "usr/lib/systemd/boot/efi/systemd-bootaa64.efi";

/// All that the base is made of, checked.
#[derive(Debug)]
pub struct Files {
    /// The release's medium.
    pub medium: Medium,
    /// Names of the packages that Alpine's first program installs, all from the medium.
    pub first: Vec<String>,
    /// Packages that are put beside it.
    pub extra: Vec<Package>,
    /// The package with the boot loader.
    pub loader: Package,
    /// The boot loader.
    pub uefi: Vec<u8>,
    /// The files as they were taken.
    pub pins: Vec<FilePin>,
}

/// The newest files, each checked against Alpine's keys. `world` is the overlay's list of packages.
///
/// # Errors
/// [`AlpineError`].
pub fn fetch(mirror: &Mirror<'_>, keys: &Keys, world: &str) -> Result<Files, AlpineError> {
    let mut pins = Vec::new();
    let boards = tarball(mirror, keys, &release::boards_path(), &mut pins)?;
    let machines = tarball(mirror, keys, &release::machines_path(), &mut pins)?;
    let medium = release::medium(&boards, &machines, keys)?;
    let first = installed_first(&medium.index, world)?;

    let mut indices = Vec::new();
    for repository in REPOSITORIES {
        let path = release::repository_path(repository, "APKINDEX.tar.gz");
        indices.push(index::read(&mirror.now(&path)?, keys, &path)?);
    }
    let repositories: Vec<&Index> = [&medium.index].into_iter().chain(&indices).collect();
    let mut extra = Vec::new();
    for (number, entry) in missing(&repositories, world)? {
        let path = release::repository_path(REPOSITORIES[number], &entry.file());
        extra.push(package(mirror, keys, &path, entry, &mut pins)?);
    }
    let with_loader =
        REPOSITORIES.iter().zip(&indices).find_map(|(name, index)| Some((name, index.newest(LOADER)?)));
    let (repository, entry) = with_loader.ok_or_else(|| AlpineError::NotPinned(LOADER.to_owned()))?;
    let path = release::repository_path(repository, &entry.file());
    let loader = package(mirror, keys, &path, entry, &mut pins)?;
    Files::new(medium, first, extra, loader, pins)
}

impl Files {
    fn new(
        medium: Medium,
        first: Vec<String>,
        mut extra: Vec<Package>,
        loader: Package,
        pins: Vec<FilePin>,
    ) -> Result<Self, AlpineError> {
        // What is wanted is named as a file, or it would lie on the medium without being installed.
        for package in &medium.packages {
            let known = extra.iter().any(|other| other.name == package.name);
            if EXTRA.contains(&package.name.as_str()) && !known {
                extra.push(package.clone());
            }
        }
        extra.sort_by(|a, b| a.name.cmp(&b.name));
        let uefi = loader.files(|path| path == LOADER_FILE)?.read(LOADER_FILE)?.to_vec();
        Ok(Self { medium, first, extra, loader, uefi, pins })
    }
}

/// The files that the lock file names.
///
/// # Errors
/// [`AlpineError`]; [`crate::cache::FetchError::Gone`] in it when the mirror has dropped one.
pub fn fetch_pinned(
    mirror: &Mirror<'_>,
    keys: &Keys,
    pins: Vec<FilePin>,
    world: &str,
) -> Result<Files, AlpineError> {
    let take = |path: &str| {
        let pin = pins.iter().find(|pin| pin.path == path);
        let pin = pin.ok_or_else(|| AlpineError::NotPinned(path.to_owned()))?;
        Ok::<_, AlpineError>(mirror.pinned(&pin.path, &pin.sha256)?)
    };
    let (boards, machines) = (release::boards_path(), release::machines_path());
    let medium = release::medium(&take(&boards)?, &take(&machines)?, keys)?;
    let first = installed_first(&medium.index, world)?;
    let mut extra = Vec::new();
    for pin in pins.iter().filter(|pin| release::is_package(&pin.path)) {
        extra.push(Package::check(&pin.path, mirror.pinned(&pin.path, &pin.sha256)?, None, keys)?);
    }
    let place = extra.iter().position(|package| package.name == LOADER);
    let loader = extra.remove(place.ok_or_else(|| AlpineError::NotPinned(LOADER.to_owned()))?);
    Files::new(medium, first, extra, loader, pins)
}

/// What Alpine's first program installs. It does so from the medium alone, before anything of ours runs.
fn installed_first(medium: &Index, world: &str) -> Result<Vec<String>, AlpineError> {
    let all = resolve(&[medium], &wanted_first(world)?, "the overlay")
        .map(|all| all.into_keys().map(str::to_owned).collect());
    all.map_err(AlpineError::World)
}

fn wanted_first(world: &str) -> Result<Vec<Demand>, AlpineError> {
    world.split_whitespace().chain(INSTALLED).map(demand).collect()
}

fn demand(name: &str) -> Result<Demand, AlpineError> {
    Demand::parse(name).ok_or_else(|| AlpineError::WorldSyntax(name.to_owned()))
}

/// The packages that a node needs and the medium lacks, each with the number of its repository.
fn missing<'a>(repositories: &'a [&'a Index], world: &str) -> Result<Vec<Choice<'a>>, AlpineError> {
    let extra = EXTRA.into_iter().map(demand).collect::<Result<Vec<_>, _>>()?;
    let all = resolve(repositories, &[wanted_first(world)?, extra].concat(), "a node")?;
    Ok(all.into_values().filter_map(|(number, entry)| Some((number.checked_sub(1)?, entry))).collect())
}

/// A tarball of the release, whose signature is that of the release key.
fn tarball(
    mirror: &Mirror<'_>,
    keys: &Keys,
    path: &str,
    pins: &mut Vec<FilePin>,
) -> Result<Vec<u8>, AlpineError> {
    let signature = mirror.now(&format!("{path}.asc"))?;
    let check = |bytes: &[u8]| openpgp::check(&keys.release, bytes, &signature);
    // A release does not change, and it is large.
    let kept = mirror.kept(path).into_iter().find(|bytes| check(bytes).is_ok());
    let bytes = kept.map_or_else(|| mirror.now(path), Ok)?;
    check(&bytes).map_err(|why| AlpineError::Signature { file: path.to_owned(), why })?;
    keep(mirror, path, &bytes, pins)?;
    Ok(bytes)
}

fn package(
    mirror: &Mirror<'_>,
    keys: &Keys,
    path: &str,
    entry: &Entry,
    pins: &mut Vec<FilePin>,
) -> Result<Package, AlpineError> {
    let package = Package::check(path, mirror.now(path)?, Some(entry), keys)?;
    keep(mirror, path, &package.bytes, pins)?;
    Ok(package)
}

/// Only what was found good is kept.
fn keep(mirror: &Mirror<'_>, path: &str, bytes: &[u8], pins: &mut Vec<FilePin>) -> Result<(), AlpineError> {
    mirror.keep(path, bytes)?;
    pins.push(FilePin { path: path.to_owned(), sha256: sha256_hex(bytes), bytes: bytes.len() as u64 });
    Ok(())
}
