//! Which addresses an answer from elsewhere may lead to.
//!
//! A person configures an upstream; the upstream's answers say where to go on: to a token server, to a content network.
//! A registry inside a network can reach what the upstream cannot (this machine's own services, the router, the metadata
//! service of a cloud), so an answer from a public upstream may lead only to public addresses, and one from a private
//! upstream only to public ones and those of its own kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Kinds of addresses, by who can be reached there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The whole world.
    Public,
    /// A network of our own: RFC 1918, RFC 4193, and what providers share (RFC 6598).
    Private,
    /// This link; also where clouds have their metadata services.
    Link,
    /// This machine.
    Own,
    /// Nobody that could be asked.
    Nobody,
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Kind::Own,
        (169, 254, _) => Kind::Link,
        (10, ..) | (192, 168, _) | (172, 16..=31, _) | (100, 64..=127, _) => Kind::Private,
        // This network, protocol assignments, documentation, benchmarks, multicast and beyond.
        (0 | 224.., ..) | (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => {
            Kind::Nobody
        }
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let low = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Own,
        // A version 4 address in other words, translators and tunnels: what counts is where they lead.
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => {
            kind_v4(low(a, b))
        }
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff, ..] => Kind::Private,
        [0xfe80..=0xfebf, ..] => Kind::Link,
        [0x2001, 0 | 0xdb8, ..] => Kind::Nobody,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Nobody,
    }
}

/// The kind of an address.
pub(crate) fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Wherever a person said.
    Configured,
    /// Where an answer led that came from an address of this kind.
    From(Kind),
    /// Where an answer led that came from this address and named its own server: as from any other, and back there.
    Back(IpAddr),
}

impl Reach {
    /// Where an answer from `address` may lead.
    pub(crate) fn led_from(address: IpAddr) -> Self {
        Self::From(kind(address))
    }

    /// Whether a connection to `address` may be made.
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        match (self, kind(address)) {
            // Its name may mean something else by now, such as a service of ours.
            (Self::Back(from), _) => from == address || Self::led_from(from).allows(address),
            (Self::Configured, _) | (Self::From(_), Kind::Public) => true,
            (Self::From(Kind::Nobody), _) | (_, Kind::Nobody) => false,
            (Self::From(from), kind) => from == kind,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let cases: [(Kind, &[&str]); 5] = [
            (
                Kind::Public,
                &[
                    "8.8.8.8",
                    "172.15.0.1",
                    "172.32.0.1",
                    "100.63.0.1",
                    "192.0.1.1",
                    "2606:4700::1111",
                    "::ffff:8.8.8.8",
                ],
            ),
            (
                Kind::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "fd10:1234::2",
                    "::ffff:10.0.0.1",
                    "64:ff9b::10.0.0.1",
                    "2002:c0a8:101::1",
                ],
            ),
            (Kind::Link, &["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]),
            (Kind::Own, &["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "2002:7f00:1::"]),
            (
                Kind::Nobody,
                &[
                    "0.0.0.0",
                    "::",
                    "224.0.0.1",
                    "255.255.255.255",
                    "192.0.2.1",
                    "ff02::1",
                    "::127.0.0.1",
                    "2001:db8::1",
                ],
            ),
        ];
        for (expected, addresses) in cases {
            for address in addresses {
                assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn answers_lead_to_public_addresses_or_to_their_own_kind() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let inside = ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0", "::"];
        for text in inside {
            assert!(Reach::Configured.allows(address(text)));
            assert!(!Reach::From(Kind::Public).allows(address(text)), "{text}");
            assert!(!Reach::From(Kind::Nobody).allows(address(text)), "{text}");
        }
        assert!(Reach::From(Kind::Public).allows(address("8.8.8.8")));
        assert!(Reach::From(Kind::Private).allows(address("10.0.0.1")));
        assert!(!Reach::From(Kind::Private).allows(address("127.0.0.1")));
        assert!(!Reach::From(Kind::Private).allows(address("169.254.169.254")));
        assert!(Reach::From(Kind::Own).allows(address("::1")));
        assert!(!Reach::From(Kind::Own).allows(address("10.0.0.1")));
        for (from, to, is_allowed) in [
            ("8.8.8.8", "8.8.4.4", true),
            ("8.8.8.8", "127.0.0.1", false),
            ("10.0.0.1", "10.0.0.2", true),
            ("10.0.0.1", "169.254.169.254", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(Reach::Back(address(from)).allows(address(to)), is_allowed, "{from} {to}");
        }
    }
}
