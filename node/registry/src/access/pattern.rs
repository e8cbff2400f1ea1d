//! Which repositories or tags a rule is about: one of them by its name, all that begin alike, or all.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::limits::{MAX_NAME_BYTES, MAX_TAG_BYTES};
use crate::name::{RepoName, Tag};

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a pattern of repositories.
    #[error("not a pattern of repositories; write a name such as team/app, all below one as team/*, or *")]
    Repositories,
    /// Not a pattern of tags.
    #[error("not a pattern of tags; write a tag such as v1.2, all that begin alike as v*, or *")]
    Tags,
}

/// Repositories: `team/app`, `team/*` (all below `team`, not `team` itself), or `*`.
///
/// A star stands only after a slash: `team*` would also mean `teammate/app`, which nobody has in mind who gives rights.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct RepoPattern(Box<str>);

impl RepoPattern {
    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern of all repositories.
    pub fn all() -> Self {
        Self("*".into())
    }

    /// The pattern that means one repository.
    pub fn exactly(repo: &RepoName) -> Self {
        Self(repo.as_str().into())
    }

    /// Whether it means `repo`.
    pub fn matches(&self, repo: &RepoName) -> bool {
        match self.prefix() {
            Some(prefix) => repo.as_str().len() > prefix.len() && repo.as_str().starts_with(prefix),
            None => repo.as_str() == &*self.0,
        }
    }

    /// What the names begin with, if it can mean several.
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }
}

impl FromStr for RepoPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let name = match text.strip_suffix('*') {
            Some("") => return Ok(Self(text.into())),
            Some(prefix) => prefix.strip_suffix('/').ok_or(PatternError::Repositories)?,
            None => text,
        };
        let is_pattern = text.len() <= MAX_NAME_BYTES && name.parse::<RepoName>().is_ok();
        if is_pattern { Ok(Self(text.into())) } else { Err(PatternError::Repositories) }
    }
}

impl TryFrom<String> for RepoPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{text:?} is {error}"))
    }
}

impl fmt::Display for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tags: `v1.2`, `v*` (all that begin with `v`), or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TagPattern(Box<str>);

impl TagPattern {
    /// The pattern of all tags.
    pub fn all() -> Self {
        Self("*".into())
    }

    /// Whether it means `tag`.
    pub fn matches(&self, tag: &Tag) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => tag.as_str().starts_with(prefix),
            None => tag.as_str() == &*self.0,
        }
    }
}

impl FromStr for TagPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let begin = text.strip_suffix('*').unwrap_or(text);
        let is_all = text == "*";
        let is_pattern = text.len() <= MAX_TAG_BYTES && begin.parse::<Tag>().is_ok();
        if is_all || is_pattern { Ok(Self(text.into())) } else { Err(PatternError::Tags) }
    }
}

impl TryFrom<String> for TagPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{text:?} is {error}"))
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn repositories_that_are_meant_and_those_that_are_not() {
        let cases = [
            ("*", &["a", "team/app", "x/y/z"][..], &[][..]),
            ("team/*", &["team/app", "team/a/b"], &["team", "teammate", "teammate/app", "a/team/app"]),
            ("team/app", &["team/app"], &["team/app/x", "team/apps", "team", "x/team/app"]),
        ];
        for (pattern, meant, others) in cases {
            let parsed: RepoPattern = pattern.parse().unwrap();
            assert_eq!(parsed.to_string(), pattern);
            assert!(meant.iter().all(|name| parsed.matches(&name.parse().unwrap())), "{pattern}");
            assert!(!others.iter().any(|name| parsed.matches(&name.parse().unwrap())), "{pattern}");
        }
    }

    #[test]
    fn tags_that_are_meant_and_those_that_are_not() {
        let cases = [
            ("*", &["latest", "_x"][..], &[][..]),
            ("v*", &["v", "v1.2"], &["V1", "rv1"]),
            ("v1.2", &["v1.2"], &["v1.2.3", "v1"]),
        ];
        for (pattern, meant, others) in cases {
            let parsed: TagPattern = pattern.parse().unwrap();
            assert!(meant.iter().all(|tag| parsed.matches(&tag.parse().unwrap())), "{pattern}");
            assert!(!others.iter().any(|tag| parsed.matches(&tag.parse().unwrap())), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        let long = "a".repeat(300);
        for bad in
            ["", "/", "/*", "team*", "te*am", "**", "*/app", "team/**", "Team/*", "team//*", "../*", &long]
        {
            assert_eq!(bad.parse::<RepoPattern>(), Err(PatternError::Repositories), "{bad}");
        }
        for bad in ["", "v**", "*v", ".*", "-x", "a/*", &long] {
            assert_eq!(bad.parse::<TagPattern>(), Err(PatternError::Tags), "{bad}");
        }
    }
}
