//! An overlay is a directory whose changes stay in memory.

#![allow(clippy::unwrap_used, missing_docs)]

use trustnet_store::{Dir, Disk, MemDir, Overlay};

#[test]
fn an_overlay_is_a_directory() {
    let base = MemDir::new();
    base.make_dir("kept").unwrap();
    base.set_bytes("kept/file", b"0123456789".repeat(1000));
    let over = Overlay::new(base.clone());
    let file = over.open("kept/file", false).unwrap();
    file.write_at(b"xyz", 4095).unwrap();
    let mut bytes = [0; 6];
    file.read_at(&mut bytes, 4093).unwrap();
    assert_eq!(&bytes, b"34xyz8");
    file.set_len(4096).unwrap();
    file.set_len(9000).unwrap();
    file.read_at(&mut bytes, 4095).unwrap();
    assert_eq!(&bytes, b"x\0\0\0\0\0");
    assert_eq!(over.open("kept/file", false).unwrap().len().unwrap(), 9000);
    assert!(file.read_at(&mut bytes, 8999).is_err());
    assert!(over.open("none/file", true).is_err() && over.open("other", false).is_err());
    over.make_dir("new").unwrap();
    over.rename("kept/file", "new/file").unwrap();
    over.open("kept/second", true).unwrap();
    assert_eq!(over.list("kept").unwrap(), ["second"]);
    assert_eq!(over.list("new").unwrap(), ["file"]);
    assert!(over.list("nowhere").is_err() && over.remove("kept/file").is_err());
    over.remove("new/file").unwrap();
    assert!(!over.exists("new/file").unwrap() && over.exists("new").unwrap());
    assert_eq!(base.names(), ["kept/file"]);
    assert_eq!(base.bytes("kept/file").unwrap(), b"0123456789".repeat(1000));
}
