#![allow(clippy::unwrap_used)]
use super::*;

const MIB: u64 = 1024 * 1024 / SECTOR;

fn sector(entries: [Entry; 4]) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&DISK_ID.to_le_bytes());
    for (index, entry) in entries.iter().enumerate() {
        if !entry.is_empty() {
            sector[446 + 16 * index..462 + 16 * index].copy_from_slice(&entry.to_bytes());
        }
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn boot() -> Entry {
    // Ends in the middle of an erase block.
    Entry { kind: 0x0c, start: 2048, size: 255 * MIB }
}

fn disk(second: Entry, sectors: u64) -> Disk {
    Disk::read(&sector([boot(), second, Entry::default(), Entry::default()]), sectors).unwrap()
}

fn entry(kind: u8, size_mib: u64) -> Entry {
    Entry { kind, start: 256 * MIB, size: size_mib * MIB }
}

const NONE: Entry = Entry { kind: 0, start: 0, size: 0 };

#[test]
fn a_new_card_goes_from_nothing_to_a_mounted_partition() {
    let size = 1024 * MIB + 77;
    // Whatever stood behind the image on a used card is free space now.
    assert_eq!(disk(NONE, size).next(Content::Foreign), Step::Zero(256 * MIB));
    assert_eq!(disk(NONE, size).next(Content::Nothing), Step::Write(entry(0xda, 768)));
    for content in [Content::Nothing, Content::Foreign, Content::Ours(5)] {
        assert_eq!(disk(entry(0xda, 768), size).next(content), Step::Make, "cut at any moment of mkfs");
    }
    let made = disk(entry(0xda, 768), size);
    assert_eq!(made.completed(Content::Ours(768 * MIB)), Some(entry(0x83, 768)));
    assert_eq!(disk(entry(0x83, 768), size).next(Content::Ours(768 * MIB)), Step::Use { grow: false });
}

#[test]
fn completing_needs_a_partition_in_the_making_with_our_file_system() {
    let size = 1024 * MIB;
    assert_eq!(disk(entry(0xda, 768), size).completed(Content::Foreign), None);
    assert_eq!(disk(entry(0xda, 768), size).completed(Content::Ours(769 * MIB)), None);
    assert_eq!(disk(entry(0x83, 768), size).completed(Content::Ours(768 * MIB)), None);
    assert_eq!(disk(NONE, size).completed(Content::Ours(768 * MIB)), None);
}

#[test]
fn a_larger_card_lets_the_partition_grow_then_the_file_system() {
    let size = 4096 * MIB;
    assert_eq!(disk(entry(0x83, 768), size).next(Content::Ours(768 * MIB)), Step::Write(entry(0x83, 3840)));
    // Cut before the file system grew.
    assert_eq!(disk(entry(0x83, 3840), size).next(Content::Ours(768 * MIB)), Step::Use { grow: true });
    assert_eq!(disk(entry(0x83, 3840), size).next(Content::Ours(3840 * MIB)), Step::Use { grow: false });
}

#[test]
fn a_card_flashed_again_keeps_its_node() {
    let size = 1024 * MIB;
    assert_eq!(disk(NONE, size).next(Content::Ours(768 * MIB)), Step::Write(entry(0x83, 768)));
    assert_eq!(disk(NONE, size).next(Content::Ours(769 * MIB)), Step::Refuse(Refusal::LargerBefore));
}

#[test]
fn what_is_not_ours_is_never_written_to() {
    let size = 1024 * MIB;
    let refused = |second, content| match disk(second, size).next(content) {
        Step::Refuse(refusal) => refusal,
        step => panic!("{step:?}"),
    };
    assert_eq!(refused(entry(0x83, 768), Content::Foreign), Refusal::Foreign);
    for kind in [0x07, 0x0c, 0x82, 0x05, 0xee] {
        for content in [Content::Nothing, Content::Foreign, Content::Ours(768 * MIB)] {
            assert_eq!(refused(entry(kind, 768), content), Refusal::OtherPartitions, "{kind:02x}");
        }
    }
    let before = Entry { kind: 0x83, start: 4096, size: MIB };
    assert_eq!(refused(before, Content::Nothing), Refusal::OtherPartitions, "inside the boot partition");
    assert_eq!(refused(entry(0x83, 769), Content::Ours(769 * MIB)), Refusal::LargerBefore, "beyond the disk");
    // A file system larger than its entry is not one that we made there.
    assert_eq!(refused(entry(0x83, 768), Content::Ours(800 * MIB)), Refusal::LargerBefore);
}

#[test]
fn an_entry_of_zeros_made_by_a_tool_is_taken() {
    let size = 1024 * MIB;
    assert_eq!(disk(entry(0x83, 500), size).next(Content::Nothing), Step::Write(entry(0xda, 500)));
}

#[test]
fn other_disks_are_refused_by_their_table() {
    let good = sector([boot(), NONE, NONE, NONE]);
    let mut no_table = good;
    no_table[511] = 0;
    assert_eq!(Disk::read(&no_table, 9), Err(Refusal::NoTable));
    let mut other = good;
    other[440] = 0;
    assert!(matches!(Disk::read(&other, 9), Err(Refusal::OtherDisk(_))));
    let third = sector([boot(), NONE, entry(0x83, 5), NONE]);
    assert_eq!(Disk::read(&third, 9), Err(Refusal::OtherPartitions));
    let no_boot = sector([NONE, NONE, NONE, NONE]);
    assert_eq!(Disk::read(&no_boot, 9), Err(Refusal::NoBootPartition));
    let gpt = sector([Entry { kind: 0xee, start: 1, size: 99 }, NONE, NONE, NONE]);
    assert_eq!(Disk::read(&gpt, 9), Err(Refusal::NoBootPartition));
}

#[test]
fn too_small_is_said_and_nothing_written() {
    for sectors in [0, 255 * MIB, 256 * MIB, 319 * MIB] {
        assert_eq!(disk(NONE, sectors).next(Content::Nothing), Step::Refuse(Refusal::NoRoom), "{sectors}");
    }
    assert_eq!(disk(NONE, 320 * MIB).next(Content::Nothing), Step::Write(entry(0xda, 64)));
}

#[test]
fn the_table_counts_to_two_terabytes() {
    let Step::Write(entry) = disk(NONE, 1 << 40).next(Content::Nothing) else { panic!() };
    assert!(u32::try_from(entry.end()).is_ok());
    assert_eq!(Entry::from_bytes(&entry.to_bytes()), entry);
}

#[test]
fn the_content_is_judged_by_the_real_superblock() {
    assert_eq!(Content::of(&[0; 4096]), Content::Nothing);
    assert_eq!(Content::of(&[1; 4096]), Content::Foreign);
    assert_eq!(Content::of(&[1; 100]), Content::Foreign);
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("fs");
    let made = |label: &str| {
        std::fs::File::create(&image).unwrap().set_len(16 * 1024 * 1024).unwrap();
        let status =
            std::process::Command::new("mkfs.ext4").args(["-q", "-F", "-L", label]).arg(&image).status();
        status.is_ok_and(|status| status.success()).then(|| Content::of(&std::fs::read(&image).unwrap()))
    };
    let Some(ours) = made("TRUSTNET-DATA") else {
        eprintln!("skipped: mkfs.ext4 is not here");
        return;
    };
    assert_eq!(ours, Content::Ours(16 * MIB));
    assert_eq!(made("TRUSTNET-DATA2"), Some(Content::Foreign));
    assert_eq!(made("root"), Some(Content::Foreign));
}
