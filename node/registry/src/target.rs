//! What a person names on a command line: a repository, or one image in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, Reference, RepoName, Tag};

/// `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The repository.
    pub repo: RepoName,
    /// Which image of it; `None`: all of it.
    pub reference: Option<Reference>,
}

impl Target {
    /// The tag, if it names one.
    pub fn tag(&self) -> Option<&Tag> {
        match &self.reference {
            Some(Reference::Tag(tag)) => Some(tag),
            _ => None,
        }
    }
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some((repo, digest)) = text.split_once('@') {
            let digest = digest.parse().map_err(NameError::Digest)?;
            // `name:tag@digest` is how some tools print an image; the digest says which one it is.
            let repo = split_tag(repo).0;
            return Ok(Self { repo: repo.parse()?, reference: Some(Reference::Digest(digest)) });
        }
        let (repo, tag) = split_tag(text);
        let reference = tag.map(str::parse).transpose()?.map(Reference::Tag);
        Ok(Self { repo: repo.parse()?, reference })
    }
}

/// Takes the tag off the end. A colon before the last slash belongs to a host's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((repo, tag)) if !tag.contains('/') => (repo, Some(tag)),
        _ => (text, None),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            None => write!(f, "{}", self.repo),
            Some(Reference::Tag(tag)) => write!(f, "{}:{tag}", self.repo),
            Some(Reference::Digest(digest)) => write!(f, "{}@{digest}", self.repo),
        }
    }
}

/// The repository and tag in a name as tools write it into archives: a registry's host in front is left out, since the
/// image is to stand here.
pub(crate) fn split_image_name(name: &str) -> Option<(RepoName, Option<Tag>)> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let (path, tag) = split_tag(name);
    let path = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => path,
    };
    Some((path.parse().ok()?, tag.and_then(|tag| tag.parse().ok())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn texts_and_back() {
        for text in ["a", "team/app", "team/app:v1", &format!("team/app@{DIGEST}")] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let both: Target = format!("a:v1@{DIGEST}").parse().unwrap();
        assert_eq!(both.to_string(), format!("a@{DIGEST}"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", ":", "a:", "a@", "a@sha256:x", "A", "localhost:8000/a", "a:b/c", "../a", "a b"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_left_out_of_names_in_archives() {
        let split =
            |name| split_image_name(name).map(|(repo, tag)| (repo.to_string(), tag.map(|t| t.to_string())));
        let is = |repo: &str, tag: Option<&str>| Some((repo.to_owned(), tag.map(str::to_owned)));
        assert_eq!(split("busybox"), is("busybox", None));
        assert_eq!(split("docker.io/library/busybox:1"), is("library/busybox", Some("1")));
        assert_eq!(split("localhost:5000/a/b"), is("a/b", None));
        assert_eq!(split("localhost/a:x"), is("a", Some("x")));
        let pinned = format!("q.io/a:x@{DIGEST}");
        assert_eq!(split(&pinned), is("a", Some("x")));
        assert_eq!(split("../../etc"), None);
        assert_eq!(split(""), None);
    }
}
