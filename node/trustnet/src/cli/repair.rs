//! `trustnet repair`: what is wrong with this node's data, and the safe way out.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use trustnet_store::{Finding, Repair, Step, StoreError};

use crate::cli::error::CliError;
use crate::cli::format::time;
use crate::cli::globals::Globals;
use crate::cli::send::now_ms;
use crate::home::Home;
use crate::keys::Role;
use crate::node::{self, Examination, Outcome, RunError};
use crate::output::{Paint, harmless};

/// Examine a stopped node's data and set damage aside
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --apply nothing is changed: it says what is damaged and what --apply would do.
What is damaged is moved into a folder damaged-DATE in the data directory, never deleted. What the log
still holds whole is kept; the node fetches the rest from its peers. Where something that this
validator may have signed is gone, its signer record counts as lost: it is silent until enough other
validators have told what they saw of it.

Stop the node first. Exit code: 0 nothing is damaged or it was repaired, 5 something is damaged.")]
pub struct RepairArgs {
    /// Carry out what was shown
    #[arg(long)]
    apply: bool,
}

/// Runs `trustnet repair`.
///
/// # Errors
/// When the node runs, its home cannot be read, or (without `--apply`) something is damaged.
pub fn main(args: &RepairArgs, globals: &Globals) -> Result<(), CliError> {
    let home = globals.home()?;
    if !home.exists() {
        // Says whether there is nothing or a half-made home. Broken settings do not matter here.
        home.config()?;
    }
    let aside = folder_name(now_ms());
    let bar = Bar::stderr();
    let examined = node::examine(&home, &aside, &mut |what, done, total| bar.show(what, done, total));
    let mut report = Report {
        home: &home,
        command: Commands { default_home: globals.home.is_none(), home: &home },
        applied: false,
        is_damaged: false,
        repair: Repair::default(),
        outcome: None,
        has_validator_key: home.key_file(Role::Validator).exists(),
    };
    let examined = examined.map_err(|error| report.refusal(error))?;
    report.is_damaged = examined.is_damaged();
    report.outcome = examined.outcome;
    if args.apply && report.is_damaged {
        let done =
            node::apply(&home, &examined, &aside, &mut |what, done, total| bar.show(what, done, total));
        report.repair = done?;
        report.applied = true;
        report.outcome = look_again(&home, &aside, &bar)?.outcome;
    } else {
        report.repair = examined.repair;
    }
    bar.finish();
    globals.output().either(&report.to_json(), |paint| report.render(paint))?;
    if report.is_damaged && !report.applied {
        let data = home.data_dir();
        return Err(CliError::damaged(format!("{} is damaged; nothing was changed", data.display()))
            .next(report.command.of("repair --apply")));
    }
    Ok(())
}

/// After a repair nothing may be damaged: else this program is at fault, and a node must not go on with that.
fn look_again(home: &Home, aside: &str, bar: &Bar) -> Result<Examination, CliError> {
    let again = node::examine(home, aside, &mut |what, done, total| bar.show(what, done, total))?;
    if let Some(finding) = again.repair.findings.iter().find(|finding| finding.is_damage()) {
        return Err(CliError::damaged(format!("after the repair there is still damage: {finding}")).next(
            "check the disk (dmesg); if it is sound, please report this with what the repair printed",
        ));
    }
    Ok(again)
}

/// `damaged-20261120T210010Z`.
fn folder_name(unix_ms: u64) -> String {
    let time = time(unix_ms);
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let mut parts = time.split(' ');
    let (date, clock) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("damaged-{}T{}Z", digits(date), digits(clock))
}

/// The commands that a report names, for this home.
struct Commands<'a> {
    default_home: bool,
    home: &'a Home,
}

impl Commands<'_> {
    fn of(&self, command: &str) -> String {
        if self.default_home {
            format!("trustnet {command}")
        } else {
            format!("trustnet {command} --home {}", self.home.root().display())
        }
    }
}

/// What is printed.
struct Report<'a> {
    home: &'a Home,
    command: Commands<'a>,
    applied: bool,
    is_damaged: bool,
    repair: Repair,
    outcome: Option<Outcome>,
    has_validator_key: bool,
}

