//! Writes tar archives that are the same for the same content: no times, no owners.

use std::io::{self, Read, Write};

use super::COPY_BYTES;
use super::tar_read::BLOCK_BYTES;

/// Longest name that the head itself takes, in bytes.
const MAX_NAME_BYTES: usize = 100;
/// Longest length that eleven octal digits can say.
const MAX_OCTAL: u64 = 0o777_7777_7777;

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

fn block(name: &[u8], kind: u8, len: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    put(&mut block, 0, name);
    put(&mut block, 100, b"0000644\x000000000\x000000000\0");
    put(&mut block, 124, format!("{:011o}\0", len.min(MAX_OCTAL)).as_bytes());
    put(&mut block, 136, b"00000000000\0        ");
    block[156] = kind;
    put(&mut block, 257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block
}

/// One pax record, whose length counts its own digits.
fn pax(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut len = rest.len() + 1;
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    format!("{len}{rest}")
}

/// The head of a file, as many blocks as it takes.
pub(super) fn head(path: &str, len: u64) -> Vec<u8> {
    let mut records = String::new();
    if path.len() > MAX_NAME_BYTES {
        records += &pax("path", path);
    }
    if len > MAX_OCTAL {
        records += &pax("size", &len.to_string());
    }
    let mut head = Vec::new();
    if !records.is_empty() {
        head.extend_from_slice(&block(b"pax", b'x', records.len() as u64));
        head.extend_from_slice(records.as_bytes());
        head.resize(head.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    // Cut where no letter is torn; the whole name stands in the record.
    let mut end = path.len().min(MAX_NAME_BYTES);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    head.extend_from_slice(&block(&path.as_bytes()[..end], b'0', len));
    head
}

/// How many zeros follow a file.
pub(super) fn padding(len: u64) -> usize {
    (len.next_multiple_of(BLOCK_BYTES as u64) - len) as usize
}

/// What ends an archive.
pub(super) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// An archive in the making.
pub(super) struct TarWriter<W>(W);

impl<W: Write> TarWriter<W> {
    pub(super) fn new(to: W) -> Self {
        Self(to)
    }

    /// Adds a file whose bytes are at hand.
    pub(super) fn text(&mut self, path: &str, text: &[u8]) -> io::Result<()> {
        self.file(path, text.len() as u64, &mut &text[..])
    }

    /// Adds a file of exactly `len` bytes.
    pub(super) fn file(&mut self, path: &str, len: u64, from: &mut dyn Read) -> io::Result<()> {
        self.0.write_all(&head(path, len))?;
        let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(len).unwrap_or(COPY_BYTES))];
        let mut left = len;
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            from.read_exact(&mut buffer[..part])?;
            self.0.write_all(&buffer[..part])?;
            left -= part as u64;
        }
        self.0.write_all(&END[..padding(len)])
    }

    /// Ends it.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.0.write_all(&END)?;
        self.0.flush()
    }
}
