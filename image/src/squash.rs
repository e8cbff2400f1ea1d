//! A squashfs of a tree: what the base and the kernel's modules are read from while the node runs.

use std::io::{self, Cursor};

use backhand::compression::{CompressionOptions, Compressor, Zstd};
use backhand::{BackhandError, FilesystemCompressor, FilesystemWriter, NodeHeader};

use crate::archive::STAMP_UNIX_S;
use crate::tree::{Entry, Node, Tree};

/// Packed together: larger packs tighter, and takes longer to read a byte of.
const BLOCK_BYTES: u32 = 256 * 1024;
/// As tight as is worth the time of a build. How fast it is unpacked does not depend on it.
const ZSTD_LEVEL: u32 = 19;

/// Why no squashfs came of it.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a squashfs: {0}")]
pub struct SquashError(String);

impl From<BackhandError> for SquashError {
    fn from(error: BackhandError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for SquashError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Writes a tree as squashfs, compressed with zstd: a little larger than with xz, and read several times as fast, by boards
/// whose start waits for it.
///
/// # Errors
/// [`SquashError`].
pub fn squashfs(tree: &Tree) -> Result<Vec<u8>, SquashError> {
    let mut writer = FilesystemWriter::default();
    writer.set_time(STAMP_UNIX_S as u32);
    writer.set_block_size(BLOCK_BYTES);
    writer.set_root_mode(0o755);
    let level = CompressionOptions::Zstd(Zstd { compression_level: ZSTD_LEVEL });
    writer.set_compressor(FilesystemCompressor::new(Compressor::Zstd, Some(level))?);
    let header = |entry: &Entry| NodeHeader {
        permissions: entry.mode as u16,
        uid: entry.uid,
        gid: entry.gid,
        mtime: STAMP_UNIX_S as u32,
    };
    for (path, entry) in tree.iter() {
        match &entry.node {
            Node::Dir => writer.push_dir(path, header(entry))?,
            Node::File(content) => writer.push_file(Cursor::new(content.clone()), path, header(entry))?,
            Node::Link(target) => writer.push_symlink(target, path, header(entry))?,
        }
    }
    let mut out = Cursor::new(Vec::new());
    writer.write(&mut out)?;
    Ok(out.into_inner())
}
