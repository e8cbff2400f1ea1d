//! Progress: bars on a terminal, plain lines elsewhere, nothing with `--json`.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    bars: bool,
    lines: bool,
}

/// The progress of one thing.
pub struct Bar(Option<ProgressBar>);

impl Screen {
    /// Standard error: bars if it is a terminal, else lines.
    #[must_use]
    pub fn stderr() -> Self {
        let bars = std::io::stderr().is_terminal();
        Self { bars, lines: !bars }
    }

    /// Nothing.
    #[must_use]
    pub fn quiet() -> Self {
        Self { bars: false, lines: false }
    }

    /// Says something that a person should read.
    pub fn note(&self, text: &str) {
        if self.bars || self.lines {
            eprintln!("{text}");
        }
    }

    /// Begins something of so many bytes; 0 if unknown.
    #[must_use]
    pub fn bytes(&self, what: &str, total: u64) -> Bar {
        if self.lines {
            eprintln!("{what}");
        }
        Bar(self.bars.then(|| {
            let bar = if total == 0 { ProgressBar::no_length() } else { ProgressBar::new(total) };
            let style = ProgressStyle::with_template("{msg:40!} {bar:24} {bytes:>10}/{total_bytes:10} {eta}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar
        }))
    }
}

impl Bar {
    /// So many bytes more.
    pub fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    /// Ends it.
    pub fn done(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
