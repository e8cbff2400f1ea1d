//! An archive that was given out, laid into a folder.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use super::tar_read::{Kind, TarReader};
use super::{COPY_BYTES, INDEX_JSON, MANIFEST_JSON, OCI_LAYOUT};
use crate::digest::{Digest, Hasher};

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Lays the files of an OCI layout into `folder`, which it creates. Each file is checked against its digest; if one is
/// wrong, or the archive breaks off, the folder is removed again.
///
/// # Errors
/// When the folder is there already, the archive is wrong, or the disk fails.
pub fn unpack(from: &mut dyn Read, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let unpacked = unpack_into(from, folder);
    if unpacked.is_err() {
        // The first error is the one to be told.
        let _ = fs::remove_dir_all(folder);
    }
    unpacked
}

fn unpack_into(from: &mut dyn Read, folder: &Path) -> io::Result<()> {
    let mut tar = TarReader::new(from);
    while let Some(head) = tar.next()? {
        if head.kind != Kind::File {
            return Err(invalid(format!("{} is no file", head.path)));
        }
        let digest = match head.path.as_str() {
            OCI_LAYOUT | INDEX_JSON | MANIFEST_JSON => None,
            path => Some(digest_of(path)?),
        };
        // Made of the digest, not taken from the archive.
        let path = match &digest {
            None => folder.join(&head.path),
            Some(digest) => {
                let below = folder.join("blobs").join(digest.algorithm().name());
                fs::create_dir_all(&below)?;
                below.join(digest.hex())
            }
        };
        write(&mut tar, &path, digest)?;
    }
    Ok(())
}

fn digest_of(path: &str) -> io::Result<Digest> {
    let digest = path.strip_prefix("blobs/").and_then(|path| path.split_once('/'));
    let digest = digest.and_then(|(algorithm, digits)| format!("{algorithm}:{digits}").parse().ok());
    digest.ok_or_else(|| invalid(format!("{path} does not belong into an OCI layout")))
}

fn write(from: &mut dyn Read, path: &Path, expected: Option<Digest>) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let mut hasher = expected.map(|digest| Hasher::new(digest.algorithm()));
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&buffer[..read]);
        }
        file.write_all(&buffer[..read])?;
    }
    if hasher.map(Hasher::finish) != expected {
        return Err(invalid(format!("{} does not have its digest", path.display())));
    }
    file.sync_all()
}
