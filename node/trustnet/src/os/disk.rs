//! What to do about the data partition: decided from the partition table, the size of the disk and what
//! stands at the partition's beginning. Pure; [`super::data`] reads and writes, the overlay's script
//! `data` makes and mounts the file system.
//!
//! The state is on the disk alone, so the power may go at any moment:
//!
//! ```text
//! entry 2        its first MiB          step
//! none           our file system        write the entry (0x83): a card flashed again keeps its node
//!                                       (refuse if it is longer than the disk)
//! none           anything else          zero the MiB: it is free space of our own table
//! none           zeros                  write the entry (0xda, "being made")
//! 0xda           whatever               make the file system, then complete the entry (0x83)
//! 0x83           zeros                  write the entry (0xda)
//! 0x83           our file system        grow entry or file system if the disk has room; use it
//! 0x83           anything else          refuse
//! another type, other entries, another disk id   refuse
//! ```

use std::fmt;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// The disk id of our images: "TRNT".
const DISK_ID: u32 = 0x5452_4e54;
/// Where partitions begin and end: multiples of 4 MiB, an erase block of most cards, in sectors.
const ALIGN: u64 = 4 * 1024 * 1024 / SECTOR;
/// Least room for a data partition: 64 MiB, in sectors.
const LEAST: u64 = 64 * 1024 * 1024 / SECTOR;
/// Bytes from the beginning of a partition that decide.
pub const PROBE: usize = 1024 * 1024;
/// Type of an entry whose file system is not complete.
const BEING_MADE: u8 = 0xda;
/// Type of a complete one: Linux.
const LINUX: u8 = 0x83;
/// The label of our file system.
const LABEL: &[u8; 16] = b"TRUSTNET-DATA\0\0\0";

/// One entry of the table, in sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its type; 0 for none.
    pub kind: u8,
    /// First sector.
    pub start: u64,
    /// Sectors.
    pub size: u64,
}

impl Entry {
    fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn end(self) -> u64 {
        self.start + self.size
    }

    /// The 16 bytes in the table. Heads and cylinders say "beyond": everything counts in sectors.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0, 0xfe, 0xff, 0xff, self.kind, 0xfe, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[8..12].copy_from_slice(&(self.start as u32).to_le_bytes());
        bytes[12..].copy_from_slice(&(self.size as u32).to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            u64::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
        };
        Self { kind: bytes[4], start: number(8), size: number(12) }
    }
}

/// Where entry 2 stands in the first sector.
pub const ENTRY_2: usize = 446 + 16;

/// What stands at a partition's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zeros.
    Nothing,
    /// An ext4 file system with our label, this many sectors long.
    Ours(u64),
    /// Something else.
    Foreign,
}

impl Content {
    /// Judges the first [`PROBE`] bytes (or fewer).
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            return Self::Nothing;
        }
        // The superblock stands at 1,024: blocks at 4, log of the block size at 24, magic at 56, label at 120.
        let Some(superblock) = bytes.get(1024..2048) else { return Self::Foreign };
        let number = |at: usize| {
            u64::from(u32::from_le_bytes([
                superblock[at],
                superblock[at + 1],
                superblock[at + 2],
                superblock[at + 3],
            ]))
        };
        let is_ext = superblock[56..58] == [0x53, 0xef];
        if !is_ext || &superblock[120..136] != LABEL || number(24) > 6 {
            return Self::Foreign;
        }
        // With 64-bit block numbers (incompatible feature 0x80) the upper half stands at 0x150.
        let high = if number(0x60) & 0x80 != 0 { number(0x150) << 32 } else { 0 };
        let block_sectors = 2_u64 << number(24);
        (number(4) | high).checked_mul(block_sectors).map_or(Self::Foreign, Self::Ours)
    }
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fill the first MiB from this sector on with zeros.
    Zero(u64),
    /// Write entry 2.
    Write(Entry),
    /// Make the file system, then ask with `complete`.
    Make,
    /// Mount it.
    Use {
        /// The file system is smaller than its partition.
        grow: bool,
    },
    /// Leave the disk alone.
    Refuse(Refusal),
}

