//! Many runs, on several threads, with a progress bar; each run is a thread of its own in virtual time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plan::Plan;
use crate::shrink::run_caught;
use crate::tally::Tally;
use crate::timeline::Timeline;

/// Which runs to make.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// First seed.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// Validators of each network.
    pub nodes: usize,
    /// Threads.
    pub jobs: usize,
    /// Stop after this long, whatever is left.
    pub limit: Option<Duration>,
    /// Stop at this many failures.
    pub most_failures: usize,
}

/// What came of them.
#[derive(Default)]
pub struct Summary {
    /// Runs made.
    pub runs: u64,
    /// What they exercised.
    pub tally: Tally,
    /// Failing seeds and what they violate, by seed.
    pub failures: Vec<(u64, String)>,
    /// Virtual milliseconds of all runs.
    pub virtual_ms: u64,
}

/// Runs a series. Lines of progress go to standard error: a bar on a terminal, a line for each tenth elsewhere.
pub fn run_series(series: Series) -> Summary {
    let bar = ProgressBar::with_draw_target(Some(series.count), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} networks  {per_sec}  {eta} left  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let plain = bar.is_hidden();
    let started = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut summary = Summary::default();
    std::thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..series.jobs.max(1) {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= series.count {
                        return;
                    }
                    let seed = series.from + index;
                    let outcome = run_caught(&Plan::draw(seed, series.nodes), Timeline::off());
                    if sender.send((seed, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (seed, outcome) in results {
            summary.runs += 1;
            summary.virtual_ms += outcome.virtual_ms;
            summary.tally.merge(&outcome.tally);
            if let Some(what) = outcome.violation {
                let line = format!("seed {seed} failed: {what}");
                if plain {
                    eprintln!("{line}");
                } else {
                    bar.println(line);
                }
                summary.failures.push((seed, what));
                bar.set_message(format!("{} failed", summary.failures.len()));
            }
            bar.inc(1);
            if plain && summary.runs % series.count.div_ceil(10) == 0 {
                let seconds = started.elapsed().as_secs();
                let failed = summary.failures.len();
                eprintln!("{} of {} networks in {seconds} s, {failed} failed", summary.runs, series.count);
            }
            let late = series.limit.is_some_and(|limit| started.elapsed() > limit);
            if late || summary.failures.len() >= series.most_failures {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    bar.finish_and_clear();
    summary.failures.sort();
    summary
}
