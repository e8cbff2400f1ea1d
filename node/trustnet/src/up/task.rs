//! The import that `up` runs beside its nodes, and the report at its end.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::facts::Trust;
use super::report::Report;
use super::watch::{Agreement, Seen, agreement};
use crate::cli::CliError;
use crate::client::{Client, number};
use crate::import::chain::{RpcChain, all_ratings};
use crate::import::command::failure;
use crate::import::outcome::Patience;
use crate::import::plan::Plan;
use crate::import::progress::{Progress, Snapshot};
use crate::import::run;

/// How long to wait until all nodes have been seen at one height.
const AGREEMENT_PATIENCE: Duration = Duration::from_secs(30);

/// What the import has to tell.
#[derive(Default)]
struct News {
    snapshot: Option<Snapshot>,
    notes: Vec<String>,
    result: Option<Result<Box<Report>, CliError>>,
}

/// An import under way.
pub struct ImportTask {
    news: Arc<Mutex<News>>,
    stop: Arc<AtomicBool>,
}

/// What an import needs.
pub struct Job {
    /// What to import.
    pub plan: Plan,
    /// The day whose trust is reported.
    pub day: u32,
    /// All nodes.
    pub clients: Vec<Client>,
    /// Weights of the categories, as in the genesis.
    pub category_weights: [u64; 3],
    /// What is known of the nodes.
    pub nodes: Box<dyn Fn() -> Vec<Seen> + Send>,
}

struct Reporter(Arc<Mutex<News>>);

impl Progress for Reporter {
    fn update(&self, snapshot: &Snapshot) {
        lock(&self.0).snapshot = Some(*snapshot);
    }

    fn note(&self, text: &str) {
        lock(&self.0).notes.push(text.to_owned());
    }
}

fn lock(news: &Mutex<News>) -> MutexGuard<'_, News> {
    // A panic in the import leaves plain values that can still be shown.
    news.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ImportTask {
    /// Starts an import on a thread of its own.
    pub fn start(job: Job) -> Self {
        let news = Arc::new(Mutex::new(News::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let task = Self { news: Arc::clone(&news), stop: Arc::clone(&stop) };
        thread::spawn(move || {
            let result = work(&job, &Reporter(Arc::clone(&news)), &stop);
            lock(&news).result = Some(result.map(Box::new));
        });
        task
    }

    /// How far it is.
    pub fn snapshot(&self) -> Option<Snapshot> {
        lock(&self.news).snapshot
    }

    /// What happened since the last call.
    pub fn notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.news).notes)
    }

    /// Its result, once, when it has ended.
    pub fn result(&self) -> Option<Result<Box<Report>, CliError>> {
        lock(&self.news).result.take()
    }
}

impl Drop for ImportTask {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

fn work(job: &Job, progress: &dyn Progress, stop: &AtomicBool) -> Result<Report, CliError> {
    let chain = RpcChain::new(job.clients.clone());
    let summary =
        run::run(&job.plan, &chain, Patience::default(), progress, stop).map_err(|error| failure(&error))?;
    let client = chain.client(0);
    let trust = Trust::ask(client, Some(job.day))?;
    let ratings = all_ratings(client)?;
    let reached = client.call("status", &json!({})).ok();
    let reached = reached.and_then(|status| number(&status["sync_info"]["latest_block_height"]));
    let agreed = wait_for_agreement(job, reached.unwrap_or(0));
    let nodes = job.clients.len();
    Ok(Report::new(&job.plan.file, summary, &trust, &ratings, job.category_weights, (agreed, nodes)))
}

/// The nodes' state roots at one height, once all of them have been seen at the tip, and that is no older
/// than `reached`.
fn wait_for_agreement(job: &Job, reached: u64) -> Agreement {
    let started = Instant::now();
    loop {
        let nodes = (job.nodes)();
        let highest = nodes.iter().map(|seen| seen.facts.height).max().unwrap_or(0);
        let level =
            highest >= reached && nodes.iter().all(|seen| seen.answers() && seen.facts.height == highest);
        if level || started.elapsed() >= AGREEMENT_PATIENCE {
            return agreement(&nodes);
        }
        thread::sleep(Duration::from_millis(100));
    }
}