/// Why there can be no data partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No partition table of this kind.
    NoTable,
    /// Another disk id than ours.
    OtherDisk(u32),
    /// The first entry does not look like the boot partition.
    NoBootPartition,
    /// There are partitions that we did not make.
    OtherPartitions,
    /// Too small.
    NoRoom,
    /// The second partition holds something else.
    Foreign,
    /// The data partition was made on a larger disk.
    LargerBefore,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => write!(f, "the disk has no MBR partition table"),
            Self::OtherDisk(id) => write!(
                f,
                "the disk is not a TrustNet image (disk id {id:08x}, not {DISK_ID:08x}), so it was left alone"
            ),
            Self::NoBootPartition => {
                write!(f, "the disk's first partition is not as TrustNet's images have it")
            }
            Self::OtherPartitions => {
                write!(f, "the disk has other partitions that TrustNet did not make, so it was left alone")
            }
            Self::NoRoom => {
                write!(f, "fewer than 64 MiB are free after the boot partition; use a larger card or disk")
            }
            Self::Foreign => write!(
                f,
                "the second partition holds something that TrustNet did not make, so it was left alone"
            ),
            Self::LargerBefore => {
                write!(f, "the data partition was made on a larger disk than this one, so it was left alone")
            }
        }
    }
}

/// A disk's table and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The four entries.
    entries: [Entry; 4],
    /// Sectors of the disk.
    sectors: u64,
}

impl Disk {
    /// Reads the first sector of a disk that has `sectors`.
    ///
    /// # Errors
    /// The disk is not one of our images.
    pub fn read(sector: &[u8; SECTOR as usize], sectors: u64) -> Result<Self, Refusal> {
        if sector[510..] != [0x55, 0xaa] {
            return Err(Refusal::NoTable);
        }
        let id = u32::from_le_bytes([sector[440], sector[441], sector[442], sector[443]]);
        if id != DISK_ID {
            return Err(Refusal::OtherDisk(id));
        }
        let entry = |index: usize| Entry::from_bytes(&sector[446 + 16 * index..462 + 16 * index]);
        let entries = [entry(0), entry(1), entry(2), entry(3)];
        if !matches!(entries[0].kind, 0x0b | 0x0c | 0xef) || entries[0].size == 0 {
            return Err(Refusal::NoBootPartition);
        }
        if entries[2..].iter().any(|entry| !entry.is_empty()) {
            return Err(Refusal::OtherPartitions);
        }
        Ok(Self { entries, sectors: sectors.min(u64::from(u32::MAX)) })
    }

    /// The sector at which the data partition begins, or would.
    pub fn data_start(&self) -> u64 {
        match self.entries[1] {
            entry if entry.is_empty() => self.entries[0].end().next_multiple_of(ALIGN),
            entry => entry.start,
        }
    }

    /// The entry that fills the disk, if there is room.
    fn whole(&self, kind: u8) -> Option<Entry> {
        let start = self.data_start();
        let size = self.sectors.checked_sub(start)? / ALIGN * ALIGN;
        (size >= LEAST).then_some(Entry { kind, start, size })
    }

    /// What to do next, given what stands at [`Self::data_start`].
    pub fn next(&self, content: Content) -> Step {
        let entry = self.entries[1];
        let no_room = Step::Refuse(Refusal::NoRoom);
        if entry.is_empty() {
            return match (content, self.whole(BEING_MADE)) {
                (_, None) => no_room,
                // A card that was flashed again: the node on it stays.
                (Content::Ours(sectors), Some(whole)) if sectors <= whole.size => {
                    Step::Write(Entry { kind: LINUX, ..whole })
                }
                (Content::Ours(_), Some(_)) => Step::Refuse(Refusal::LargerBefore),
                (Content::Nothing, Some(whole)) => Step::Write(whole),
                (_, Some(whole)) => Step::Zero(whole.start),
            };
        }
        if entry.start < self.entries[0].end() {
            return Step::Refuse(Refusal::OtherPartitions);
        }
        if entry.end() > self.sectors {
            // The image of a larger card was copied to a smaller one.
            return Step::Refuse(Refusal::LargerBefore);
        }
        match (entry.kind, content) {
            (BEING_MADE, _) => Step::Make,
            (LINUX, Content::Nothing) => Step::Write(Entry { kind: BEING_MADE, ..entry }),
            (LINUX, Content::Ours(sectors)) => match self.whole(LINUX) {
                Some(whole) if whole.size > entry.size => Step::Write(whole),
                _ if sectors > entry.size => Step::Refuse(Refusal::LargerBefore),
                _ => Step::Use { grow: sectors + ALIGN <= entry.size },
            },
            (LINUX, Content::Foreign) => Step::Refuse(Refusal::Foreign),
            _ => Step::Refuse(Refusal::OtherPartitions),
        }
    }

    /// The entry of a file system that is complete now; nothing when none was being made.
    pub fn completed(&self, content: Content) -> Option<Entry> {
        let entry = self.entries[1];
        let ours = matches!(content, Content::Ours(sectors) if sectors <= entry.size);
        (entry.kind == BEING_MADE && ours).then_some(Entry { kind: LINUX, ..entry })
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
