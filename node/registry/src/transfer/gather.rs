//! The files of an archive, put into the store one after the other as they come, each verified if its path says its
//! digest.

use std::collections::BTreeMap;
use std::io::Read;

use super::path::{folder_of, plain, resolve};
use super::tar_read::{Kind, TarReader};
use super::{COPY_BYTES, INDEX_JSON, MANIFEST_JSON, OCI_LAYOUT};
use crate::access::RepoPattern;
use crate::digest::{Algorithm, Digest};
use crate::error::{RegistryError, Result};
use crate::ingest::Ingest;
use crate::limits::MAX_MANIFEST_BYTES;
use crate::meta::database::Durable;
use crate::meta::{blobs, leases};
use crate::store::Store;
use crate::upload_id::UploadId;

/// How many links lead to each other at most.
const MAX_LINKS: usize = 8;

/// What an archive holds.
#[derive(Default)]
pub(super) struct Gathered {
    /// Whether it says that it is an OCI layout.
    pub(super) is_layout: bool,
    /// Its `index.json`.
    pub(super) index: Option<Vec<u8>>,
    /// Its `manifest.json`.
    pub(super) docker: Option<Vec<u8>>,
    /// Its files that are not named by their digest.
    files: BTreeMap<String, (Digest, u64)>,
    links: BTreeMap<String, String>,
    /// Everything that is in the store now because of it; leased.
    pub(super) placed: Vec<Digest>,
    /// Bytes of its files.
    pub(super) bytes: u64,
}

/// An error of the archive itself, or of what it is read from.
pub(super) fn archive_error(error: std::io::Error) -> RegistryError {
    match error.kind() {
        std::io::ErrorKind::InvalidData
        | std::io::ErrorKind::InvalidInput
        | std::io::ErrorKind::UnexpectedEof => RegistryError::ArchiveInvalid(error.to_string()),
        _ => RegistryError::io("read", "the archive", error),
    }
}

/// The digest that a path promises.
fn promised(path: &str) -> Option<Result<Digest>> {
    let (algorithm, digits) = path.strip_prefix("blobs/")?.split_once('/')?;
    Some(format!("{algorithm}:{digits}").parse().map_err(|_| {
        RegistryError::ArchiveInvalid(format!("the file {path} is not named by a sha256 or sha512 digest"))
    }))
}

/// Whether docker wrote a file for programs of ten years ago.
fn is_ancient(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("VERSION" | "json" | "repositories"))
}

/// A file that grows, and goes unless it is placed.
struct Scratch<'a> {
    store: &'a Store,
    id: UploadId,
    ingest: Option<Ingest>,
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // Once placed it has another name, and nothing of this one is left.
        self.store.uploads.remove_files(self.id);
    }
}

impl Store {
    /// Leases a file if it is in service; gives its length.
    fn lease_if_there(&self, digest: &Digest) -> Result<Option<u64>> {
        self.meta.write(Durable::Later, |txn| {
            let len = blobs::size(txn, digest)?;
            if len.is_some() {
                leases::renew(txn, digest, self.lease_until_ms())?;
            }
            Ok(len)
        })
    }

    /// Leases files again, so that a long import does not lose its first ones.
    fn lease_all(&self, digests: &[Digest]) -> Result<()> {
        self.meta.write(Durable::Later, |txn| {
            digests.iter().try_for_each(|digest| leases::renew(txn, digest, self.lease_until_ms()))
        })
    }

    /// Refuses what the rules have no room for, before it is stored: what a refused import leaves stays for a while, and
    /// would be in everybody's way.
    fn check_more(&self, len: u64) -> Result<()> {
        let reserved = self.reservations.within(&RepoPattern::all(), None);
        match self.rules().max_bytes {
            Some(max) if self.stored_bytes()?.saturating_add(reserved).saturating_add(len) > max => {
                Err(RegistryError::QuotaExceeded { what: "the registry".to_owned(), max })
            }
            _ => Ok(()),
        }
    }

