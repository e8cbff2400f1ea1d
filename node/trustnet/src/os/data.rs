//! `trustnet os data`: looks at a disk, takes the next step towards a data partition if it is one of
//! writing to the table or the free space, and says it. The steps are decided in [`super::disk`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::os::disk::{Content, Disk, ENTRY_2, Entry, PROBE, SECTOR, Step};

/// Looks at `disk` and answers in one line for the overlay's script: `done` (it wrote; ask again),
/// `make`, `use same`, `use grow`, or `refuse` and why.
///
/// `part` is the second partition's own device. What a disk's device and a partition's device show of the
/// same sectors can differ until both are flushed, so the partition is looked at through its own where
/// there is one.
///
/// # Errors
/// The disk cannot be read or written.
pub fn advance(disk_path: &Path, part: Option<&Path>) -> io::Result<String> {
    let mut disk = Opened::open(disk_path)?;
    let table = match Disk::read(&disk.sector, disk.sectors) {
        Ok(table) => table,
        Err(refusal) => return Ok(format!("refuse {refusal}")),
    };
    let content = disk.content(&table, part)?;
    Ok(match table.next(content) {
        Step::Zero(sector) => {
            disk.write(sector * SECTOR, &vec![0; PROBE])?;
            "done".to_owned()
        }
        Step::Write(entry) => {
            disk.write_entry(entry)?;
            "done".to_owned()
        }
        Step::Make => "make".to_owned(),
        Step::Use { grow: false } => "use same".to_owned(),
        Step::Use { grow: true } => "use grow".to_owned(),
        Step::Refuse(refusal) => format!("refuse {refusal}"),
    })
}

/// Notes in the table that the file system is complete.
///
/// # Errors
/// There is none, or the disk cannot be read or written.
pub fn complete(disk_path: &Path, part: Option<&Path>) -> io::Result<String> {
    let mut disk = Opened::open(disk_path)?;
    let table =
        Disk::read(&disk.sector, disk.sectors).map_err(|refusal| io::Error::other(refusal.to_string()))?;
    let content = disk.content(&table, part)?;
    let entry =
        table.completed(content).ok_or_else(|| io::Error::other("no data partition is being made on it"))?;
    disk.write_entry(entry)?;
    Ok("done".to_owned())
}

struct Opened {
    file: File,
    sector: [u8; SECTOR as usize],
    sectors: u64,
}

impl Opened {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut sector = [0; SECTOR as usize];
        file.read_exact(&mut sector)?;
        // The size of a device is where its end is; its metadata has none.
        let sectors = file.seek(SeekFrom::End(0))? / SECTOR;
        Ok(Self { file, sector, sectors })
    }

    fn content(&mut self, table: &Disk, part: Option<&Path>) -> io::Result<Content> {
        let mut bytes = Vec::new();
        if let Some(path) = part.filter(|path| path.exists()) {
            File::open(path)?.take(PROBE as u64).read_to_end(&mut bytes)?;
        } else {
            self.file.seek(SeekFrom::Start(table.data_start() * SECTOR))?;
            (&self.file).take(PROBE as u64).read_to_end(&mut bytes)?;
        }
        Ok(Content::of(&bytes))
    }

    fn write_entry(&mut self, entry: Entry) -> io::Result<()> {
        // One sector in one write: a card writes it as a whole or not at all.
        self.sector[ENTRY_2..ENTRY_2 + 16].copy_from_slice(&entry.to_bytes());
        let sector = self.sector;
        self.write(0, &sector)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        self.file.sync_all()
    }
}
