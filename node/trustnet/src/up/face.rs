//! How `up` shows itself: a live screen on a terminal, lines elsewhere, JSON lines for scripts.

use std::io::{self, IsTerminal as _};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::CliError;
use crate::output::Output;
use crate::screen::Model;
use crate::screen::model::{Activity, Life};
use crate::screen::terminal::{Key, Terminal};

/// How often the screen is painted and the network looked after.
const TICK: Duration = Duration::from_millis(100);
/// The least time between two lines about the network's state.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The face.
pub enum Face {
    /// The live screen.
    Screen(Box<Terminal>),
    /// Lines of text or JSON.
    Lines(Lines),
}

/// Lines: what was said last, and when.
#[derive(Clone, Debug)]
pub struct Lines {
    output: Output,
    last: String,
    at: Option<Instant>,
}

impl Face {
    /// The screen if there is a terminal to show it and one to read keys from, else lines.
    ///
    /// # Errors
    /// When the terminal cannot be taken over.
    pub fn choose(output: Output) -> Result<Self, CliError> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if output.json || dumb || !(output.terminal && io::stdin().is_terminal()) {
            return Ok(Self::Lines(Lines { output, last: String::new(), at: None }));
        }
        let terminal = Terminal::open().map_err(|error| {
            CliError::failed(format!("cannot use the terminal: {error}"))
                .next("run it with its output in a file: trustnet up > up.log")
        })?;
        Ok(Self::Screen(Box::new(terminal)))
    }

    /// Whether it is the screen.
    pub fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    /// Something that happened.
    ///
    /// # Errors
    /// When the output has gone.
    pub fn event(&mut self, model: &mut Model, kind: &str, text: &str) -> Result<(), CliError> {
        match self {
            Self::Screen(_) => model.problem(text),
            Self::Lines(lines) if lines.output.json => {
                lines.output.text(&json!({ "event": kind, "text": text }).to_string())?;
            }
            Self::Lines(lines) => {
                lines.output.text(&format!("{kind}: {}", text.replace('\n', &format!("\n{kind}: "))))?;
            }
        }
        Ok(())
    }

    /// A longer text at the end of something, or its JSON.
    ///
    /// # Errors
    /// When the output has gone.
    pub fn document(
        &mut self,
        model: &mut Model,
        event: &str,
        text: &[String],
        value: &Value,
    ) -> Result<(), CliError> {
        match self {
            Self::Screen(_) => {
                model.report = text.to_vec();
                model.show_report = true;
            }
            Self::Lines(lines) if lines.output.json => {
                let mut value = value.clone();
                if let Some(object) = value.as_object_mut() {
                    object.insert("event".to_owned(), event.into());
                }
                lines.output.text(&value.to_string())?;
            }
            Self::Lines(lines) => lines.output.text(&text.join("\n"))?,
        }
        Ok(())
    }

    /// Shows the network and waits a moment for a key.
    ///
    /// # Errors
    /// When the terminal or the output has gone.
    pub fn tick(&mut self, model: &Model) -> Result<Option<Key>, CliError> {
        match self {
            Self::Screen(terminal) => {
                let key = terminal.paint(model).and_then(|()| terminal.key(TICK));
                key.map_err(|error| CliError::failed(format!("the terminal has gone: {error}")))
            }
            Self::Lines(lines) => {
                lines.state(model, Instant::now())?;
                thread::sleep(TICK);
                Ok(None)
            }
        }
    }
}

impl Lines {
    /// A line when something has changed, at most once a second.
    fn state(&mut self, model: &Model, now: Instant) -> Result<(), CliError> {
        if self.at.is_some_and(|at| now.saturating_duration_since(at) < LINE_EVERY) {
            return Ok(());
        }
        let line = if self.output.json { status(model).to_string() } else { text(model) };
        if line != self.last {
            self.output.text(&line)?;
            self.last = line;
            self.at = Some(now);
        }
        Ok(())
    }
}

fn text(model: &Model) -> String {
    match &model.activity {
        Activity::Importing(import) => format!(
            "import: {} {} of {}, {} tx/s; height {} pool {}",
            import.phase,
            import.committed,
            import.total,
            import.per_second,
            model.height,
            model.pool.unwrap_or(0)
        ),
        Activity::Starting => {
            let up = model.nodes.iter().filter(|node| node.life == Life::Up).count();
            format!("up: {up} of {} nodes answer", model.nodes.len())
        }
        Activity::Running => model.line(),
        Activity::Stopping => "up: stopping".to_owned(),
    }
}

fn status(model: &Model) -> Value {
    let mut value = json!({
        "event": "status",
        "height": model.height,
        "interval_ms": model.interval_ms,
        "tx_per_second": model.throughput.back(),
        "pool": model.pool,
        "nodes": model.nodes.iter().map(|node| json!({
            "name": node.name,
            "up": node.life == Life::Up,
            "height": node.height,
            "peers": node.peers,
        })).collect::<Vec<_>>(),
    });
    if let (Activity::Importing(import), Some(object)) = (&model.activity, value.as_object_mut()) {
        let import = json!({ "phase": import.phase, "committed": import.committed, "total": import.total });
        object.insert("import".to_owned(), import);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::model::ImportLine;

    #[test]
    fn lines_say_what_is_going_on() {
        let mut model = Model::new("c");
        assert_eq!(text(&model), "up: 0 of 0 nodes answer");
        let import = ImportLine { phase: "ratings", committed: 5, total: 9, per_second: 2 };
        model.activity = Activity::Importing(import);
        assert_eq!(text(&model), "import: ratings 5 of 9, 2 tx/s; height 0 pool 0");
        assert_eq!(status(&model)["import"]["total"], 9);
        model.activity = Activity::Running;
        assert!(text(&model).starts_with("up: height 0 "));
    }
}
