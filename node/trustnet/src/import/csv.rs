//! Reading a signed trust network in the form the SNAP collection publishes: `source,target,rating,time`.
//!
//! The whole file is read and judged before anything else happens, so that a broken line on the last
//! page never leaves half a file on the chain. Times are read as decimal text, not as floating point:
//! the same file must give the same milliseconds on every machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

/// The largest file that is read, in bytes. Bitcoin OTC has 1 MB; a hundred million ratings do not
/// belong through this door.
pub const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// The longest line that is read, in bytes. Four numbers need 70.
pub const MAX_LINE_BYTES: usize = 256;
/// How many problems an error lists before it only counts them.
pub const MAX_PROBLEMS_SHOWN: usize = 10;
/// The latest time a rating may carry: the end of the year 9999, in Unix seconds.
const MAX_TIME_S: u64 = 253_402_300_799;
/// Milliseconds in a UTC day.
pub const DAY_MS: u64 = 86_400_000;

/// One rating of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it was given, in Unix milliseconds (fractions of a millisecond are cut off).
    pub time_ms: u64,
    /// The person who rates.
    pub source: u64,
    /// The person who is rated.
    pub target: u64,
    /// The line it stands on, from 1.
    pub line: u32,
    /// The rating as in the file, -10 to 10.
    pub weight: i8,
}

impl Row {
    /// The rating in stars, by the mapping that the reference of the trust score uses.
    pub fn stars(&self) -> u8 {
        match self.weight {
            ..=-5 => 1,
            -4..=-1 => 2,
            0 => 3,
            1..=4 => 4,
            5.. => 5,
        }
    }

    /// The order in which ratings are given: time, then source, then target, then line.
    fn order(&self) -> (u64, u64, u64, u32) {
        (self.time_ms, self.source, self.target, self.line)
    }
}

/// A line that cannot be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub what: String,
}

/// Why a file was not taken. Nothing has been submitted in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// It could not be read at all.
    #[error("cannot read {file}: {source}; check the path and its permissions")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than [`MAX_FILE_BYTES`].
    #[error("{file} is larger than {} MiB; split it and import the parts one after another", MAX_FILE_BYTES >> 20)]
    TooLarge {
        /// The file.
        file: String,
    },
    /// It holds not one rating.
    #[error("{file} holds no ratings; expected lines `source,target,rating,time` such as `6,2,4,1289241911`")]
    Empty {
        /// The file.
        file: String,
    },
    /// Some lines are broken.
    #[error("{}", list(file, *count, problems))]
    Lines {
        /// The file.
        file: String,
        /// How many lines are broken.
        count: usize,
        /// The first [`MAX_PROBLEMS_SHOWN`] of them.
        problems: Vec<Problem>,
    },
}

fn list(file: &str, count: usize, problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{file}:{}: {}", problem.line, problem.what);
    }
    let more = count - problems.len().min(count);
    if more > 0 {
        let _ = writeln!(text, "... and {more} more");
    }
    let lines = if count == 1 {
        "1 line of the file is broken"
    } else {
        &format!("{count} lines of the file are broken")
    };
    let _ = write!(text, "{lines}; nothing was submitted: correct them and run the same command again");
    text
}

/// A file of ratings, complete and in order.
#[derive(Clone, Debug)]
pub struct Ratings {
    /// The file's name as it was given, for messages.
    pub file: String,
    /// All ratings in (time, source, target) order.
    pub rows: Vec<Row>,
}

impl Ratings {
    /// Reads a file. `now_ms` is the clock: a rating from the future could never be committed.
    ///
    /// # Errors
    /// [`CsvError`]; the file is taken as a whole or not at all.
    pub fn read(path: &Path, now_ms: u64) -> Result<Self, CsvError> {
        let name = path.display().to_string();
        let io = |source| CsvError::Io { file: name.clone(), source };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(io(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
        }
        Self::parse(&name, BufReader::new(file), now_ms)
    }

    /// As [`Ratings::read`], from anything that gives bytes.
    ///
    /// # Errors
    /// As there.
    pub fn parse(file: &str, input: impl io::BufRead, now_ms: u64) -> Result<Self, CsvError> {
        let mut input = input.take(MAX_FILE_BYTES + 1);
        let (mut rows, mut problems, mut count) = (Vec::new(), Vec::new(), 0);
        let mut line = Vec::new();
        let mut number = 0u32;
        loop {
            line.clear();
            let io = |source| CsvError::Io { file: file.to_owned(), source };
            // A line is read in bounded pieces, so that a file without line ends cannot fill memory.
            let length =
                (&mut input).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line).map_err(io)?;
            if length == 0 {
                break;
            }
            number = number.saturating_add(1);
            let result = if line.len() > MAX_LINE_BYTES {
                if line.last() != Some(&b'\n') {
                    skip_line(&mut input).map_err(io)?;
                }
                Err(format!("the line is longer than {MAX_LINE_BYTES} bytes"))
            } else {
                parse_line(&line, number, now_ms)
            };
            match result {
                Ok(row) => rows.extend(row),
                Err(what) => {
                    count += 1;
                    if problems.len() < MAX_PROBLEMS_SHOWN {
                        problems.push(Problem { line: number, what });
                    }
                }
            }
            if input.limit() == 0 {
                return Err(CsvError::TooLarge { file: file.to_owned() });
            }
        }
        if count > 0 {
            return Err(CsvError::Lines { file: file.to_owned(), count, problems });
        }
        if rows.is_empty() {
            return Err(CsvError::Empty { file: file.to_owned() });
        }
        rows.sort_unstable_by_key(Row::order);
        Ok(Self { file: file.to_owned(), rows })
    }

