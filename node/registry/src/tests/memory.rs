//! Files in memory whose disk can fail, fill up or lose power at any step.
//!
//! Every file has two contents: what the process sees, and what is on the medium; a flush makes them equal. Names
//! likewise: a folder's flush makes its changes durable, a rename as one.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::files::{Entry, FileHandle, Files, folder_of};

/// What goes wrong at a step: a file created, written, cut, flushed, renamed or removed, a folder created or flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The device reports an error; a write is done in half.
    Error,
    /// No space is left; a write is done in half.
    Full,
    /// The step and all that follow fail, until `restart`.
    Stop,
}

/// What a restart finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// Everything: only the process had ended.
    Everything,
    /// What was flushed.
    Flushed,
    /// All names, but of each file what was flushed.
    Names,
    /// Of every sector and every file's names that were not flushed, the old or the new, as chance has it.
    Torn(u64),
}

/// What a disk writes at once, in bytes.
const SECTOR_BYTES: usize = 512;

/// Says yes or no at random.
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 63 == 1
    }
}

/// A change of names: a file is removed from one, or appears at one, or both.
#[derive(Clone, Debug)]
struct Change {
    file: u64,
    from: Option<String>,
    to: Option<String>,
}

impl Change {
    fn is_of(&self, folder: &str) -> bool {
        [&self.from, &self.to].into_iter().flatten().any(|name| folder_of(name) == folder)
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some(to) = &self.to {
            names.insert(to.clone(), self.file);
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    flushed: Vec<u8>,
}

impl Content {
    /// Makes some of what was not flushed durable.
    fn tear(&mut self, coin: &mut Coin) {
        if self.live == self.flushed {
            return;
        }
        if coin.toss() {
            self.flushed.resize(self.live.len(), 0);
        }
        for (new, old) in self.live.chunks(SECTOR_BYTES).zip(self.flushed.chunks_mut(SECTOR_BYTES)) {
            if new != old && coin.toss() {
                let both = new.len().min(old.len());
                old[..both].copy_from_slice(&new[..both]);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    generation: u64,
    steps: u64,
    fault: Option<(u64, Fault)>,
    is_stopped: bool,
    contents: BTreeMap<u64, Content>,
    folders: BTreeSet<String>,
    live: BTreeMap<String, u64>,
    flushed: BTreeMap<String, u64>,
    pending: Vec<Change>,
    is_locked: bool,
    next_file: u64,
}

impl Inner {
    fn check(&self, generation: u64) -> io::Result<()> {
        if self.is_stopped || generation != self.generation {
            return Err(io::Error::other("the machine has stopped"));
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<()> {
        self.check(self.generation)?;
        self.steps += 1;
        match self.fault {
            Some((at, fault)) if at == self.steps => match fault {
                Fault::Error => Err(io::Error::from_raw_os_error(5)),
                Fault::Full => Err(io::ErrorKind::StorageFull.into()),
                Fault::Stop => {
                    self.is_stopped = true;
                    Err(io::Error::other("the machine stops"))
                }
            },
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<Inner>>);

impl Memory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Steps taken so far.
    pub(super) fn steps(&self) -> u64 {
        self.inner().steps
    }

    /// Makes the step with this number fail; the first is 1.
    pub(super) fn fail_at(&self, step: u64, fault: Fault) {
        self.inner().fault = Some((step, fault));
    }

    /// Ends everything that is open, and goes on with what is left.
    pub(super) fn restart(&self, what: Restart) {
        let mut inner = self.inner();
        inner.generation += 1;
        inner.is_stopped = false;
        inner.is_locked = false;
        inner.fault = None;
        let mut coin = Coin(if let Restart::Torn(seed) = what { seed } else { 0 });
        let pending = std::mem::take(&mut inner.pending);
        match what {
            Restart::Flushed => {}
            Restart::Everything | Restart::Names => inner.flushed = inner.live.clone(),
            Restart::Torn(_) => {
                // A file system keeps the changes of one file in order: once one is lost, so are those after it.
                let mut lost = BTreeSet::new();
                for change in &pending {
                    if lost.contains(&change.file) || coin.toss() {
                        lost.insert(change.file);
                    } else {
                        change.apply(&mut inner.flushed);
                    }
                }
            }
        }
        inner.live = inner.flushed.clone();
        for content in inner.contents.values_mut() {
            match what {
                Restart::Everything => content.flushed.clone_from(&content.live),
                Restart::Torn(_) => content.tear(&mut coin),
                Restart::Flushed | Restart::Names => {}
            }
            content.live.clone_from(&content.flushed);
        }
    }

    /// The names of all files, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.inner().live.keys().cloned().collect()
    }

    /// A file's bytes.
    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        let inner = self.inner();
        inner.contents[&inner.live[name]].live.clone()
    }

    /// Replaces a file's bytes: damage.
    pub(super) fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let file = inner.live[name];
        inner.contents.insert(file, Content { live: bytes.clone(), flushed: bytes });
    }

    fn handle(&self, file: u64, generation: u64) -> Box<dyn FileHandle> {
        Box::new(MemoryFile { memory: self.clone(), file, generation })
    }
}

#[derive(Debug)]
struct MemoryFile {
    memory: Memory,
    file: u64,
    generation: u64,
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.memory.inner();
        inner.check(self.generation)?;
        act(&mut inner)
    }

    fn content<'a>(&self, inner: &'a mut Inner) -> &'a mut Content {
        inner.contents.entry(self.file).or_default()
    }
}

impl FileHandle for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|inner| Ok(self.content(inner).live.len() as u64))
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        self.with(|inner| {
            let live = &self.content(inner).live;
            let part = live.get(off as usize..).and_then(|rest| rest.get(..buf.len()));
            buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()> {
        self.with(|inner| {
            let result = inner.step();
            let done = if result.is_ok() { buf.len() } else { buf.len() / 2 };
            let live = &mut self.content(inner).live;
            let end = off as usize + done;
            if live.len() < end {
                live.resize(end, 0);
            }
            live[off as usize..end].copy_from_slice(&buf[..done]);
            result
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|inner| {
            inner.step()?;
            let content = self.content(inner);
            content.flushed.clone_from(&content.live);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|inner| {
            inner.step()?;
            self.content(inner).live.resize(len as usize, 0);
            Ok(())
        })
    }
}

impl Files for Memory {
    fn create(&self, name: &str) -> io::Result<Box<dyn FileHandle>> {
        let mut inner = self.inner();
        inner.step()?;
        if inner.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !folder_of(name).is_empty() && !inner.folders.contains(folder_of(name)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (file, generation) = (inner.next_file, inner.generation);
        inner.next_file += 1;
        inner.contents.insert(file, Content::default());
        inner.change(Change { file, from: None, to: Some(name.to_owned()) });
        drop(inner);
        Ok(self.handle(file, generation))
    }

    fn open(&self, name: &str, _write: bool) -> io::Result<Box<dyn FileHandle>> {
        let inner = self.inner();
        inner.check(inner.generation)?;
        let file = *inner.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        let generation = inner.generation;
        drop(inner);
        Ok(self.handle(file, generation))
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let mut parts = name;
        while !parts.is_empty() && !inner.folders.contains(parts) {
            inner.step()?;
            inner.folders.insert(parts.to_owned());
            parts = folder_of(parts);
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let inner = self.inner();
        inner.check(inner.generation)?;
        let entry = |name: &String, is_dir| {
            (folder_of(name) == folder)
                .then(|| Entry { name: name.rsplit('/').next().unwrap().to_owned(), is_dir })
        };
        let files = inner.live.keys().filter_map(|name| entry(name, false));
        let mut entries: Vec<_> =
            files.chain(inner.folders.iter().filter_map(|name| entry(name, true))).collect();
        entries.sort();
        Ok(entries)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let file = *inner.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        inner.step()?;
        inner.change(Change { file, from: Some(name.to_owned()), to: None });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let file = *inner.live.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.step()?;
        inner.change(Change { file, from: Some(from.to_owned()), to: Some(to.to_owned()) });
        Ok(())
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        let pending = std::mem::take(&mut inner.pending);
        // A file system keeps the changes of one file in order: what came before goes with it.
        let files: BTreeSet<u64> =
            pending.iter().filter(|change| change.is_of(folder)).map(|change| change.file).collect();
        let (done, left): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|change| files.contains(&change.file));
        for change in done {
            change.apply(&mut inner.flushed);
        }
        inner.pending = left;
        Ok(())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let inner = self.inner();
        inner.check(inner.generation)?;
        Ok(inner.live.contains_key(name))
    }

    fn lock(&self, _name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut inner = self.inner();
        inner.check(inner.generation)?;
        if std::mem::replace(&mut inner.is_locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock { memory: self.clone(), generation: inner.generation }))
    }

    fn describe(&self, name: &str) -> String {
        format!("memory:/{name}")
    }
}

struct Lock {
    memory: Memory,
    generation: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut inner = self.memory.inner();
        if inner.generation == self.generation {
            inner.is_locked = false;
        }
    }
}
