//! The settings of a registry: one file, `registry.toml`, with a section for each concern. Each section is defined where
//! its concern is; here they become one file, and mistakes in it get their line.

mod limits;
mod live;
mod secret;
mod size;

use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

pub use limits::LimitsSection;
pub use live::LiveSettings;
pub use secret::Secret;
pub use size::Size;

use crate::access::{Access, AccessSection, KeySection, Mistake, RuleSection, UserSection};
use crate::logs::LogSection;
use crate::policy::{ImmutableSection, QuotaSection, RetentionSection, StorageRules, StorageSection};
use crate::tls::TlsSettings;
use crate::upstream::UpstreamSettings;

/// Where the settings stand in the registry's directory.
pub const SETTINGS_FILE: &str = "registry.toml";

/// Longest file of settings, in bytes.
pub const MAX_SETTINGS_BYTES: u64 = 1024 * 1024;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the registry's settings {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file says something that makes no sense.
    #[error("{}:{line}: {problem}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

/// `registry.toml`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Rights of whoever says nothing of themselves, and the names of the registry.
    pub access: AccessSection,
    /// Who has a password.
    pub user: Vec<UserSection>,
    /// Whose tokens are believed.
    pub key: Vec<KeySection>,
    /// Who may do what to which repositories.
    pub rule: Vec<RuleSection>,
    /// How full the disk may become.
    pub storage: StorageSection,
    /// How much repositories may hold.
    pub quota: Vec<QuotaSection>,
    /// Tags that go after a while.
    pub retention: Vec<RetentionSection>,
    /// Tags that never change.
    pub immutable: Vec<ImmutableSection>,
    /// How much clients may ask for.
    pub limits: LimitsSection,
    /// What is written down of requests; read when the registry starts.
    pub log: LogSection,
    /// How connections are encrypted; read when the registry starts.
    pub tls: TlsSettings,
    /// Registries that this one keeps copies of; read when the registry starts.
    pub upstream: Vec<UpstreamSettings>,
}

/// Settings as the registry uses them.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Who may do what.
    pub access: Arc<Access>,
    /// What may be stored.
    pub storage: Arc<StorageRules>,
    /// How much clients may ask for.
    pub limits: LimitsSection,
}

impl Compiled {
    /// Only these rights: no quotas, no limit on how often clients ask; of the disk, as much is left free as by default.
    pub fn only(access: Access) -> Self {
        let storage = Settings::default().compile().map(|compiled| compiled.storage).unwrap_or_default();
        Self { access: Arc::new(access), storage, limits: LimitsSection::none() }
    }
}

/// The line of a place, from 1.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
}

/// Text that was parsed, kept to tell the lines of mistakes that show later.
pub(super) struct Parsed {
    settings: Settings,
    text: String,
}

fn parse(text: String, path: &Path) -> Result<Parsed, SettingsError> {
    match toml::from_str(&text) {
        Ok(settings) => Ok(Parsed { settings, text }),
        Err(error) => {
            let line = line_of(&text, &error.span().unwrap_or(0..0));
            let problem = error.message().trim().replace('\n', "; ");
            Err(SettingsError::Wrong { path: path.into(), line, problem })
        }
    }
}

fn read(path: &Path) -> Result<Parsed, SettingsError> {
    let unreadable = |source| SettingsError::Unreadable { path: path.into(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_SETTINGS_BYTES {
        let why = format!("{bytes} bytes are more than the {MAX_SETTINGS_BYTES} of a file of settings");
        return Err(unreadable(io::Error::other(why)));
    }
    parse(std::fs::read_to_string(path).map_err(unreadable)?, path)
}

impl Parsed {
    pub(super) fn compile(&self, path: &Path) -> Result<Compiled, SettingsError> {
        self.settings.compile().map_err(|(span, problem)| SettingsError::Wrong {
            path: path.into(),
            line: line_of(&self.text, &span),
            problem,
        })
    }
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or says something that makes no sense: with its line, and what to do.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let parsed = read(path)?;
        parsed.compile(path)?;
        Ok(parsed.settings)
    }

    /// Reads the text of a file; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let parsed = parse(text.to_owned(), path)?;
        parsed.compile(path)?;
        Ok(parsed.settings)
    }

    /// Settings by which everybody may pull, and whoever has a token of one of `keys` may do what it says.
    ///
    /// # Errors
    /// When one is no key that can be trusted.
    pub fn trusting(keys: &[[u8; 32]]) -> Result<Self, SettingsError> {
        let mut text = String::new();
        for (number, key) in keys.iter().enumerate() {
            let _ =
                write!(text, "[[key]]\nname = \"key-{}\"\npublic = \"{}\"\n", number + 1, hex::encode(key));
        }
        if !keys.is_empty() {
            text += "[[rule]]\nwho = [\"keys\"]\nrepositories = [\"*\"]\nactions = [\"pull\", \"push\", \"delete\"]\n";
        }
        Self::parse(&text, Path::new("the trusted keys"))
    }

    /// What they come to.
    ///
    /// # Errors
    /// None for settings that were read.
    pub(crate) fn compiled(&self) -> Result<Compiled, SettingsError> {
        self.compile().map_err(|(_, problem)| SettingsError::Wrong {
            path: "settings".into(),
            line: 0,
            problem,
        })
    }

    /// What follows from them. Mistakes in settings that were read were found then.
    pub(crate) fn compile(&self) -> Result<Compiled, Mistake> {
        let access = Access::new(&self.access, &self.user, &self.key, &self.rule)?;
        let storage = StorageRules::new(&self.storage, &self.quota, &self.retention, &self.immutable)?;
        Ok(Compiled { access: Arc::new(access), storage: Arc::new(storage), limits: self.limits.clone() })
    }
}

#[cfg(test)]
#[path = "settings/tests.rs"]
mod tests;
