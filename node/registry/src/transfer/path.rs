//! Paths within archives: made plain, and refused if they lead out.

use super::MAX_PATH_BYTES;
use crate::error::{RegistryError, Result};

fn invalid(why: String) -> RegistryError {
    RegistryError::ArchiveInvalid(why)
}

/// A path without `.` and doubled slashes; empty for the archive's root itself.
pub(super) fn plain(path: &str) -> Result<String> {
    resolve("", path)
}

/// Where a link in `folder` leads.
pub(super) fn resolve(folder: &str, path: &str) -> Result<String> {
    let shown = || path.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    if path.len() > MAX_PATH_BYTES {
        return Err(invalid(format!("a path is longer than {MAX_PATH_BYTES} bytes: {}...", shown())));
    }
    if path.starts_with('/') || path.contains(['\0', '\\']) {
        return Err(invalid(format!("the path {} is not one within the archive", shown())));
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                // A file's own path never needs it; a link's may, as long as it stays inside.
                if folder.is_empty() || parts.pop().is_none() {
                    return Err(invalid(format!("the path {} leads out of the archive", shown())));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// The folder that a plain path stands in.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(plain("./blobs//sha256/./x").unwrap(), "blobs/sha256/x");
        assert_eq!(plain("./").unwrap(), "");
        assert_eq!(resolve("a/b", "../c/layer.tar").unwrap(), "a/c/layer.tar");
        assert_eq!(folder_of("a/b/c"), "a/b");
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let long = "x".repeat(MAX_PATH_BYTES + 1);
        for path in ["/etc/passwd", "../x", "a/../../x", "a/..", "a\0b", "..\\x", &long] {
            assert!(plain(path).is_err(), "{path}");
        }
        assert!(resolve("a", "../../x").is_err());
        assert!(resolve("a", "/x").is_err());
    }
}
