//! The section `[tls]` of the settings.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::error::Result;
use super::names::Names;
use crate::acme::AcmeSettings;

/// How the registry serves TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// Where it listens; the caller's default if it is not said.
    pub listen: Option<SocketAddr>,
    /// Names of the certificate beside those of the machine: host names and addresses.
    pub names: Vec<String>,
    /// A certificate by a public authority, for public names.
    pub acme: Option<AcmeSettings>,
}

impl TlsSettings {
    /// The names of the cluster authority's certificate on a machine with this host name and these addresses.
    ///
    /// # Errors
    /// When a name in the settings is none.
    pub fn names(&self, hostname: &str, addresses: &[IpAddr]) -> Result<Names> {
        let public = self.acme.iter().flat_map(|acme| &acme.names);
        // The public names, too: until the public certificate is there, and when it cannot be renewed, this one serves.
        let all: Vec<_> = self.names.iter().chain(public).cloned().collect();
        Names::of_machine(hostname, addresses, &all)
    }
}
