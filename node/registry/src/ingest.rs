//! One file that grows: what arrives is written, and hashed in the same pass.

use std::sync::Arc;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Mismatch, RegistryError, Result};
use crate::files::{FileHandle, Files};
use crate::limits::READ_BYTES;
use crate::pieces::{PieceHasher, PieceList};
use crate::policy::reserve::Reserved;

/// A file in `uploads/` that grows.
pub(crate) struct Ingest {
    files: Arc<dyn Files>,
    name: String,
    file: Box<dyn FileHandle>,
    /// Bytes that were written and hashed. The file is longer only after a write that failed.
    len: u64,
    hasher: Hasher,
    pieces: PieceHasher,
    /// Room that is held for it.
    pub(crate) reserved: Option<Arc<Reserved>>,
}

/// A file that is complete, durable, and named by its content.
pub(crate) struct Complete {
    pub(crate) name: String,
    pub(crate) len: u64,
    pub(crate) digest: Digest,
    pub(crate) pieces: Option<PieceList>,
    /// Room that is held for it until somebody holds it.
    pub(crate) reserved: Option<Arc<Reserved>>,
}

impl Ingest {
    /// Starts an empty file.
    pub(crate) fn create(files: &Arc<dyn Files>, name: String, algorithm: Algorithm) -> Result<Self> {
        let file = files.create(&name).map_err(|e| RegistryError::io("create", &files.describe(&name), e))?;
        let (hasher, pieces) = (Hasher::new(algorithm), PieceHasher::default());
        Ok(Self { files: Arc::clone(files), name, file, len: 0, hasher, pieces, reserved: None })
    }

    /// Goes on with a file from before a restart: what it holds is hashed again.
    pub(crate) fn resume(files: &Arc<dyn Files>, name: String, algorithm: Algorithm) -> Result<Self> {
        let file =
            files.open(&name, true).map_err(|e| RegistryError::io("open", &files.describe(&name), e))?;
        let (mut hasher, mut pieces) = (Hasher::new(algorithm), PieceHasher::default());
        let len = for_each_part(&*file, &files.describe(&name), |part| {
            hasher.update(part);
            pieces.update(part);
        })?;
        Ok(Self { files: Arc::clone(files), name, file, len, hasher, pieces, reserved: None })
    }

    /// Bytes received.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Which digest is computed as bytes arrive.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.hasher.algorithm()
    }

    /// Adds `bytes` at the end. After an error none of them counts, wherever the writing ended.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.file.write_at(bytes, self.len) {
            // A best effort: what is left over is cut again before the file is used.
            let _ = self.file.set_len(self.len);
            return Err(RegistryError::io("write", &self.files.describe(&self.name), error));
        }
        self.hasher.update(bytes);
        self.pieces.update(bytes);
        self.len += bytes.len() as u64;
        if let Some(reserved) = &self.reserved {
            reserved.wrote(bytes.len() as u64);
        }
        Ok(())
    }

    /// Ends the file: checks that it has the digest, and makes its bytes durable.
    pub(crate) fn complete(self, expected: Digest) -> Result<Complete> {
        let failed = |action, error| RegistryError::io(action, &self.files.describe(&self.name), error);
        if self.file.len().map_err(|e| failed("measure", e))? != self.len {
            self.file.set_len(self.len).map_err(|e| failed("cut", e))?;
        }
        let actual = if self.hasher.algorithm() == expected.algorithm() {
            self.hasher.finish()
        } else {
            // Clients name the algorithm at the end only, so the bytes have to be read once more.
            digest_of(&*self.file, &self.files.describe(&self.name), expected.algorithm())?
        };
        if actual != expected {
            return Err(RegistryError::DigestMismatch(Box::new(Mismatch { expected, actual })));
        }
        self.file.sync().map_err(|e| RegistryError::io("flush", &self.files.describe(&self.name), e))?;
        let (pieces, reserved) = (self.pieces.finish(), self.reserved);
        Ok(Complete { name: self.name, len: self.len, digest: expected, pieces, reserved })
    }

    /// As [`Ingest::complete`], under whatever digest the content has.
    pub(crate) fn complete_as_is(self) -> Result<Complete> {
        let digest = self.hasher.clone().finish();
        self.complete(digest)
    }

    /// The open file, to read what has arrived.
    pub(crate) fn file(&self) -> &dyn FileHandle {
        &*self.file
    }
}

/// Gives a file's bytes to `each`, part by part; gives their number.
pub(crate) fn for_each_part(file: &dyn FileHandle, path: &str, mut each: impl FnMut(&[u8])) -> Result<u64> {
    for_each_part_while(file, path, |part| {
        each(part);
        true
    })
}

/// The same until `each` says no; gives how much was read.
pub(crate) fn for_each_part_while(
    file: &dyn FileHandle,
    path: &str,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Result<u64> {
    let failed = |error| RegistryError::io("read", path, error);
    let len = file.len().map_err(failed)?;
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(len).unwrap_or(READ_BYTES))];
    let mut offset = 0;
    while offset < len {
        let part = buffer.len().min((len - offset) as usize);
        file.read_at(&mut buffer[..part], offset).map_err(failed)?;
        offset += part as u64;
        if !each(&buffer[..part]) {
            break;
        }
    }
    Ok(offset)
}

/// The digest of a whole file.
pub(crate) fn digest_of(file: &dyn FileHandle, path: &str, algorithm: Algorithm) -> Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    for_each_part(file, path, |part| hasher.update(part))?;
    Ok(hasher.finish())
}
