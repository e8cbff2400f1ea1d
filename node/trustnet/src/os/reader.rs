//! Reads TOML in which every mistake costs only the value it is in.
//!
//! The parser goes on after an error; a value on whose lines one was found is left out without a second
//! message. Values are handed to a check each; what it refuses becomes a mistake with its place.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::os::mistakes::{Mistake, position};
use crate::suggest::nearest;

/// A table of the file: the root or a section. Missing ones read as empty.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    name: &'static str,
    table: Option<&'a DeTable<'a>>,
}

/// Collects the mistakes of one file.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    /// Lines on which the parser found an error.
    broken: Vec<RangeInclusive<usize>>,
    /// Whether something is not where it was meant to be, or cannot be read, so that it might belong to any section.
    pub is_unsure: bool,
    /// What was found, in no order.
    pub mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    /// Parses `text`; what can be understood of it comes back as a table.
    pub fn parse(text: &'a str) -> (Self, DeTable<'a>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader =
            Self { text, broken: Vec::new(), is_unsure: !errors.is_empty(), mistakes: Vec::new() };
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let lines = reader.lines(&span);
            // One message a line: what follows an error on its line mostly follows from it.
            if !reader.broken.iter().any(|broken| broken.contains(lines.start())) {
                let problem = error.message().trim().replace('\n', "; ");
                reader.add(&span, problem, "the line is left out");
            }
            reader.broken.push(lines);
        }
        (reader, table.into_inner())
    }

    /// The root table, which may hold `keys`.
    pub fn root<'t>(&mut self, table: &'t DeTable<'a>, keys: &[&str]) -> Section<'t>
    where
        'a: 't,
    {
        let section = Section { name: "", table: Some(table) };
        self.check_keys(section, keys);
        section
    }

    /// A section of the root, which may hold `keys`.
    pub fn section<'t>(&mut self, root: Section<'t>, name: &'static str, keys: &[&str]) -> Section<'t> {
        let mut section = Section { name, table: None };
        if let Some((value, span)) = self.get(root, name) {
            if let DeValue::Table(table) = value {
                section.table = Some(table);
            } else {
                self.is_unsure = true;
                self.add(&span, format!("`{name}` must be a section: [{name}]"), "it is left out");
            }
        }
        self.check_keys(section, keys);
        section
    }

    /// A text that `check` accepts.
    pub fn text<T>(
        &mut self,
        section: Section<'_>,
        key: &str,
        instead: &str,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (value, span) = self.get(section, key)?;
        self.checked(section, key, value, &span, instead, check)
    }

    /// A list of texts; those that `check` refuses are left out.
    pub fn texts<T>(
        &mut self,
        section: Section<'_>,
        key: &str,
        most: usize,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some((value, span)) = self.get(section, key) else { return Vec::new() };
        let DeValue::Array(values) = value else {
            let problem = format!("{} must be a list of texts in quotes, as [\"...\"]", section.path(key));
            self.add(&span, problem, "it is left out");
            return Vec::new();
        };
        if values.len() > most {
            let problem = format!("{} has {} entries, more than {most}", section.path(key), values.len());
            self.add(&span, problem, "the further ones are left out");
        }
        let mut checked = Vec::new();
        for value in values.iter().take(most) {
            let span = value.span();
            checked.extend(self.checked(
                section,
                key,
                value.get_ref(),
                &span,
                "this entry is left out",
                &check,
            ));
        }
        checked
    }

    /// Yes or no.
    pub fn flag(&mut self, section: Section<'_>, key: &str, instead: &str) -> Option<bool> {
        let (value, span) = self.get(section, key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            let problem = format!("{} must be true or false, without quotes", section.path(key));
            self.add(&span, problem, instead);
        }
        flag
    }

    /// Whether the value of `key` is a text, so that the caller can choose how to read it.
    pub fn is_text(&self, section: Section<'_>, key: &str) -> bool {
        self.get(section, key).is_some_and(|(value, _)| value.is_str())
    }

    /// Whether `key` stands in the file, whatever its value, also on a broken line.
    pub fn has(&self, section: Section<'_>, key: &str) -> bool {
        section.table.is_some_and(|table| table.contains_key(key))
    }

    /// Notes a mistake at the value of `key`.
    pub fn mistake(&mut self, section: Section<'_>, key: &str, problem: &str, instead: &str) {
        let span = self.get(section, key).map_or(0..0, |(_, span)| span);
        self.add(&span, format!("{}: {problem}", section.path(key)), instead);
    }

    fn checked<T>(
        &mut self,
        section: Section<'_>,
        key: &str,
        value: &DeValue<'_>,
        span: &Range<usize>,
        instead: &str,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let path = section.path(key);
        let problem = match value {
            DeValue::String(text) if text.contains('\u{FFFD}') => {
                format!("{path}: the file is not UTF-8 here; save it as UTF-8")
            }
            DeValue::String(text) => match check(text) {
                Ok(value) => return Some(value),
                Err(problem) => format!("{path}: {problem}"),
            },
            _ => format!("{path} must be a text in quotes"),
        };
        self.add(span, problem, instead);
        None
    }

    /// A value and its place; nothing when it is missing or on a broken line.
    fn get<'t>(&self, section: Section<'t>, key: &str) -> Option<(&'t DeValue<'t>, Range<usize>)> {
        let value: &Spanned<DeValue<'t>> = section.table?.get(key)?;
        let span = value.span();
        // A table's span may be the whole rest of the file: its values are judged one by one.
        let spoilt = !value.get_ref().is_table() && self.is_broken(&span);
        (!spoilt).then(|| (value.get_ref(), span))
    }

    fn check_keys(&mut self, section: Section<'_>, known: &[&str]) {
        let Some(table) = section.table else { return };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) || self.is_broken(&key.span()) || self.is_broken(&value.span()) {
                continue;
            }
            let place = match section.name {
                "" => "before the first section".to_owned(),
                section => format!("in [{section}]"),
            };
            let name: String = name.escape_debug().take(40).collect();
            let near = nearest(&name, known);
            let problem = match near {
                Some(near) => format!("there is no setting `{name}` {place}; did you mean `{near}`?"),
                None => format!("there is no setting `{name}` {place} (known: {})", known.join(", ")),
            };
            // What is like a setting of its own section was meant for that.
            self.is_unsure |= near.is_none_or(|near| near == "node");
            self.add(&key.span(), problem, "it is left out");
        }
    }

    fn is_broken(&self, span: &Range<usize>) -> bool {
        let lines = self.lines(span);
        self.broken.iter().any(|broken| broken.start() <= lines.end() && lines.start() <= broken.end())
    }

    fn lines(&self, span: &Range<usize>) -> RangeInclusive<usize> {
        let (start, _) = position(self.text, span.start);
        let (end, _) = position(self.text, span.end);
        start..=end
    }

    fn add(&mut self, span: &Range<usize>, problem: String, instead: &str) {
        let (line, column) = position(self.text, span.start);
        self.mistakes.push(Mistake { line, column, problem, instead: instead.to_owned() });
    }
}

impl Section<'_> {
    /// `network.address`.
    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}
