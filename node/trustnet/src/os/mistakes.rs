//! Mistakes in `trustnet.toml`: where, what, and what is done instead. None of them stops anything.

use std::fmt;
use std::fmt::Write as _;

/// The file's name on the boot medium.
pub const FILE: &str = "trustnet.toml";
/// Most mistakes that are listed; a file that is no settings file at all would fill the screen.
const MOST_LISTED: usize = 50;

/// One mistake. Never quotes a value of `[wifi]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
    /// What is done instead.
    pub instead: String,
}

impl Mistake {
    /// A mistake of the file as a whole.
    pub fn of_file(problem: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { line: 0, column: 0, problem: problem.into(), instead: instead.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FILE)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.problem)?;
        if self.instead.is_empty() { Ok(()) } else { write!(f, "; {}", self.instead) }
    }
}

/// The report: for the console, `/run/trustnet/report.txt` and the boot medium. It has no date, so
/// that an unchanged report need not be written again.
pub fn report(mistakes: &[Mistake]) -> String {
    if mistakes.is_empty() {
        return format!("No mistake was found in {FILE}.\n");
    }
    let mut text = String::new();
    for mistake in mistakes.iter().take(MOST_LISTED) {
        let _ = writeln!(text, "{mistake}");
    }
    if let Some(more) = mistakes.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        let _ = writeln!(text, "{FILE}: and {more} more");
    }
    text
}

/// Line and column (from 1, in characters) of a byte offset.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_place_problem_and_what_happens_instead() {
        let mistake = Mistake { line: 3, column: 7, problem: "p".into(), instead: "i".into() };
        assert_eq!(report(&[mistake]), "trustnet.toml:3:7: p; i\n");
        assert_eq!(report(&[Mistake::of_file("p", "")]), "trustnet.toml: p\n");
        assert!(!report(&[]).starts_with(FILE), "the setup script tells mistakes by their first word");
    }

    #[test]
    fn a_report_has_an_end() {
        let text = report(&vec![Mistake::of_file("p", ""); 1_000]);
        assert_eq!(text.lines().count(), 51);
        assert!(text.ends_with("trustnet.toml: and 950 more\n"));
    }

    #[test]
    fn positions_count_characters_and_never_split_one() {
        assert_eq!(position("aä\nöb", 4), (2, 1));
        assert_eq!(position("aä\nöb", 5), (2, 1));
        assert_eq!(position("aä\nöb", 6), (2, 2));
        assert_eq!(position("", 9), (1, 1));
    }
}
