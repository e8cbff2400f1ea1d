//! Reads tar archives, front to back: ustar, GNU's long names, pax.
//!
//! Written here since the archive is a stranger's: names and pax records are bounded before they are read, and what an
//! image never needs (sparse files, devices) is refused.

use std::io::{self, Read};

use super::{MAX_ENTRIES, MAX_PATH_BYTES};

pub(super) const BLOCK_BYTES: usize = 512;
/// Longest record that describes the next file, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024;
/// How much may follow the end of an archive, in bytes: tar fills up its last record.
const MAX_TRAILER_BYTES: u64 = 1024 * 1024;

/// What a file of an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A name for another file, relative to its own folder.
    Symlink(String),
    /// A name for another file, from the archive's root.
    Hardlink(String),
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// As it stands there.
    pub(super) path: String,
    pub(super) kind: Kind,
    /// Its length, in bytes.
    pub(super) len: u64,
}

/// An archive; reading it gives the bytes of the file whose head came last.
pub(super) struct TarReader<R> {
    from: R,
    /// Bytes of the file that were not read.
    left: u64,
    /// Bytes that fill up its last block.
    padding: u64,
    entries: usize,
}

/// What the records before a file say of it.
#[derive(Default)]
struct Said {
    path: Option<String>,
    link: Option<String>,
    len: Option<u64>,
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn broke_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the archive broke off")
}

/// The text of a field that ends at its first zero.
fn text(field: &[u8]) -> io::Result<String> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let text = std::str::from_utf8(&field[..end]).map_err(|_| invalid("a name is not UTF-8"))?;
    Ok(text.to_owned())
}

/// A number in octal digits, or as GNU writes long ones: in binary.
fn number(field: &[u8]) -> io::Result<u64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        let (high, low) = field.split_at(field.len() - 8);
        // A field of eight bytes has no room for more than the number.
        let is_small = high
            .split_first()
            .is_some_and(|(first, rest)| *first == 0x80 && rest.iter().all(|byte| *byte == 0));
        let low = u64::from_be_bytes(low.try_into().unwrap_or_default());
        return if is_small && i64::try_from(low).is_ok() {
            Ok(low)
        } else {
            Err(invalid("a length is too long"))
        };
    }
    let digits = text(field)?;
    let digits = digits.trim_matches(' ');
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| invalid("a head is damaged"))
}

/// What a person gave is something else altogether.
fn no_archive() -> io::Error {
    invalid(
        "it is neither a tar archive nor the folder of an OCI layout; give one of these, or what `docker save` or `podman save` writes",
    )
}

fn has_right_sum(block: &[u8; BLOCK_BYTES]) -> bool {
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
    number(&block[148..156]).is_ok_and(|told| told == sum - own + 8 * u64::from(b' '))
}

/// The path in a head itself, which ustar splits.
fn path_of(block: &[u8; BLOCK_BYTES]) -> io::Result<String> {
    let name = text(&block[..100])?;
    let is_ustar = block[257..263] == *b"ustar\0";
    let prefix = if is_ustar { text(&block[345..500])? } else { String::new() };
    Ok(if prefix.is_empty() { name } else { format!("{prefix}/{name}") })
}

