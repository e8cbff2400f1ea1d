//! What the registry does by itself, on a thread of its own: collects, and scrubs at a pace that nobody notices.

use std::io;
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
    /// Time between the ends of a round of the scrub and the start of the next.
    pub scrub_rest: Duration,
    /// Every how many rounds the digests are looked at, too.
    pub deep_every: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            collect_every: Duration::from_hours(1),
            policy: Policy::default(),
            scrub_bytes_per_second: 5 * 1024 * 1024,
            scrub_rest: Duration::from_hours(24 * 7),
            deep_every: 4,
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
        let mut next_round = Instant::now() + self.plan.scrub_rest;
        let mut rounds = 0_u32;
        loop {
            let now = Instant::now();
            let scrubs = self.plan.scrub_bytes_per_second > 0;
            if now >= next_collection {
                self.collect();
                next_collection = now + self.plan.collect_every;
            } else if scrubs && now >= next_round {
                let is_deep =
                    self.plan.deep_every > 0 && rounds % self.plan.deep_every == self.plan.deep_every - 1;
                match self.scrub(if is_deep { Depth::Digest } else { Depth::Pieces }) {
                    // The round goes on, after a look at what else is due.
                    Some(true) => {}
                    Some(false) => {
                        rounds = rounds.wrapping_add(1);
                        next_round = Instant::now() + self.plan.scrub_rest;
                    }
                    None => return,
                }
            } else {
                let until = if scrubs { next_collection.min(next_round) } else { next_collection };
                if !self.rest(until.saturating_duration_since(now)) {
                    return;
                }
            }
        }
    }

    fn collect(&self) {
        match self.store.collect(&self.plan.policy) {
            Ok(done) if done == Collected::default() => {}
            Ok(done) => tracing::info!(?done, "collected"),
            Err(error) => tracing::error!(%error, "the collection failed"),
        }
    }

    /// Scrubs one file. Says whether the round goes on; `None` when it is time to stop.
    fn scrub(&self, depth: Depth) -> Option<bool> {
        let mut goes_on = true;
        let result = self.store.scrub_next(depth, &mut |bytes| {
            let micros = bytes.saturating_mul(1_000_000) / self.plan.scrub_bytes_per_second;
            // Once stopped, the rest of the file is read without a pause.
            goes_on = goes_on && self.rest(Duration::from_micros(micros));
        });
        let more = match result {
            Ok(scrubbed) => scrubbed.is_some(),
            Err(error) => {
                tracing::error!(%error, "the scrub failed");
                false
            }
        };
        goes_on.then_some(more)
    }
}
