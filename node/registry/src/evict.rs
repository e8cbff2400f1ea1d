//! Copies of upstreams make way: those that nobody pulled for long, those above what is kept of their upstream, and, when
//! there is no room for another one, those that nobody pulled for longest.
//!
//! Only copies go, in repositories below an upstream's prefix. What was pushed or imported there stays; so does what it
//! needs, what an immutable tag needs, and what a client was told of a moment ago, with what that needs: a client that was
//! given an index asks for an image of it next. What leads to a copy makes it as young as itself: an image is in use whose
//! index is. The blobs go as all others do that nobody needs any more: with the collection, its leases and its quarantine.
//! So eviction makes room under quotas at once, and on the disk a day later.
//!
//! After a start nothing is evicted for the time of a lease, as nothing is collected.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::access::RepoPattern;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::journal::Change;
use crate::meta::tables::{PULLED, View, split_digest, split_repo};
use crate::meta::{blobs, manifests, pulled};
use crate::name::RepoName;
use crate::policy::eviction::{Copied, Stock, Terms};
use crate::policy::quota::Counted;
use crate::policy::{StorageRules, immutable};
use crate::store::Store;

/// Copies removed by one transaction.
const BATCH: usize = 64;
/// How long nobody has to make way for want of room after that was of no use, in milliseconds of registry time: it takes a
/// look at every copy.
const ROOM_PAUSE_MS: u64 = 60 * 1_000;
/// Which share of the copies makes way at least when there is no room: the next copy wants some, too.
const ROOM_SHARE: u64 = 20;

/// What is kept of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keeping {
    pub(crate) repositories: RepoPattern,
    pub(crate) terms: Terms,
}

/// What is kept of all upstreams.
#[derive(Default)]
pub(crate) struct Eviction {
    /// The longest prefix first.
    keeping: RwLock<Arc<[Keeping]>>,
    /// For each upstream, until when nobody has to make way for its copies, in milliseconds of registry time: what does not
    /// fit for one must not keep the others from making room.
    paused_ms: Mutex<BTreeMap<usize, u64>>,
}

