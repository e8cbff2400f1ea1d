//! Writing an image onto a card, and reading it back.

mod source;
mod target;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::extent::extent;
use crate::screen::Screen;

pub use source::{SourceError, read_image};
pub use target::check;

const CHUNK_BYTES: usize = 1024 * 1024;
/// `O_EXCL` on a block device: refused by the kernel while a file system on it is mounted (open(2)).
const O_EXCL: i32 = 0o200;

/// Why nothing was written, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// Not a disk.
    #[error("{} is no disk; lsblk lists them", .0.display())]
    NoDisk(PathBuf),
    /// A partition, not the whole card.
    #[error("{} is a partition; name the whole card: {}", .0.display(), .1.display())]
    Partition(PathBuf, PathBuf),
    /// Something on it is in use.
    #[error("{} is in use: {used} is mounted at {at}; unmount it first: umount {at}", .device.display())]
    Mounted {
        /// The disk.
        device: PathBuf,
        /// The part in use.
        used: String,
        /// Where.
        at: String,
    },
    /// The system runs from it.
    #[error("{} holds this computer's own system and is never written", .0.display())]
    System(PathBuf),
    /// Too small.
    #[error("{} has {has} bytes, and the image needs {needs}: use a larger card", .device.display())]
    TooSmall {
        /// The disk.
        device: PathBuf,
        /// Its size.
        has: u64,
        /// The image's.
        needs: u64,
    },
    /// What was read back is not what was written.
    #[error("{} gave back other bytes than were written at {at}: the card is bad, or no card at all", .device.display())]
    Different {
        /// The disk.
        device: PathBuf,
        /// Where, in bytes.
        at: u64,
    },
    /// The operating system's.
    #[error("cannot {what} {}: {why}{}", .device.display(), next_step(.device, .why))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which disk.
        device: PathBuf,
        /// Why not.
        why: io::Error,
    },
}

fn next_step(device: &Path, why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::PermissionDenied => "; run it with sudo".to_owned(),
        // Not only mounts hold a disk.
        io::ErrorKind::ResourceBusy => {
            format!("; swap, RAID, LVM or encryption may use it: lsblk {} shows what", device.display())
        }
        io::ErrorKind::NotFound => "; lsblk lists the disks".to_owned(),
        _ => String::new(),
    }
}

/// Writes an image onto a disk that was checked, and reads it back.
///
/// # Errors
/// [`FlashError`].
pub fn flash(device: &Path, image: &[u8], screen: &Screen) -> Result<(), FlashError> {
    let device = &check(device, image.len() as u64)?;
    let failed = |what| move |why| FlashError::Io { what, device: device.to_owned(), why };
    let block = fs::metadata(device).map_err(failed("find"))?.file_type().is_block_device();
    let flags = if block { O_EXCL } else { 0 };
    let mut disk =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(device).map_err(failed("open"))?;
    write_and_compare(&mut disk, device, image, *screen)
}

/// What is written and read back: a disk, or in tests something worse.
trait Medium: Read + Write + Seek {
    /// Returns once all that was written is on the medium, and what is read from now on comes from there.
    fn settle(&mut self) -> io::Result<()>;
}

impl Medium for File {
    /// What was written is in memory as well, from where it would always be read back right: that copy is dropped. The
    /// disk stays open for it: once it is closed, a desktop that watches for new cards mounts it.
    fn settle(&mut self) -> io::Result<()> {
        self.sync_all()?;
        Ok(rustix::fs::fadvise(&*self, 0, None, rustix::fs::Advice::DontNeed)?)
    }
}

