//! Reverse proxies before the registry: their connections are those of all their clients, and which client it is stands in
//! a header that they write.
//!
//! Anybody can write that header. It is believed of a connection that comes from a proxy of the settings, and read from the
//! right: each proxy adds the address that it saw itself, so the rightmost one that is no such proxy is the client's, and
//! what stands left of it is what the client says.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::Deserialize;

/// Entries of the header that are looked at: proxies behind each other.
const MAX_HOPS: usize = 16;

/// A proxy's address, or those of a network: `192.0.2.4`, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ProxyAddress {
    /// As bits of an IPv6 address, an IPv4 address as the IPv6 one that stands for it; without what `mask` leaves out.
    bits: u128,
    mask: u128,
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn read(text: &str) -> Option<ProxyAddress> {
    let (address, len) = text.split_once('/').map_or((text, None), |(address, len)| (address, Some(len)));
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let len = match len {
        // A sign would be taken for a part of the number.
        Some(len) if len.bytes().all(|byte| byte.is_ascii_digit()) => len.parse::<u32>().ok()?,
        Some(_) => return None,
        None => all,
    };
    // To believe the whole world would be to let everybody say who they are.
    if !(1..=all).contains(&len) {
        return None;
    }
    let mask = u128::MAX << (all - len);
    Some(ProxyAddress { bits: bits(address) & mask, mask })
}

impl TryFrom<String> for ProxyAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let problem =
            "is no address of a proxy; write one such as 192.0.2.4, or a network such as 10.0.0.0/8";
        read(&text).ok_or_else(|| format!("{text:?} {problem}"))
    }
}

impl ProxyAddress {
    fn is(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.bits
    }
}

/// An entry of the header: an address, with a port and brackets or without.
fn entry(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.or_else(bare).map(|address| address.to_canonical())
}

/// The proxies of the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<ProxyAddress>);

impl Proxies {
    pub(super) fn new(addresses: &[ProxyAddress]) -> Self {
        Self(addresses.to_vec())
    }

    /// Whether an address is that of a proxy.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|proxy| proxy.is(address))
    }

    /// Whose request it is that came from `peer`. `forwarded` are the entries of `X-Forwarded-For`, the last one first; one
    /// that cannot be read ends the look, and the request is that of the proxy who wrote it.
    pub(crate) fn client<'a>(&self, peer: IpAddr, forwarded: impl IntoIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer;
        let mut forwarded = forwarded.into_iter().take(MAX_HOPS);
        while self.contain(client) {
            let Some(before) = forwarded.next().and_then(entry) else { break };
            client = before;
        }
        client
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        let all = ["192.0.2.4", "10.0.0.0/8", "fd10:1234::/32", "2001:db8::7"];
        Proxies(all.iter().map(|text| ProxyAddress::try_from((*text).to_owned()).unwrap()).collect())
    }

    /// Whose a request is, from headers as they stand in it.
    fn client(peer: &str, headers: &[&str]) -> String {
        let entries = headers.iter().rev().flat_map(|header| header.rsplit(','));
        proxies().client(peer.parse().unwrap(), entries).to_string()
    }

    #[test]
    fn addresses_and_networks() {
        let contain = |text: &str| proxies().contain(text.parse().unwrap());
        for proxy in
            ["192.0.2.4", "::ffff:192.0.2.4", "10.0.0.0", "10.255.255.255", "fd10:1234:5::9", "2001:db8::7"]
        {
            assert!(contain(proxy), "{proxy}");
        }
        for other in ["192.0.2.5", "11.0.0.0", "9.255.255.255", "fd10:1235::", "2001:db8::8", "::192.0.2.4"] {
            assert!(!contain(other), "{other}");
        }
        assert_eq!(read("10.1.2.3/8"), read("10.0.0.0/8"), "what a network leaves open does not matter");
        assert!(read("10.0.0.1/32") == read("10.0.0.1") && read("::1/128") == read("::1"));
        for bad in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/0",
            "::/0",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0",
            "010.0.0.1",
            "proxy",
            "[::1]",
            "10.0.0.1:80",
            " 10.0.0.1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy() {
        let cases: &[(&str, &[&str], &str)] = &[
            // Who is no proxy says nothing of others.
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("203.0.113.9", &[], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            // What the client wrote itself stands left, in the same header or in one before.
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["192.0.2.4, nonsense, 203.0.113.9"], "203.0.113.9"),
            // Proxies behind each other.
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 192.0.2.4", "10.0.0.7"], "203.0.113.9"),
            ("10.0.0.1", &["192.0.2.4", "10.0.0.7"], "192.0.2.4"),
            // As some write them.
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["\t2001:db8::9 "], "2001:db8::9"),
            ("10.0.0.1", &["[2001:db8::9]"], "2001:db8::9"),
            ("10.0.0.1", &["[2001:db8::9]:4711"], "2001:db8::9"),
            ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            // What cannot be read is the doing of the proxy next to it.
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9,"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, unknown, 192.0.2.4"], "192.0.2.4"),
            ("10.0.0.1", &["203.0.113.9, [10.0.0.7]"], "10.0.0.1"),
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9:99999"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9 203.0.113.8"], "10.0.0.1"),
        ];
        for (peer, headers, expected) in cases {
            assert_eq!(client(peer, headers), *expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn no_more_entries_are_looked_at_than_proxies_stand_behind_each_other() {
        let hops = |count: usize| format!("203.0.113.9{}", ", 10.0.0.2".repeat(count));
        assert_eq!(client("10.0.0.1", &[&hops(MAX_HOPS - 1)]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[&hops(MAX_HOPS)]), "10.0.0.2");
    }
}
