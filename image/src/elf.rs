//! Whether every program of a tree finds its libraries there: a missing one shows only when the program runs, and sshd's
//! says nothing even then.

use std::collections::{BTreeMap, BTreeSet};

use object::read::elf::{Dyn, FileHeader};
use object::{Endianness, elf};

use crate::tree::{Node, Tree};

type Header = elf::FileHeader64<Endianness>;

/// Libraries that programs need and that are not in the tree, each with a program that needs it.
#[must_use]
pub fn missing_libraries(tree: &Tree) -> BTreeMap<String, String> {
    let there: BTreeSet<&str> = tree.iter().filter_map(|(path, _)| path.rsplit('/').next()).collect();
    let mut missing = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let Node::File(content) = &entry.node else { continue };
        for library in needed(content).unwrap_or_default() {
            if !there.contains(library.as_str()) {
                missing.insert(library, path.to_owned());
            }
        }
    }
    missing
}

/// The machine an ELF file is for; `None` if it is none.
#[must_use]
pub fn machine(content: &[u8]) -> Option<elf::Machine> {
    let header = Header::parse(content).ok()?;
    let endian = header.endian().ok()?;
    Some(header.e_machine(endian))
}

/// The libraries that an ELF file names. `None` if it is no ELF file, or a static one.
#[must_use]
pub fn needed(content: &[u8]) -> Option<Vec<String>> {
    let header = Header::parse(content).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, content).ok()?;
    let (dynamic, link) = sections.dynamic(endian, content).ok()??;
    let strings = sections.strings(endian, content, link).ok()?;
    let wanted = dynamic.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED);
    let names = wanted.filter_map(|entry| entry.string(endian, strings).ok());
    Some(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}
