//! Asking the nodes how they are, on threads of their own, so that a node that hangs holds nobody up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::facts::{Facts, Trust, blocks};
use crate::client::Client;

/// Between two questions to one node.
const ASK_EVERY: Duration = Duration::from_millis(400);
/// Between two questions about trust: its answer is long.
const TRUST_EVERY: Duration = Duration::from_secs(3);
/// State roots remembered of each node.
const ROOTS_KEPT: usize = 64;
/// Pages of blocks fetched at once to count transactions.
const PAGES: u64 = 10;
/// A node that has not answered for so long is not asked for the network's affairs.
const FRESH: Duration = Duration::from_secs(3);

/// What is known of one node.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its last answer.
    pub facts: Facts,
    /// When it came; `None`: never, or not since its last start.
    pub at: Option<Instant>,
    /// Time between its last two blocks, milliseconds.
    pub interval_ms: Option<u64>,
    /// State roots by height.
    pub roots: BTreeMap<u64, String>,
}

impl Seen {
    /// Notes an answer.
    pub fn note(&mut self, facts: Facts, now: Instant) {
        if facts.height > self.facts.height {
            let blocks = facts.height - self.facts.height;
            if self.facts.height > 0 {
                self.interval_ms = Some(facts.time_ms.saturating_sub(self.facts.time_ms) / blocks);
            }
        }
        if !facts.state_root.is_empty() {
            self.roots.insert(facts.height, facts.state_root.clone());
        }
        while self.roots.len() > ROOTS_KEPT {
            self.roots.pop_first();
        }
        self.facts = facts;
        self.at = Some(now);
    }

    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < FRESH)
    }
}

/// Whether all nodes say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// All have this state root at this height.
    Same {
        /// The height.
        height: u64,
        /// The state root.
        root: String,
    },
    /// They differ at this height: a fault that must never happen.
    Different {
        /// The height.
        height: u64,
        /// Every node's state root.
        roots: Vec<String>,
    },
    /// There is no height yet at which all have been seen.
    Unknown,
}

/// Compares the state roots at the highest height at which every node was seen.
pub fn agreement(nodes: &[Seen]) -> Agreement {
    let Some(first) = nodes.first() else { return Agreement::Unknown };
    let common =
        first.roots.keys().rev().find(|height| nodes.iter().all(|node| node.roots.contains_key(height)));
    let Some(&height) = common else { return Agreement::Unknown };
    let roots: Vec<String> = nodes.iter().map(|node| node.roots[&height].clone()).collect();
    if roots.iter().collect::<BTreeSet<_>>().len() == 1 {
        return Agreement::Same { height, root: roots[0].clone() };
    }
    Agreement::Different { height, roots }
}

struct Shared {
    clients: Vec<Client>,
    nodes: Mutex<Vec<Seen>>,
    trust: Mutex<Option<Trust>>,
    /// The day whose trust is wanted; `None`: the chain's own.
    day: Mutex<Option<u32>>,
    transactions: AtomicU64,
    ended: AtomicBool,
}

/// The watch over a network. Its threads end when it is dropped.
pub struct Watch(Arc<Shared>);

