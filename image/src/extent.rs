//! How far an image reaches. Up to there every byte is written, zeros too: a card keeps what was on it before, and a
//! block of zeros may stand in a file or in the file table. Behind it is free space, whose content means nothing.

use crate::fat::PARTITION_START_BYTES;

/// What is written and mapped at once.
pub const BLOCK_BYTES: usize = 4096;
/// Bytes of an entry of the file table.
const ENTRY_BYTES: usize = 4;
/// The upper four bits of an entry are not part of it.
const ENTRY_MASK: u32 = 0x0fff_ffff;
/// The first two entries of the table stand for no cluster.
const FIRST_CLUSTER: u64 = 2;

/// Bytes from the beginning of the disk to the end of the image: its last block that is not all zeros, or the last cluster
/// that belongs to a file, whichever is later. Whole blocks, unless the image ends before.
#[must_use]
pub fn extent(image: &[u8]) -> usize {
    const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    let full = image.chunks(BLOCK_BYTES).rposition(|block| *block != ZEROS[..block.len()]);
    let seen = full.map_or(0, |last| (last + 1) * BLOCK_BYTES);
    // A file may end in zeros.
    let allocated = clusters_end(image).unwrap_or(0);
    seen.max(allocated).next_multiple_of(BLOCK_BYTES).min(image.len())
}

/// Where the last cluster that is in use ends, in bytes; `None` where there is no FAT32.
fn clusters_end(image: &[u8]) -> Option<usize> {
    let volume = image.get(PARTITION_START_BYTES as usize..)?;
    let short = |at: usize| Some(u64::from(u16::from_le_bytes(volume.get(at..at + 2)?.try_into().ok()?)));
    let long = |at: usize| Some(u64::from(u32::from_le_bytes(volume.get(at..at + 4)?.try_into().ok()?)));
    // None of the products below can overflow: 32 bits times 16, times 8.
    let sector = short(11)?;
    let cluster = u64::from(*volume.get(13)?) * sector;
    let table_start = short(14)? * sector;
    let table_bytes = long(36)? * sector;
    let data_start = table_start + u64::from(*volume.get(16)?) * table_bytes;
    let clusters = (long(32)? * sector).checked_sub(data_start)?.checked_div(cluster)?;

    let table = volume.get(usize::try_from(table_start).ok()?..)?;
    // Behind the last cluster the table may have more entries, which are marked so that nobody takes them.
    let entries = usize::try_from(clusters + FIRST_CLUSTER).ok()?;
    let in_use = |entry: &[u8]| {
        entry.try_into().is_ok_and(|entry: [u8; ENTRY_BYTES]| u32::from_le_bytes(entry) & ENTRY_MASK != 0)
    };
    let table = table.get(..entries.checked_mul(ENTRY_BYTES)?)?;
    let last = table.chunks_exact(ENTRY_BYTES).rposition(in_use)? as u64;
    let end = data_start + (last + 1).checked_sub(FIRST_CLUSTER)? * cluster;
    usize::try_from(PARTITION_START_BYTES + end).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fat;
    use crate::tree::Tree;

    #[test]
    fn it_ends_behind_the_last_block_with_anything_in_it() {
        let mut bytes = vec![0; 20 * BLOCK_BYTES + 100];
        assert_eq!(extent(&bytes), 0);
        bytes[5 * BLOCK_BYTES] = 1;
        assert_eq!(extent(&bytes), 6 * BLOCK_BYTES);
        *bytes.last_mut().unwrap() = 1;
        assert_eq!(extent(&bytes), bytes.len());
    }

    #[test]
    fn it_holds_a_file_that_ends_in_zeros() {
        const FILE_BYTES: usize = 3_000_000;
        let image = |content: Vec<u8>| {
            let mut tree = Tree::new();
            tree.file("a", 0o644, content).unwrap();
            fat::image(&tree, 64 * 1024 * 1024).unwrap()
        };
        let (zeros, full) = (image(vec![0; FILE_BYTES]), image(vec![1; FILE_BYTES]));
        let seen = full.chunks(BLOCK_BYTES).rposition(|block| block.iter().any(|byte| *byte != 0)).unwrap();
        assert_eq!(extent(&full), (seen + 1) * BLOCK_BYTES);
        assert_eq!(extent(&zeros), extent(&full));
    }

    #[test]
    fn a_table_that_lies_is_no_panic() {
        let mut bytes = vec![0; PARTITION_START_BYTES as usize + 2 * BLOCK_BYTES];
        bytes[PARTITION_START_BYTES as usize..].fill(0xff);
        assert_eq!(extent(&bytes), bytes.len());
        bytes[PARTITION_START_BYTES as usize..].fill(1);
        assert_eq!(extent(&bytes), bytes.len());
    }
}
