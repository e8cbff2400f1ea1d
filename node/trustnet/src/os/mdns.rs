//! Names without a name server: a node answers to `NAME.local` (multicast DNS, RFC 6762), says that it is a node
//! (`_trustnet._udp`, DNS-SD, RFC 6763), and finds others by such names. The network is the same link only.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{DaemonEvent, HostnameResolutionEvent, IfKind, ServiceDaemon, ServiceInfo};

use crate::cli::error::CliError;
use crate::config::{P2P_PORT, RPC_PORT};

/// What a node announces itself as.
const SERVICE: &str = "_trustnet._udp.local.";
/// How long a name is asked for.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// Name servers answer names below this top level only by multicast.
const TOP_LEVEL: &str = ".local";

/// Answers to `name`.local until a signal ends it.
///
/// # Errors
/// The system has no multicast.
pub fn run(name: &str) -> Result<(), CliError> {
    let daemon = ServiceDaemon::new().map_err(refused)?;
    // Nobody else is on loopback.
    daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6]).map_err(refused)?;
    let events = daemon.monitor().map_err(refused)?;
    announce(&daemon, name)?;
    println!("answering to {name}{TOP_LEVEL}");
    std::thread::spawn(move || {
        while let Ok(event) = events.recv() {
            match event {
                DaemonEvent::NameChange(change) => {
                    println!(
                        "{} is taken on this network; answering to {}",
                        change.original, change.new_name
                    );
                }
                DaemonEvent::Error(error) => eprintln!("trustnet: multicast DNS: {error}"),
                _ => {}
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the operating system refused to wait: {error}")))?;
    runtime.block_on(wait_for_signal())?;
    // Says goodbye, so that others forget the name at once.
    if let Ok(done) = daemon.shutdown() {
        let _ = done.recv_timeout(ANSWER_LIMIT);
    }
    Ok(())
}

async fn wait_for_signal() -> Result<(), CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| CliError::failed(format!("cannot watch for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn announce(daemon: &ServiceDaemon, name: &str) -> Result<(), CliError> {
    let rpc = RPC_PORT.to_string();
    let host = format!("{name}{TOP_LEVEL}.");
    let service = ServiceInfo::new(SERVICE, name, &host, "", P2P_PORT, &[("rpc", rpc.as_str())][..]);
    // Addresses come and go with cables and leases.
    daemon.register(service.map_err(refused)?.enable_addr_auto()).map_err(refused)
}

/// The address of a name below `.local`, asked of the link. `None` if the name is of another kind or nobody answers.
pub fn resolve(host: &str) -> Option<IpAddr> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.strip_suffix(TOP_LEVEL).filter(|name| !name.is_empty() && !name.contains('.'))?;
    let daemon = ServiceDaemon::new().ok()?;
    let address = ask(&daemon, &host);
    let _ = daemon.shutdown();
    address
}

fn ask(daemon: &ServiceDaemon, host: &str) -> Option<IpAddr> {
    let answers = daemon.resolve_hostname(&format!("{host}."), Some(ANSWER_LIMIT.as_millis() as u64)).ok()?;
    while let Ok(event) = answers.recv_timeout(ANSWER_LIMIT) {
        match event {
            HostnameResolutionEvent::AddressesFound(_, found) => {
                let found: BTreeSet<IpAddr> = found.iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
                if let Some(address) = best(found) {
                    return Some(address);
                }
            }
            HostnameResolutionEvent::SearchTimeout(_) | HostnameResolutionEvent::SearchStopped(_) => break,
            _ => {}
        }
    }
    None
}

/// The address that can be connected to: an IPv4 one first; never one that means nothing without its interface.
fn best(found: BTreeSet<IpAddr>) -> Option<IpAddr> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    // IPv4 sorts before IPv6.
    found.into_iter().find(usable)
}

fn refused(error: impl std::fmt::Display) -> CliError {
    CliError::failed(format!("multicast DNS does not work here: {error}"))
        .next("see whether another program holds UDP port 5353")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A daemon on loopback only, at a port of the test's own.
    fn daemon(port: u16) -> ServiceDaemon {
        let daemon = ServiceDaemon::new_with_port(port).unwrap();
        daemon.disable_interface(IfKind::All).unwrap();
        daemon.enable_interface(IfKind::LoopbackV4).unwrap();
        daemon
    }

    #[test]
    fn a_node_is_found_by_its_name_and_nobody_else_is() {
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (node, other) = (daemon(port), daemon(port));
        announce(&node, "kitchen").unwrap();
        assert_eq!(ask(&other, "kitchen.local"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(ask(&other, "cellar.local"), None);
        for daemon in [node, other] {
            let _ = daemon.shutdown().unwrap().recv_timeout(ANSWER_LIMIT);
        }
    }

    #[test]
    fn only_names_of_the_link_are_asked_for() {
        for host in ["example.org", "192.168.1.1", "local", ".local", "a.b.local", ""] {
            assert_eq!(resolve(host), None, "{host}");
        }
    }

    #[test]
    fn an_address_that_needs_its_interface_is_no_answer() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let found = BTreeSet::from([ip("fe80::1"), ip("fd10:1234::7"), ip("10.0.0.7")]);
        assert_eq!(best(found), Some(ip("10.0.0.7")));
        assert_eq!(best(BTreeSet::from([ip("fe80::1"), ip("fd10:1234::7")])), Some(ip("fd10:1234::7")));
        assert_eq!(best(BTreeSet::from([ip("fe80::1")])), None);
    }
}
