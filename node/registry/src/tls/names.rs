//! What a server is called: host names and addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::error::{Result, TlsError};

/// Most names of one certificate. Each is sent with every handshake.
const MAX_NAMES: usize = 100;
/// Longest host name, in bytes.
const MAX_HOST_BYTES: usize = 253;
/// Longest part of a host name, in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// The names of a server, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    hosts: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

/// Whether a text in lowercase is a host name.
pub(crate) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL_BYTES
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    // One whose last part is a number would be read as an address by some clients.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= MAX_HOST_BYTES
        && text.split('.').all(is_label)
        && !text.rsplit('.').next().is_some_and(is_number)
}

/// Whether a client can reach a machine at this address without saying through which of its interfaces.
fn is_usable(address: &IpAddr) -> bool {
    let is_scoped = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !address.is_unspecified() && !address.is_multicast() && !is_scoped
}

impl Names {
    /// Adds a host name or an address from the settings.
    ///
    /// # Errors
    /// [`TlsError::Name`] for anything else, [`TlsError::TooManyNames`].
    pub fn add(&mut self, text: &str) -> Result<()> {
        let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            self.addresses.insert(address.to_canonical());
        } else {
            let host = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
            if !is_host(&host) {
                return Err(TlsError::Name(text.to_owned()));
            }
            self.hosts.insert(host);
        }
        if self.len() > MAX_NAMES { Err(TlsError::TooManyNames(MAX_NAMES)) } else { Ok(()) }
    }

    /// The names of a machine: its host name, alone and below `.local`, `localhost`, its addresses, and those of the
    /// settings.
    ///
    /// A host name that no certificate can have is left out, and so are addresses beyond what fits: they are what the
    /// system says, not what a person chose.
    ///
    /// # Errors
    /// [`TlsError::Name`] and [`TlsError::TooManyNames`] for what the settings say.
    pub fn of_machine(hostname: &str, addresses: &[IpAddr], settings: &[String]) -> Result<Self> {
        let mut names = Self::default();
        for name in ["localhost", "127.0.0.1", "::1"] {
            names.add(name)?;
        }
        for name in settings {
            names.add(name)?;
        }
        let hostname = hostname.trim().trim_end_matches('.').to_ascii_lowercase();
        if is_host(&hostname) {
            let short = hostname.split('.').next().unwrap_or(&hostname);
            for name in [hostname.clone(), short.to_owned(), format!("{short}.local")] {
                if is_host(&name) && names.len() < MAX_NAMES {
                    names.hosts.insert(name);
                }
            }
        }
        for address in addresses.iter().filter(|address| is_usable(address)) {
            if names.len() < MAX_NAMES {
                names.addresses.insert(address.to_canonical());
            }
        }
        Ok(names)
    }

    pub(crate) fn from_parts(
        hosts: impl IntoIterator<Item = String>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        Self { hosts: hosts.into_iter().collect(), addresses: addresses.into_iter().collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hosts.len() + self.addresses.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The host names, in order.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(String::as_str)
    }

    /// The addresses, in order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied()
    }

    /// Whether `host`, in any case, is among the host names.
    pub fn has_host(&self, host: &str) -> bool {
        self.hosts.contains(&host.to_ascii_lowercase())
    }

    /// Whether all of `others` are among these.
    pub(crate) fn covers(&self, others: &Self) -> bool {
        others.hosts.is_subset(&self.hosts) && others.addresses.is_subset(&self.addresses)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_machine() {
        let addresses = ["192.168.1.7", "fd10:1234::2", "fe80::1", "0.0.0.0", "::ffff:10.0.0.1", "ff02::1"]
            .map(|address| address.parse().unwrap());
        let extra = ["Registry.Example.ORG.".to_owned(), "[2001:db8::7]".to_owned()];
        let names = Names::of_machine("Pi-One.lan", &addresses, &extra).unwrap();
        let hosts: Vec<_> = names.hosts().collect();
        assert_eq!(hosts, ["localhost", "pi-one", "pi-one.lan", "pi-one.local", "registry.example.org"]);
        let found: Vec<_> = names.addresses().map(|address| address.to_string()).collect();
        let expected = ["10.0.0.1", "127.0.0.1", "192.168.1.7", "::1", "2001:db8::7", "fd10:1234::2"];
        assert_eq!(found, expected);
        assert!(names.has_host("REGISTRY.example.org") && !names.has_host("example.org"));
        assert!(names.covers(&Names::of_machine("", &[], &[]).unwrap()));
    }

    #[test]
    fn what_no_certificate_can_have_is_refused() {
        for bad in [
            "",
            " ",
            "a b",
            "-a",
            "a-",
            "a..b",
            "*.example.org",
            "ä.de",
            "1.2.3",
            "a/b",
            "a:80",
            &"a".repeat(64),
        ] {
            assert!(matches!(Names::default().add(bad), Err(TlsError::Name(_))), "{bad:?}");
        }
        // What the system says is not a person's mistake.
        assert_eq!(Names::of_machine("bad host!", &[], &[]).unwrap().len(), 3);
        let many: Vec<_> = (0..MAX_NAMES).map(|n| format!("host-{n}")).collect();
        assert!(matches!(Names::of_machine("a", &[], &many), Err(TlsError::TooManyNames(_))));
        let many: Vec<_> = (0..=255).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        assert_eq!(Names::of_machine("a", &many, &[]).unwrap().len(), MAX_NAMES);
    }
}
