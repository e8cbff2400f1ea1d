//! An OCI layout that is a folder, read as if it were a tar archive: so there is one way to take archives in.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use super::tar_write::{END, head, padding};
use super::{INDEX_JSON, MAX_ENTRIES, OCI_LAYOUT};
use crate::digest::Algorithm;

/// What comes next.
enum Next {
    Bytes(Cursor<Vec<u8>>),
    File { path: PathBuf, len: u64 },
    Open { file: File, left: u64 },
}

/// A folder as the bytes of an archive.
pub struct FolderTar {
    next: VecDeque<Next>,
    bytes: u64,
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl FolderTar {
    /// Looks through the folder of a layout.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut names = vec![OCI_LAYOUT.to_owned(), INDEX_JSON.to_owned()];
        for name in &names {
            if !folder.join(name).is_file() {
                return Err(invalid(format!("{} is no OCI layout: it has no {name}", folder.display())));
            }
        }
        for algorithm in Algorithm::ALL {
            let below = format!("blobs/{}", algorithm.name());
            let entries = match fs::read_dir(folder.join(&below)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                // A name that is not UTF-8 is no digest.
                if let Ok(name) = entry?.file_name().into_string() {
                    names.push(format!("{below}/{name}"));
                }
                if names.len() > MAX_ENTRIES {
                    return Err(invalid(format!("{} holds more than {MAX_ENTRIES} files", folder.display())));
                }
            }
        }
        names[2..].sort();
        let (mut next, mut bytes) = (VecDeque::new(), 0);
        for name in names {
            let path = folder.join(&name);
            // A link could lead anywhere, and a pipe never ends.
            let told = fs::symlink_metadata(&path)?;
            if !told.is_file() {
                return Err(invalid(format!("{} is no file", path.display())));
            }
            let (head, len) = (head(&name, told.len()), told.len());
            bytes += len;
            next.push_back(Next::Bytes(Cursor::new(head)));
            next.push_back(Next::File { path, len });
            next.push_back(Next::Bytes(Cursor::new(END[..padding(len)].to_vec())));
        }
        next.push_back(Next::Bytes(Cursor::new(END.to_vec())));
        Ok(Self { next, bytes })
    }

    /// Bytes of the folder's files.
    pub fn total_bytes(&self) -> u64 {
        self.bytes
    }
}

impl Read for FolderTar {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(next) = self.next.front_mut() {
            let read = match next {
                Next::Bytes(bytes) => bytes.read(buf)?,
                Next::File { path, len } => {
                    *next = Next::Open { file: File::open(path)?, left: *len };
                    continue;
                }
                Next::Open { file, left } => {
                    let part = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let read = file.read(&mut buf[..part])?;
                    if read == 0 && part > 0 {
                        return Err(invalid("a file became shorter while it was read".to_owned()));
                    }
                    *left -= read as u64;
                    read
                }
            };
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            self.next.pop_front();
        }
        Ok(0)
    }
}