impl Watch {
    /// Starts asking.
    pub fn start(clients: Vec<Client>, day: Option<u32>) -> Self {
        let nodes = Mutex::new(vec![Seen::default(); clients.len()]);
        let shared = Arc::new(Shared {
            clients,
            nodes,
            trust: Mutex::new(None),
            day: Mutex::new(day),
            transactions: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        for node in 0..shared.clients.len() {
            spawn(&shared, move |shared| shared.watch_node(node));
        }
        spawn(&shared, Shared::count_transactions);
        spawn(&shared, Shared::watch_trust);
        Self(shared)
    }

    /// What is known of every node.
    pub fn nodes(&self) -> Vec<Seen> {
        lock(&self.0.nodes).clone()
    }

    /// As [`Self::nodes`], for another thread.
    pub fn reader(&self) -> Box<dyn Fn() -> Vec<Seen> + Send> {
        let shared = Arc::clone(&self.0);
        Box::new(move || lock(&shared.nodes).clone())
    }

    /// A node was started again: what it said before no longer counts as an answer.
    pub fn forget(&self, node: usize) {
        if let Some(seen) = lock(&self.0.nodes).get_mut(node) {
            seen.at = None;
        }
    }

    /// The trust of the wanted day, once it is known.
    pub fn trust(&self) -> Option<Trust> {
        lock(&self.0.trust).clone()
    }

    /// Wants the trust of another day.
    pub fn want_day(&self, day: Option<u32>) {
        *lock(&self.0.day) = day;
    }

    /// Transactions committed since the watch began.
    pub fn transactions(&self) -> u64 {
        self.0.transactions.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Not joined: a thread may hang in a node that does not answer, and holds nothing that matters.
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

fn spawn(shared: &Arc<Shared>, work: impl FnOnce(&Shared) + Send + 'static) {
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data are plain values: a panic elsewhere leaves them usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn pause(&self, duration: Duration) -> bool {
        let until = Instant::now() + duration;
        while !self.ended.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
        false
    }

    fn watch_node(&self, node: usize) {
        loop {
            if let Ok(facts) = Facts::ask(&self.clients[node]) {
                lock(&self.nodes)[node].note(facts, Instant::now());
            }
            if !self.pause(ASK_EVERY) {
                return;
            }
        }
    }

    /// The highest node that answers: whom to ask about the chain.
    fn best(&self) -> Option<(usize, u64)> {
        let nodes = lock(&self.nodes);
        let answering = nodes.iter().enumerate().filter(|(_, seen)| seen.answers());
        answering
            .map(|(node, seen)| (node, seen.facts.height))
            .max_by_key(|&(node, height)| (height, usize::MAX - node))
    }

    fn count_transactions(&self) {
        let mut counted = None;
        while self.pause(ASK_EVERY) {
            let Some((node, height)) = self.best() else { continue };
            let Some(from) = counted else {
                counted = Some(height);
                continue;
            };
            let from = u64::max(from, height.saturating_sub(PAGES * 20));
            let mut to = height;
            let mut sum = 0;
            while to > from {
                let Ok(page) = blocks(&self.clients[node], from + 1, to) else { break };
                let Some(lowest) = page.iter().map(|block| block.height).min() else { break };
                sum += page.iter().map(|block| block.transactions).sum::<u64>();
                to = lowest.saturating_sub(1);
            }
            self.transactions.fetch_add(sum, Ordering::Relaxed);
            counted = Some(height);
        }
    }

    fn watch_trust(&self) {
        let mut known = None;
        let mut asked: Option<Instant> = None;
        while self.pause(ASK_EVERY) {
            let Some((node, height)) = self.best() else { continue };
            let day = *lock(&self.day);
            let other_day = known.is_some_and(|(_, known_day)| known_day != day);
            let due = asked.is_none_or(|at| at.elapsed() >= TRUST_EVERY) && known != Some((height, day));
            if !(due || other_day) {
                continue;
            }
            asked = Some(Instant::now());
            if let Ok(trust) = Trust::ask(&self.clients[node], day) {
                *lock(&self.trust) = Some(trust);
                known = Some((height, day));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(roots: &[(u64, &str)]) -> Seen {
        let mut seen = Seen::default();
        for (height, root) in roots {
            let facts = Facts {
                height: *height,
                state_root: (*root).into(),
                time_ms: height * 100,
                ..Facts::default()
            };
            seen.note(facts, Instant::now());
        }
        seen
    }

    #[test]
    fn roots_are_compared_at_the_highest_height_that_all_have_shown() {
        let (a, b) = (seen(&[(1, "x"), (3, "y"), (4, "z")]), seen(&[(1, "x"), (3, "y"), (5, "w")]));
        assert_eq!(agreement(&[a.clone(), b]), Agreement::Same { height: 3, root: "y".into() });
        assert_eq!(agreement(&[a.clone(), seen(&[(2, "x")])]), Agreement::Unknown);
        let roots = vec!["z".into(), "not z".into()];
        assert_eq!(agreement(&[a, seen(&[(4, "not z")])]), Agreement::Different { height: 4, roots });
        assert_eq!(agreement(&[]), Agreement::Unknown);
    }

    #[test]
    fn the_interval_is_the_mean_over_the_blocks_between_two_answers() {
        assert_eq!(seen(&[(1, "x"), (5, "y")]).interval_ms, Some(100));
        assert_eq!(seen(&[(5, "x")]).interval_ms, None);
    }

    #[test]
    fn memory_of_roots_is_bounded() {
        let mut node = seen(&[]);
        for height in 0..1_000 {
            node.note(Facts { height, state_root: "r".into(), ..Facts::default() }, Instant::now());
        }
        assert_eq!(node.roots.len(), ROOTS_KEPT);
    }
}
