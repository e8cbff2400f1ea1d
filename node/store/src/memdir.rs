//! A directory in memory whose power can be cut and whose device can fail.
//!
//! Every sector of a file has two contents: what the process sees, and what is on the medium; a flush makes them
//! equal. [`MemDir::crash`] decides for every sector that was written and not flushed what the medium holds: the
//! content before, one that was written over since, or the newest. So a write may be lost, done, or torn, in any
//! order. Creations, renames and removals reach the medium only with `sync_dir`; a crash keeps any subset of the
//! others. [`MemDir::crash_with`] leaves every one of these choices to the caller, who can try them all.
//!
//! All changes are counted, and any of them can be made to fail in any way that [`Fault`] names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Dir, LockError};
use crate::fault::{Fault, Plan, device_error, no_space, power_is_off};
use crate::medium::{Change, Content, Names, Question, Random, SECTOR_BYTES, parent};
use crate::memfile::MemFile;

#[derive(Clone)]
pub(crate) struct Inner {
    /// Rises with every crash: handles from before it are dead.
    generation: u64,
    powered_off: bool,
    contents: BTreeMap<u64, Content>,
    live: Names,
    medium: Names,
    pending: Vec<Change>,
    locks: BTreeSet<String>,
    next_file: u64,
    /// Flushes of files and folders.
    syncs: Plan,
    /// Everything that changes something, flushes included.
    changes: Plan,
    reads: Plan,
    capacity: Option<u64>,
    pub(crate) written: u64,
    garbled: Vec<String>,
    pub(crate) sector_bytes: usize,
}

impl Inner {
    pub(crate) fn alive(&self, generation: u64) -> io::Result<()> {
        if self.powered_off || generation != self.generation { Err(power_is_off()) } else { Ok(()) }
    }

    /// Counts a change; the fault that hits it, if any. `Err` once the power is off.
    pub(crate) fn count_change(&mut self) -> io::Result<Option<Fault>> {
        let fault = self.changes.next();
        if fault == Some(Fault::PowerCut) {
            self.powered_off = true;
            return Err(power_is_off());
        }
        Ok(fault)
    }

    /// As `count_change`, for a flush.
    pub(crate) fn count_sync(&mut self) -> io::Result<Option<Fault>> {
        let fault = self.count_change()?;
        let planned = self.syncs.next();
        if planned == Some(Fault::PowerCut) {
            self.powered_off = true;
            return Err(power_is_off());
        }
        Ok(planned.or(fault))
    }

    /// Counts a change of names; the error that hits it, if any.
    fn count_naming(&mut self) -> io::Result<()> {
        match self.count_change()? {
            Some(Fault::Error) => Err(device_error()),
            Some(Fault::Full) => Err(no_space()),
            _ => Ok(()),
        }
    }

    /// Counts a read; the error that hits it, if any.
    pub(crate) fn count_read(&mut self) -> io::Result<()> {
        self.reads.next().map_or(Ok(()), |_| Err(device_error()))
    }

    /// Refuses if the other files and this one of `len` bytes do not fit together.
    pub(crate) fn check_room(&self, file: u64, len: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        let others = self.live.files.values().filter(|other| **other != file);
        let others = others.filter_map(|file| self.contents.get(file));
        let used = others.map(|content| content.live().len() as u64).sum::<u64>();
        if used + len as u64 > capacity { Err(no_space()) } else { Ok(()) }
    }

