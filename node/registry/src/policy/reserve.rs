//! Room that is taken before it is used: what an upstream announced counts against quotas and the disk until it is held.
//! Of several layers that arrive at once each might fit alone, but not all.
//!
//! What clients announce is not reserved: that would cost them nothing, and keep others from room that is there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::quota::Room;
use crate::access::RepoPattern;
use crate::error::Result;
use crate::name::RepoName;
use crate::store::Store;

/// Room for one thing on its way. It is given back when the last of this is dropped.
pub(crate) struct Reserved {
    repo: RepoName,
    /// How much is to come, in bytes; more may, if that was not known.
    announced: u64,
    written: AtomicU64,
}

impl Reserved {
    fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// Notes that so many bytes more are on the disk.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Bytes that were announced and are not on the disk.
    pub(crate) fn left(&self) -> u64 {
        self.announced.saturating_sub(self.written())
    }
}

/// All room that is reserved.
#[derive(Default)]
pub(crate) struct Reservations {
    /// Held while it is decided whether there is room for one more, and while what was reserved becomes what is held: who
    /// looked in between would count it twice.
    deciding: Mutex<()>,
    all: Mutex<Vec<Weak<Reserved>>>,
}

impl Reservations {
    /// Keeps others from deciding.
    pub(crate) fn deciding(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, reserved: &Arc<Reserved>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(reserved));
    }

    fn sum(&self, bytes: impl Fn(&Reserved) -> u64) -> u64 {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).fold(0, |sum, reserved| sum.saturating_add(bytes(&reserved)))
    }

    /// What is still to be written, in bytes.
    pub(crate) fn left(&self) -> u64 {
        self.sum(Reserved::left)
    }

    /// What is reserved in these repositories, written or not, in bytes. `own` is not counted.
    pub(crate) fn within(&self, repositories: &RepoPattern, own: Option<&Reserved>) -> u64 {
        self.sum(|reserved| {
            let is_own = own.is_some_and(|own| std::ptr::eq(own, reserved));
            if is_own || !repositories.matches(&reserved.repo) {
                return 0;
            }
            reserved.announced.max(reserved.written())
        })
    }
}

impl Store {
    /// Reserves `bytes` for a copy in `repo`; gives also how much it may take.
    pub(crate) fn reserve(&self, repo: &RepoName, bytes: u64) -> Result<(Arc<Reserved>, Room)> {
        let _deciding = self.reservations.deciding();
        let room = self.upload_room(repo, None)?;
        room.check(bytes)?;
        self.check_floor(bytes)?;
        let reserved = Reserved { repo: repo.clone(), announced: bytes, written: AtomicU64::new(0) };
        let reserved = Arc::new(reserved);
        self.reservations.add(&reserved);
        Ok((reserved, room))
    }
}
