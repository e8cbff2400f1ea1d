//! A directory in memory whose power can be cut.
//!
//! Every file has two contents: what the process sees, and what is on the medium. A flush copies the first onto the
//! second. [`MemDir::crash`] throws the process's view away and, for every 512-byte sector that was written and not
//! flushed, decides by the seed whether it reached the medium: so a write may be lost, done, or torn, in any order.
//! Creations, renames and removals reach the medium only with `sync_dir`; a crash keeps any subset of the others.
//! A failed flush leaves its sectors neither on the medium nor marked to be written, as Linux does: a second flush
//! then succeeds and saves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Dir, Disk, LockError};
use crate::medium::{Change, Content, Names, Random, SECTOR_BYTES, parent, settle};

#[derive(Default)]
struct Inner {
    /// Rises with every crash: handles from before it are dead.
    generation: u64,
    powered_off: bool,
    contents: BTreeMap<u64, Content>,
    live: Names,
    medium: Names,
    pending: Vec<Change>,
    locks: BTreeSet<String>,
    next_file: u64,
    syncs: u64,
    cut_at: Option<u64>,
    error_at: Option<u64>,
    capacity: Option<u64>,
    written: u64,
    garbled: Vec<String>,
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl Inner {
    fn alive(&self, generation: u64) -> io::Result<()> {
        if self.powered_off || generation != self.generation { Err(power_is_off()) } else { Ok(()) }
    }

    /// Counts a flush; the error if it is the one that fails.
    fn count_sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        if self.cut_at == Some(self.syncs) {
            self.powered_off = true;
            return Err(power_is_off());
        }
        if self.error_at == Some(self.syncs) {
            return Err(io::Error::other("simulated flush error"));
        }
        Ok(())
    }

    fn check_room(&self, growth: u64) -> io::Result<()> {
        let used = self.live.files.values().filter_map(|file| self.contents.get(file));
        let used = used.map(|content| content.live.len() as u64).sum::<u64>();
        match self.capacity {
            Some(capacity) if used + growth > capacity => Err(io::Error::from(io::ErrorKind::StorageFull)),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.pending.push(change);
    }
}

/// A directory in memory. Clones share it.
#[derive(Clone)]
pub struct MemDir {
    inner: Arc<Mutex<Inner>>,
}

impl std::fmt::Debug for MemDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemDir")
    }
}

impl Default for MemDir {
    fn default() -> Self {
        Self::new()
    }
}

impl MemDir {
    /// An empty directory.
    pub fn new() -> Self {
        Self { inner: Arc::new(Mutex::new(Inner::default())) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flushes counted so far, of files and of folders.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// Bytes handed to `write_at` so far.
    pub fn written(&self) -> u64 {
        self.inner().written
    }

    /// Cuts the power at the `n`th flush from now (1 is the next): it and every later call fail, until `crash`.
    pub fn fail_at_sync(&self, n: u64) {
        let mut inner = self.inner();
        inner.cut_at = Some(inner.syncs + n);
    }

    /// Lets the `n`th flush from now (1 is the next) fail and the disk go on.
    pub fn error_at_sync(&self, n: u64) {
        let mut inner = self.inner();
        inner.error_at = Some(inner.syncs + n);
    }

    /// Limits the sum of all file lengths, in bytes. `None`: no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner().capacity = bytes;
    }

    /// From now on a crash may leave garbage in unflushed sectors of files whose name ends in `suffix`.
    pub fn garble(&self, suffix: &str) {
        self.inner().garbled.push(suffix.to_owned());
    }

    /// Cuts the power and restores it. What was not flushed is kept, lost or torn as `seed` decides (a multiple of 4
    /// loses all of it, one more keeps all of it). Every open file and lock is dead; a store opened after this sees
    /// what the medium kept.
    pub fn crash(&self, seed: u64) {
        let mut inner = self.inner();
        let mut random = Random(seed);
        inner.generation += 1;
        inner.powered_off = false;
        (inner.cut_at, inner.error_at) = (None, None);
        inner.locks.clear();
        let mut names = std::mem::take(&mut inner.medium);
        for change in std::mem::take(&mut inner.pending) {
            if random.keeps(seed) {
                names.apply(&change);
            }
        }
        let folders = names.folders.clone();
        names.files.retain(|name, _| parent(name).is_empty() || folders.contains(parent(name)));
        let garbled = inner.garbled.clone();
        let mut kept = BTreeMap::new();
        for (name, file) in &names.files {
            let mut content = inner.contents.remove(file).unwrap_or_default();
            let garble = garbled.iter().any(|suffix| name.ends_with(suffix));
            settle(&mut content, seed, &mut random, garble);
            kept.insert(*file, content);
        }
        inner.contents = kept;
        inner.live = names.clone();
        inner.medium = names;
    }

    /// The bytes of a file as the process sees them.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        let file = inner.live.files.get(name)?;
        Some(inner.contents.get(file)?.live.clone())
    }

