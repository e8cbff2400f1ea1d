//! The sections `[[upstream]]` of the settings.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;

use crate::evict::Keeping;
use crate::name::RepoName;
use crate::policy::DAY_MS;
use crate::policy::eviction::Terms;
use crate::settings::{Secret, Size};

/// How long a tag is believed before the upstream is asked again, in seconds, if the settings do not say.
const REFRESH_SECONDS: u64 = 10 * 60;
/// Longest time that may be set: a tag that is never looked at again is no tag but a trap.
const MAX_REFRESH_SECONDS: u64 = 30 * 24 * 60 * 60;

/// A registry that this one keeps copies of.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// What its repositories' names begin with here, such as `docker.io`.
    pub prefix: String,
    /// Where it is, such as `https://registry-1.docker.io`.
    pub url: String,
    /// What clients call it with `?ns=`; the prefix if not said.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Who asks; nobody in particular if not said.
    #[serde(default)]
    pub username: Option<Secret>,
    /// The password or token of that user.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds it instead.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Authorities that its certificate is checked against, as a file of PEM; the system's if not said.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// How long a tag is believed before it is asked for again, in seconds.
    #[serde(default = "refresh_seconds")]
    pub refresh_seconds: u64,
    /// How long what nobody pulls is kept, in days that the registry has been running; for ever if not said.
    #[serde(default)]
    pub keep_days: Option<NonZeroU32>,
    /// How much is kept; whatever fits if not said.
    #[serde(default)]
    pub max: Option<Size>,
}

fn refresh_seconds() -> u64 {
    REFRESH_SECONDS
}

impl std::fmt::Debug for UpstreamSettings {
    /// In few words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamSettings")
            .field("prefix", &self.prefix)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// An upstream that cannot be used as it is set.
#[derive(Debug, thiserror::Error)]
#[error("upstream {prefix:?}: {why}")]
pub struct UpstreamSettingsError {
    /// Which one.
    pub prefix: String,
    /// What is wrong, and what to do.
    pub why: String,
}

impl UpstreamSettings {
    /// An upstream that is asked by nobody in particular, with the usual time between questions.
    pub fn new(prefix: &str, url: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            url: url.to_owned(),
            namespaces: Vec::new(),
            username: None,
            password: None,
            password_file: None,
            ca: None,
            refresh_seconds: REFRESH_SECONDS,
            keep_days: None,
            max: None,
        }
    }

    pub(super) fn refused(&self, why: impl Into<String>) -> UpstreamSettingsError {
        UpstreamSettingsError { prefix: self.prefix.clone(), why: why.into() }
    }

    /// Below which name its copies are kept.
    pub(super) fn prefix(&self) -> Result<RepoName, UpstreamSettingsError> {
        self.prefix.parse().map_err(|error| {
            self.refused(format!("the prefix has to be the beginning of a repository's name: {error}"))
        })
    }

    /// User and password, if there are both.
    pub(super) fn credentials(&self) -> Result<Option<(String, String)>, UpstreamSettingsError> {
        let password = match (&self.password, &self.password_file) {
            (Some(_), Some(_)) => return Err(self.refused("set password or password_file, not both")),
            (Some(password), None) => Some(password.reveal().to_owned()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    self.refused(format!("cannot read the password from {}: {error}", path.display()))
                })?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            (None, None) => None,
        };
        match (self.username.as_ref().map(Secret::reveal), password) {
            (None, None) => Ok(None),
            (Some(user), Some(password)) if !user.is_empty() && !user.contains(':') => {
                Ok(Some((user.to_owned(), password)))
            }
            (Some(_), Some(_)) => Err(self.refused("a username is not empty and holds no colon")),
            (Some(_), None) => Err(self.refused("it has a username and no password; set password_file")),
            (None, Some(_)) => Err(self.refused("it has a password and no username; set username")),
        }
    }

    /// What is kept, and for how long.
    pub(crate) fn keeping(&self) -> Result<Keeping, UpstreamSettingsError> {
        let repositories = format!("{}/*", self.prefix()?);
        Ok(Keeping {
            repositories: repositories.parse().map_err(|_| self.refused("the prefix is too long"))?,
            terms: Terms {
                keep_ms: self.keep_days.map(|days| u64::from(days.get()) * DAY_MS),
                max_bytes: self.max.map(|size| size.0),
            },
        })
    }

    pub(super) fn check_refresh(&self) -> Result<(), UpstreamSettingsError> {
        if (1..=MAX_REFRESH_SECONDS).contains(&self.refresh_seconds) {
            return Ok(());
        }
        Err(self.refused(format!("refresh_seconds is between 1 and {MAX_REFRESH_SECONDS}")))
    }
}
