//! The section `[tls.acme]` of the settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::keep::AcmeError;
use crate::client::Target;
use crate::tls::Names;

/// From whom certificates come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Directory {
    /// Let's Encrypt.
    #[default]
    Production,
    /// Let's Encrypt's place to try things; no client trusts its certificates.
    Staging,
    /// Another authority, by the URL of its directory.
    Url(String),
}

impl Directory {
    /// The URL of the directory.
    pub fn url(&self) -> &str {
        match self {
            Self::Production => instant_acme::LetsEncrypt::Production.url(),
            Self::Staging => instant_acme::LetsEncrypt::Staging.url(),
            Self::Url(url) => url,
        }
    }
}

impl<'de> Deserialize<'de> for Directory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "production" => Ok(Self::Production),
            "staging" => Ok(Self::Staging),
            url if Target::parse(url).is_ok_and(|target| target.is_https) => Ok(Self::Url(url.to_owned())),
            other => Err(de::Error::custom(format!(
                "{other:?} is not \"production\", \"staging\" or the https:// URL of an ACME directory"
            ))),
        }
    }
}

/// How the authority sees that a name is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Proof {
    /// It asks for a page over HTTP, at port 80.
    #[default]
    #[serde(rename = "http-01")]
    Http,
    /// It looks at a certificate made for it, at port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn,
}

/// How a certificate of a public authority is had.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeSettings {
    /// The public names, all of which lead to this machine.
    pub names: Vec<String>,
    /// Whether the authority's terms of service are agreed to; nothing is asked of it before.
    #[serde(default)]
    pub agree_to_terms: bool,
    /// Where the authority writes to when something is wrong: an address of e-mail.
    #[serde(default)]
    pub contact: Option<String>,
    /// From whom.
    #[serde(default)]
    pub directory: Directory,
    /// Authorities that the directory's own certificate is checked against, as a file of PEM; the system's if not said.
    #[serde(default)]
    pub roots: Option<PathBuf>,
    /// How the names are proved.
    #[serde(default)]
    pub proof: Proof,
    /// Where the answers of `http-01` are served beside the registry's own plain port, such as `0.0.0.0:80`.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
}

impl AcmeSettings {
    /// The names, checked.
    ///
    /// # Errors
    /// When there are none, one is an address or no name, or the terms are not agreed to.
    pub fn check(&self) -> Result<Names, AcmeError> {
        let mut names = Names::default();
        for name in &self.names {
            names.add(name).map_err(|error| AcmeError::Settings(error.to_string()))?;
        }
        if names.is_empty() || names.addresses().next().is_some() {
            return Err(AcmeError::Settings(
                "tls.acme.names has to list public host names; addresses get no such certificate".to_owned(),
            ));
        }
        if !self.agree_to_terms {
            return Err(AcmeError::Settings(format!(
                "read the terms of service of {} and set tls.acme.agree_to_terms = true",
                self.directory.url()
            )));
        }
        if self
            .contact
            .as_ref()
            .is_some_and(|contact| !contact.contains('@') || contact.contains([' ', ':', ',']))
        {
            return Err(AcmeError::Settings(
                "tls.acme.contact is an address of e-mail, without mailto:".to_owned(),
            ));
        }
        Ok(names)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AcmeSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_and_their_mistakes() {
        let settings =
            read("names = [\"r.example.org\"]\nagree_to_terms = true\ncontact = \"a@example.org\"").unwrap();
        assert_eq!((&settings.directory, settings.proof), (&Directory::Production, Proof::Http));
        assert!(settings.directory.url().starts_with("https://acme-v02."));
        assert!(settings.check().unwrap().has_host("r.example.org"));
        let other =
            read("names = []\ndirectory = \"https://localhost:14000/dir\"\nproof = \"tls-alpn-01\"").unwrap();
        assert_eq!(other.directory.url(), "https://localhost:14000/dir");
        for (text, part) in [
            ("names = [\"a\"]\nname = 1", "unknown field `name`"),
            ("names = [\"a\"]\ndirectory = \"prod\"", "is not \"production\""),
            ("names = [\"a\"]\ndirectory = \"http://a/dir\"", "is not \"production\""),
            ("names = [\"a\"]\nproof = \"dns-01\"", "dns-01"),
            ("", "names"),
        ] {
            assert!(read(text).unwrap_err().contains(part), "{text}");
        }
        for text in [
            "names = []\nagree_to_terms = true",
            "names = [\"192.0.2.1\"]\nagree_to_terms = true",
            "names = [\"a b\"]\nagree_to_terms = true",
            "names = [\"r.example.org\"]",
            "names = [\"r.example.org\"]\nagree_to_terms = true\ncontact = \"mailto:a@b\"",
        ] {
            assert!(matches!(read(text).unwrap().check(), Err(AcmeError::Settings(_))), "{text}");
        }
    }
}