impl Report<'_> {
    /// A refusal, with the step that this command knows.
    fn refusal(&self, error: RunError) -> CliError {
        let is_empty = matches!(&error, RunError::Store(StoreError::NotInitialised { .. }));
        let error = CliError::from(error);
        if is_empty { error.next(self.command.of("run")) } else { error }
    }

    /// Whether this validator is silent after it, until others have told.
    fn is_silent(&self) -> bool {
        self.has_validator_key && self.outcome.is_some_and(|outcome| outcome.signer_lost.is_some())
    }

    /// Whether there is nobody to tell.
    fn is_alone(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome.validators == 1)
    }

    fn starts_over(&self) -> bool {
        self.repair.steps.contains(&Step::StartOver)
    }

    fn aside(&self) -> Option<std::path::PathBuf> {
        self.repair.aside.as_ref().map(|folder| self.home.data_dir().join(folder))
    }

    fn next(&self) -> String {
        self.command.of(if self.is_damaged && !self.applied { "repair --apply" } else { "run" })
    }

    fn to_json(&self) -> Value {
        let findings = self.repair.findings.iter().map(|finding| {
            json!({ "code": finding.code(), "damage": finding.is_damage(), "text": finding.to_string() })
        });
        let steps = self.repair.steps.iter();
        let steps = steps.map(|step| json!({ "code": step.code(), "text": step.to_string() }));
        json!({
            "data": self.home.data_dir(),
            "damaged": self.is_damaged,
            "applied": self.applied,
            "findings": findings.collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
            "aside": self.aside().filter(|_| self.applied),
            "height": self.outcome.map(|outcome| outcome.height),
            "signer_lost": self.outcome.map(|outcome| outcome.signer_lost.is_some()),
            "next": self.next(),
        })
    }

    fn render(&self, paint: Paint) -> String {
        let data = self.home.data_dir();
        let mut text = match (self.is_damaged, self.applied) {
            (false, _) => format!("{} {}\n", data.display(), paint.green("is not damaged")),
            (true, false) => format!("{} {}\n", data.display(), paint.red("is damaged")),
            (true, true) => format!("{} {}\n", data.display(), paint.green("was repaired")),
        };
        for finding in &self.repair.findings {
            text.push_str(&item(&shown(finding, paint)));
        }
        if !self.repair.steps.is_empty() {
            text.push_str(if self.applied { "What was done:\n" } else { "What --apply would do:\n" });
            for step in &self.repair.steps {
                text.push_str(&item(&harmless(&step.to_string())));
            }
        }
        text.push_str(&self.consequences(paint));
        if let Some(aside) = self.aside() {
            let place = if self.applied {
                format!("What was set aside is in {}.\nNever put it back.\n", aside.display())
            } else {
                format!("What is set aside would go into a folder such as {}.\n", aside.display())
            };
            text.push_str(&place);
        }
        if !self.is_damaged || self.applied {
            text.extend(["  next: ", &self.next(), "\n"]);
        }
        text
    }

    /// How the node stands after it.
    fn consequences(&self, paint: Paint) -> String {
        let Some(outcome) = self.outcome else { return String::new() };
        let mut text = match outcome.height {
            0 => "The chain here has no block yet".to_owned(),
            height => format!("The chain here ends at block {height}"),
        };
        text.push_str(match (self.is_damaged, self.applied) {
            (false, _) => ".\n",
            (true, false) => " then; the node fetches what is missing from its peers.\n",
            (true, true) => "; the node fetches what is missing from its peers.\n",
        });
        if self.starts_over() && !self.applied {
            text.push_str(&paint.yellow(
                "If no other node follows this chain, it is lost then. A copy of the data directory may be worth more.",
            ));
            text.push('\n');
        }
        if self.is_silent() && self.is_alone() {
            text.push_str(&paint.yellow(
                "This chain has one validator and nobody to tell what it signed: without its signer record it is silent for ever.",
            ));
            text.push('\n');
        } else if self.is_silent() {
            text.push_str(
                "As a validator it is silent until enough others have told what they saw of it, and counts as faulty until \
                 then: repair one node at a time.\n",
            );
        }
        text
    }
}

fn item(text: &str) -> String {
    format!("  - {text}\n")
}

fn shown(finding: &Finding, paint: Paint) -> String {
    let text = harmless(&finding.to_string());
    if finding.is_damage() { text } else { paint.dim(&text) }
}

/// How far it is: a bar on a terminal, nothing elsewhere.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn stderr() -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg} {human_pos}/{human_len} {elapsed}");
        Self(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            // The template is a constant of this file; if it were wrong the library's own would do.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        }))
    }

    fn show(&self, what: &'static str, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_message(what);
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_bears_the_date() {
        assert_eq!(folder_name(1_453_683_723_999), "damaged-20160125T010203Z");
    }
}
