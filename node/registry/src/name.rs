//! Names of repositories, tags, and what a manifest is asked for by. The grammar is the specification's; everything
//! that becomes a path on disk or a key of the metadata has passed through here.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};
use crate::limits::{MAX_NAME_BYTES, MAX_TAG_BYTES};

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a repository's name.
    #[error(
        "a repository name is made of lowercase letters and digits, joined by one of . _ __ or dashes, in parts separated by /, at most {MAX_NAME_BYTES} bytes"
    )]
    Repository,
    /// Not a tag.
    #[error(
        "a tag is made of letters, digits, _ . and -, does not begin with . or -, and has at most {MAX_TAG_BYTES} bytes"
    )]
    Tag,
    /// Something with a colon that is not a digest.
    #[error("{0}")]
    Digest(DigestError),
}

/// Name of a repository.
///
/// Its parts begin with a letter or digit, so none can be `.` or `..`, nor collide with what the registry keeps
/// beside them under names that begin with `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoName(Box<str>);

impl RepoName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is left of the name of a repository that is below `prefix`.
    pub(crate) fn below(&self, prefix: &Self) -> Option<&str> {
        self.0.strip_prefix(prefix.as_str())?.strip_prefix('/')
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &[u8]) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(&first), Some(&last)) = (part.first(), part.last()) else { return false };
    if !is_word(first) || !is_word(last) {
        return false;
    }
    part.split(|byte| is_word(*byte)).all(|joint| match joint {
        [] | [b'.' | b'_'] | [b'_', b'_'] => true,
        dashes => dashes.iter().all(|byte| *byte == b'-'),
    })
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_name =
            text.len() <= MAX_NAME_BYTES && text.split('/').all(|part| is_component(part.as_bytes()));
        if is_name { Ok(Self(text.into())) } else { Err(NameError::Repository) }
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag: a name for a manifest that may move to another one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = NameError;

    /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_tag = text.len() <= MAX_TAG_BYTES
            && text.bytes().all(is_inner)
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_tag { Ok(Self(text.into())) } else { Err(NameError::Tag) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Whatever the tag means now.
    Tag(Tag),
    /// This very manifest.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // No tag contains a colon, every digest does.
        if text.contains(':') {
            text.parse().map(Self::Digest).map_err(NameError::Digest)
        } else {
            text.parse().map(Self::Tag)
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names() {
        for good in
            ["a", "0", "library/busybox", "a.b/c_d/e__f/g-h/i---j", "a/blobs/uploads", &"a".repeat(255)]
        {
            assert!(good.parse::<RepoName>().is_ok(), "{good}");
        }
        let bad = [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "../x",
            "a/../b",
            "a/.",
            "A",
            "ä",
            "a b",
            "a\0b",
            "a\nb",
            "_a",
            "a_",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a.-b",
            "a%2e",
            "a:b",
            "a\\b",
            &"a".repeat(256),
        ];
        for bad in bad {
            assert!(bad.parse::<RepoName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_and_references() {
        for good in ["latest", "1.2.3", "_x", "A-b.c_d", &"t".repeat(128)] {
            assert!(matches!(good.parse(), Ok(Reference::Tag(_))), "{good}");
        }
        for bad in ["", ".", "..", "-a", ".a", "a/b", "a b", "ü", "a\0", &"t".repeat(129)] {
            assert_eq!(bad.parse::<Reference>(), Err(NameError::Tag), "{bad:?}");
        }
        assert!(matches!("sha256:x".parse::<Reference>(), Err(NameError::Digest(_))));
        assert!(matches!("a:b".parse::<Reference>(), Err(NameError::Digest(_))));
    }
}
