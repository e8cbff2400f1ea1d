//! The disk image: a partition table and one FAT32 partition.
//!
//! MBR, not GPT: a Raspberry Pi 3 boots from nothing else, and UEFI takes either.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use crate::tree::{Node, Tree};

/// Bytes of a sector.
pub const SECTOR_BYTES: u64 = 512;
/// Where the partition begins, in bytes: a multiple of what SD cards erase at once.
pub const PARTITION_START_BYTES: u64 = 4 * 1024 * 1024;
/// Disk signature by which the node knows its own medium ("TRNT").
pub const DISK_ID: u32 = 0x5452_4e54;
const LABEL: [u8; 11] = *b"TRUSTNET   ";
const VOLUME_ID: u32 = DISK_ID;
const FAT32_LBA: u8 = 0x0c;

/// A disk image of `total_bytes` with `tree` on its only partition. Links and owners have no place on FAT: links are
/// an error, owners and modes are dropped.
///
/// # Errors
/// When it does not fit.
pub fn image(tree: &Tree, total_bytes: u64) -> io::Result<Vec<u8>> {
    let mut disk = vec![0; total_bytes as usize];
    let sectors = (total_bytes - PARTITION_START_BYTES) / SECTOR_BYTES;
    disk[..512].copy_from_slice(&master_boot_record(sectors as u32));
    let partition = &mut disk[PARTITION_START_BYTES as usize..];
    let mut cursor = Cursor::new(partition);
    let options = fatfs::FormatVolumeOptions::new()
        .fat_type(fatfs::FatType::Fat32)
        .volume_label(LABEL)
        .volume_id(VOLUME_ID);
    fatfs::format_volume(&mut cursor, options)?;
    cursor.seek(SeekFrom::Start(0))?;
    let volume = fatfs::FileSystem::new(cursor, fatfs::FsOptions::new())?;
    {
        let root = volume.root_dir();
        for (path, entry) in tree.iter() {
            match &entry.node {
                Node::Dir => drop(root.create_dir(path)?),
                Node::File(content) => {
                    let mut file = root.create_file(path)?;
                    file.truncate()?;
                    file.write_all(content)?;
                    file.flush()?;
                }
                Node::Link(_) => {
                    let what = format!("{path}: FAT has no links");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
                }
            }
        }
    }
    volume.unmount()?;
    Ok(disk)
}

/// The first sector of the disk.
fn master_boot_record(sectors: u32) -> [u8; 512] {
    let mut mbr = [0; 512];
    mbr[440..444].copy_from_slice(&DISK_ID.to_le_bytes());
    let entry = &mut mbr[446..462];
    entry[0] = 0x80;
    // Cylinders, heads and sectors: beyond what they can say.
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[4] = FAT32_LBA;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&((PARTITION_START_BYTES / SECTOR_BYTES) as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    mbr
}

/// Reads the files of an image's partition.
///
/// # Errors
/// When it is no image of ours.
pub fn read_image<T: Read + Write + Seek>(mut disk: T) -> io::Result<Tree> {
    let foreign = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "this is no TrustNet image: its partition table is another's",
        )
    };
    let mut mbr = [0; 512];
    disk.read_exact(&mut mbr).map_err(|why| match why.kind() {
        io::ErrorKind::UnexpectedEof => foreign(),
        _ => why,
    })?;
    if mbr[510..] != [0x55, 0xaa] || mbr[440..444] != DISK_ID.to_le_bytes() || mbr[450] != FAT32_LBA {
        return Err(foreign());
    }
    let partition = Part { disk, at: 0 };
    let volume = fatfs::FileSystem::new(partition, fatfs::FsOptions::new().update_accessed_date(false))?;
    let mut tree = Tree::new();
    read_dir(&volume.root_dir(), "", &mut tree)?;
    Ok(tree)
}

fn read_dir<T: Read + Write + Seek>(dir: &fatfs::Dir<'_, T>, above: &str, tree: &mut Tree) -> io::Result<()> {
    let bad = |error: crate::tree::TreeError| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let path = format!("{above}{name}");
        if entry.is_dir() {
            tree.dir(&path, 0o755).map_err(bad)?;
            read_dir(&entry.to_dir(), &format!("{path}/"), tree)?;
        } else {
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content)?;
            tree.file(&path, 0o644, content).map_err(bad)?;
        }
    }
    Ok(())
}

/// The partition of a disk.
struct Part<T> {
    disk: T,
    at: u64,
}

impl<T: Seek> Part<T> {
    fn go(&mut self) -> io::Result<()> {
        self.disk.seek(SeekFrom::Start(PARTITION_START_BYTES + self.at)).map(drop)
    }
}

impl<T: Read + Seek> Read for Part<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.go()?;
        let read = self.disk.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<T: Write + Seek> Write for Part<T> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "images are read only"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Seek> Seek for Part<T> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, "a place before the start");
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.at.checked_add_signed(by).ok_or_else(bad)?,
            SeekFrom::End(by) => {
                let end = self.disk.seek(SeekFrom::End(0))?.saturating_sub(PARTITION_START_BYTES);
                end.checked_add_signed(by).ok_or_else(bad)?
            }
        };
        Ok(self.at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        tree.file("boot/vmlinuz", 0o644, vec![9; 300_000]).unwrap();
        tree.file("a file with a long name.toml", 0o644, "x").unwrap();
        tree.dir("apks", 0o755).unwrap();
        tree
    }

    #[test]
    fn an_image_reads_back_and_is_the_same_every_time() {
        let bytes = image(&tree(), 64 * 1024 * 1024).unwrap();
        assert_eq!(read_image(Cursor::new(bytes.clone())).unwrap(), tree());
        assert_eq!(bytes, image(&tree(), 64 * 1024 * 1024).unwrap());
    }

    #[test]
    fn what_does_not_fit_or_is_foreign_is_refused() {
        let mut large = tree();
        large.file("large", 0o644, vec![1; 60 * 1024 * 1024]).unwrap();
        assert!(image(&large, 48 * 1024 * 1024).is_err());
        let mut links = tree();
        links.link("link", "boot").unwrap();
        assert!(image(&links, 64 * 1024 * 1024).is_err());
        assert!(read_image(Cursor::new(vec![0; 1024 * 1024])).is_err());
    }
}
