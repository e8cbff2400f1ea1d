//! Files of several gzip streams in a row, which is how Alpine puts a signature in front of what it signs.

use std::io::{self, Read};

use crate::archive::read_tar;
use crate::tree::Tree;

/// A gzip stream of a file.
#[derive(Debug)]
pub struct Stream<'a> {
    /// As it stands in the file: over this go signatures and checksums.
    pub packed: &'a [u8],
    /// Unpacked.
    pub content: Vec<u8>,
}

/// The first stream of `input`, and what follows it.
///
/// # Errors
/// When it is no gzip, is cut short, or unpacks to more than `limit_bytes`.
pub fn first(input: &[u8], limit_bytes: u64) -> io::Result<(Stream<'_>, &[u8])> {
    let mut decoder = flate2::bufread::GzDecoder::new(input);
    let mut content = Vec::new();
    decoder.by_ref().take(limit_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit_bytes {
        let what = format!("it unpacks to more than {limit_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let rest = decoder.into_inner();
    let packed = &input[..input.len() - rest.len()];
    Ok((Stream { packed, content }, rest))
}

/// All of a file that is one archive, `tar.gz`; every path for which `keep` holds.
///
/// # Errors
/// As [`first`] and [`read_tar`].
pub fn unpack(input: &[u8], limit_bytes: u64, keep: impl FnMut(&str) -> bool) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut bounded = Bounded { inner: flate2::bufread::MultiGzDecoder::new(input), left: limit_bytes };
    read_tar(&mut bounded, &mut tree, keep)?;
    // To the end, where the checksum is.
    io::copy(&mut bounded, &mut io::sink())?;
    Ok(tree)
}

/// A reader that fails at a limit; one that only stopped there would make a large archive look whole.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it unpacks to more than an image may hold")
        })?;
        Ok(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::archive::tar_gz;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut gz = flate2::read::GzEncoder::new(text, flate2::Compression::fast());
        let mut out = Vec::new();
        gz.read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn streams_in_a_row_come_apart_where_they_were_joined() {
        let (one, two) = (packed(b"one"), packed(b"two"));
        let both = [one.clone(), two.clone()].concat();
        let (stream, rest) = first(&both, 10).unwrap();
        assert_eq!((stream.content.as_slice(), stream.packed), (&b"one"[..], one.as_slice()));
        assert_eq!(rest, two);
    }

    #[test]
    fn a_stream_that_is_cut_or_too_large_is_refused() {
        let whole = packed(&[7; 1000]);
        for cut in 0..whole.len() {
            assert!(first(&whole[..cut], 1000).is_err(), "cut at {cut}");
        }
        assert!(first(&whole, 1000).is_ok());
        assert!(first(&whole, 999).unwrap_err().to_string().contains("999"));
    }

    #[test]
    fn an_archive_that_is_cut_changed_or_too_large_is_refused() {
        let mut tree = Tree::new();
        tree.file("a", 0o644, vec![7; 5000]).unwrap();
        let whole = tar_gz(&tree).unwrap();
        assert_eq!(unpack(&whole, 100_000, |_| true).unwrap(), tree);
        assert!(unpack(&whole, 4000, |_| true).is_err());
        assert!(unpack(&whole[..whole.len() - 9], 100_000, |_| true).is_err());
        let mut changed = whole;
        let checksum = changed.len() - 8;
        changed[checksum] ^= 1;
        assert!(unpack(&changed, 100_000, |_| true).is_err());
    }
}
