//! What a command prints: plain text for people, JSON for scripts, colours only on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use crate::cli::error::{Class, CliError};

/// Colours and weights. All methods return the text unchanged when styling is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// No colours: pipes, files, `NO_COLOR`, tests.
    pub const OFF: Self = Self { on: false };
    /// Colours whatever the output is.
    pub const ON: Self = Self { on: true };

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Headings and names.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Good.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Look here.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Bad.
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// Where a command's results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON was asked for.
    pub json: bool,
    /// Standard output is a terminal.
    pub terminal: bool,
    /// How to colour.
    pub paint: Paint,
}

impl Output {
    /// Standard output. Colours on a terminal only, and never when `NO_COLOR` is set to anything
    /// (no-color.org) or the terminal is `dumb`.
    pub fn stdout(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { json, terminal, paint: Paint { on: terminal && !refused && !json } }
    }

    /// Prints text; a newline is added if it does not end with one.
    ///
    /// # Errors
    /// When standard output cannot be written; [`Class::ReaderGone`] when its reader has gone.
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let written = out
            .write_all(text.as_bytes())
            .and_then(|()| out.write_all(newline.as_bytes()))
            .and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::new(Class::ReaderGone, "the reader has gone"),
            _ => CliError::failed(format!("cannot write the result: {error}")),
        })
    }

    /// Prints JSON, indented on a terminal, one line elsewhere.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn value(&self, value: &Value) -> Result<(), CliError> {
        self.text(&if self.terminal { format!("{value:#}") } else { value.to_string() })
    }

    /// Prints `value` under `--json`, else what `human` makes of it.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn either(&self, value: &Value, human: impl FnOnce(Paint) -> String) -> Result<(), CliError> {
        if self.json { self.value(value) } else { self.text(&human(self.paint)) }
    }
}

/// Shows a failure on standard error: text with the next step, or JSON.
pub fn show_error(error: &CliError, json: bool) {
    if error.class == Class::ReaderGone {
        return;
    }
    let mut err = io::stderr().lock();
    // There is nobody to tell when standard error cannot be written either.
    let _ = if json {
        writeln!(err, "{}", error.to_json())
    } else {
        writeln!(err, "trustnet: {}", render_error(error))
    };
}

/// The text of a failure, without the program's name.
pub fn render_error(error: &CliError) -> String {
    match &error.next {
        Some(next) => format!("{}\n  next: {}", error.message, next.replace('\n', "\n        ")),
        None => error.message.clone(),
    }
}

/// Which side of its column a cell stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table for a terminal: columns as wide as their widest cell, two spaces between them.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column headings.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row. Cells beyond the last column are dropped, missing ones are empty.
    pub fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        let mut cells: Vec<String> = cells.into_iter().take(self.columns.len()).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// The table as text, every line ending in a newline and none in a space.
    pub fn render(&self, paint: Paint) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| {
                let cells = self.rows.iter().map(|row| width(&row[i]));
                cells.chain([width(&self.columns[i].0)]).max().unwrap_or(0)
            })
            .collect();
        let headings: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut text = paint.dim(&self.line(&headings, &widths));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&self.line(row, &widths));
            text.push('\n');
        }
        text
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (i, cell) in cells.iter().enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(widths[i].saturating_sub(width(cell)));
            match self.columns[i].1 {
                Align::Left => line.extend([cell.as_str(), &padding]),
                Align::Right => line.extend([padding.as_str(), cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Characters a cell takes, escape sequences not counted. (Names are ASCII by rule of the ledger;
/// wide characters in owners' names may shift a column by one, which is harmless.)
fn width(text: &str) -> usize {
    let mut count = 0;
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (false, '\x1b') => escaped = true,
            (true, 'm') => escaped = false,
            (false, _) => count += 1,
            (true, _) => {}
        }
    }
    count
}

/// Text from outside for showing: control characters (escape sequences among them) become `?`, so
/// that a name or a reason cannot repaint the reader's terminal.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_its_columns_and_leaves_no_trailing_spaces() {
        let mut table = Table::new(&[("name", Align::Left), ("score", Align::Right), ("kind", Align::Left)]);
        table.row(["node-1".into(), "83.25".into(), "validator".into()]);
        table.row(["b".into(), "7.00".into(), "user".into()]);
        table.row(["short".into()]);
        assert_eq!(
            table.render(Paint::OFF),
            "name    score  kind\n\
             node-1  83.25  validator\n\
             b        7.00  user\n\
             short\n"
        );
    }

    #[test]
    fn colours_do_not_count_for_the_width() {
        assert_eq!(width(&Paint::ON.red("abc")), 3);
        assert_eq!(Paint::ON.red(""), "");
        assert_eq!(Paint::OFF.red("abc"), "abc");
    }

    #[test]
    fn text_from_outside_cannot_send_escape_sequences() {
        assert_eq!(harmless("a\x1b[2Jb\n"), "a?[2Jb?");
    }

    #[test]
    fn an_error_shows_its_next_step_indented() {
        let error = CliError::failed("it broke").next("run this\nthen that");
        assert_eq!(render_error(&error), "it broke\n  next: run this\n        then that");
    }
}
