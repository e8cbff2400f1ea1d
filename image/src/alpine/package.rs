//! Alpine's packages (apk-tools, version 2): three gzip streams in a row.
//!
//! 1. the signature, over stream 2 as it stands in the file;
//! 2. the control data, `.PKGINFO`, which holds the SHA-256 of the rest of the file;
//! 3. the files.
//!
//! An index names a package by the SHA-1 of stream 2. So either the index or the package's own signature vouches for
//! stream 2, and stream 2 for the files.

use ring::digest;

use super::gzip;
use super::index::{Entry, MAX_SIGNATURE_BYTES, check_signature};
use super::keys::Keys;
use crate::archive::read_tar;
use crate::cache::sha256_hex;
use crate::tree::Tree;

/// The most that the control data may unpack to, in bytes.
const MAX_CONTROL_BYTES: u64 = 16 * 1024 * 1024;
/// The most that the files may unpack to, in bytes.
const MAX_DATA_BYTES: u64 = 1024 * 1024 * 1024;

/// Why a package is not taken.
#[derive(Debug, thiserror::Error)]
#[error("the package {file} is not to be trusted: {why}; nothing of it was used")]
pub struct PackageError {
    /// Its file.
    pub file: String,
    /// What is wrong.
    pub why: String,
}

/// A package that Alpine has signed, and whose files are what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Licence, as an SPDX expression.
    pub licence: String,
    /// The file, whole.
    pub bytes: Vec<u8>,
    /// Where its third stream begins.
    data: usize,
}

impl Package {
    /// Checks a package. `entry` is what an index says of it, if one is at hand.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn check(
        file: &str,
        bytes: Vec<u8>,
        entry: Option<&Entry>,
        keys: &Keys,
    ) -> Result<Self, PackageError> {
        let failed = |why: String| PackageError { file: file.to_owned(), why };
        let read = |why: std::io::Error| failed(why.to_string());
        let (signature, rest) = gzip::first(&bytes, MAX_SIGNATURE_BYTES).map_err(read)?;
        let (control, data) = gzip::first(rest, MAX_CONTROL_BYTES).map_err(read)?;
        check_signature(&signature.content, keys, control.packed).map_err(failed)?;
        if let Some(entry) = entry {
            let found = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, control.packed);
            if found.as_ref() != entry.control_sha1 || bytes.len() as u64 != entry.bytes {
                return Err(failed("it is not the one that the index names".into()));
            }
        }
        let mut tree = Tree::new();
        read_tar(control.content.as_slice(), &mut tree, |path| path == ".PKGINFO").map_err(read)?;
        let info = tree.read(".PKGINFO").map_err(|why| failed(why.to_string()))?;
        let info = String::from_utf8_lossy(info).into_owned();
        let field = |key: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.map(|text| text.trim().to_owned())
        };
        if field("datahash").as_deref() != Some(&sha256_hex(data)) {
            return Err(failed("its files were changed or cut short: their SHA-256 is another".into()));
        }
        let (name, version) = (field("pkgname"), field("pkgver"));
        let (Some(name), Some(version)) = (name, version) else {
            return Err(failed("it does not say its name and version".into()));
        };
        let (licence, data) = (field("license").unwrap_or_default(), bytes.len() - data.len());
        Ok(Self { name, version, licence, bytes, data })
    }

    /// Its files, every path for which `keep` holds.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn files(&self, keep: impl FnMut(&str) -> bool) -> Result<Tree, PackageError> {
        let data = &self.bytes[self.data..];
        gzip::unpack(data, MAX_DATA_BYTES, keep).map_err(|why| PackageError {
            file: format!("{}-{}.apk", self.name, self.version),
            why: why.to_string(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::alpine::testing::{self, Apk};

    #[test]
    fn a_signed_package_gives_its_files() {
        let apk = Apk::new("tool", "1-r0").file("usr/bin/tool", "x");
        let package = Package::check("tool.apk", apk.bytes(), None, &testing::keys()).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("tool", "1-r0"));
        assert_eq!(package.licence, "MIT");
        assert_eq!(package.files(|_| true).unwrap().read("usr/bin/tool").unwrap(), b"x");
    }

    #[test]
    fn every_byte_counts() {
        let bytes = Apk::new("tool", "1-r0").file("usr/bin/tool", "x").bytes();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let Ok(package) = Package::check("tool.apk", changed, None, &testing::keys()) else { continue };
            // Neither hash nor signature covers the header and the check sum of the stream with the signature.
            assert_eq!(package.files(|_| true).unwrap().read("usr/bin/tool").unwrap(), b"x", "byte {place}");
            assert_eq!(package.name, "tool");
        }
        for cut in 0..bytes.len() {
            let cut = Package::check("tool.apk", bytes[..cut].to_vec(), None, &testing::keys());
            assert!(cut.is_err());
        }
    }

    #[test]
    fn a_package_other_than_the_index_names_is_refused() {
        let apk = Apk::new("tool", "1-r0");
        let entry = apk.entry();
        assert!(Package::check("a", apk.bytes(), Some(&entry), &testing::keys()).is_ok());
        let other = Apk::new("tool", "1-r1").bytes();
        let error = Package::check("a", other, Some(&entry), &testing::keys()).unwrap_err();
        assert!(error.to_string().contains("the index names"), "{error}");
        let error = Package::check("a", apk.bytes(), None, &Keys::alpine()).unwrap_err();
        assert!(error.to_string().contains("none of Alpine's keys"), "{error}");
    }

    #[test]
    fn a_path_that_climbs_out_is_refused() {
        let apk = Apk::new("tool", "1-r0").raw_path("../../etc/shadow");
        let package = Package::check("a", apk.bytes(), None, &testing::keys()).unwrap();
        let error = package.files(|_| true).unwrap_err();
        assert!(error.to_string().contains("leaves the tree"), "{error}");
    }
}
