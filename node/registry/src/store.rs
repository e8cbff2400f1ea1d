//! The registry's content and what is known of it, under one roof: opened, and changed so that files, journals and
//! metadata agree after a crash at any step.
//!
//! The order of every change: files first (durable, under their digest), then the journal's lines, then the metadata's
//! transaction, then the answer. A crash in between leaves a file that nobody holds, which is collected later, or a line
//! of something that was never acknowledged; never a link without its content.
//!
//! All calls block on the disk.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use redb::WriteTransaction;
use tokio::sync::watch;

use crate::blobs::Blobs;
use crate::error::{RegistryError, Result};
use crate::evict::Eviction;
use crate::files::Files;
use crate::ingest::Complete;
use crate::journal::{Change, Journals};
use crate::layout;
use crate::meta::database::{Durable, Meta, is_damage};
use crate::meta::{leases, pulled, usage};
use crate::metrics::Metrics;
use crate::name::RepoName;
use crate::policy::StorageRules;
use crate::policy::reserve::Reservations;
use crate::rebuild::{Rebuilt, find_copies, rebuild};
use crate::settings::LiveSettings;
use crate::uploads::Uploads;
use crate::uptime::{Clock, SystemClock, Uptime};

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// How long content is kept from collection after a client was told of it. A push has to get from there to its
    /// manifest within this time.
    pub lease: Duration,
    /// Memory for the metadata's pages, in bytes.
    pub cache_bytes: usize,
    /// Uploads open at once.
    pub max_sessions: usize,
    /// How long an upload may rest.
    pub upload_rest: Duration,
    /// Tells how long this start has lasted.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_hours(1),
            cache_bytes: 2 * 1024 * 1024,
            max_sessions: crate::Limits::default().max_sessions,
            upload_rest: Duration::from_hours(24),
            clock: Arc::new(SystemClock::start()),
        }
    }
}

/// The registry's content.
pub struct Store {
    pub(crate) blobs: Blobs,
    pub(crate) journals: Journals,
    pub(crate) meta: Meta,
    pub(crate) uploads: Uploads,
    pub(crate) uptime: Uptime,
    pub(crate) lease_ms: u64,
    pub(crate) metrics: Metrics,
    /// Held for reading from a file's arrival under its digest to the commit that says who holds it, for writing while
    /// files that nobody holds are taken out of service.
    pub(crate) gate: RwLock<()>,
    /// How many files were put under their digest since the start.
    pub(crate) placed: AtomicU64,
    /// Where it is read how much space is left.
    pub(crate) files: Arc<dyn Files>,
    /// What may be stored; nothing is forbidden before somebody says so.
    settings: RwLock<Option<Arc<LiveSettings>>>,
    /// Where there are copies of upstreams, and by what they make way.
    pub(crate) eviction: Eviction,
    pub(crate) reservations: Reservations,
    /// Until when nothing is collected, in milliseconds: leases from before a crash may be lost.
    grace: Mutex<Grace>,
    suspects: Mutex<BTreeSet<RepoName>>,
    rebuilt: Option<Rebuilt>,
    _lock: Box<dyn Any + Send + Sync>,
    /// The last to go: tells that all else is.
    open: watch::Sender<()>,
}

struct Grace {
    reopened: u32,
    until_ms: u64,
}

/// What a transaction adds to the journals.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<RepoName, Vec<Change>>);

