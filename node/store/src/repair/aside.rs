//! The folder into which a repair moves what is damaged, and the mark of a repair under way.

use crate::disk::{Dir, Disk};
use crate::error::{Result, StoreError};
use crate::init::REPAIRING;
use crate::overlay::Overlay;

const UNFINISHED: &str = "repairing.new";
/// Files are copied in steps of this many bytes.
const COPY_STEP_BYTES: u64 = 256 * 1024;
/// Longest name of the folder, in bytes.
const MAX_FOLDER_BYTES: u64 = 255;

/// A repair under way.
pub(super) struct Aside<'a, D: Dir, T: Dir> {
    dir: &'a T,
    /// The directory as it was.
    original: Overlay<D>,
    folder: String,
    holds_something: bool,
}

impl<'a, D: Dir, T: Dir> Aside<'a, D, T> {
    /// Marks the directory as under repair and makes the folder. A repair that was interrupted goes on with its own.
    pub(super) fn begin(dir: &'a T, original: Overlay<D>, folder: &str) -> Result<Self> {
        let failed = |e| StoreError::io("create", dir.describe(REPAIRING), e);
        let folder = match begun(dir).map_err(failed)? {
            Some(folder) => folder,
            None => folder.to_owned(),
        };
        dir.make_dir(&folder).map_err(failed)?;
        let mark = dir.open(UNFINISHED, true).map_err(failed)?;
        mark.set_len(0).map_err(failed)?;
        mark.write_at(folder.as_bytes(), 0).map_err(failed)?;
        mark.sync().map_err(failed)?;
        dir.rename(UNFINISHED, REPAIRING).map_err(failed)?;
        dir.sync_dir("").map_err(failed)?;
        let holds_something = !dir.list(&folder).map_err(failed)?.is_empty();
        Ok(Self { dir, original, folder, holds_something })
    }

    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    pub(super) fn holds_something(&self) -> bool {
        self.holds_something
    }

    /// Takes the mark away.
    pub(super) fn finish(&self) -> Result<()> {
        let failed = |e| StoreError::io("remove", self.dir.describe(REPAIRING), e);
        self.dir.remove(REPAIRING).map_err(failed)?;
        self.dir.sync_dir("").map_err(failed)
    }

    /// A name in the folder that is free.
    fn free_name(&self, file: &str) -> std::io::Result<String> {
        let base = file.rsplit('/').next().unwrap_or(file);
        let mut name = format!("{}/{base}", self.folder);
        let mut number = 2;
        while self.dir.exists(&name)? {
            name = format!("{}/{base}.{number}", self.folder);
            number += 1;
        }
        Ok(name)
    }

    /// Moves files into the folder. Returns those that were there. Durable when it returns.
    pub(super) fn take(&mut self, files: &[String]) -> Result<Vec<String>> {
        let mut taken = Vec::new();
        for file in files {
            let failed = |e| StoreError::io("set aside", self.dir.describe(file), e);
            if self.dir.exists(file).map_err(failed)? {
                self.dir.rename(file, &self.free_name(file).map_err(failed)?).map_err(failed)?;
                taken.push(file.clone());
            }
        }
        if !taken.is_empty() {
            self.holds_something = true;
            let mut folders = taken.iter().map(|file| file.rsplit_once('/').map_or("", |(folder, _)| folder));
            let mut folders = folders.by_ref().collect::<Vec<_>>();
            folders.dedup();
            // The new names first: a file is never without one.
            for folder in [self.folder.as_str()].into_iter().chain(folders) {
                let flushed = self.dir.sync_dir(folder);
                flushed.map_err(|e| StoreError::io("flush", self.dir.describe(folder), e))?;
            }
        }
        Ok(taken)
    }

    /// Copies a file into the folder, with zeros for what cannot be read. Durable when it returns. Does nothing if the
    /// file is not there.
    pub(super) fn copy(&mut self, file: &str) -> Result<()> {
        let failed = |e| StoreError::io("copy", self.dir.describe(file), e);
        let from = match self.original.open(file, false) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let to = self.dir.open(&self.free_name(file).map_err(failed)?, true).map_err(failed)?;
        let (len, mut at) = (from.len().map_err(failed)?, 0);
        let mut buffer = Vec::new();
        while at < len {
            buffer.resize(COPY_STEP_BYTES.min(len - at) as usize, 0);
            from.read_at(&mut buffer, at).map_err(failed)?;
            to.write_at(&buffer, at).map_err(failed)?;
            at += buffer.len() as u64;
        }
        to.sync().map_err(failed)?;
        self.dir.sync_dir(&self.folder).map_err(failed)?;
        self.holds_something = true;
        Ok(())
    }
}

/// The folder of a repair that was interrupted.
fn begun<D: Dir>(dir: &D) -> std::io::Result<Option<String>> {
    if !dir.exists(REPAIRING)? {
        return Ok(None);
    }
    let file = dir.open(REPAIRING, false)?;
    let mut bytes = vec![0; file.len()?.min(MAX_FOLDER_BYTES) as usize];
    let read = file.read_at(&mut bytes, 0);
    let folder = read.ok().and_then(|()| String::from_utf8(bytes).ok());
    // Unreadable or damaged in turn: what is set aside from now on goes into a new folder.
    Ok(folder.filter(|folder| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        folder.starts_with("damaged-") && folder.chars().all(is_plain)
    }))
}