impl Said {
    /// Reads pax records: `LENGTH KEY=VALUE`, each ended by a newline.
    fn add_pax(&mut self, mut records: &[u8]) -> io::Result<()> {
        let damaged = || invalid("a pax record is damaged");
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
            let len = std::str::from_utf8(&records[..space]).ok().and_then(|len| len.parse::<usize>().ok());
            let (record, rest) = len
                .filter(|len| *len > space + 1)
                .and_then(|len| records.split_at_checked(len))
                .ok_or_else(damaged)?;
            let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(damaged)?;
            let (key, value) =
                record.split_at(record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?);
            let value = std::str::from_utf8(&value[1..]).map_err(|_| invalid("a name is not UTF-8"));
            match key {
                b"path" => self.path = Some(value?.to_owned()),
                b"linkpath" => self.link = Some(value?.to_owned()),
                b"size" => self.len = Some(value?.parse().map_err(|_| damaged())?),
                key if key.starts_with(b"GNU.sparse") => return Err(invalid("it holds a sparse file")),
                _ => {}
            }
            records = rest;
        }
        Ok(())
    }
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, left: 0, padding: 0, entries: 0 }
    }

    /// Reads a block; `None` at the end of the bytes.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK_BYTES]>> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.from.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                // Nothing that is shorter than a head is an archive.
                Ok(0) => return Err(if self.entries == 0 { no_archive() } else { broke_off() }),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(block))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.from).take(bytes), &mut io::sink())?;
        if skipped == bytes { Ok(()) } else { Err(broke_off()) }
    }

    /// The bytes of a record that describes the next file.
    fn record(&mut self, len: u64) -> io::Result<Vec<u8>> {
        if len > MAX_RECORD_BYTES {
            return Err(invalid(format!("a name or record is longer than {MAX_RECORD_BYTES} bytes")));
        }
        let mut record = vec![0; len as usize];
        self.from.read_exact(&mut record).map_err(|_| broke_off())?;
        self.skip(len.next_multiple_of(BLOCK_BYTES as u64) - len)?;
        Ok(record)
    }

    /// The next file; `None` at the archive's end. What was not read of the last one is skipped.
    pub(super) fn next(&mut self) -> io::Result<Option<Head>> {
        self.skip(self.left + self.padding)?;
        (self.left, self.padding) = (0, 0);
        let mut said = Said::default();
        loop {
            let block = self.block()?.ok_or_else(broke_off)?;
            if block.iter().all(|byte| *byte == 0) {
                io::copy(&mut (&mut self.from).take(MAX_TRAILER_BYTES), &mut io::sink())?;
                return Ok(None);
            }
            if !has_right_sum(&block) {
                return Err(if self.entries == 0 { no_archive() } else { invalid("a head is damaged") });
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(invalid(format!("it holds more than {MAX_ENTRIES} files")));
            }
            let len = number(&block[124..136])?;
            match block[156] {
                b'L' => said.path = Some(text(&self.record(len)?)?),
                b'K' => said.link = Some(text(&self.record(len)?)?),
                b'x' => said.add_pax(&self.record(len)?)?,
                b'g' => drop(self.record(len)?),
                kind => return self.head(&block, kind, said.len.unwrap_or(len), said).map(Some),
            }
        }
    }

    fn head(&mut self, block: &[u8; BLOCK_BYTES], kind: u8, len: u64, said: Said) -> io::Result<Head> {
        let path = said.path.map_or_else(|| path_of(block), Ok)?;
        let link = said.link.map_or_else(|| text(&block[157..257]), Ok)?;
        if path.len() > MAX_PATH_BYTES || link.len() > MAX_PATH_BYTES {
            return Err(invalid(format!("a path is longer than {MAX_PATH_BYTES} bytes")));
        }
        let kind = match kind {
            b'0' | 0 | b'7' if path.ends_with('/') => Kind::Folder,
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::Hardlink(link),
            b'2' => Kind::Symlink(link),
            b'5' => Kind::Folder,
            _ => return Err(invalid("it holds something that is no file, folder or link")),
        };
        if kind == Kind::File {
            if i64::try_from(len).is_err() {
                return Err(invalid("a length is too long"));
            }
            self.left = len;
            let over = len % BLOCK_BYTES as u64;
            self.padding = if over == 0 { 0 } else { BLOCK_BYTES as u64 - over };
        }
        let len = self.left;
        Ok(Head { path, kind, len })
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let part = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if part == 0 {
            return Ok(0);
        }
        let read = self.from.read(&mut buf[..part])?;
        if read == 0 {
            return Err(broke_off());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_refused_whatever_byte_stands_where() {
        for byte in 0..=255 {
            let mut block = [1_u8; 2 * BLOCK_BYTES];
            block[148..156].fill(byte);
            block[124..136].fill(byte);
            assert!(TarReader::new(block.as_slice()).next().is_err(), "{byte}");
        }
    }

    #[test]
    fn what_is_no_archive_is_told_from_a_damaged_one() {
        let told = |bytes: &[u8]| {
            let mut reader = TarReader::new(bytes);
            loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => return String::new(),
                    Err(error) => return error.to_string(),
                }
            }
        };
        let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0xff; 2_000]].concat();
        for other in [&png, b"{\"schemaVersion\":2}".as_slice(), &[b'x'; 511], &[b'x'; 5_000], &[0xf0; 600]] {
            assert!(told(other).starts_with("it is neither a tar archive"), "{}", told(other));
        }
        let file = super::super::tar_write::head("a", 0);
        assert_eq!(told(&[file.as_slice(), &[0; 1_024]].concat()), "");
        assert_eq!(told(&[file.as_slice(), &png].concat()), "a head is damaged");
        assert_eq!(told(&[file.as_slice(), &png[..100]].concat()), "the archive broke off");
    }

    #[test]
    fn numbers_in_octal_and_in_binary() {
        assert_eq!(number(b"00000000017\0").unwrap(), 15);
        assert_eq!(number(b"            ").unwrap(), 0);
        let binary = |first, low: u64| [&[first, 0, 0, 0][..], &low.to_be_bytes()].concat();
        assert_eq!(number(&binary(0x80, 1 << 40)).unwrap(), 1 << 40);
        assert!(number(&binary(0x81, 1)).is_err() && number(&binary(0x80, u64::MAX)).is_err());
        assert!(number(&[0x80; 8]).is_err() && number(b"9").is_err());
    }
}
