//! What the checks run on.

use std::fmt;
use std::str::FromStr;

/// A machine of some kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// QEMU's `virt`, with the image's kernel given to it directly.
    Direct,
    /// QEMU's `virt`, started by UEFI firmware.
    Uefi,
    /// QEMU's Raspberry Pi 3: SD card and USB network.
    Raspi3b,
    /// Four VMs of one network.
    Cluster,
    /// A machine that runs somewhere.
    Board {
        /// Its address.
        host: String,
        /// Port of its SSH.
        port: u16,
    },
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "direct" => return Ok(Self::Direct),
            "uefi" => return Ok(Self::Uefi),
            "raspi3b" => return Ok(Self::Raspi3b),
            "cluster" => return Ok(Self::Cluster),
            _ => {}
        }
        let wrong = || {
            format!(
                "{text:?} is none of direct, uefi, raspi3b, cluster, ssh://warden@HOST, ssh://warden@HOST:PORT"
            )
        };
        let address = text.strip_prefix("ssh://").ok_or_else(wrong)?;
        let address = address.strip_prefix("warden@").unwrap_or(address).trim_end_matches('/');
        let (host, port) = match address.rsplit_once(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (address, 22),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '%');
        // A host that begins with a dash would be an option of ssh.
        if host.is_empty() || host.starts_with('-') || !host.chars().all(good) {
            return Err(wrong());
        }
        Ok(Self::Board { host: host.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.pad("direct"),
            Self::Uefi => f.pad("uefi"),
            Self::Raspi3b => f.pad("raspi3b"),
            Self::Cluster => f.pad("cluster"),
            Self::Board { host, port } => f.pad(&format!("ssh://warden@{host}:{port}")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_shown() {
        for text in ["direct", "uefi", "raspi3b", "cluster", "ssh://warden@10.0.0.7:2222"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let board = |host: &str, port| Target::Board { host: host.into(), port };
        assert_eq!("ssh://kitchen.local".parse(), Ok(board("kitchen.local", 22)));
        assert_eq!("ssh://warden@[fd10:1234::1]:22".parse(), Ok(board("fd10:1234::1", 22)));
        assert_eq!("ssh://warden@[fd10:1234::1]".parse(), Ok(board("fd10:1234::1", 22)));
    }

    #[test]
    fn what_is_no_target_is_named_and_no_option_slips_through() {
        for text in
            ["", "pi", "ssh://", "ssh://warden@", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://host:99999"]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
