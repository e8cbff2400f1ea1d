//! Whether the packages bring the services that the overlay starts.
//!
//! The overlay only links services that belong to Alpine; `OpenRC` passes over one that is not there with a warning that
//! nobody sees on a board without a screen.

use super::fetch::Files;
use super::package::PackageError;
use crate::tree::{Node, Tree};

const RUNLEVELS: &str = "etc/runlevels/";
const SERVICES: &str = "etc/init.d/";

/// Names of services that the overlay starts and nothing brings, in their order.
///
/// # Errors
/// [`PackageError`].
pub fn missing(files: &Files, overlay: &Tree) -> Result<Vec<String>, PackageError> {
    let mut wanted: Vec<String> = overlay
        .iter()
        .filter(|(path, entry)| path.starts_with(RUNLEVELS) && matches!(entry.node, Node::Link(_)))
        .filter_map(|(path, _)| Some(format!("{SERVICES}{}", path.rsplit('/').next()?)))
        .filter(|path| overlay.get(path).is_none())
        .collect();
    wanted.sort();
    wanted.dedup();
    let first = files.medium.packages.iter().filter(|package| files.first.contains(&package.name));
    for package in first.chain(&files.extra) {
        let brings = package.files(|path| path.starts_with(SERVICES))?;
        wanted.retain(|path| brings.get(path).is_none());
    }
    Ok(wanted.iter().map(|path| path.trim_start_matches(SERVICES).to_owned()).collect())
}
