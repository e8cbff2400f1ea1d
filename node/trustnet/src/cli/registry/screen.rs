//! The person's side of an operation: bars while it runs, bytes from and to files.

use std::io::{self, IsTerminal as _, Read, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use trustnet_registry::admin::{Channel, Event, Progress};

use super::size;
use crate::cli::error::CliError;

/// The least time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is done with an event that is no progress.
type OnEvent<'a> = Box<dyn FnMut(Event) -> io::Result<()> + 'a>;

/// Shows an operation, and moves its bytes.
pub(super) struct Screen<'a> {
    on_event: OnEvent<'a>,
    from: Option<Box<dyn Read + 'a>>,
    to: Option<Box<dyn Write + 'a>>,
    bar: Bar,
    moved: u64,
    total: u64,
    /// What went wrong on this side.
    pub(super) failure: Option<CliError>,
}

impl<'a> Screen<'a> {
    /// Gives events to `on_event`.
    pub(super) fn new(name: &'static str, on_event: impl FnMut(Event) -> io::Result<()> + 'a) -> Self {
        let (from, to, failure) = (None, None, None);
        Self { on_event: Box::new(on_event), from, to, bar: Bar::stderr(name), moved: 0, total: 0, failure }
    }

    /// For operations that tell nothing but progress.
    pub(super) fn quiet(name: &'static str) -> Self {
        Self::new(name, |_| Ok(()))
    }

    /// Sends the bytes of `from`, of which there are `total` if that is known.
    pub(super) fn reading(mut self, from: impl Read + 'a, total: u64) -> Self {
        self.from = Some(Box::new(from));
        self.total = total;
        self
    }

    /// Gives bytes to `to`.
    pub(super) fn writing(mut self, to: impl Write + 'a) -> Self {
        self.to = Some(Box::new(to));
        self
    }

    /// Takes the bar off the screen.
    pub(super) fn finish(&mut self) {
        self.bar.finish();
    }

    fn noted<T>(&mut self, what: &str, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            self.failure = Some(CliError::failed(format!("cannot {what}: {error}")));
        })
    }
}

impl Channel for Screen<'_> {
    fn event(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Progress(progress) => {
                self.bar.show(&progress);
                Ok(())
            }
            event => (self.on_event)(event),
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(from) = &mut self.from else { return Ok(0) };
        let read = from.read(buf);
        let read = self.noted("read the archive", read)?;
        self.moved += read as u64;
        self.bar.show(&Progress { item: String::new(), done: self.moved, total: self.total });
        Ok(read)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(to) = &mut self.to else { return Ok(()) };
        let written = to.write_all(bytes);
        self.noted("write the archive", written)?;
        self.moved += bytes.len() as u64;
        self.bar.show(&Progress { item: String::new(), done: self.moved, total: self.total });
        Ok(())
    }
}

/// A bar on a terminal, lines elsewhere; on standard error, so that standard output holds the result.
struct Bar {
    name: &'static str,
    bar: Option<ProgressBar>,
    last: Instant,
}

impl Bar {
    fn stderr(name: &'static str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            bar.set_message(name);
            bar
        });
        Self { name, bar, last: Instant::now() }
    }

    fn show(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            let template = if progress.total == 0 {
                "{msg:>8} {spinner} {decimal_bytes} {decimal_bytes_per_sec}"
            } else {
                "{msg:>8} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}"
            };
            if progress.total > 0 && bar.length() != Some(progress.total) {
                bar.set_length(progress.total);
            }
            if bar.position() == 0 {
                // The templates are constants of this file; if one were wrong the library's own would do.
                let style = ProgressStyle::with_template(template);
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            }
            bar.set_position(progress.done);
        } else if self.last.elapsed() >= LINE_EVERY {
            self.last = Instant::now();
            eprintln!("{}", line(self.name, progress));
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(name: &str, Progress { done, total, .. }: &Progress) -> String {
    match total {
        0 => format!("{name}: {}", size(*done)),
        total => format!("{name}: {} of {}", size(*done), size(*total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_how_much_of_what() {
        let progress = |done, total| Progress { item: String::new(), done, total };
        assert_eq!(line("scrub", &progress(1_500, 3_000_000)), "scrub: 1.5 kB of 3.0 MB");
        assert_eq!(line("import", &progress(0, 0)), "import: 0 B");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_this_sides_failure() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let mut screen = Screen::quiet("import").reading(Broken, 0);
        assert!(screen.read(&mut [0; 8]).is_err());
        assert_eq!(
            screen.failure.map(|failure| failure.message),
            Some("cannot read the archive: gone".to_owned())
        );
    }
}
