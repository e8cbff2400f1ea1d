//! Who a peer is and where it may be found, in memory and as text.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use trustnet_ledger::crypto::PublicKey;

/// Most addresses that one peer may have.
pub const MAX_PEER_ADDRS: usize = 8;

/// Longest host name in a static peer, in bytes (RFC 1035 allows 253 visible characters).
const MAX_HOST_BYTES: usize = 253;

/// A peer's identity: the node key with which it authenticates. Shown as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub PublicKey);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PeerId {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(AddressError::Id);
        }
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
        }
        Ok(Self(PublicKey(key)))
    }
}

fn hex_digit(digit: u8) -> Result<u8, AddressError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(AddressError::Id),
    }
}

/// Why the text of a peer's address was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The part before `@` is not a node key.
    #[error("a peer's id is the 64 hex digits of its node key; write <id>@<host>:<port>")]
    Id,
    /// There is no `@`.
    #[error("a peer is written <64 hex digits>@<host>:<port>; the @ is missing")]
    NoAt,
    /// The part after `@` is not a host with a port.
    #[error(
        "after the @ comes <host>:<port> with a port from 1 to 65535, for example node-1.lan:26656 or [fd10::1]:26656"
    )]
    Host,
    /// More addresses than [`MAX_PEER_ADDRS`].
    #[error("a peer may have at most 8 addresses; remove some")]
    TooMany,
}

/// A peer and the socket addresses at which it may answer (at most [`MAX_PEER_ADDRS`]).
///
/// As text: `<64 hex>@<ip>:<port>`, further addresses after commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// The key that the peer must prove to hold.
    pub id: PeerId,
    /// Where it may answer, best first.
    pub addrs: Vec<SocketAddr>,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.id)?;
        for (index, addr) in self.addrs.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            addr.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (id, addrs) = text.split_once('@').ok_or(AddressError::NoAt)?;
        let id = id.parse()?;
        let addrs = addrs
            .split(',')
            .map(|addr| addr.parse::<SocketAddr>().map_err(|_| AddressError::Host))
            .collect::<Result<Vec<_>, _>>()?;
        if addrs.len() > MAX_PEER_ADDRS {
            return Err(AddressError::TooMany);
        }
        if addrs.iter().any(|addr| addr.port() == 0) {
            return Err(AddressError::Host);
        }
        Ok(Self { id, addrs })
    }
}

/// A peer from the configuration: its key and one `host:port`, the host being an address or a DNS name.
/// DNS only says where to try; the key says who must answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StaticPeer {
    /// The key that the peer must prove to hold.
    pub id: PeerId,
    /// `host:port` as written.
    pub host: String,
}

impl fmt::Display for StaticPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.host)
    }
}

impl FromStr for StaticPeer {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (id, host) = text.trim().split_once('@').ok_or(AddressError::NoAt)?;
        let id = id.parse()?;
        if !is_host_and_port(host) {
            return Err(AddressError::Host);
        }
        Ok(Self { id, host: host.to_owned() })
    }
}

fn is_host_and_port(text: &str) -> bool {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return addr.port() != 0;
    }
    let Some((name, port)) = text.rsplit_once(':') else {
        return false;
    };
    let name_is_plausible = !name.is_empty()
        && name.len() <= MAX_HOST_BYTES
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    name_is_plausible && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> PeerId {
        PeerId(PublicKey([0xab; 32]))
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let text = id().to_string();
        assert_eq!(text, "ab".repeat(32));
        assert_eq!(text.parse::<PeerId>(), Ok(id()));
        assert_eq!(text.to_uppercase().parse::<PeerId>(), Ok(id()));
    }

    #[test]
    fn texts_that_are_no_id_are_refused() {
        for text in ["", "ab", &"ab".repeat(33), &"zz".repeat(32), &"é".repeat(32)] {
            assert_eq!(text.parse::<PeerId>(), Err(AddressError::Id), "{text}");
        }
    }

    #[test]
    fn a_peer_address_reads_back_from_its_text() {
        let address = PeerAddress {
            id: id(),
            addrs: vec!["10.0.0.1:26656".parse().unwrap(), "[fd10::1]:26656".parse().unwrap()],
        };
        assert_eq!(address.to_string().parse::<PeerAddress>(), Ok(address));
    }

    #[test]
    fn a_peer_address_has_at_most_eight_addresses_and_no_port_zero() {
        let nine = format!("{}@{}", id(), ["10.0.0.1:1"; 9].join(","));
        assert_eq!(nine.parse::<PeerAddress>(), Err(AddressError::TooMany));
        assert_eq!(format!("{}@10.0.0.1:0", id()).parse::<PeerAddress>(), Err(AddressError::Host));
    }

    #[test]
    fn a_static_peer_takes_addresses_and_names() {
        for host in ["10.0.0.1:26656", "[fd10::1]:26656", "node-1.lan:26656", "localhost:1"] {
            let text = format!("{}@{host}", id());
            let peer: StaticPeer = text.parse().unwrap();
            assert_eq!(peer.host, host);
            assert_eq!(peer.to_string(), text);
        }
    }

    #[test]
    fn a_static_peer_without_key_host_or_port_is_refused() {
        assert_eq!("node-1:26656".parse::<StaticPeer>(), Err(AddressError::NoAt));
        assert_eq!("me@node-1:26656".parse::<StaticPeer>(), Err(AddressError::Id));
        for host in ["", "node-1", ":26656", "node-1:0", "node-1:65536", "a b:1", "fd10::1:x"] {
            assert_eq!(format!("{}@{host}", id()).parse::<StaticPeer>(), Err(AddressError::Host), "{host}");
        }
    }
}