fn write_and_compare(
    disk: &mut impl Medium,
    device: &Path,
    image: &[u8],
    screen: Screen,
) -> Result<(), FlashError> {
    let failed = |what| move |why| FlashError::Io { what, device: device.to_owned(), why };
    // From the first byte to the image's end without a gap: what a used card has in a place that is left out would be
    // taken for a part of a file, or of the file table. Behind the end nothing is touched: a card that is flashed again
    // keeps its node.
    let written = &image[..extent(image)];
    let bar = screen.bytes("writing", written.len() as u64);
    disk.seek(SeekFrom::Start(0)).map_err(failed("write to"))?;
    for chunk in written.chunks(CHUNK_BYTES) {
        disk.write_all(chunk).map_err(failed("write to"))?;
        bar.advance(chunk.len() as u64);
    }
    disk.settle().map_err(failed("flush"))?;
    bar.done();
    let bar = screen.bytes("reading back", written.len() as u64);
    let mut read = vec![0; CHUNK_BYTES];
    disk.seek(SeekFrom::Start(0)).map_err(failed("read"))?;
    for (number, chunk) in written.chunks(CHUNK_BYTES).enumerate() {
        let read = &mut read[..chunk.len()];
        disk.read_exact(read).map_err(failed("read"))?;
        if read != chunk {
            let at = (number * CHUNK_BYTES) as u64;
            return Err(FlashError::Different { device: device.to_owned(), at });
        }
        bar.advance(chunk.len() as u64);
    }
    bar.done();
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::fat;
    use crate::tree::Tree;

    #[test]
    fn what_is_no_disk_or_too_small_is_refused() {
        assert!(matches!(check(Path::new("/dev/null"), 1), Err(FlashError::NoDisk(_))));
        assert!(matches!(check(Path::new("/nonexistent"), 1), Err(FlashError::Io { .. })));
        let card = tempfile::NamedTempFile::new().unwrap();
        card.as_file().set_len(100).unwrap();
        let refused = flash(card.path(), &[1; 101], &Screen::quiet()).unwrap_err();
        assert!(matches!(refused, FlashError::TooSmall { has: 100, needs: 101, .. }));
        assert_eq!(fs::read(card.path()).unwrap(), [0; 100]);
    }

    /// A card that is smaller than it says, as forged ones are: what lies behind its real end is there until the cache
    /// is dropped.
    struct Forged {
        bytes: Cursor<Vec<u8>>,
        real_bytes: usize,
    }

    impl Read for Forged {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.bytes.read(buffer)
        }
    }

    impl Write for Forged {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Forged {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.bytes.seek(to)
        }
    }

    impl Medium for Forged {
        fn settle(&mut self) -> io::Result<()> {
            self.bytes.get_mut()[self.real_bytes..].fill(0);
            Ok(())
        }
    }

    #[test]
    fn what_only_memory_holds_is_not_taken_for_written() {
        let image = vec![5; 3 * CHUNK_BYTES];
        let mut card = Forged { bytes: Cursor::new(Vec::new()), real_bytes: 2 * CHUNK_BYTES + 1 };
        let bad = write_and_compare(&mut card, Path::new("card"), &image, Screen::quiet()).unwrap_err();
        assert!(matches!(bad, FlashError::Different { at, .. } if at == 2 * CHUNK_BYTES as u64), "{bad}");
    }

    #[test]
    fn a_settled_file_is_read_from_the_disk() {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let written = || {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[1; 4096]).unwrap();
            file
        };
        // Reads only what is in memory.
        let from_memory = |file: &File| {
            preadv2(file, &mut [io::IoSliceMut::new(&mut [0; 4096])], 0, ReadWriteFlags::NOWAIT)
        };
        // Not every file system has a disk, or lets go of what it has in memory.
        let probe = written();
        probe.sync_all().unwrap();
        rustix::fs::fadvise(&probe, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        if from_memory(&probe) != Err(Errno::AGAIN) {
            eprintln!("SKIPPED: this file system cannot tell memory from disk; give another with TMPDIR");
            return;
        }
        let mut file = written();
        assert_eq!(from_memory(&file), Ok(4096));
        file.settle().unwrap();
        assert_eq!(from_memory(&file), Err(Errno::AGAIN));
    }

    #[test]
    fn nothing_of_a_used_card_is_left_in_the_image() {
        const IMAGE_BYTES: usize = 64 * 1024 * 1024;
        let mut tree = Tree::new();
        tree.file("zeros", 0o644, vec![0; 2_000_000]).unwrap();
        tree.file("boot", 0o644, [vec![7; 9_000], vec![0; 1_000_000]].concat()).unwrap();
        let image = fat::image(&tree, IMAGE_BYTES as u64).unwrap();

        let mut card = tempfile::NamedTempFile::new().unwrap();
        card.write_all(&vec![0xff; IMAGE_BYTES + 4096]).unwrap();
        flash(card.path(), &image, &Screen::quiet()).unwrap();

        let after = fs::read(card.path()).unwrap();
        let end = extent(&image);
        assert!(after[..end] == image[..end], "a block of the image was not written");
        assert!(after[end..] == vec![0xff; after.len() - end], "what lies behind the image was touched");
        assert_eq!(fat::read_image(Cursor::new(after)).unwrap(), tree);
    }
}