    /// Replaces a file's bytes, on the medium too: damage, or a restored copy.
    pub fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let fresh = inner.next_file;
        let file = inner.live.files.get(name).copied().unwrap_or(fresh);
        inner.next_file += u64::from(file == fresh);
        inner.live.files.insert(name.to_owned(), file);
        inner.medium.files.insert(name.to_owned(), file);
        inner.contents.insert(file, Content { live: bytes.clone(), medium: bytes, dirty: BTreeSet::new() });
    }

    /// A copy of everything on the medium, as if the card had been cloned with the power off.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let inner = self.inner();
        let contents = inner.contents.iter().map(|(file, content)| {
            let medium = content.medium.clone();
            (*file, Content { live: medium.clone(), medium, dirty: BTreeSet::new() })
        });
        let copy = Inner {
            contents: contents.collect(),
            live: inner.medium.clone(),
            medium: inner.medium.clone(),
            next_file: inner.next_file,
            ..Inner::default()
        };
        Self { inner: Arc::new(Mutex::new(copy)) }
    }
}

/// An open file of a [`MemDir`].
#[derive(Debug)]
pub struct MemFile {
    dir: MemDir,
    file: u64,
    generation: u64,
}

impl MemFile {
    fn with<T>(&self, act: impl FnOnce(&mut Inner, &mut Content) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.dir.inner();
        inner.alive(self.generation)?;
        // Taken out and put back, so that the action may look at the rest.
        let mut content = inner.contents.remove(&self.file).unwrap_or_default();
        let result = act(&mut inner, &mut content);
        inner.contents.insert(self.file, content);
        result
    }
}

fn resize(inner: &Inner, content: &mut Content, len: usize) -> io::Result<()> {
    // The content is out of the map while it is looked at, so its whole new length counts.
    inner.check_room(len as u64)?;
    content.live.resize(len, 0);
    Ok(())
}

impl Disk for MemFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|_, content| Ok(content.live.len() as u64))
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        self.with(|_, content| {
            let bytes = content.live.get(off as usize..).and_then(|rest| rest.get(..buf.len()));
            buf.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
            Ok(())
        })
    }

    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()> {
        self.with(|inner, content| {
            let (start, end) = (off as usize, off as usize + buf.len());
            if end > content.live.len() {
                resize(inner, content, end)?;
            }
            content.live[start..end].copy_from_slice(buf);
            content.dirty.extend(start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
            inner.written += buf.len() as u64;
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|inner, content| {
            let counted = inner.count_sync();
            if inner.powered_off {
                return counted;
            }
            let dirty = std::mem::take(&mut content.dirty);
            counted?;
            content.medium.resize(content.live.len(), 0);
            for sector in dirty {
                let start = (sector * SECTOR_BYTES).min(content.live.len());
                let end = (start + SECTOR_BYTES).min(content.live.len());
                content.medium[start..end].copy_from_slice(&content.live[start..end]);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|inner, content| resize(inner, content, len as usize))
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.with(|_, content| {
            let mut fresh = content.medium.clone();
            fresh.resize(content.live.len(), 0);
            for sector in &content.dirty {
                let start = (sector * SECTOR_BYTES).min(content.live.len());
                let end = (start + SECTOR_BYTES).min(content.live.len());
                fresh[start..end].copy_from_slice(&content.live[start..end]);
            }
            content.live = fresh;
            Ok(())
        })
    }
}

/// Holds a lock of a [`MemDir`].
#[derive(Debug)]
pub struct MemLock {
    dir: MemDir,
    name: String,
    generation: u64,
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut inner = self.dir.inner();
        if inner.generation == self.generation {
            inner.locks.remove(&self.name);
        }
    }
}

impl Dir for MemDir {
    type File = MemFile;
    type Lock = MemLock;

    fn open(&self, name: &str, create: bool) -> io::Result<MemFile> {
        let mut inner = self.inner();
        let generation = inner.generation;
        inner.alive(generation)?;
        let file = match inner.live.files.get(name) {
            Some(file) => *file,
            None if create && (parent(name).is_empty() || inner.live.folders.contains(parent(name))) => {
                let file = inner.next_file;
                inner.next_file += 1;
                inner.contents.insert(file, Content::default());
                inner.change(Change::Add { name: name.to_owned(), file });
                file
            }
            None => return Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Ok(MemFile { dir: self.clone(), file, generation })
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.alive(inner.generation)?;
        if !name.is_empty() && !inner.live.folders.contains(name) {
            inner.change(Change::Folder { name: name.to_owned() });
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inner = self.inner();
        inner.alive(inner.generation)?;
        if !folder.is_empty() && !inner.live.folders.contains(folder) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let names = inner.live.files.keys().filter(|name| parent(name) == folder);
        Ok(names.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.alive(inner.generation)?;
        if !inner.live.files.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        inner.change(Change::Remove { name: name.to_owned() });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.alive(inner.generation)?;
        if !inner.live.files.contains_key(from) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        inner.change(Change::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.alive(inner.generation)?;
        inner.count_sync()?;
        let (done, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inner.pending).into_iter().partition(|change| change.folder() == folder);
        for change in &done {
            inner.medium.apply(change);
        }
        inner.pending = left;
        Ok(())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let inner = self.inner();
        inner.alive(inner.generation)?;
        Ok(inner.live.files.contains_key(name) || inner.live.folders.contains(name))
    }

    fn try_lock(&self, name: &str) -> Result<MemLock, LockError> {
        let mut inner = self.inner();
        let generation = inner.generation;
        inner.alive(generation).map_err(LockError::Io)?;
        if !inner.locks.insert(name.to_owned()) {
            return Err(LockError::Held(Some(std::process::id())));
        }
        Ok(MemLock { dir: self.clone(), name: name.to_owned(), generation })
    }

    fn describe(&self, name: &str) -> String {
        format!("memory:/{name}")
    }
}
