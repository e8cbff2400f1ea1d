//! The sections of the settings that say who may do what: `[access]`, `[[user]]`, `[[key]]` and `[[rule]]`.

use serde::Deserialize;
use toml::Spanned;
use toml::value::{Datetime, Offset};

use super::action::Actions;
use super::header::MAX_USER_BYTES;
use super::password::PasswordHash;
use super::pattern::RepoPattern;
use super::proxies::ProxyAddress;
use super::token::MAX_AUDIENCE_BYTES;

/// `[access]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSection {
    /// What whoever says nothing of themselves may do to all repositories.
    pub anonymous: Actions,
    /// The names under which clients know this registry: tokens may be for one of them only.
    pub names: Vec<HostName>,
    /// Where clients reach it, if that is not where they say they do: behind a proxy that speaks TLS.
    pub url: Option<BaseUrl>,
    /// Proxies that are believed when they say whose request it is.
    pub proxies: Vec<ProxyAddress>,
}

impl Default for AccessSection {
    fn default() -> Self {
        Self { anonymous: Actions::PULL, names: Vec::new(), url: None, proxies: Vec::new() }
    }
}

/// `[[user]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSection {
    /// What the user is called.
    pub name: Spanned<PartyName>,
    /// The password, as it is kept.
    pub password: PasswordHash,
}

/// `[[key]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySection {
    /// What rules call it, after `key:`.
    pub name: Spanned<PartyName>,
    /// The public half, in hex.
    pub public: Spanned<KeyBytes>,
    /// Tokens made before this are refused.
    pub revoked_before: Option<Moment>,
}

/// `[[rule]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSection {
    /// To whom: names of users, `key:` and the name of a key, `users`, `keys`, or `anonymous`.
    pub who: Vec<Spanned<String>>,
    /// For which repositories.
    pub repositories: Vec<RepoPattern>,
    /// To do what.
    pub actions: Actions,
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $is_good:expr, $problem:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(pub String);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let is_good: fn(&str) -> bool = $is_good;
                if is_good(&text) { Ok(Self(text)) } else { Err(format!("{text:?} is {}", $problem)) }
            }
        }
    };
}

/// Names that mean more than one party.
const RESERVED: [&str; 3] = ["anonymous", "users", "keys"];

checked_text!(
    /// The name of a user or key.
    PartyName,
    |name| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        (1..=MAX_USER_BYTES).contains(&name.len()) && name.bytes().all(is_plain) && !RESERVED.contains(&name)
    },
    "no name for a user or key; take at most 64 letters, digits, dots, dashes, _ and @, and none of anonymous, users, keys"
);

/// Whether a text can be a host with or without a port, as it stands in a `Host` header.
pub(crate) fn is_host(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:[]-_".contains(&byte);
    (1..=MAX_AUDIENCE_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
}

checked_text!(
    /// A host with or without a port.
    HostName,
    is_host,
    "no host name; write it as clients do, such as registry.local:8053"
);

checked_text!(
    /// Where clients reach the registry.
    BaseUrl,
    |url| {
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        host.is_some_and(is_host)
    },
    "no address; write it as https://registry.example.org, without a path"
);

/// The bytes of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyBytes(pub [u8; 32]);

impl TryFrom<String> for KeyBytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| format!("{text:?} is no Ed25519 public key; write its 32 bytes as 64 hex digits"))?;
        Ok(Self(bytes))
    }
}

/// A moment, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Datetime")]
pub struct Moment(pub u64);

/// Days from 1970 to a day of the Gregorian calendar, counted in years that begin in March, whose last day is the one
/// that may be missing.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

impl TryFrom<Datetime> for Moment {
    type Error = String;

    fn try_from(moment: Datetime) -> Result<Self, String> {
        let (Some(date), Some(time), Some(offset)) = (moment.date, moment.time, moment.offset) else {
            return Err(format!("{moment} is no moment; write it as 2026-11-28T16:00:00Z"));
        };
        let minutes = match offset {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes),
        };
        let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
        let seconds = i64::from(time.second.unwrap_or(0)) - 60 * minutes;
        let seconds = days * 86_400 + i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + seconds;
        u64::try_from(seconds).map(Self).map_err(|_| format!("{moment} is before 1970"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let seconds =
            |text: &str| text.parse::<Datetime>().unwrap().try_into().map(|Moment(seconds)| seconds);
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:01Z", 951_825_601),
            ("2026-11-28T16:41:05Z", 1_795_884_065),
            ("2026-11-28T17:41:05+01:00", 1_795_884_065),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        assert!(seconds("2026-11-28").is_err() && seconds("2026-11-28T16:00:00").is_err());
        assert!(seconds("1969-12-31T23:59:59Z").is_err());
    }

    #[test]
    fn names_and_addresses() {
        let is_name = |text: &str| PartyName::try_from(text.to_owned()).is_ok();
        assert!(is_name("alice") && is_name("ci-bot.2") && is_name("a@b.c"));
        for bad in ["", "a b", "key:x", "anonymous", "users", "keys", "ü", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
        let is_url = |text: &str| BaseUrl::try_from(text.to_owned()).is_ok();
        assert!(is_url("https://registry.example.org") && is_url("http://[fd10:1234::2]:8000"));
        for bad in ["", "https://", "registry.local", "ftp://x", "https://x/y", "https://x\"", "https://x y"]
        {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
