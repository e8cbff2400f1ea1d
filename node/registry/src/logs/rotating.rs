//! The file of the access log: it grows by whole lines, and makes way for a new one when it is long enough.

use std::io;
use std::sync::Arc;

use crate::blobs::Blobs;
use crate::error::{RegistryError, Result};
use crate::files::{FileHandle, Files, ends_line};
use crate::layout::{ACCESS_LOG, ACCESS_LOG_OLD, LOGS};

/// How long the file gets, in bytes. The one before it is kept, so that twice this is all that the log takes.
pub(crate) const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// The log's files.
pub(super) struct Rotating {
    files: Arc<dyn Files>,
}

impl Rotating {
    pub(super) fn new(files: Arc<dyn Files>) -> Self {
        Self { files }
    }

    /// Adds lines, with one write. The file is opened anew each time, which is seldom: whoever takes it away, as programs
    /// that turn logs over do, finds the next lines in another one.
    pub(super) fn append(&self, lines: &[u8]) -> Result<()> {
        self.try_append(lines)
            .map_err(|error| RegistryError::io("write", &self.files.describe(ACCESS_LOG), error))
    }

    fn try_append(&self, lines: &[u8]) -> io::Result<()> {
        let mut file = self.open()?;
        let mut len = file.len()?;
        if len > 0 && len + lines.len() as u64 > MAX_FILE_BYTES {
            self.files.rename(ACCESS_LOG, ACCESS_LOG_OLD)?;
            (file, len) = (self.files.create(ACCESS_LOG)?, 0);
        }
        let written = if ends_line(&*file, len)? {
            file.write_at(lines, len)
        } else {
            file.write_at(&[b"\n", lines].concat(), len)
        };
        if written.is_err() {
            // A best effort, for a full disk: half of a line is of no use to anybody.
            let _ = file.set_len(len);
        }
        written
    }

    fn open(&self) -> io::Result<Box<dyn FileHandle>> {
        match self.files.open(ACCESS_LOG, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.files.make_dir(LOGS)?;
                self.files.create(ACCESS_LOG)
            }
            opened => opened,
        }
    }
}

/// How many bytes the log takes.
pub(crate) fn log_bytes(blobs: &Blobs) -> Result<u64> {
    Ok(blobs.file_bytes(ACCESS_LOG)? + blobs.file_bytes(ACCESS_LOG_OLD)?)
}
