//! How far an import has come, and how that is shown.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The least time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// What an import is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asking the chain what is there.
    Comparing,
    /// Registering people.
    Registering,
    /// Sending ratings.
    Rating,
    /// Everything is in the chain.
    Done,
}

impl Phase {
    /// The phase as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Comparing => "comparing",
            Self::Registering => "registering",
            Self::Rating => "rating",
            Self::Done => "done",
        }
    }
}

/// The state of an import at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is doing.
    pub phase: Phase,
    /// Transactions in the chain, of those that were missing at the start.
    pub committed: usize,
    /// Transactions that were missing at the start.
    pub total: usize,
    /// Transactions on their way.
    pub in_flight: usize,
    /// Since the first transaction was sent.
    pub elapsed: Duration,
}

impl Snapshot {
    /// Committed transactions a second since the start.
    pub fn per_second(&self) -> u64 {
        rate(self.committed, self.elapsed)
    }
}

/// `count` a second over `elapsed`.
pub fn rate(count: usize, elapsed: Duration) -> u64 {
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    count as u64 * 1_000 / ms
}

/// Somebody who wants to know how far it is.
pub trait Progress: Sync {
    /// Called a few times a second, from one thread.
    fn update(&self, snapshot: &Snapshot);
    /// Something unusual that does not end the import: a lost connection, a restart of a node.
    fn note(&self, text: &str);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _: &Snapshot) {}
    fn note(&self, _: &str) {}
}

/// A bar on a terminal, lines elsewhere; on standard error, so that standard output holds the result.
#[derive(Debug)]
pub struct Bar {
    bar: Option<ProgressBar>,
    last: Mutex<Option<(Instant, Snapshot)>>,
}

impl Bar {
    /// For standard error as it is.
    pub fn stderr() -> Self {
        let style =
            ProgressStyle::with_template("{msg:>11} [{bar:30}] {human_pos}/{human_len} {prefix} {elapsed}");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            // The template is a constant of this file; if it were wrong the library's own would do.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar
        });
        Self { bar, last: Mutex::new(None) }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// One line about an import, as shown where there is no terminal.
pub fn line(snapshot: &Snapshot) -> String {
    let Snapshot { phase, committed, total, in_flight, .. } = snapshot;
    let rate = snapshot.per_second();
    format!(
        "import: {}: {committed} of {total} committed, {in_flight} on their way, {rate} tx/s",
        phase.name()
    )
}

impl Progress for Bar {
    fn update(&self, snapshot: &Snapshot) {
        if let Some(bar) = &self.bar {
            bar.set_length(snapshot.total as u64);
            bar.set_position(snapshot.committed as u64);
            bar.set_message(snapshot.phase.name());
            bar.set_prefix(format!("{} tx/s", snapshot.per_second()));
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        let due = last.is_none_or(|(at, before)| {
            at.elapsed() >= LINE_EVERY && before != *snapshot || before.phase != snapshot.phase
        });
        if due {
            eprintln!("{}", line(snapshot));
            *last = Some((Instant::now(), *snapshot));
        }
    }

    fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("import: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_what_and_how_fast() {
        let snapshot = Snapshot {
            phase: Phase::Rating,
            committed: 3_000,
            total: 41_473,
            in_flight: 900,
            elapsed: Duration::from_millis(1_500),
        };
        assert_eq!(line(&snapshot), "import: rating: 3000 of 41473 committed, 900 on their way, 2000 tx/s");
    }

    #[test]
    fn an_import_without_duration_has_a_rate_all_the_same() {
        assert_eq!(rate(5, Duration::ZERO), 5_000);
    }
}
