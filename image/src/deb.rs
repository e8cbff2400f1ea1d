//! Debian packages: an `ar` archive with a compressed tar in it (deb(5)).

use std::io::{self, Read};

use crate::archive::read_tar;
use crate::tree::Tree;

const AR_MAGIC: &[u8] = b"!<arch>\n";
const AR_HEADER_BYTES: usize = 60;
/// The most that a package may unpack to, in bytes.
const MAX_DATA_BYTES: u64 = 1024 * 1024 * 1024;

/// Unpacks what a package installs into `tree`, every path for which `keep` holds.
///
/// # Errors
/// When it is not a package, or malformed.
pub fn unpack(package: &[u8], tree: &mut Tree, keep: impl FnMut(&str) -> bool) -> io::Result<()> {
    let (name, data) = data_member(package)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a Debian package"))?;
    let reader: Box<dyn Read + '_> = match name {
        "data.tar.xz" => Box::new(liblzma::read::XzDecoder::new(data)),
        "data.tar.zst" => Box::new(zstd::stream::read::Decoder::new(data)?),
        "data.tar.gz" => Box::new(flate2::read::GzDecoder::new(data)),
        "data.tar" => Box::new(data),
        other => {
            let what = format!("{other} is compressed in a way that is not known here");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
    };
    read_tar(reader.take(MAX_DATA_BYTES), tree, keep)
}

/// The archive member with the files, by its name.
fn data_member(package: &[u8]) -> Option<(&str, &[u8])> {
    let mut rest = package.strip_prefix(AR_MAGIC)?;
    loop {
        let (header, after) = rest.split_at_checked(AR_HEADER_BYTES)?;
        let name = std::str::from_utf8(&header[..16]).ok()?.trim_end().trim_end_matches('/');
        let size: usize = std::str::from_utf8(&header[48..58]).ok()?.trim_end().parse().ok()?;
        let content = after.get(..size)?;
        if name.starts_with("data.tar") {
            return Some((name, content));
        }
        rest = after.get(size.checked_next_multiple_of(2)?..)?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::archive::write_tar;

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut out =
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).into_bytes();
        out.extend_from_slice(content);
        if out.len() % 2 == 1 {
            out.push(b'\n');
        }
        out
    }

    fn package(data_name: &str, data: &[u8]) -> Vec<u8> {
        [
            AR_MAGIC,
            &member("debian-binary", b"2.0\n"),
            &member("control.tar.xz", b"odd"),
            &member(data_name, data),
        ]
        .concat()
    }

    fn tree() -> (Tree, Vec<u8>) {
        let mut tree = Tree::new();
        tree.file("usr/bin/tool", 0o755, "x").unwrap();
        let mut tar = Vec::new();
        write_tar(&tree, &mut tar).unwrap();
        (tree, tar)
    }

    #[test]
    fn packages_of_every_compression_are_unpacked() {
        let (tree, tar) = tree();
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(tar.as_slice(), 1).read_to_end(&mut xz).unwrap();
        let zst = zstd::encode_all(tar.as_slice(), 1).unwrap();
        for (name, data) in [("data.tar", tar.clone()), ("data.tar.xz", xz), ("data.tar.zst", zst)] {
            let mut back = Tree::new();
            unpack(&package(name, &data), &mut back, |_| true).unwrap();
            assert_eq!(back, tree, "{name}");
        }
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let (_, tar) = tree();
        let good = package("data.tar", &tar);
        let mut size = good.clone();
        size[8 + 48] = b'x';
        for bad in [&b""[..], b"!<arch>\n", &good[..100], &size, &package("data.tar.br", &tar)] {
            assert!(unpack(bad, &mut Tree::new(), |_| true).is_err());
        }
    }
}
