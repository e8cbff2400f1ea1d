//! The image that is to be written: unpacked, and known to be one of ours.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::fat::{DISK_ID, SECTOR_BYTES};

/// What a file begins with that zstd has packed (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The largest image that is unpacked, four times Alpine's, in bytes: what is packed may say anything of its size.
const MAX_IMAGE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Why a file is no image to write.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system's, or zstd's.
    #[error("cannot {what} {}: {why}; make it with trustnet-image build, or copy it again", .path.display())]
    Read {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// Something else.
    #[error(
        "{} is no image of TrustNet, nor one packed with zstd; make one: trustnet-image build", .0.display()
    )]
    Foreign(PathBuf),
    /// Not all of it is there.
    #[error("{} was cut short: it has {has} bytes of {needs}; copy or make it again", .path.display())]
    Cut {
        /// Which file.
        path: PathBuf,
        /// Bytes that are there.
        has: u64,
        /// Bytes that its partition table tells of.
        needs: u64,
    },
}

/// Reads an image, packed or not.
///
/// # Errors
/// [`SourceError`].
pub fn read_image(path: &Path) -> Result<Vec<u8>, SourceError> {
    let failed = |what| move |why| SourceError::Read { what, path: path.to_owned(), why };
    let file = fs::read(path).map_err(failed("read"))?;
    let image = if file.starts_with(&ZSTD_MAGIC) { unpack(&file).map_err(failed("unpack"))? } else { file };
    let needs = disk_bytes(&image).ok_or_else(|| SourceError::Foreign(path.to_owned()))?;
    let has = image.len() as u64;
    if has < needs { Err(SourceError::Cut { path: path.to_owned(), has, needs }) } else { Ok(image) }
}

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut image = Vec::new();
    zstd::Decoder::new(packed)?.take(MAX_IMAGE_BYTES).read_to_end(&mut image)?;
    Ok(image)
}

/// Where the boot partition ends, in bytes, as the partition table says; `None` if it is not one of ours.
fn disk_bytes(image: &[u8]) -> Option<u64> {
    let table = image.get(..SECTOR_BYTES as usize)?;
    if table[510..] != [0x55, 0xaa] || table[440..444] != DISK_ID.to_le_bytes() {
        return None;
    }
    let number = |at: usize| table[at..at + 4].try_into().map(u32::from_le_bytes).map(u64::from).ok();
    Some((number(454)? + number(458)?) * SECTOR_BYTES)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fat;
    use crate::outputs::compress;
    use crate::tree::Tree;

    fn image() -> Vec<u8> {
        let mut tree = Tree::new();
        tree.file("boot", 0o644, "x").unwrap();
        fat::image(&tree, 48 * 1024 * 1024).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, SourceError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        read_image(file.path())
    }

    #[test]
    fn an_image_is_taken_packed_or_not() {
        let image = image();
        assert!(read(&image).unwrap() == image);
        assert!(read(&compress(&image).unwrap()).unwrap() == image);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let mut foreign = image();
        foreign[440] ^= 1;
        let mut bare = vec![0; 512];
        bare[510..].copy_from_slice(&[0x55, 0xaa]);
        let packed = zstd::encode_all(&b"text"[..], 1).unwrap();
        for bytes in [&b""[..], &b"QFI\xfb"[..], &foreign[..], &bare[..], &packed[..]] {
            assert!(matches!(read(bytes), Err(SourceError::Foreign(_))));
        }
        let missing = read_image(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(missing.contains("make it with trustnet-image build"), "{missing}");
    }

    #[test]
    fn what_was_cut_short_is_refused() {
        let image = image();
        let cut = read(&image[..image.len() - 1]).unwrap_err().to_string();
        assert!(cut.contains("it has 50331647 bytes of 50331648"), "{cut}");
        let packed = compress(&image).unwrap();
        let cut = read(&packed[..packed.len() / 2]).unwrap_err();
        assert!(matches!(cut, SourceError::Read { what: "unpack", .. }), "{cut}");
    }
}
