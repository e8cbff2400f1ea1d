//! Which ports the nodes of a local network use: the standard ones, or free ones where those are taken.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use serde::{Deserialize, Serialize};

/// The first node's port for other nodes (UDP); its RPC port is the next one, and every further node
/// takes the next two.
pub const STANDARD_BASE: u16 = 26_656;
/// How many ports are tried for one that is free.
const MAX_TRIES: u16 = 2_000;

/// The ports of one node on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// UDP, for other nodes.
    pub p2p: u16,
    /// TCP, for the RPC.
    pub rpc: u16,
}

/// The kind of a port that is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For other nodes.
    Udp,
    /// For the RPC.
    Tcp,
}

/// No free ports were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no free {} port between {from} and {to}; choose another range with --listen-base PORT", if *kind == Kind::Udp { "UDP" } else { "TCP" })]
pub struct NoFreePort {
    /// Which kind was sought.
    pub kind: Kind,
    /// First port tried.
    pub from: u16,
    /// Last port tried.
    pub to: u16,
}

/// The ports that `count` nodes would have if all were free.
pub fn standard(base: u16, count: usize) -> Vec<Ports> {
    let port = |offset: usize| base.saturating_add(u16::try_from(offset).unwrap_or(u16::MAX));
    (0..count).map(|node| Ports { p2p: port(2 * node), rpc: port(2 * node + 1) }).collect()
}

/// Keeps every wanted port that `is_free` and replaces the others by the next free ones above all
/// wanted ones.
///
/// # Errors
/// [`NoFreePort`] when there is none in reach.
pub fn choose(
    wanted: &[Ports],
    mut is_free: impl FnMut(Kind, u16) -> bool,
) -> Result<Vec<Ports>, NoFreePort> {
    let mut used: BTreeSet<u16> = BTreeSet::new();
    let mut chosen: Vec<[Option<u16>; 2]> = Vec::with_capacity(wanted.len());
    for ports in wanted {
        let mut keep =
            |kind, port: u16| (port > 0 && is_free(kind, port) && used.insert(port)).then_some(port);
        chosen.push([keep(Kind::Udp, ports.p2p), keep(Kind::Tcp, ports.rpc)]);
    }
    let above = wanted.iter().flat_map(|ports| [ports.p2p, ports.rpc]).max().unwrap_or(STANDARD_BASE);
    let mut find = |kind| {
        // Near the end of the range there may be too few above: go on below.
        let from = if above > u16::MAX - MAX_TRIES { above - 2 * MAX_TRIES } else { above + 1 };
        let to = from + MAX_TRIES - 1;
        let port = (from..=to).find(|&port| !used.contains(&port) && is_free(kind, port));
        used.extend(port);
        port.ok_or(NoFreePort { kind, from, to })
    };
    let mut ports = Vec::with_capacity(wanted.len());
    for [p2p, rpc] in chosen {
        let p2p = p2p.map_or_else(|| find(Kind::Udp), Ok)?;
        let rpc = rpc.map_or_else(|| find(Kind::Tcp), Ok)?;
        ports.push(Ports { p2p, rpc });
    }
    Ok(ports)
}

/// Whether a port of this machine's loopback interface can be bound.
pub fn is_free(kind: Kind, port: u16) -> bool {
    match kind {
        Kind::Udp => UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok(),
        Kind::Tcp => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_standard_ports_are_two_a_node() {
        let ports = standard(STANDARD_BASE, 3);
        assert_eq!(ports[0], Ports { p2p: 26_656, rpc: 26_657 });
        assert_eq!(ports[2], Ports { p2p: 26_660, rpc: 26_661 });
        assert_eq!(choose(&ports, |_, _| true).unwrap(), ports);
    }

    #[test]
    fn a_taken_port_is_replaced_by_one_above_all_the_others() {
        let taken = |kind, port| !(kind == Kind::Tcp && (port == 26_657 || port == 26_660));
        let ports = choose(&standard(STANDARD_BASE, 2), taken).unwrap();
        assert_eq!(ports, [Ports { p2p: 26_656, rpc: 26_661 }, Ports { p2p: 26_658, rpc: 26_659 }]);
    }

    #[test]
    fn no_port_is_given_twice_even_if_the_wanted_ones_collide() {
        let same = [Ports { p2p: 100, rpc: 100 }, Ports { p2p: 100, rpc: 101 }];
        let ports = choose(&same, |_, _| true).unwrap();
        let all: BTreeSet<u16> = ports.iter().flat_map(|p| [p.p2p, p.rpc]).collect();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_machine_without_free_ports_gets_an_error_and_no_endless_search() {
        let error = choose(&standard(1_000, 1), |_, _| false).unwrap_err();
        assert_eq!((error.kind, error.from), (Kind::Udp, 1_002));
        assert!(choose(&standard(65_534, 16), |_, port| port < 65_000).is_ok());
    }

    #[test]
    fn a_bound_port_is_seen_as_taken() {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(Kind::Tcp, tcp.local_addr().unwrap().port()));
        assert!(!is_free(Kind::Udp, udp.local_addr().unwrap().port()));
    }
}
