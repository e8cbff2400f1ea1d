//! From where an address can be reached, and which addresses are neighbours.

use std::net::{IpAddr, SocketAddr};

/// From where an address can be reached; a wider reach is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// This machine.
    Loopback,
    /// The local network: RFC 1918, link-local, IPv6 ULA.
    Private,
    /// Everywhere.
    Public,
}

/// From where `ip` can be reached.
pub(crate) fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Reach::Loopback,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Reach::Private,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Reach::Private,
        _ => Reach::Public,
    }
}

/// Whether one could send a datagram to `addr` and expect one node to answer.
pub(crate) fn is_dialable(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

/// In which order addresses are tried: the local network first (IPv6, then IPv4), then the world.
pub(crate) fn dial_order(addr: &SocketAddr) -> u8 {
    match (reach(addr.ip()), addr.is_ipv6()) {
        (Reach::Loopback | Reach::Private, true) => 0,
        (Reach::Loopback | Reach::Private, false) => 1,
        (Reach::Public, true) => 2,
        (Reach::Public, false) => 3,
    }
}

/// The subnet that one operator typically holds: /24 or /48.
pub(crate) fn subnet(ip: IpAddr) -> IpAddr {
    prefix(ip, 24, 48)
}

/// The network that one provider typically holds: /16 or /32.
pub(crate) fn wide_subnet(ip: IpAddr) -> IpAddr {
    prefix(ip, 16, 32)
}

fn prefix(ip: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & (u32::MAX << (32 - v4_bits))).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & (u128::MAX << (128 - v6_bits))).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_range_has_its_reach() {
        for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(reach(ip(text)), Reach::Loopback, "{text}");
        }
        for text in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "fd10:1234::1", "fe80::1"] {
            assert_eq!(reach(ip(text)), Reach::Private, "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert_eq!(reach(ip(text)), Reach::Public, "{text}");
        }
    }

    #[test]
    fn addresses_that_are_no_single_node_are_not_dialled() {
        for text in ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1", "10.0.0.1:0"] {
            assert!(!is_dialable(text.parse().unwrap()), "{text}");
        }
        assert!(is_dialable("10.0.0.1:26656".parse().unwrap()));
    }

    #[test]
    fn subnets_keep_the_first_bits() {
        assert_eq!(subnet(ip("1.2.3.4")), ip("1.2.3.0"));
        assert_eq!(wide_subnet(ip("1.2.3.4")), ip("1.2.0.0"));
        assert_eq!(subnet(ip("2001:db8:1:2::3")), ip("2001:db8:1::"));
        assert_eq!(wide_subnet(ip("2001:db8:1:2::3")), ip("2001:db8::"));
    }
}
