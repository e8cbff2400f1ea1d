//! Content under its digest: put in place whole or not at all, taken out of service, found again.

use std::sync::Arc;

use crate::digest::{Algorithm, Digest};
use crate::error::{RegistryError, Result};
use crate::files::{FileHandle, Files};
use crate::ingest::Complete;
use crate::layout;
use crate::pieces::{PIECE_BYTES, PieceList};

/// The files below `blobs/` and `quarantine/`.
#[derive(Clone)]
pub(crate) struct Blobs {
    files: Arc<dyn Files>,
}

impl Blobs {
    pub(crate) fn new(files: Arc<dyn Files>) -> Self {
        Self { files }
    }

    fn failed(&self, action: &'static str, name: &str) -> impl FnOnce(std::io::Error) -> RegistryError {
        let path = self.files.describe(name);
        move |error| RegistryError::io(action, &path, error)
    }

    /// Puts complete content under its digest, durably.
    ///
    /// What was there is replaced: it has the same digest, unless it was damaged, and then this heals it.
    pub(crate) fn place(&self, complete: &Complete) -> Result<()> {
        let (shard, name) = (layout::shard(&complete.digest), layout::blob(&complete.digest));
        self.files.make_dir(&shard).map_err(self.failed("create", &shard))?;
        if let Some(pieces) = &complete.pieces {
            self.write_pieces(&complete.digest, pieces);
        }
        self.files.rename(&complete.name, &name).map_err(self.failed("rename", &complete.name))?;
        self.files.sync_dir(&shard).map_err(self.failed("flush", &shard))
    }

    /// Writes the list of a blob's pieces. It can always be made again, so a failure is told to the log only.
    pub(crate) fn write_pieces(&self, digest: &Digest, pieces: &PieceList) {
        let name = layout::pieces(digest);
        let written = self.files.remove(&name).or_else(ignore_missing).and_then(|()| {
            let file = self.files.create(&name)?;
            file.write_at(&pieces.encode(), 0)
        });
        if let Err(error) = written {
            tracing::warn!(%digest, %error, "cannot keep the list of a blob's pieces");
        }
    }

    /// The list of a blob's pieces, if it is there and sound.
    pub(crate) fn pieces(&self, digest: &Digest, len: u64) -> Option<PieceList> {
        if len <= PIECE_BYTES {
            return None;
        }
        let file = self.files.open(&layout::pieces(digest), false).ok()?;
        let bytes = PieceList::encoded_bytes(len);
        if file.len().ok()? != bytes {
            return None;
        }
        let mut encoded = vec![0; usize::try_from(bytes).ok()?];
        file.read_at(&mut encoded, 0).ok()?;
        PieceList::decode(&encoded, len)
    }

    /// Opens content for reading; `None` if it is not there.
    pub(crate) fn open(&self, digest: &Digest) -> Result<Option<Box<dyn FileHandle>>> {
        let name = layout::blob(digest);
        match self.files.open(&name, false) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("open", &name)(error)),
        }
    }

    /// Takes content out of service; no error if it is not there. It can be looked at until it is purged.
    ///
    /// Nothing is flushed: a file that a power cut brings back is one that nobody holds, and is taken away again.
    pub(crate) fn quarantine(&self, digest: &Digest, now_ms: u64) -> Result<()> {
        let name = layout::blob(digest);
        match self.files.rename(&name, &layout::quarantine(digest, now_ms)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(self.failed("rename", &name))?,
        }
        let pieces = layout::pieces(digest);
        self.files.remove(&pieces).or_else(ignore_missing).map_err(self.failed("remove", &pieces))
    }

    /// Removes what is in quarantine since before `before_ms`, and what does not belong there; gives how many files, and
    /// their bytes.
    pub(crate) fn purge(&self, before_ms: u64) -> Result<(u64, u64)> {
        let (mut purged, mut bytes) = (0, 0);
        let entries = self.files.list(layout::QUARANTINE).map_err(self.failed("list", layout::QUARANTINE))?;
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            let stays =
                layout::parse_quarantine(&entry.name).is_some_and(|(_, since_ms)| since_ms >= before_ms);
            if !stays {
                let name = format!("{}/{}", layout::QUARANTINE, entry.name);
                bytes += self.file_bytes(&name)?;
                self.files.remove(&name).map_err(self.failed("remove", &name))?;
                purged += 1;
            }
        }
        Ok((purged, bytes))
    }

    /// How many files are in quarantine, and their bytes.
    pub(crate) fn quarantined(&self) -> Result<(u64, u64)> {
        let entries = self.files.list(layout::QUARANTINE).map_err(self.failed("list", layout::QUARANTINE))?;
        let (mut files, mut bytes) = (0, 0);
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            files += 1;
            bytes += self.file_bytes(&format!("{}/{}", layout::QUARANTINE, entry.name))?;
        }
        Ok((files, bytes))
    }

    /// Length of a file of the registry's directory, in bytes; 0 if it is not there.
    pub(crate) fn file_bytes(&self, name: &str) -> Result<u64> {
        match self.files.open(name, false) {
            Ok(file) => file.len().map_err(self.failed("measure", name)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(self.failed("open", name)(error)),
        }
    }

    /// Where the registry's directory is.
    pub(crate) fn directory(&self) -> String {
        self.files.describe("")
    }

    /// Gives every digest that has a file to `each`, shard by shard, and its length in bytes.
    pub(crate) fn for_each(&self, mut each: impl FnMut(Digest, u64) -> Result<()>) -> Result<()> {
        for algorithm in Algorithm::ALL {
            let folder = format!("{}/{}", layout::BLOBS, algorithm.name());
            for shard in self.files.list(&folder).map_err(self.failed("list", &folder))? {
                let folder = format!("{folder}/{}", shard.name);
                for entry in self.files.list(&folder).map_err(self.failed("list", &folder))? {
                    let Ok(digest) = Digest::from_hex(algorithm, &entry.name) else { continue };
                    if let Some(file) = self.open(&digest)? {
                        each(digest, file.len().map_err(self.failed("measure", &entry.name))?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Makes `NotFound` no error.
pub(crate) fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
