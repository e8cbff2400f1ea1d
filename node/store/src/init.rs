//! Making a data directory, so that a crash in the middle is noticed and never taken for a lost signer record.
//!
//! While the file `initialising` is there, `open` refuses, so nothing can have been signed from the directory and
//! starting over is safe. It is the first thing made durable and the last thing removed.

use std::sync::Arc;

use crate::disk::{Dir, LockError};
use crate::error::{Result, StoreError};
use crate::keyfile::KeyFile;
use crate::log::{Placed, Pos};
use crate::meta::Meta;
use crate::options::Options;
use crate::record::Link;
use crate::segment::{self, LOG_FOLDER};
use crate::signer::{Mark, Slot, VOTE_LOCK, VoteLock};
use crate::state::{STATE_FILE, State};
use crate::sums::SUMS_FILE;

/// Marks a directory that is not finished.
pub(crate) const INITIALISING: &str = "initialising";
/// Marks a directory whose repair was begun; it holds the name of the folder for what is set aside.
pub(crate) const REPAIRING: &str = "repairing";
/// Holds the process lock.
const LOCK: &str = "LOCK";
/// Seq of the slots of a new directory.
const FIRST_SEQ: u64 = 1;

/// Makes a new data directory for a key that has never signed anything: `open` will say `Signer::Fresh`. Call it for
/// a key that was made together with the directory, and for no other. Durable when it returns; if it was cut short,
/// call it again ([`StoreError::AlreadyInitialised`] then says that only its last flush had failed: `open` does it).
///
/// # Errors
/// [`StoreError::AlreadyInitialised`] if there is a store, [`StoreError::InUse`], [`StoreError::BadOption`], and the
/// operating system's.
pub fn initialise(dir: &(impl Dir + Clone), opts: Options, chain: [u8; 32]) -> Result<()> {
    make(dir, opts, chain, Mark::Fresh)
}

/// Makes a new data directory for a key that may have signed before (a home with a validator key and no data
/// directory): `open` will say `Signer::Lost(NewDirectory)` until something is persisted.
///
/// # Errors
/// As [`initialise`].
pub fn initialise_lost(dir: &(impl Dir + Clone), opts: Options, chain: [u8; 32]) -> Result<()> {
    make(dir, opts, chain, Mark::Lost)
}

fn make<D: Dir + Clone>(dir: &D, opts: Options, chain: [u8; 32], mark: Mark) -> Result<()> {
    opts.check()?;
    dir.make_dir("").map_err(|e| StoreError::io("create", dir.describe(""), e))?;
    let _lock = lock(dir)?;
    make_locked(dir, opts, chain, mark)
}

/// As `make`, of a directory that this process holds.
pub(crate) fn make_locked<D: Dir + Clone>(dir: &D, opts: Options, chain: [u8; 32], mark: Mark) -> Result<()> {
    let failed = |e| StoreError::io("create", dir.describe(""), e);
    if dir.exists(INITIALISING).map_err(failed)? {
        start_over(dir)?;
    } else if holds_anything(dir)? {
        return Err(StoreError::AlreadyInitialised { path: dir.describe("") });
    }
    dir.open(INITIALISING, true).map_err(failed)?;
    dir.make_dir(LOG_FOLDER).map_err(failed)?;
    dir.sync_dir("").map_err(failed)?;
    segment::create(dir, 0, opts.segment_bytes)?;
    let key = draw_key(dir, opts)?;
    KeyFile { chain, key }.write(dir)?;
    let meta = Meta {
        chain,
        key,
        height: 0,
        floor: Placed { pos: Pos::default(), before: Link::default() },
        floor_bytes: opts.segment_bytes,
        floor_height: 0,
        durable: 0,
        signer: FIRST_SEQ,
        first_segment: 0,
    };
    State::create(&Arc::new(dir.clone()), opts.redb_cache_bytes, &meta)?;
    VoteLock::create(dir, &Slot { mark, seq: FIRST_SEQ, log_durable: 0, chain, sign: Vec::new() })?;
    dir.remove(INITIALISING).map_err(failed)?;
    dir.sync_dir("").map_err(failed)
}

fn draw_key<D: Dir>(dir: &D, opts: Options) -> Result<[u8; 32]> {
    if let Some(key) = opts.log_key {
        return Ok(key);
    }
    let mut key = [0; 32];
    let drawn = getrandom::fill(&mut key).map_err(std::io::Error::other);
    drawn.map_err(|e| StoreError::io("draw random bytes for", dir.describe(STATE_FILE), e))?;
    Ok(key)
}

/// Whether there is any file of a store.
pub(crate) fn holds_anything<D: Dir>(dir: &D) -> Result<bool> {
    let failed = |e| StoreError::io("look into", dir.describe(""), e);
    let state = dir.exists(STATE_FILE).map_err(failed)?;
    let signer = dir.exists(VOTE_LOCK).map_err(failed)?;
    let log = dir.exists(LOG_FOLDER).map_err(failed)? && !dir.list(LOG_FOLDER).map_err(failed)?.is_empty();
    Ok(state || signer || log)
}

/// Removes what an interrupted `initialise` left. Nothing was ever signed from it: see the module's description.
fn start_over<D: Dir>(dir: &D) -> Result<()> {
    let failed = |e| StoreError::io("clear", dir.describe(""), e);
    for name in [STATE_FILE, SUMS_FILE, VOTE_LOCK] {
        if dir.exists(name).map_err(failed)? {
            dir.remove(name).map_err(failed)?;
        }
    }
    if dir.exists(LOG_FOLDER).map_err(failed)? {
        for file in dir.list(LOG_FOLDER).map_err(failed)? {
            dir.remove(&format!("{LOG_FOLDER}/{file}")).map_err(failed)?;
        }
        dir.sync_dir(LOG_FOLDER).map_err(failed)?;
    }
    Ok(())
}

/// Takes the directory for this process.
pub(crate) fn lock<D: Dir>(dir: &D) -> Result<D::Lock> {
    dir.try_lock(LOCK).map_err(|error| match error {
        LockError::Held(pid) => StoreError::InUse { path: dir.describe(""), pid },
        LockError::Io(error) => StoreError::io("lock", dir.describe(LOCK), error),
    })
}

/// Makes the names of all files durable: the process before this one may have ended after it made or renamed a file and
/// before it flushed that, and what is written to such a file is lost with its name when the power goes.
pub(crate) fn settle_names<D: Dir>(dir: &D) -> Result<()> {
    for folder in ["", LOG_FOLDER] {
        match dir.sync_dir(folder) {
            // A log that is missing altogether is noticed by its segments.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            flushed => flushed.map_err(|e| StoreError::io("flush", dir.describe(folder), e))?,
        }
    }
    Ok(())
}

/// Refuses a directory that holds no finished store.
pub(crate) fn check_finished<D: Dir>(dir: &D) -> Result<()> {
    let failed = |e| StoreError::io("look into", dir.describe(""), e);
    if dir.exists(INITIALISING).map_err(failed)? && !dir.exists(REPAIRING).map_err(failed)? {
        return Err(StoreError::HalfInitialised { path: dir.describe("") });
    }
    if dir.exists(REPAIRING).map_err(failed)? {
        return Err(StoreError::HalfRepaired { path: dir.describe("") });
    }
    if !holds_anything(dir)? {
        return Err(StoreError::NotInitialised { path: dir.describe("") });
    }
    if !dir.exists(STATE_FILE).map_err(failed)? {
        return Err(StoreError::StateDamaged { path: dir.describe(STATE_FILE), what: "the file is missing" });
    }
    Ok(())
}
