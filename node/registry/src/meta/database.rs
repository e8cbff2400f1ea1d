//! The database file: opened, opened again after the disk failed, set aside when it cannot be read.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::tables::ALL;
use crate::blobs::ignore_missing;
use crate::error::{RegistryError, Result};
use crate::files::{Files, RedbFile};
use crate::layout::{METADATA, METADATA_NEW, METADATA_OPENING};

/// After so many transactions that are not durable one is made so, since redb reuses no page before.
const MAX_UNFLUSHED: u32 = 256;

/// When a transaction is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// When the call returns.
    Now,
    /// With the next one that is durable. For what may be lost in a crash.
    Later,
}

/// The metadata's file.
pub(crate) struct Meta {
    files: Arc<dyn Files>,
    cache_bytes: usize,
    /// `None` after a failure that left it unusable, until it could be opened again.
    database: RwLock<Option<Database>>,
    failed: AtomicBool,
    /// How often it was opened again: leases that were not durable are lost each time.
    reopened: AtomicU32,
    unflushed: AtomicU32,
}

impl Meta {
    /// Opens the file and checks all of it; `None` if there is none.
    ///
    /// # Errors
    /// Such that [`is_damage`] says whether the file is to blame.
    pub(crate) fn open(files: &Arc<dyn Files>, cache_bytes: usize) -> Result<Option<Self>> {
        if !files.exists(METADATA).map_err(|e| failed(&**files, "find", e))? {
            return Ok(None);
        }
        if files.exists(METADATA_OPENING).map_err(|e| failed(&**files, "find", e))? {
            return Err(RegistryError::MetadataDamaged("the last start did not survive opening it"));
        }
        // redb asserts rather than refuses when some parts of a file are damaged. Where a panic ends the process, this
        // is how the next start knows. It serves nothing else, so it may fail, as on a full disk.
        let _ = files.create(METADATA_OPENING);
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut database = open(&**files, METADATA, cache_bytes)?;
            if !database.check_integrity()? {
                tracing::warn!("the metadata was repaired after a crash");
            }
            Ok(database)
        }));
        let _ = files.remove(METADATA_OPENING);
        let database = opened.unwrap_or(Err(RegistryError::MetadataDamaged("opening it panicked")))?;
        Ok(Some(Self::of(files, cache_bytes, database)))
    }

    /// Starts an empty one, which takes the place of the file when it is published.
    pub(crate) fn create(files: &Arc<dyn Files>, cache_bytes: usize) -> Result<Self> {
        files.remove(METADATA_NEW).or_else(ignore_missing).map_err(|e| failed(&**files, "remove", e))?;
        files.create(METADATA_NEW).map_err(|e| failed(&**files, "create", e))?;
        let database = open(&**files, METADATA_NEW, cache_bytes)?;
        Ok(Self::of(files, cache_bytes, database))
    }

    /// Makes one that was created, and is complete, the metadata.
    pub(crate) fn publish(&self) -> Result<()> {
        self.write(Durable::Now, |_| Ok(()))?;
        self.files.rename(METADATA_NEW, METADATA).map_err(|e| failed(&*self.files, "rename", e))?;
        let _ = self.files.remove(METADATA_OPENING);
        self.files.sync_dir("").map_err(|e| failed(&*self.files, "flush", e))
    }

    fn of(files: &Arc<dyn Files>, cache_bytes: usize, database: Database) -> Self {
        Self {
            files: Arc::clone(files),
            cache_bytes,
            database: RwLock::new(Some(database)),
            failed: AtomicBool::new(false),
            reopened: AtomicU32::new(0),
            unflushed: AtomicU32::new(0),
        }
    }

    /// Sets a file aside that cannot be read; gives its new name.
    pub(crate) fn set_aside(files: &dyn Files) -> Result<String> {
        let mut number = 1;
        loop {
            let name = format!("metadata.damaged-{number}.redb");
            if !files.exists(&name).map_err(|e| failed(files, "set aside", e))? {
                files.rename(METADATA, &name).map_err(|e| failed(files, "set aside", e))?;
                files.sync_dir("").map_err(|e| failed(files, "set aside", e))?;
                return Ok(name);
            }
            number += 1;
        }
    }

    /// Reads a state that no write changes meanwhile.
    pub(crate) fn read<T>(&self, act: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        self.with(|database| act(&database.begin_read()?))
    }

    /// Changes the state: all of it, or none of it if `act` or the commit fails. Writes happen one after the other.
    pub(crate) fn write<T>(
        &self,
        durable: Durable,
        act: impl FnOnce(&WriteTransaction) -> Result<T>,
    ) -> Result<T> {
        self.with(|database| {
            let mut txn = database.begin_write()?;
            let later = durable == Durable::Later && self.unflushed.load(Ordering::Relaxed) < MAX_UNFLUSHED;
            txn.set_durability(if later { Durability::None } else { Durability::Immediate })?;
            let result = act(&txn)?;
            txn.commit()?;
            if later {
                self.unflushed.fetch_add(1, Ordering::Relaxed);
            } else {
                self.unflushed.store(0, Ordering::Relaxed);
            }
            Ok(result)
        })
    }

    /// How often the file was opened again after a failure.
    pub(crate) fn reopened(&self) -> u32 {
        self.reopened.load(Ordering::SeqCst)
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        if self.failed.load(Ordering::SeqCst) {
            self.reopen()?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let result = act(database.as_ref().ok_or(RegistryError::MetadataDamaged("it is not open"))?);
        if let Err(RegistryError::Metadata(error)) = &result {
            // After such an error redb refuses everything until the file is opened again.
            if matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo) {
                self.failed.store(true, Ordering::SeqCst);
            }
        }
        result
    }

    /// Opens the file again: its last durable state.
    fn reopen(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.failed.load(Ordering::SeqCst) {
            *database = None;
            *database = Some(open(&*self.files, METADATA, self.cache_bytes)?);
            self.reopened.fetch_add(1, Ordering::SeqCst);
            self.unflushed.store(0, Ordering::Relaxed);
            self.failed.store(false, Ordering::SeqCst);
            tracing::warn!("the metadata was opened again after a failure of the disk");
        }
        Ok(())
    }
}

fn failed(files: &dyn Files, action: &'static str, error: io::Error) -> RegistryError {
    RegistryError::io(action, &files.describe(METADATA), error)
}

fn open(files: &dyn Files, name: &str, cache_bytes: usize) -> Result<Database> {
    let file = files.open(name, true).map_err(|e| failed(files, "open", e))?;
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    let database = builder.create_with_backend(RedbFile(file))?;
    let txn = database.begin_write()?;
    for table in ALL {
        txn.open_table(table)?;
    }
    txn.commit()?;
    Ok(database)
}

/// Whether an error says that the file is damaged, rather than that the disk failed at this moment.
pub(crate) fn is_damage(error: &RegistryError) -> bool {
    match error {
        RegistryError::MetadataDamaged(_) => true,
        RegistryError::Metadata(error) => match &**error {
            redb::Error::Io(error) => {
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
            }
            error => !matches!(error, redb::Error::PreviousIo),
        },
        _ => false,
    }
}