    /// Puts `len` bytes into the store under their digest, held by nobody, but leased. Content that is `expected` is not
    /// there yet; any other may be, which shows only once all of it has come.
    pub(super) fn take_file(
        &self,
        from: &mut dyn Read,
        len: u64,
        expected: Option<Digest>,
    ) -> Result<Digest> {
        self.check_floor(len)?;
        if expected.is_some() {
            self.check_more(len)?;
        }
        let id = UploadId::random().map_err(|e| RegistryError::io("draw", "random bytes", e))?;
        let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let mut scratch = Scratch { store: self, id, ingest: Some(self.uploads.scratch(id, algorithm)?) };
        let mut ingest = scratch.ingest.take().ok_or(RegistryError::Interrupted)?;
        let (mut left, mut buffer) = (len, vec![0; COPY_BYTES]);
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = from.read(&mut buffer[..part]).map_err(archive_error)?;
            if read == 0 {
                return Err(RegistryError::ArchiveInvalid("the archive broke off".to_owned()));
            }
            self.check_floor(read as u64)?;
            ingest.append(&buffer[..read])?;
            left -= read as u64;
        }
        let complete = match expected {
            Some(digest) => ingest.complete(digest)?,
            None => ingest.complete_as_is()?,
        };
        let digest = complete.digest;
        if expected.is_none() {
            if self.lease_if_there(&digest)?.is_some() {
                return Ok(digest);
            }
            self.check_more(len)?;
        }
        self.place(&complete, || {
            self.meta.write(Durable::Later, |txn| {
                blobs::insert(txn, &digest, complete.len)?;
                leases::renew(txn, &digest, self.lease_until_ms())
            })
        })?;
        Ok(digest)
    }
}

impl Gathered {
    /// Reads a whole archive. What its pieces are for shows only at its end, so all of them are kept until then.
    pub(super) fn read(store: &Store, archive: &mut dyn Read) -> Result<Self> {
        let (mut gathered, mut tar) = (Self::default(), TarReader::new(archive));
        let mut leased_ms = store.now_ms();
        while let Some(head) = tar.next().map_err(archive_error)? {
            let path = plain(&head.path)?;
            match head.kind {
                Kind::Folder => {}
                Kind::Symlink(target) => {
                    let target = resolve(folder_of(&path), &target)?;
                    gathered.links.insert(path, target);
                }
                Kind::Hardlink(target) => {
                    gathered.links.insert(path, plain(&target)?);
                }
                Kind::File => gathered.take(store, path, head.len, &mut tar)?,
            }
            if store.is_lease_due(leased_ms.saturating_add(store.lease_ms)) {
                store.lease_all(&gathered.placed)?;
                leased_ms = store.now_ms();
            }
        }
        Ok(gathered)
    }

    fn take(&mut self, store: &Store, path: String, len: u64, from: &mut dyn Read) -> Result<()> {
        let document = match path.as_str() {
            INDEX_JSON => Some(&mut self.index),
            MANIFEST_JSON => Some(&mut self.docker),
            OCI_LAYOUT => {
                self.is_layout = true;
                return Ok(());
            }
            path if is_ancient(path) => return Ok(()),
            _ => None,
        };
        self.bytes += len;
        if let Some(document) = document {
            if len > MAX_MANIFEST_BYTES {
                let why = format!("{path} is longer than {MAX_MANIFEST_BYTES} bytes");
                return Err(RegistryError::ArchiveInvalid(why));
            }
            let mut text = vec![0; len as usize];
            from.read_exact(&mut text).map_err(archive_error)?;
            *document = Some(text);
            return Ok(());
        }
        let expected = promised(&path).transpose()?;
        let digest = match expected {
            Some(digest) => match store.lease_if_there(&digest)? {
                Some(there) if there == len => digest,
                Some(_) => {
                    return Err(RegistryError::ArchiveInvalid(format!(
                        "{path} has another length than its digest's content"
                    )));
                }
                None => store.take_file(from, len, Some(digest)).map_err(|error| named(&path, error))?,
            },
            None => store.take_file(from, len, None)?,
        };
        self.placed.push(digest);
        if expected.is_none() {
            self.files.insert(path, (digest, len));
        }
        Ok(())
    }

    /// The file at a path, or where its links lead.
    pub(super) fn find(&self, store: &Store, path: &str) -> Result<(Digest, u64)> {
        let missing = || RegistryError::ArchiveInvalid(format!("it names {path}, which is not in it"));
        let mut at = plain(path)?;
        for _ in 0..MAX_LINKS {
            if let Some(found) = self.files.get(&at) {
                return Ok(*found);
            }
            if let Some(digest) = promised(&at).transpose()? {
                let len = store.meta.read(|view| blobs::size(view, &digest))?;
                if let Some(len) = len.filter(|_| self.placed.contains(&digest)) {
                    return Ok((digest, len));
                }
            }
            at = self.links.get(&at).cloned().ok_or_else(missing)?;
        }
        Err(missing())
    }
}

/// Says which file an error is about.
fn named(path: &str, error: RegistryError) -> RegistryError {
    match error {
        RegistryError::DigestMismatch(mismatch) => {
            RegistryError::ArchiveInvalid(format!("{path} is damaged: its digest is {}", mismatch.actual))
        }
        error => error,
    }
}