impl Eviction {
    fn keeping(&self) -> Arc<[Keeping]> {
        Arc::clone(&self.keeping.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which upstream a repository is kept of.
fn upstream_of(keeping: &[Keeping], repo: &RepoName) -> Option<usize> {
    keeping.iter().position(|of| of.repositories.matches(repo))
}

/// Whether a tag needs a manifest that never changes.
fn is_immutable(view: &impl View, rules: &StorageRules, repo: &RepoName, digest: &Digest) -> Result<bool> {
    match immutable::check_removal(view, rules, repo, digest) {
        Ok(()) => Ok(false),
        Err(RegistryError::TagImmutable(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether others hold a file than copies of upstreams.
fn is_held_elsewhere(view: &impl View, keeping: &[Keeping], digest: &Digest) -> Result<bool> {
    Ok(blobs::holders(view, digest)?.iter().any(|holder| upstream_of(keeping, holder).is_none()))
}

/// A copy, by its name.
struct Named {
    repo: RepoName,
    digest: Digest,
    pulled_ms: u64,
}

/// Copies, by their names and as the decision sees them, in the same order.
#[derive(Default)]
struct Gathered {
    names: Vec<Named>,
    stock: Stock,
    files: HashMap<Digest, usize>,
}

impl Gathered {
    /// Terms by which `less` bytes of them go.
    fn without(&self, less: u64) -> Terms {
        Terms { keep_ms: None, max_bytes: Some(self.stock.bytes().saturating_sub(less)) }
    }

    /// Whether so many bytes of them can go.
    fn can_give(&self, bytes: u64, now_ms: u64) -> bool {
        let left = self.stock.outworn(self.without(bytes), now_ms).left;
        self.stock.bytes().saturating_sub(left) >= bytes
    }

    /// Adds a copy. Of its files those take no room that `is_free` says so of.
    fn add(
        &mut self,
        view: &impl View,
        (named, stays): (Named, bool),
        is_free: impl Fn(&Digest) -> Result<bool>,
    ) -> Result<()> {
        let mut files = Vec::new();
        let own = blobs::size(view, &named.digest)?.map(|len| (named.digest, len));
        let mut all: Vec<(Digest, u64)> = own.into_iter().collect();
        for needed in manifests::needs(view, &named.repo, &named.digest)? {
            // Manifests that it needs are copies of their own.
            all.extend(blobs::size_in(view, &named.repo, &needed)?.map(|len| (needed, len)));
        }
        for (digest, len) in all {
            let number = match self.files.get(&digest) {
                Some(number) => *number,
                None => self.stock.add_file(if is_free(&digest)? { 0 } else { len }),
            };
            self.files.insert(digest, number);
            files.push(number);
        }
        self.stock.add(Copied { pulled_ms: named.pulled_ms, stays, files });
        self.names.push(named);
        Ok(())
    }
}

impl Store {
    /// Keeps what matches these patterns for copies of upstreams, which make way by these terms; those of the longest prefix
    /// come first.
    pub(crate) fn keep_copies(&self, keeping: Vec<Keeping>) {
        *self.eviction.keeping.write().unwrap_or_else(PoisonError::into_inner) = keeping.into();
    }

    /// Refuses to put something of our own among the copies of an upstream.
    pub(crate) fn check_own(&self, repo: &RepoName) -> Result<()> {
        match upstream_of(&self.eviction.keeping(), repo) {
            Some(_) => Err(RegistryError::ReadOnly(repo.clone())),
            None => Ok(()),
        }
    }

    /// Removes the copies that have to go by the terms of their upstreams; gives how many.
    ///
    /// # Errors
    /// When the metadata or the disk fails. What was removed until then is consistent.
    pub fn evict(&self) -> Result<u64> {
        if self.now_ms() < self.grace_until_ms() {
            return Ok(0);
        }
        let (keeping, mut gone) = (self.eviction.keeping(), 0);
        for (place, of) in keeping.iter().enumerate().filter(|(_, of)| of.terms != Terms::default()) {
            let gathered = self.gather(&|repo| upstream_of(&keeping, repo) == Some(place), None)?;
            gone += self.evict_outworn(&gathered, of.terms)?;
        }
        Ok(gone)
    }

    /// When a copy, or something that leads to it, was last pulled; `None` if one of them is leased or no copy.
    fn last_pulled_ms(&self, view: &impl View, repo: &RepoName, digest: &Digest) -> Result<Option<u64>> {
        let (mut seen, mut to_visit, mut last_ms) = (BTreeSet::from([*digest]), vec![*digest], 0);
        while let Some(digest) = to_visit.pop() {
            if self.is_leased(view, &digest)? {
                return Ok(None);
            }
            let Some(pulled_ms) = pulled::last_ms(view, repo, &digest)? else { return Ok(None) };
            last_ms = last_ms.max(pulled_ms);
            to_visit.extend(
                manifests::needed_by(view, repo, &digest)?.into_iter().filter(|above| seen.insert(*above)),
            );
        }
        Ok(Some(last_ms))
    }

    /// All copies in repositories that are meant. With `keeping`, files take no room that others hold than copies of those
    /// upstreams: they stay when the copies go.
    fn gather(&self, is_meant: &dyn Fn(&RepoName) -> bool, keeping: Option<&[Keeping]>) -> Result<Gathered> {
        let (rules, mut gathered) = (self.rules(), Gathered::default());
        self.for_each_batch(PULLED, |keys| {
            self.meta.read(|view| {
                for key in keys {
                    let (repo, rest) = split_repo(key)?;
                    let (digest, _) = split_digest(rest)?;
                    if is_meant(&repo) {
                        let pulled_ms = self.last_pulled_ms(view, &repo, &digest)?;
                        let stays = pulled_ms.is_none() || is_immutable(view, &rules, &repo, &digest)?;
                        let named = Named { repo, digest, pulled_ms: pulled_ms.unwrap_or(0) };
                        gathered.add(view, (named, stays), |digest| match keeping {
                            Some(keeping) => is_held_elsewhere(view, keeping, digest),
                            None => Ok(false),
                        })?;
                    }
                }
                Ok(())
            })
        })?;
        Ok(gathered)
    }

    /// Removes those of the copies that have to go by `terms`; gives how many went.
    fn evict_outworn(&self, gathered: &Gathered, terms: Terms) -> Result<u64> {
        let (rules, mut evicted) = (self.rules(), 0);
        for batch in gathered.stock.outworn(terms, self.now_ms()).copies.chunks(BATCH) {
            let gone = self.change(|txn, changes| {
                let mut gone = Vec::new();
                for named in batch.iter().filter_map(|number| gathered.names.get(*number)) {
                    let Named { repo, digest, pulled_ms } = named;
                    // Pulled since, or somebody came to need it. What led to it may have gone a moment ago.
                    let is_outworn =
                        self.last_pulled_ms(txn, repo, digest)?.is_some_and(|ms| ms <= *pulled_ms)
                            && !is_immutable(txn, &rules, repo, digest)?;
                    if is_outworn && manifests::delete(txn, repo, digest)? {
                        changes.push(repo, Change::Delete(*digest));
                        gone.push(named);
                    }
                }
                Ok(gone)
            })?;
            for Named { repo, digest, .. } in &gone {
                tracing::info!(repository = %repo, %digest, "a copy of an upstream's went");
            }
            evicted += gone.len() as u64;
        }
        self.metrics.evicted.add(evicted);
        Ok(evicted)
    }

    /// Carries out what takes `bytes` more for a copy in `repo`. If there is no room for them, other copies make way, and
    /// it is tried once more.
    pub(crate) fn with_room<T>(&self, repo: &RepoName, bytes: u64, act: impl Fn() -> Result<T>) -> Result<T> {
        let refused = match act() {
            Err(error) if error.is_no_room() => error,
            result => return result,
        };
        let now_ms = self.now_ms();
        let Some(upstream) = upstream_of(&self.eviction.keeping(), repo) else { return Err(refused) };
        let paused = || self.eviction.paused_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if paused().get(&upstream).is_some_and(|until_ms| now_ms < *until_ms) {
            return Err(refused);
        }
        let result = match self.make_room(repo, bytes) {
            Ok(true) => act(),
            Ok(false) => Err(refused),
            Err(error) => {
                tracing::warn!(%error, "copies of upstreams cannot make way");
                Err(refused)
            }
        };
        if result.is_err() {
            paused().insert(upstream, now_ms.saturating_add(ROOM_PAUSE_MS));
        }
        result
    }

    /// Lets copies make way for `bytes` more in `repo`, those first that nobody pulled for longest; says whether any did.
    /// None does if that would not be enough.
    fn make_room(&self, repo: &RepoName, bytes: u64) -> Result<bool> {
        let keeping = self.eviction.keeping();
        if self.now_ms() < self.grace_until_ms() {
            return Ok(false);
        }
        // All limits before anything goes: what went for one would be lost for nothing if another one cannot be kept.
        for (counted, excess) in self.excesses(repo, bytes)? {
            if !self.gather_of(&counted, &keeping)?.can_give(excess, self.now_ms()) {
                return Ok(false);
            }
        }
        let (mut gone, mut seen) = (0, Vec::new());
        // Looked at anew each time: what went for one limit counts for the others, too.
        while let Some((counted, excess)) =
            self.excesses(repo, bytes)?.into_iter().find(|(counted, _)| !seen.contains(counted))
        {
            let gathered = self.gather_of(&counted, &keeping)?;
            let terms = gathered.without(excess.max(gathered.stock.bytes() / ROOM_SHARE));
            gone += self.evict_outworn(&gathered, terms)?;
            self.collect_unneeded()?;
            seen.push(counted);
        }
        Ok(gone > 0)
    }

    /// The copies that count against a limit.
    fn gather_of(&self, counted: &Counted, keeping: &[Keeping]) -> Result<Gathered> {
        let is_meant =
            |repo: &RepoName| counted.repositories.matches(repo) && upstream_of(keeping, repo).is_some();
        self.gather(&is_meant, counted.is_of_files.then_some(keeping))
    }

    /// What `bytes` more in `repo` would go beyond, the worst first, and by how much.
    fn excesses(&self, repo: &RepoName, bytes: u64) -> Result<Vec<(Counted, u64)>> {
        let mut excesses = self.quota_excesses(repo, bytes)?;
        excesses.push((Counted::files(), self.space_excess(bytes)?));
        excesses.retain(|(_, excess)| *excess > 0);
        excesses.sort_by_key(|(_, excess)| std::cmp::Reverse(*excess));
        Ok(excesses)
    }
}
