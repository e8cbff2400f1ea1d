//! What came of the checks.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::target::Target;

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds; with what was measured.
    Passed(String),
    /// It does not.
    Failed(String),
    /// It could not be tried; with the reason.
    Skipped(String),
}

/// All checks so far.
#[derive(Debug)]
pub struct Report {
    quiet: bool,
    lines: Vec<(Target, &'static str, Outcome, Option<Duration>)>,
}

impl Report {
    /// An empty one; `quiet` leaves the lines to the end.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, lines: Vec::new() }
    }

    /// Adds a line, and shows it.
    pub fn add(&mut self, target: &Target, name: &'static str, outcome: Outcome, took: Option<Duration>) {
        if !self.quiet {
            let (word, text) = match &outcome {
                Outcome::Passed(text) => ("ok  ", text),
                Outcome::Failed(text) => ("FAIL", text),
                Outcome::Skipped(text) => ("SKIP", text),
            };
            let took = took.map_or(String::new(), |took| format!(" [{} s]", took.as_secs()));
            println!("{word} {target:<8} {name:<10} {text}{took}");
        }
        self.lines.push((target.clone(), name, outcome, took));
    }

    /// Runs a check and adds its line.
    pub fn check(
        &mut self,
        target: &Target,
        name: &'static str,
        run: impl FnOnce() -> Result<String, Failure>,
    ) {
        let since = Instant::now();
        let outcome = match run() {
            Ok(measured) => Outcome::Passed(measured),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        self.add(target, name, outcome, Some(since.elapsed()));
    }

    fn count(&self, kind: fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|(_, _, outcome, _)| kind(outcome)).count()
    }

    /// Prints the sum. Success is no failure, and something that passed.
    pub fn finish(&self, as_json: bool) -> ExitCode {
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        if as_json {
            let checks = self.lines.iter().map(|(target, name, outcome, took)| {
                let (word, text) = match outcome {
                    Outcome::Passed(text) => ("passed", text),
                    Outcome::Failed(text) => ("failed", text),
                    Outcome::Skipped(text) => ("skipped", text),
                };
                json!({ "target": target.to_string(), "check": name, "outcome": word, "text": text, "seconds": took.map(|took| took.as_secs_f64()) })
            });
            println!(
                "{}",
                json!({ "checks": checks.collect::<Vec<_>>(), "passed": passed, "failed": failed, "skipped": skipped })
            );
        } else {
            println!("{passed} passed, {failed} failed, {skipped} skipped");
        }
        if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
