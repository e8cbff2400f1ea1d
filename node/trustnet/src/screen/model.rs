//! What the screen shows.

use std::collections::VecDeque;

use super::format;

/// Seconds of throughput that the sparkline covers at most.
pub const HISTORY_S: usize = 120;
/// Problems kept.
pub const MAX_PROBLEMS: usize = 100;

/// What the network as a whole is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nodes are being started.
    Starting,
    /// Nodes run.
    Running,
    /// Ratings are being imported.
    Importing(ImportLine),
    /// Nodes are being stopped.
    Stopping,
}

/// An import under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLine {
    /// `registering`, `rating` ...
    pub phase: &'static str,
    /// Transactions committed.
    pub committed: usize,
    /// Transactions to commit.
    pub total: usize,
    /// Committed transactions a second.
    pub per_second: u64,
}

/// What a node's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Started, its RPC does not answer yet.
    Starting,
    /// Runs.
    Up,
    /// Runs, but its RPC has not answered for a while.
    Silent,
    /// Died and is started again in so many seconds.
    Restarting(u64),
    /// Died too often.
    GivenUp,
    /// Was stopped.
    Stopped,
}

/// A node's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name on the ledger.
    pub name: String,
    /// Its process.
    pub life: Life,
    /// Its last block.
    pub height: Option<u64>,
    /// The round it is in.
    pub round: Option<u32>,
    /// Its connections.
    pub peers: Option<u64>,
    /// Its reputation in milli-points.
    pub reputation_mp: Option<u64>,
    /// Its status on the ledger, or why it is silent.
    pub status: String,
    /// Where its RPC listens.
    pub url: String,
}

/// Somebody's trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonRow {
    /// The name.
    pub name: String,
    /// Trust score in centi-points.
    pub score_centi: u64,
    /// Confidence in percent.
    pub confidence: u64,
    /// Mean of the stars received, in thousandths of a star; `None` without ratings.
    pub mean_milli: Option<u64>,
}

/// The most and least trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustPanel {
    /// The day whose trust is shown, as people write it.
    pub day: String,
    /// How many people and nodes have a score.
    pub of: usize,
    /// The most trusted, best first.
    pub top: Vec<PersonRow>,
    /// The least trusted, worst first.
    pub bottom: Vec<PersonRow>,
}

/// Everything on the screen.
#[derive(Clone, Debug)]
pub struct Model {
    /// The chain.
    pub chain_id: String,
    /// What is going on.
    pub activity: Activity,
    /// Height of the last block.
    pub height: u64,
    /// Time between the last two blocks, milliseconds.
    pub interval_ms: Option<u64>,
    /// Age of the last block, milliseconds.
    pub block_age_ms: Option<u64>,
    /// Committed transactions in each of the last seconds, oldest first.
    pub throughput: VecDeque<u64>,
    /// Transactions waiting.
    pub pool: Option<u64>,
    /// How many nodes may fail.
    pub faults_tolerated: Option<u64>,
    /// The nodes.
    pub nodes: Vec<NodeRow>,
    /// The most and least trusted.
    pub trust: Option<TrustPanel>,
    /// What to try next.
    pub hints: Vec<String>,
    /// What went wrong, newest last.
    pub problems: VecDeque<String>,
    /// The report of a finished import.
    pub report: Vec<String>,
    /// Whether the report is shown instead of the network.
    pub show_report: bool,
    /// First line of the report that is shown.
    pub scroll: u16,
}

impl Model {
    /// An empty screen of a chain.
    pub fn new(chain_id: &str) -> Self {
        Self {
            chain_id: chain_id.to_owned(),
            activity: Activity::Starting,
            height: 0,
            interval_ms: None,
            block_age_ms: None,
            throughput: VecDeque::new(),
            pool: None,
            faults_tolerated: None,
            nodes: Vec::new(),
            trust: None,
            hints: Vec::new(),
            problems: VecDeque::new(),
            report: Vec::new(),
            show_report: false,
            scroll: 0,
        }
    }

    /// Adds a second of throughput.
    pub fn second(&mut self, transactions: u64) {
        self.throughput.push_back(transactions);
        while self.throughput.len() > HISTORY_S {
            self.throughput.pop_front();
        }
    }

    /// Adds a problem; long or odd text is made fit for a line.
    pub fn problem(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.problems.push_back(crate::output::harmless(line));
        }
        while self.problems.len() > MAX_PROBLEMS {
            self.problems.pop_front();
        }
    }

    /// One line about the network, for output that is no terminal.
    pub fn line(&self) -> String {
        let up = self.nodes.iter().filter(|node| node.life == Life::Up).count();
        let peers = self
            .nodes
            .iter()
            .filter_map(|node| node.peers)
            .min()
            .map_or_else(|| "-".to_owned(), |p| p.to_string());
        let interval = self.interval_ms.map_or_else(|| "-".to_owned(), format::duration_ms);
        let rate = self.throughput.back().copied().unwrap_or(0);
        format!(
            "up: height {} interval {interval} tx/s {rate} pool {} nodes {up}/{} peers {peers}",
            self.height,
            self.pool.unwrap_or(0),
            self.nodes.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_and_problems_are_bounded() {
        let mut model = Model::new("c");
        for i in 0..1_000 {
            model.second(i);
            model.problem("a\n\nb\u{1b}[2J");
        }
        assert_eq!(model.throughput.len(), HISTORY_S);
        assert_eq!(model.throughput.back(), Some(&999));
        assert_eq!(model.problems.len(), MAX_PROBLEMS);
        assert!(model.problems.iter().all(|line| !line.contains('\u{1b}')));
    }
}
