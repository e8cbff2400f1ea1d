//! Alpine's index of a repository: `APKINDEX.tar.gz`, a signature and a list of packages (apk-tools, version 2).

use std::collections::BTreeMap;

use base64::Engine;

use super::gzip;
use super::keys::Keys;
use super::version::Demand;
use crate::archive::read_tar;
use crate::tree::{Node, Tree};

/// The largest index, unpacked, in bytes: that of `community` has about 20 MiB.
pub const MAX_INDEX_BYTES: u64 = 128 * 1024 * 1024;
/// The largest signature stream, unpacked, in bytes.
pub const MAX_SIGNATURE_BYTES: u64 = 64 * 1024;
/// Architectures whose packages run here.
const ARCHITECTURES: [&str; 2] = ["aarch64", "noarch"];
const SHA1_BYTES: usize = 20;

/// Why an index is not taken.
#[derive(Debug, thiserror::Error)]
#[error("the index {place} is not to be trusted: {why}; ask another mirror: --alpine-mirror URL")]
pub struct IndexError {
    /// Where it is from.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

/// A package as the index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-1 of the package's control stream; that one holds the SHA-256 of its files.
    pub control_sha1: [u8; SHA1_BYTES],
    /// Bytes of the package.
    pub bytes: u64,
    /// Licence, as an SPDX expression.
    pub licence: String,
    /// What it needs.
    pub depends: Vec<Demand>,
    /// What it provides besides its name, with or without a version.
    pub provides: Vec<(String, Option<String>)>,
    /// It belongs to every system on which all of these are installed.
    pub install_if: Vec<Demand>,
    /// Among several that provide the same, the highest is taken.
    pub priority: u32,
}

impl Entry {
    /// Its file's name.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}-{}.apk", self.name, self.version)
    }
}

/// The packages of a repository, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// The packages.
    pub entries: Vec<Entry>,
    /// Packages that are described in a way that is not understood here, and why: nobody may need them.
    pub left_out: Vec<String>,
}

/// Reads an index after its signature was checked. `place` is where it is from, for messages.
///
/// # Errors
/// [`IndexError`].
pub fn read(bytes: &[u8], keys: &Keys, place: &str) -> Result<Index, IndexError> {
    let failed = |why: String| IndexError { place: place.to_owned(), why };
    let (signature, rest) = gzip::first(bytes, MAX_SIGNATURE_BYTES).map_err(|why| failed(why.to_string()))?;
    check_signature(&signature.content, keys, rest).map_err(failed)?;
    // Only now is anything else of it read.
    let (list, _) = gzip::first(rest, MAX_INDEX_BYTES).map_err(|why| failed(why.to_string()))?;
    let mut tree = Tree::new();
    read_tar(list.content.as_slice(), &mut tree, |path| path == "APKINDEX")
        .map_err(|why| failed(why.to_string()))?;
    let text = tree.read("APKINDEX").map_err(|why| failed(why.to_string()))?;
    let text = std::str::from_utf8(text).map_err(|why| failed(why.to_string()))?;
    Ok(Index::parse(text))
}

/// Checks the signatures in `stream`, a tar of them, over `message`. One that fits and is of a known key is enough, as it
/// is for apk.
///
/// # Errors
/// What is wrong, in words.
pub fn check_signature(stream: &[u8], keys: &Keys, message: &[u8]) -> Result<(), String> {
    let mut tree = Tree::new();
    read_tar(stream, &mut tree, |path| path.starts_with(".SIGN.")).map_err(|why| why.to_string())?;
    let signatures = tree.iter().filter_map(|(file, entry)| match &entry.node {
        Node::File(content) => Some((file, content)),
        _ => None,
    });
    let mut refused = Err("it is not signed".to_owned());
    for (file, signature) in signatures {
        match keys.check(file, message, signature) {
            Ok(()) => return Ok(()),
            Err(why) => refused = Err(why),
        }
    }
    refused
}

impl Index {
    fn parse(text: &str) -> Self {
        let mut index = Self::default();
        for stanza in text.split("\n\n").filter(|stanza| !stanza.trim().is_empty()) {
            let fields: BTreeMap<&str, &str> =
                stanza.lines().filter_map(|line| line.split_once(':')).collect();
            let name = fields.get("P").copied().unwrap_or("without a name");
            match entry(&fields) {
                Ok(entry) => index.entries.extend(entry),
                Err(why) => index.left_out.push(format!("{name:?} {why}")),
            }
        }
        index.entries.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        index
    }

    /// The package of a name and version.
    #[must_use]
    pub fn find(&self, name: &str, version: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name && entry.version == version)
    }

    /// The newest package of a name.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<&Entry> {
        let version = |entry: &&Entry| super::version::Version::parse(&entry.version);
        self.entries.iter().filter(|entry| entry.name == name).max_by_key(version)
    }
}

