//! Archives whose bytes depend on their content only: tar as GNU writes it, and cpio `newc` for an initramfs.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};

use crate::tree::{Entry, Node, Tree};

/// Time stamp of everything, in seconds since 1970: 1980, the first time that FAT knows.
pub const STAMP_UNIX_S: u64 = 315_532_800;
/// The largest file that is taken from an archive, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Writes a tree as tar.
///
/// # Errors
/// Of `out`.
pub fn write_tar(tree: &Tree, out: impl Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    for (path, entry) in tree.iter() {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(STAMP_UNIX_S);
        header.set_mode(entry.mode);
        header.set_uid(entry.uid.into());
        header.set_gid(entry.gid.into());
        match &entry.node {
            Node::Dir => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                builder.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Node::File(content) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_slice())?;
            }
            Node::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target)?;
            }
        }
    }
    builder.into_inner()?.flush()
}

/// Writes a tree as tar, compressed with gzip, without a time in it.
///
/// # Errors
/// Does not fail but for memory.
pub fn tar_gz(tree: &Tree) -> io::Result<Vec<u8>> {
    // 255: unknown operating system.
    let mut gz = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    write_tar(tree, &mut gz)?;
    gz.finish()
}

/// Reads a tar into `tree`, every entry for which `keep` holds. Hard links become copies.
///
/// # Errors
/// When the archive is malformed, holds a path that leaves the tree, or a file above 256 MiB.
pub fn read_tar(input: impl Read, tree: &mut Tree, mut keep: impl FnMut(&str) -> bool) -> io::Result<()> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        if !keep(path.trim_end_matches('/')) {
            continue;
        }
        let header = entry.header();
        let (mode, uid, gid) = (header.mode()? & 0o7777, header.uid()? as u32, header.gid()? as u32);
        let target = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        let node = match (header.entry_type(), target) {
            (tar::EntryType::Directory, _) => Node::Dir,
            (tar::EntryType::Regular | tar::EntryType::Continuous, _) => {
                if entry.size() > MAX_FILE_BYTES {
                    return Err(bad(format!("{path} is larger than {MAX_FILE_BYTES} bytes")));
                }
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                Node::File(content)
            }
            (tar::EntryType::Symlink, Some(target)) => Node::Link(target),
            (tar::EntryType::Link, Some(target)) => {
                let content = tree.read(target.trim_start_matches("./")).map_err(|e| bad(e.to_string()))?;
                Node::File(content.to_vec())
            }
            // Device nodes and the like: the kernel makes them.
            _ => continue,
        };
        if node == Node::Dir && tree.get(&path).is_some() {
            continue;
        }
        tree.put(&path, Entry { node, mode, uid, gid }).map_err(|e| bad(e.to_string()))?;
    }
    Ok(())
}

/// A tree as a cpio archive of the format `newc`, as the kernel unpacks it.
#[must_use]
pub fn cpio(tree: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (path, entry)) in (1u32..).zip(tree.iter()) {
        let (kind, content) = match &entry.node {
            Node::Dir => (0o040_000, &[][..]),
            Node::File(content) => (0o100_000, content.as_slice()),
            Node::Link(target) => (0o120_000, target.as_bytes()),
        };
        let links = if entry.node == Node::Dir { 2 } else { 1 };
        member(&mut out, path, [number, kind | entry.mode, entry.uid, entry.gid, links], content);
    }
    member(&mut out, "TRAILER!!!", [0, 0, 0, 0, 1], &[]);
    out
}

fn member(out: &mut Vec<u8>, path: &str, [ino, mode, uid, gid, links]: [u32; 5], content: &[u8]) {
    let name_bytes = path.len() as u32 + 1;
    let fields = [ino, mode, uid, gid, links, 0, content.len() as u32, 0, 0, 0, 0, name_bytes, 0];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        tree.file("etc/long/".repeat(20).as_str().trim_end_matches('/'), 0o600, "deep").unwrap();
        tree.file("bin/run", 0o755, vec![7; 5000]).unwrap();
        tree.link("bin/again", "run").unwrap();
        tree.dir("var/empty", 0o711).unwrap();
        tree
    }

    #[test]
    fn a_tar_reads_back_as_written_and_is_the_same_every_time() {
        let mut bytes = Vec::new();
        write_tar(&tree(), &mut bytes).unwrap();
        let mut back = Tree::new();
        read_tar(bytes.as_slice(), &mut back, |_| true).unwrap();
        assert_eq!(back, tree());
        assert_eq!(tar_gz(&tree()).unwrap(), tar_gz(&tree()).unwrap());
    }

    #[test]
    fn only_what_is_wanted_is_read() {
        let mut bytes = Vec::new();
        write_tar(&tree(), &mut bytes).unwrap();
        let mut back = Tree::new();
        read_tar(bytes.as_slice(), &mut back, |path| path.starts_with("bin")).unwrap();
        let paths: Vec<&str> = back.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["bin", "bin/again", "bin/run"]);
    }

    #[test]
    fn a_cpio_has_the_layout_that_the_kernel_reads() {
        let mut small = Tree::new();
        small.file("init", 0o755, "hello").unwrap();
        let bytes = cpio(&small);
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000081ED", "a regular file, 0755");
        assert_eq!(&bytes[54..62], b"00000005", "bytes of content");
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..121], b"hello");
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }

    #[test]
    fn a_tar_that_climbs_out_is_refused() {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..9].copy_from_slice(b"../../etc");
        header.set_size(0);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(2048, 0);
        assert!(read_tar(bytes.as_slice(), &mut Tree::new(), |_| true).is_err());
    }
}
