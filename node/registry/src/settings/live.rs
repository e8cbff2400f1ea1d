//! Settings that follow their file: whoever changes it need not restart the registry.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use super::{Compiled, SettingsError, read};
use crate::access::Access;

/// Shortest time between two looks at the file, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;

/// By what a changed file is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    changed: Option<SystemTime>,
    len: u64,
    /// Editors write a new file and rename it.
    inode: u64,
}

impl Stamp {
    /// `None` if there is no such file, or it cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { changed: metadata.modified().ok(), len: metadata.len(), inode: metadata.ino() })
    }
}

struct Source {
    path: PathBuf,
    seen: Mutex<Option<Stamp>>,
}

/// Settings as they are now.
pub struct LiveSettings {
    current: RwLock<Arc<Compiled>>,
    source: Option<Source>,
    started: Instant,
    /// When the file is looked at next, in milliseconds since the start.
    next_ms: AtomicU64,
}

impl LiveSettings {
    /// Settings that stay as they are.
    pub fn fixed(settings: Compiled) -> Arc<Self> {
        Arc::new(Self::new(settings, None))
    }

    /// Everything is allowed to everybody, without limits and quotas; see [`Access::open`].
    pub fn open() -> Arc<Self> {
        Self::fixed(Compiled::only(Access::open()))
    }

    /// Settings that follow the file at `path`, which must be there and right now.
    ///
    /// # Errors
    /// When it is not.
    pub fn follow(path: impl Into<PathBuf>) -> Result<Arc<Self>, SettingsError> {
        let path = path.into();
        // Before it is read: what is written meanwhile is seen as a change.
        let seen = Mutex::new(Stamp::of(&path));
        let settings = read(&path)?.compile(&path)?;
        Ok(Arc::new(Self::new(settings, Some(Source { path, seen }))))
    }

    fn new(settings: Compiled, source: Option<Source>) -> Self {
        let (started, next_ms) = (Instant::now(), AtomicU64::new(LOOK_EVERY_MS));
        Self { current: RwLock::new(Arc::new(settings)), source, started, next_ms }
    }

    /// The settings as they are now. Looks at the file if that was not done for a second.
    ///
    /// It does so wherever it is called, also where nothing should block: it is a question to the system a second, and a
    /// small file only after somebody changed it.
    pub fn now(&self) -> Arc<Compiled> {
        if let Some(source) = &self.source {
            let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let next_ms = self.next_ms.load(Ordering::Relaxed);
            let after_ms = now_ms.saturating_add(LOOK_EVERY_MS);
            let is_due = now_ms >= next_ms;
            // One of those who find it due looks.
            let swap =
                || self.next_ms.compare_exchange(next_ms, after_ms, Ordering::Relaxed, Ordering::Relaxed);
            if is_due && swap().is_ok() {
                self.look(source);
            }
        }
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the file now.
    pub fn refresh(&self) {
        if let Some(source) = &self.source {
            self.look(source);
        }
    }

    fn look(&self, source: &Source) {
        let mut seen = source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&source.path);
        if *seen == stamp {
            return;
        }
        *seen = stamp;
        // Left behind by somebody who wrote a new one onto a full disk; nobody means it.
        if std::fs::metadata(&source.path).is_ok_and(|facts| facts.len() == 0) {
            tracing::error!(path = %source.path.display(), "the registry's settings are an empty file; those from before stay in force");
            return;
        }
        match read(&source.path).and_then(|settings| settings.compile(&source.path)) {
            Ok(settings) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
                tracing::info!(path = %source.path.display(), "the registry's settings were read again");
            }
            Err(error) => {
                tracing::error!(%error, "the registry's settings are wrong; those from before stay in force");
            }
        }
    }
}

impl fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.source.as_ref().map(|source| &source.path);
        f.debug_struct("LiveSettings").field("path", &path).finish_non_exhaustive()
    }
}
