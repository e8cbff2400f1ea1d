//! What a command prints as its result.

use std::fmt;
use std::io;

use super::Failure;

/// Whoever read the output has gone (`| head`): no fault, and nobody to tell of it.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has gone")]
pub struct ReaderGone;

/// Prints a line.
///
/// # Errors
/// [`ReaderGone`], or what the system says.
pub fn line(text: fmt::Arguments<'_>) -> Result<(), Failure> {
    write_line(&mut io::stdout().lock(), text)
}

fn write_line(out: &mut dyn io::Write, text: fmt::Arguments<'_>) -> Result<(), Failure> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => Ok(written.map_err(|error| format!("cannot write the output: {error}"))?),
    }
}

/// Prints a line of the result; ends the function if nobody reads.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::say::line(format_args!($($text)*))? };
}
pub(crate) use say;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct Gone(io::ErrorKind);

    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_told_from_a_full_disk() {
        let gone = write_line(&mut Gone(io::ErrorKind::BrokenPipe), format_args!("x")).unwrap_err();
        assert!(gone.is::<ReaderGone>());
        let full = write_line(&mut Gone(io::ErrorKind::StorageFull), format_args!("x")).unwrap_err();
        assert!(!full.is::<ReaderGone>());
        assert!(full.to_string().starts_with("cannot write the output"), "{full}");
    }
}
