//! The database file: opened, opened again after the disk failed, set aside when it cannot be read.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::tables::ALL;
use crate::blobs::ignore_missing;
use crate::error::{RegistryError, Result};
use crate::files::{Files, RedbFile};
use crate::layout::METADATA;

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
    /// Opens the file, or starts an empty one. Says whether it is new.
    pub(crate) fn open(files: Arc<dyn Files>, cache_bytes: usize) -> Result<(Self, bool)> {
        let is_new =
            !files.exists(METADATA).map_err(|e| RegistryError::io("find", &files.describe(METADATA), e))?;
        let database = Some(open(&*files, cache_bytes)?);
        let meta = Self {
            files,
            cache_bytes,
            database: RwLock::new(database),
            failed: AtomicBool::new(false),
            reopened: AtomicU32::new(0),
            unflushed: AtomicU32::new(0),
        };
        Ok((meta, is_new))
    }

    /// Sets a file aside that cannot be opened; gives its new name.
    pub(crate) fn set_aside(files: &dyn Files) -> Result<String> {
        let failed = |error| RegistryError::io("set aside", &files.describe(METADATA), error);
        let mut number = 1;
        loop {
            let name = format!("metadata.damaged-{number}.redb");
            if !files.exists(&name).map_err(failed)? {
                files.rename(METADATA, &name).map_err(failed)?;
                files.sync_dir("").map_err(failed)?;
                return Ok(name);
            }
            number += 1;
        }
    }

    /// Removes the file, which is to be made again.
    pub(crate) fn discard(files: &dyn Files) -> Result<()> {
        files
            .remove(METADATA)
            .or_else(ignore_missing)
            .map_err(|e| RegistryError::io("remove", &files.describe(METADATA), e))
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
            *database = Some(open(&*self.files, self.cache_bytes)?);
            self.reopened.fetch_add(1, Ordering::SeqCst);
            self.unflushed.store(0, Ordering::Relaxed);
            self.failed.store(false, Ordering::SeqCst);
            tracing::warn!("the metadata was opened again after a failure of the disk");
        }
        Ok(())
    }
}

fn open(files: &dyn Files, cache_bytes: usize) -> Result<Database> {
    let failed = |action| move |error: io::Error| RegistryError::io(action, &files.describe(METADATA), error);
    let file = match files.open(METADATA, true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = files.create(METADATA).map_err(failed("create"))?;
            files.sync_dir("").map_err(failed("flush"))?;
            file
        }
        file => file.map_err(failed("open"))?,
    };
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
