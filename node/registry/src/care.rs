//! What the registry does by itself, on a thread of its own: collects, and scrubs at a pace that nobody notices.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::collect::{Collected, Policy};
use crate::scrub::Depth;
use crate::store::Store;

/// How the registry is cared for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Time between two collections.
    pub collect_every: Duration,
    /// What is collected.
    pub policy: Policy,
    /// How fast files are read by the scrub, in bytes a second; 0 for no scrub.
    pub scrub_bytes_per_second: u64,
    /// Time between the end of a round of the scrub and the start of the next, over all starts.
    pub scrub_rest: Duration,
    /// Every how many rounds the digests are looked at, too; `None`: never.
    pub deep_every: Option<NonZeroU64>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            collect_every: Duration::from_hours(1),
            policy: Policy::default(),
            scrub_bytes_per_second: 5 * 1024 * 1024,
            scrub_rest: Duration::from_hours(24 * 7),
            deep_every: NonZeroU64::new(4),
        }
    }
}

/// The thread that cares for a store; it ends when this is dropped.
pub struct Care {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Care {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: Arc<Store>, plan: Plan) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let run = move || Carer { store, plan, stopped }.run();
        let thread = Builder::new().name("registry-care".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Care {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that cares for the registry panicked");
        }
    }
}

struct Carer {
    store: Arc<Store>,
    plan: Plan,
    stopped: Receiver<()>,
}

impl Carer {
    /// Waits; says whether to go on after it.
    fn rest(&self, time: Duration) -> bool {
        self.stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
    }

    fn run(&self) {
        let mut next_collection = Instant::now() + self.plan.collect_every;
        loop {
            let now = Instant::now();
            if now >= next_collection {
                self.collect();
                next_collection = now + self.plan.collect_every;
                continue;
            }
            let to_collection = next_collection - now;
            let goes_on = match self.until_scrub() {
                Some((wait, depth)) if wait.is_zero() => self.scrub(depth),
                Some((wait, _)) => self.rest(wait.min(to_collection)),
                None => self.rest(to_collection),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// How long until the scrub has something to do, and how closely it has to look; `None` if it never has.
    fn until_scrub(&self) -> Option<(Duration, Depth)> {
        if self.plan.scrub_bytes_per_second == 0 {
            return None;
        }
        let rest_ms = u64::try_from(self.plan.scrub_rest.as_millis()).unwrap_or(u64::MAX);
        match self.store.scrub_due(rest_ms) {
            Ok((rounds, due_ms)) => {
                let is_deep = self.plan.deep_every.is_some_and(|every| rounds % every == every.get() - 1);
                let wait = Duration::from_millis(due_ms.saturating_sub(self.store.now_ms()));
                Some((wait, if is_deep { Depth::Digest } else { Depth::Pieces }))
            }
            Err(error) => {
                tracing::error!(%error, "the scrub cannot go on");
                Some((self.plan.collect_every, Depth::Pieces))
            }
        }
    }

    fn collect(&self) {
        match self.store.apply_retention() {
            Ok(gone) => {
                for removal in gone {
                    let (repository, tag, digest) = (removal.repository, removal.tag, removal.digest);
                    tracing::info!(%repository, %tag, %digest, "a tag went, as the settings say");
                }
            }
            Err(error) => tracing::error!(%error, "the tags that have to go could not be removed"),
        }
        match self.store.evict() {
            Ok(0) => {}
            Ok(manifests) => tracing::info!(manifests, "copies of upstreams made way, as the settings say"),
            Err(error) => tracing::error!(%error, "copies of upstreams could not be removed"),
        }
        match self.store.collect(&self.plan.policy) {
            Ok(done) if done == Collected::default() => {}
            Ok(done) => tracing::info!(?done, "collected"),
            Err(error) => tracing::error!(%error, "the collection failed"),
        }
    }

    /// Scrubs one file. Says whether to go on after it.
    fn scrub(&self, depth: Depth) -> bool {
        let mut goes_on = true;
        let result = self.store.scrub_next(depth, &mut |bytes| {
            let micros = bytes.saturating_mul(1_000_000) / self.plan.scrub_bytes_per_second.max(1);
            goes_on = goes_on && self.rest(Duration::from_micros(micros));
            goes_on
        });
        if let Err(error) = result {
            tracing::error!(%error, "the scrub failed");
            // What failed would fail again at once.
            goes_on = goes_on && self.rest(self.plan.collect_every);
        }
        goes_on
    }
}