/// A package; `None` if it is for another architecture.
fn entry(fields: &BTreeMap<&str, &str>) -> Result<Option<Entry>, &'static str> {
    if fields.get("A").is_some_and(|architecture| !ARCHITECTURES.contains(architecture)) {
        return Ok(None);
    }
    let field = |key: &str| fields.get(key).copied();
    let text = |key: &str| field(key).filter(|text| is_file_name(text)).map(str::to_owned);
    let list = |key: &str| fields.get(key).copied().unwrap_or_default().split_whitespace();
    let demands = |key: &str, why| list(key).map(Demand::parse).collect::<Option<Vec<_>>>().ok_or(why);
    let provides = list("p").map(|text| match text.split_once('=') {
        Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
        None => (text.to_owned(), None),
    });
    Ok(Some(Entry {
        name: text("P").ok_or("has no name that can be a file's")?,
        version: text("V").ok_or("has no version that can be a file's")?,
        control_sha1: field("C").and_then(sha1).ok_or("has no checksum of the kind Q1 (SHA-1)")?,
        bytes: field("S").and_then(|text| text.parse().ok()).ok_or("has no size")?,
        licence: field("L").unwrap_or_default().to_owned(),
        depends: demands("D", "has a dependency that is malformed")?,
        provides: provides.collect(),
        install_if: demands("i", "has an install_if that is malformed")?,
        priority: field("k").map_or(Ok(0), str::parse).map_err(|_| "has a priority that is no number")?,
    }))
}

fn sha1(text: &str) -> Option<[u8; SHA1_BYTES]> {
    let digits = text.strip_prefix("Q1")?;
    base64::engine::general_purpose::STANDARD.decode(digits).ok()?.try_into().ok()
}

/// Names and versions become names of files: they must not lead elsewhere, and FAT must take them.
fn is_file_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-~".contains(&byte);
    text.bytes().all(known)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::alpine::testing;

    const TEXT: &str = "C:Q1qZl5uF5QJyyvOv0nnPpN4LD5Xk0=\nP:nftables\nV:1.1.3-r0\nA:aarch64\nS:12\nL:GPL-2.0-or-later\n\
        D:!old<1 so:libmnl.so.0 cmd:x=1.0\np:cmd:nft=1.1.3-r0 nft\nk:10\ni:a b=1\nF:kept for later\n\n\
        C:Q1qZl5uF5QJyyvOv0nnPpN4LD5Xk0=\nP:other\nV:1\nA:x86_64\nS:1\n\n";

    #[test]
    fn packages_for_this_architecture_are_read() {
        let index = Index::parse(TEXT);
        assert_eq!(index.entries.len(), 1);
        let entry = index.find("nftables", "1.1.3-r0").unwrap();
        assert_eq!((entry.bytes, entry.priority, entry.depends.len()), (12, 10, 3));
        assert_eq!(entry.provides, [("cmd:nft".into(), Some("1.1.3-r0".into())), ("nft".into(), None)]);
        assert_eq!(entry.file(), "nftables-1.1.3-r0.apk");
        assert!(index.find("nftables", "1").is_none());
    }

    #[test]
    fn a_package_that_is_malformed_is_left_out_with_the_reason() {
        for (from, to, why) in [
            ("P:nftables", "P:../nftables", "name"),
            ("P:nftables\n", "", "name"),
            ("V:1.1.3-r0", "V:1/../..", "version"),
            ("C:Q1qZ", "C:Q2qZ", "Q1"),
            ("C:Q1qZl5", "C:Q1", "Q1"),
            ("S:12", "S:x", "size"),
            ("D:!old<1", "D:old<", "dependency"),
            ("i:a", "i:=", "install_if"),
            ("k:10", "k:-", "priority"),
        ] {
            let index = Index::parse(&TEXT.replacen(from, to, 1));
            assert!(index.entries.is_empty(), "{from} -> {to}");
            assert!(index.left_out[0].contains(why), "{from} -> {to}: {:?}", index.left_out);
        }
    }

    #[test]
    fn an_index_is_read_only_behind_a_signature_of_alpine() {
        let (keys, signed) = (testing::keys(), testing::signed_index(TEXT));
        assert_eq!(read(&signed, &keys, "main").unwrap(), Index::parse(TEXT));
        let stranger = read(&signed, &Keys::alpine(), "main").unwrap_err();
        assert!(stranger.to_string().contains("none of Alpine's keys"), "{stranger}");
        let mut changed = signed.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        let changed = read(&changed, &keys, "main").unwrap_err();
        assert!(changed.to_string().contains("does not fit"), "{changed}");
        let (_, unsigned) = gzip::first(&signed, MAX_SIGNATURE_BYTES).unwrap();
        assert!(read(unsigned, &keys, "main").unwrap_err().to_string().contains("not signed"));
        for cut in [0, 10, signed.len() / 2, signed.len() - 1] {
            assert!(read(&signed[..cut], &keys, "main").is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_index_that_is_too_large_is_refused_even_if_it_is_signed() {
        let large = testing::signed(&testing::gz(&vec![0; MAX_INDEX_BYTES as usize + 1]));
        let error = read(&large, &testing::keys(), "main").unwrap_err();
        assert!(error.to_string().contains("more than 134217728 bytes"), "{error}");
    }
}