    pub(crate) fn content(&mut self, file: u64) -> &mut Content {
        self.contents.entry(file).or_default()
    }

    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.pending.push(change);
    }

    fn may_be_garbled(&self, file: u64) -> bool {
        let mut names = self.live.files.iter().chain(&self.medium.files);
        names.any(|(name, named)| *named == file && self.garbled.iter().any(|suffix| name.ends_with(suffix)))
    }

    fn questions(&self) -> Vec<Question> {
        let names = self.pending.iter().map(|_| Question::DONE_OR_NOT);
        let contents = self.contents.iter();
        let sectors = contents.flat_map(|(file, content)| content.questions(self.may_be_garbled(*file)));
        names.chain(sectors).collect()
    }

    fn crash(&mut self, mut choose: impl FnMut(Question) -> usize) {
        self.generation += 1;
        self.powered_off = false;
        for plan in [&mut self.syncs, &mut self.changes, &mut self.reads] {
            plan.clear();
        }
        self.locks.clear();
        let mut names = std::mem::take(&mut self.medium);
        for change in std::mem::take(&mut self.pending) {
            if choose(Question::DONE_OR_NOT) == 1 {
                names.apply(&change);
            }
        }
        let folders = names.folders.clone();
        names.files.retain(|name, _| parent(name).is_empty() || folders.contains(parent(name)));
        let garbled = self.contents.keys().map(|file| self.may_be_garbled(*file)).collect::<Vec<_>>();
        for (content, garbled) in self.contents.values_mut().zip(garbled) {
            content.settle(self.sector_bytes, garbled, &mut choose);
        }
        let kept = names.files.values().copied().collect::<BTreeSet<_>>();
        self.contents.retain(|file, _| kept.contains(file));
        self.live = names.clone();
        self.medium = names;
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
        Self::of(Inner {
            generation: 0,
            powered_off: false,
            contents: BTreeMap::new(),
            live: Names::default(),
            medium: Names::default(),
            pending: Vec::new(),
            locks: BTreeSet::new(),
            next_file: 0,
            syncs: Plan::default(),
            changes: Plan::default(),
            reads: Plan::default(),
            capacity: None,
            written: 0,
            garbled: Vec::new(),
            sector_bytes: SECTOR_BYTES,
        })
    }

    fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flushes counted so far, of files and of folders.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs.count
    }

    /// Changes counted so far: writes, changes of length, flushes, files and folders created, renamed and removed.
    pub fn changes(&self) -> u64 {
        self.inner().changes.count
    }

    /// Reads of files counted so far.
    pub fn reads(&self) -> u64 {
        self.inner().reads.count
    }

    /// Bytes handed to `write_at` so far.
    pub fn written(&self) -> u64 {
        self.inner().written
    }

    /// Cuts the power at the `n`th flush from now (1 is the next): it and every later call fail, until `crash`.
    pub fn fail_at_sync(&self, n: u64) {
        self.inner().syncs.set(n, Fault::PowerCut);
    }

    /// Lets the `n`th flush from now (1 is the next) fail and the disk go on.
    pub fn error_at_sync(&self, n: u64) {
        self.inner().syncs.set(n, Fault::Error);
    }

    /// Lets this fault hit the `n`th change from now (1 is the next). A fault that cannot happen to that change (a
    /// lie of a write, say) does not. A crash forgets what was planned.
    pub fn fault_at(&self, n: u64, fault: Fault) {
        self.inner().changes.set(n, fault);
    }

    /// Lets the `n`th read from now (1 is the next) fail.
    pub fn error_at_read(&self, n: u64) {
        self.inner().reads.set(n, Fault::Error);
    }

    /// Makes the sector at `offset` of a file unreadable until it is written.
    pub fn make_unreadable(&self, name: &str, offset: usize) {
        let mut inner = self.inner();
        let sector = offset / inner.sector_bytes;
        if let Some(file) = inner.live.files.get(name).copied() {
            inner.content(file).make_unreadable(sector);
        }
    }

    /// Limits the sum of all file lengths, in bytes. `None`: no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner().capacity = bytes;
    }

    /// How many bytes the medium writes at once: 512 at first. To be set while nothing is unflushed.
    pub fn set_sector_bytes(&self, bytes: usize) {
        let mut inner = self.inner();
        let before = std::mem::replace(&mut inner.sector_bytes, bytes);
        for content in inner.contents.values_mut() {
            content.resize_sectors(before, bytes);
        }
    }

    /// From now on a crash may leave garbage in unflushed sectors of files whose name ends in `suffix`.
    pub fn garble(&self, suffix: &str) {
        self.inner().garbled.push(suffix.to_owned());
    }

    /// Cuts the power and restores it. What was not flushed is kept, lost or torn as `seed` decides (a multiple of 4
    /// loses all of it, one more keeps all of it). Every open file and lock is dead; a store opened after this sees
    /// what the medium kept.
    pub fn crash(&self, seed: u64) {
        let mut random = Random(seed);
        self.inner().crash(|question| random.answer(seed, question));
    }

    /// Cuts the power and restores it, as `crash`, but `choose` decides about everything that was not flushed. It is
    /// asked once for each, in the order of [`MemDir::unflushed`], with the number of outcomes, and answers with one
    /// of them: 0 is what the medium held before.
    pub fn crash_with(&self, mut choose: impl FnMut(usize) -> usize) {
        self.inner().crash(|question| choose(question.outcomes()));
    }

    /// How many outcomes a power cut now would have for each sector and each change of names or of a length that is
    /// not flushed: the content before (0), those written over since, the newest, and garbage if `garble` allows it.
    pub fn unflushed(&self) -> Vec<usize> {
        self.inner().questions().into_iter().map(Question::outcomes).collect()
    }

    /// The bytes of a file as the process sees them.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        let file = inner.live.files.get(name)?;
        Some(inner.contents.get(file)?.live().to_vec())
    }

    /// The names of all files, folders included, sorted.
    pub fn names(&self) -> Vec<String> {
        self.inner().live.files.keys().cloned().collect()
    }

    /// Replaces a file's bytes, on the medium too: damage, or a restored copy.
    pub fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let fresh = inner.next_file;
        let file = inner.live.files.get(name).copied().unwrap_or(fresh);
        inner.next_file += u64::from(file == fresh);
        inner.live.files.insert(name.to_owned(), file);
        inner.medium.files.insert(name.to_owned(), file);
        inner.contents.insert(file, Content::flushed(bytes));
    }

    /// A copy of everything on the medium, as if the card had been cloned with the power off.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let inner = self.inner();
        let contents = inner.contents.iter();
        let contents = contents.map(|(file, content)| (*file, Content::flushed(content.on_medium())));
        let (contents, medium, next_file) = (contents.collect(), inner.medium.clone(), inner.next_file);
        let (live, sector_bytes) = (medium.clone(), inner.sector_bytes);
        Self::of(Inner { contents, live, medium, next_file, sector_bytes, ..Self::new().inner().clone() })
    }

    /// A copy of everything, what is not flushed and what is planned included. Files open here are dead there.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut copy = self.inner().clone();
        copy.generation += 1;
        copy.locks.clear();
        Self::of(copy)
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
                inner.count_naming()?;
                let file = inner.next_file;
                inner.next_file += 1;
                inner.contents.insert(file, Content::default());
                inner.change(Change::Add { name: name.to_owned(), file });
                file
            }
            None => return Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        drop(inner);
        Ok(MemFile::new(self.clone(), file, generation))
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.alive(inner.generation)?;
        if !name.is_empty() && !inner.live.folders.contains(name) {
            inner.count_naming()?;
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
        inner.count_naming()?;
        inner.change(Change::Remove { name: name.to_owned() });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.alive(inner.generation)?;
        if !inner.live.files.contains_key(from) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        inner.count_naming()?;
        inner.change(Change::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.alive(inner.generation)?;
        match inner.count_sync()? {
            Some(Fault::Error) => return Err(device_error()),
            Some(Fault::Full) => return Err(no_space()),
            // A file system keeps its journal in order: what was lost comes with the next flush.
            Some(Fault::Lie | Fault::LostWrite) => return Ok(()),
            Some(Fault::PowerCut | Fault::Torn) | None => {}
        }
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
