//! Which disks may be written.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::FlashError;

/// A place where something is mounted: device and folder.
type Mount = (String, String);

/// What the system knows of its disks.
struct System {
    /// A folder with a link for each disk and partition, which leads to its place below its disk.
    blocks: PathBuf,
    mounts: Vec<Mount>,
}

/// The disk behind a name, if an image of so many bytes may be written onto it.
///
/// # Errors
/// Why not.
pub fn check(name: &Path, image_bytes: u64) -> Result<PathBuf, FlashError> {
    let failed = |what| move |why| FlashError::Io { what, device: name.to_owned(), why };
    // The kernel's own name: no partition and no mount is known by a link such as /dev/disk/by-id/...
    let device = fs::canonicalize(name).map_err(failed("find"))?;
    let kind = fs::metadata(&device).map_err(failed("find"))?.file_type();
    // A plain file stands for a disk in tests, and for people who want the image padded.
    if !kind.is_block_device() && !kind.is_file() {
        return Err(FlashError::NoDisk(device));
    }
    if kind.is_block_device() {
        System::read().map_err(failed("look for mounts of"))?.check(&device)?;
    }
    let has = File::open(&device).and_then(|mut file| file.seek(SeekFrom::End(0))).map_err(failed("open"))?;
    if has < image_bytes {
        return Err(FlashError::TooSmall { device, has, needs: image_bytes });
    }
    Ok(device)
}

impl System {
    fn read() -> io::Result<Self> {
        let mounts = parse_mounts(&fs::read_to_string("/proc/mounts")?);
        Ok(Self { blocks: PathBuf::from("/sys/class/block"), mounts })
    }

    /// Refuses partitions, and disks in use. `device` is the kernel's name.
    fn check(&self, device: &Path) -> Result<(), FlashError> {
        let block = self.blocks.join(device.file_name().unwrap_or_default());
        if block.join("partition").exists() {
            let whole = fs::canonicalize(&block)
                .ok()
                .and_then(|path| path.parent()?.file_name().map(|name| device.with_file_name(name)));
            return Err(FlashError::Partition(device.to_owned(), whole.unwrap_or_default()));
        }
        check_mounts(device, &self.mounts)
    }
}

fn parse_mounts(text: &str) -> Vec<Mount> {
    let fields =
        text.lines().map(|line| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>());
    fields.filter_map(|fields| Some((fields.first()?.clone(), fields.get(1)?.clone()))).collect()
}

fn check_mounts(device: &Path, mounts: &[Mount]) -> Result<(), FlashError> {
    let name = device.to_string_lossy();
    let on_it = |used: &str| {
        used.strip_prefix(name.as_ref()).is_some_and(|rest| {
            let digits = rest.strip_prefix('p').unwrap_or(rest);
            digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let Some((used, at)) = mounts.iter().find(|(used, _)| on_it(used)) else { return Ok(()) };
    if mounts.iter().any(|(used, at)| on_it(used) && ["/", "/boot", "/usr", "/home"].contains(&at.as_str())) {
        return Err(FlashError::System(device.to_owned()));
    }
    Err(FlashError::Mounted { device: device.to_owned(), used: used.clone(), at: at.clone() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mounts() -> Vec<Mount> {
        parse_mounts(
            "/dev/sda1 / ext4 rw 0 0\n/dev/sdb2 /media/card vfat rw 0 0\n/dev/mmcblk0p1 /mnt/x vfat rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n",
        )
    }

    #[test]
    fn disks_in_use_are_refused() {
        assert!(matches!(check_mounts(Path::new("/dev/sda"), &mounts()), Err(FlashError::System(_))));
        let used = check_mounts(Path::new("/dev/sdb"), &mounts()).unwrap_err();
        assert!(used.to_string().contains("umount /media/card"), "{used}");
        assert!(check_mounts(Path::new("/dev/mmcblk0"), &mounts()).is_err());
        assert!(check_mounts(Path::new("/dev/sd"), &mounts()).is_ok());
        assert!(check_mounts(Path::new("/dev/sdc"), &mounts()).is_ok());
    }

    #[test]
    fn a_partition_is_refused_with_the_name_of_its_disk() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = dir.path().join("class");
        fs::create_dir(&blocks).unwrap();
        for (disk, part) in [("sdb", "sdb1"), ("mmcblk0", "mmcblk0p1"), ("nvme0n1", "nvme0n1p2")] {
            let place = dir.path().join(disk);
            fs::create_dir_all(place.join(part)).unwrap();
            fs::write(place.join(part).join("partition"), "1\n").unwrap();
            symlink(&place, blocks.join(disk)).unwrap();
            symlink(place.join(part), blocks.join(part)).unwrap();
            let system = System { blocks: blocks.clone(), mounts: Vec::new() };
            assert!(system.check(&Path::new("/dev").join(disk)).is_ok());
            let refused = system.check(&Path::new("/dev").join(part)).unwrap_err().to_string();
            assert!(refused.ends_with(&format!("name the whole card: /dev/{disk}")), "{refused}");
        }
    }

    #[test]
    fn a_link_is_followed_to_what_is_judged_and_written() {
        let dir = tempfile::tempdir().unwrap();
        let (card, link) = (dir.path().join("sdb"), dir.path().join("usb-Card_Reader-0:0"));
        fs::write(&card, [0; 100]).unwrap();
        symlink(&card, &link).unwrap();
        assert_eq!(check(&link, 100).unwrap(), fs::canonicalize(&card).unwrap());
        let null = dir.path().join("null");
        symlink("/dev/null", &null).unwrap();
        assert!(matches!(check(&null, 1), Err(FlashError::NoDisk(path)) if path == Path::new("/dev/null")));
    }
}