    /// Everybody in the file, with the time of the first rating given or received and its line.
    pub fn people(&self) -> BTreeMap<u64, (u64, u32)> {
        let mut people = BTreeMap::new();
        for row in &self.rows {
            people.entry(row.source).or_insert((row.time_ms, row.line));
            people.entry(row.target).or_insert((row.time_ms, row.line));
        }
        people
    }

    /// The first `count` distinct raters, in the order of the ratings.
    pub fn first_raters(&self, count: usize) -> Vec<u64> {
        let mut raters = Vec::new();
        for row in &self.rows {
            if raters.len() == count {
                break;
            }
            if !raters.contains(&row.source) {
                raters.push(row.source);
            }
        }
        raters
    }

    /// The UTC day of the last rating, counted from 1970-01-01.
    pub fn last_day(&self) -> u32 {
        self.rows.last().map_or(0, |row| u32::try_from(row.time_ms / DAY_MS).unwrap_or(u32::MAX))
    }
}

fn skip_line(input: &mut impl io::BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, ended) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

/// One line: a rating, nothing (blank, comment or heading), or what is wrong.
fn parse_line(line: &[u8], number: u32, now_ms: u64) -> Result<Option<Row>, String> {
    let Ok(mut text) = str::from_utf8(line) else {
        return Err("the line is not text (UTF-8)".to_owned());
    };
    if number == 1 {
        text = text.trim_start_matches('\u{feff}');
    }
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    let heading = |field: &&str| field.starts_with(|c: char| c.is_alphabetic() || c == '"' || c == '_');
    if number == 1 && fields.iter().all(heading) {
        return Ok(None);
    }
    let [source, target, weight, time] = fields[..] else {
        return Err(format!(
            "expected 4 fields `source,target,rating,time`, found {}: {}",
            fields.len(),
            quote(text)
        ));
    };
    let source = person("source", source)?;
    let target = person("target", target)?;
    let weight = match weight.parse::<i8>() {
        Ok(weight) if (-10..=10).contains(&weight) => weight,
        _ => return Err(format!("the rating must be a whole number from -10 to 10, not {}", quote(weight))),
    };
    let time_ms = milliseconds(time).ok_or_else(|| {
        format!("the time must be Unix seconds such as 1289241911 or 1289241911.728, not {}", quote(time))
    })?;
    if time_ms > now_ms {
        return Err(format!("the time {time} lies in the future; the chain takes no rating before its time"));
    }
    if source == target {
        return Err(format!("person {source} rates itself; the chain takes no self-ratings"));
    }
    Ok(Some(Row { time_ms, source, target, line: number, weight }))
}

fn person(what: &str, field: &str) -> Result<u64, String> {
    let digits = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| field.parse().ok())
        .flatten()
        .ok_or_else(|| format!("the {what} must be a person's number (0 or more), not {}", quote(field)))
}

/// Unix seconds with an optional fraction, as milliseconds; what is finer is cut off.
fn milliseconds(field: &str) -> Option<u64> {
    let (whole, fraction) = field.split_once('.').unwrap_or((field, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds: u64 = whole.parse().ok().filter(|&seconds| seconds <= MAX_TIME_S)?;
    let thousandths =
        fraction.bytes().chain(*b"000").take(3).fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0'));
    Some(seconds * 1_000 + thousandths)
}

/// A piece of the file for a message: short, and without control characters.
fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    let short: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
    let dots = if text.chars().count() > SHOWN { "..." } else { "" };
    format!("`{short}{dots}`")
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