impl Changes {
    pub(crate) fn push(&mut self, repo: &RepoName, change: Change) {
        self.0.entry(repo.clone()).or_default().push(change);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Store {
    /// Opens the registry's directory, creating what is missing. Metadata that cannot be read is set aside and made
    /// again.
    ///
    /// # Errors
    /// [`RegistryError::InUse`] if another process has it open; else those of the operating system.
    pub fn open(files: impl Files, options: &Options) -> Result<Self> {
        Self::open_with(&(Arc::new(files) as Arc<dyn Files>), options, false)
    }

    /// As [`Store::open`], but makes the metadata again in any case.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_rebuilding(files: impl Files, options: &Options) -> Result<Self> {
        Self::open_with(&(Arc::new(files) as Arc<dyn Files>), options, true)
    }

    fn open_with(files: &Arc<dyn Files>, options: &Options, is_unwanted: bool) -> Result<Self> {
        let failed = |action, name: &str| {
            let path = files.describe(name);
            move |error| RegistryError::io(action, &path, error)
        };
        for folder in ["", layout::BLOBS, layout::UPLOADS, layout::QUARANTINE, layout::REPOSITORIES] {
            files.make_dir(folder).map_err(failed("create", folder))?;
        }
        let lock = files.lock(layout::LOCK).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => RegistryError::InUse(files.describe("")),
            _ => failed("lock", layout::LOCK)(error),
        })?;
        let (blobs, journals) = (Blobs::new(Arc::clone(files)), Journals::new(Arc::clone(files)));
        let (meta, rebuilt) = open_metadata(files, &blobs, &journals, options.cache_bytes, is_unwanted)?;
        if !meta.read(usage::is_counted)? {
            meta.write(Durable::Now, usage::count)?;
        }
        let base_ms = meta.read(leases::noted_time_ms)?;
        if !meta.read(pulled::is_known)? {
            find_copies(&meta, &journals, base_ms)?;
        }
        let uptime = Uptime::new(base_ms, Arc::clone(&options.clock));
        let lease_ms = millis(options.lease);
        let uploads = Uploads::open(
            Arc::clone(files),
            options.max_sessions,
            millis(options.upload_rest),
            uptime.now_ms(),
        )?;
        let grace = Mutex::new(Grace { reopened: 0, until_ms: uptime.now_ms().saturating_add(lease_ms) });
        let gate = RwLock::new(());
        let placed = AtomicU64::new(0);
        Ok(Self {
            blobs,
            journals,
            meta,
            uploads,
            uptime,
            lease_ms,
            metrics: Metrics::default(),
            gate,
            placed,
            files: Arc::clone(files),
            settings: RwLock::default(),
            eviction: Eviction::default(),
            reservations: Reservations::default(),
            grace,
            suspects: Mutex::default(),
            rebuilt,
            _lock: lock,
            open: watch::Sender::new(()),
        })
    }

    /// What was found when the metadata had to be made again at this start; `None` if it was sound.
    pub fn rebuilt(&self) -> Option<&Rebuilt> {
        self.rebuilt.as_ref()
    }

    /// Lets what is stored be governed by settings.
    pub fn govern(&self, settings: Arc<LiveSettings>) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Some(settings);
    }

    /// What may be stored, as the settings say now.
    pub(crate) fn rules(&self) -> Arc<StorageRules> {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        settings.as_ref().map(|settings| Arc::clone(&settings.now().storage)).unwrap_or_default()
    }

    /// Registry time, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.uptime.now_ms()
    }

    /// Until when something leased now is leased.
    pub(crate) fn lease_until_ms(&self) -> u64 {
        self.now_ms().saturating_add(self.lease_ms)
    }

    /// Until when nothing is collected, in milliseconds.
    pub(crate) fn grace_until_ms(&self) -> u64 {
        let mut grace = self.grace.lock().unwrap_or_else(PoisonError::into_inner);
        let reopened = self.meta.reopened();
        if grace.reopened != reopened {
            *grace = Grace { reopened, until_ms: self.lease_until_ms() };
        }
        grace.until_ms
    }

    /// Puts complete content under its digest, and lets `commit` say who holds it before the collector looks.
    pub(crate) fn place<T>(&self, complete: &Complete, commit: impl FnOnce() -> Result<T>) -> Result<T> {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.placed.fetch_add(1, Ordering::SeqCst);
        self.blobs.place(complete)?;
        commit()
    }

    /// Changes journals and metadata together: durable when it returns.
    pub(crate) fn change<T>(
        &self,
        act: impl FnOnce(&WriteTransaction, &mut Changes) -> Result<T>,
    ) -> Result<T> {
        let mut written = Vec::new();
        let result = self.meta.write(Durable::Now, |txn| {
            let mut changes = Changes::default();
            let result = act(txn, &mut changes)?;
            // Write transactions come one after the other, so the lines of a journal do, too.
            for (repo, changes) in &changes.0 {
                written.push(repo.clone());
                self.journals.append(repo, changes)?;
            }
            Ok(result)
        });
        if result.is_err() {
            self.suspects().extend(written);
        }
        result
    }

    /// Repositories whose journal has lines of a transaction that did not commit.
    pub(crate) fn suspects(&self) -> MutexGuard<'_, BTreeSet<RepoName>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Done once this is closed, by whoever has it last.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut open = self.open.subscribe();
        async move { drop(open.wait_for(|()| false).await) }
    }

    /// Whether the registry can do its work: the metadata answers.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_health(&self) -> Result<()> {
        self.meta.read(leases::noted_time_ms).map(drop)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // So that registry time also goes on where a start never lasts until the next collection.
        let now_ms = self.now_ms();
        if let Err(error) = self.meta.write(Durable::Now, |txn| leases::note_time(txn, now_ms)) {
            tracing::warn!(%error, "cannot note how long the registry has been running");
        }
    }
}

fn open_metadata(
    files: &Arc<dyn Files>,
    blobs: &Blobs,
    journals: &Journals,
    cache_bytes: usize,
    is_unwanted: bool,
) -> Result<(Meta, Option<Rebuilt>)> {
    let is_new = if is_unwanted {
        false
    } else {
        match Meta::open(files, cache_bytes) {
            Ok(Some(meta)) => return Ok((meta, None)),
            Ok(None) => true,
            Err(error) if is_damage(&error) => {
                let aside = Meta::set_aside(&**files)?;
                tracing::error!(%error, kept_as = aside, "the metadata cannot be read and is made again");
                false
            }
            Err(error) => return Err(error),
        }
    };
    let meta = Meta::create(files, cache_bytes)?;
    let rebuilt = rebuild(&meta, blobs, journals)?;
    meta.publish()?;
    if is_new && rebuilt == Rebuilt::default() {
        return Ok((meta, None));
    }
    tracing::warn!(
        repositories = rebuilt.repositories,
        manifests = rebuilt.manifests,
        tags = rebuilt.tags,
        bad_lines = rebuilt.bad_lines,
        lost = rebuilt.lost.len(),
        "the metadata was made again from the journals and the blobs"
    );
    rebuilt.lost.iter().for_each(|lost| tracing::error!(lost, "a journal names what is not there"));
    Ok((meta, Some(rebuilt)))
}
