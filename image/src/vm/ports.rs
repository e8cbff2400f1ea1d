//! Which ports of this host lead to which machine. A port that the user named is taken or refused; a usual one moves to the
//! next that is free, and that is said. Ports of machines that are off count as taken: they will want them again.

use std::fmt;
use std::io;
use std::net::TcpListener;

use super::machine::Machine;
use super::qemu::Forward;
use super::{REGISTRY_PORTS, VmError};

/// What the command line says of ports.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The first machine's port for SSH; further ones take the next.
    pub ssh: Option<u16>,
    /// The first machine's port for the RPC; further ones take the next.
    pub rpc: Option<u16>,
    /// More forwarded ports, of a single machine.
    pub forwards: Vec<Forward>,
    /// Whether it is a registry, which has ports of its own.
    pub registry: bool,
}

/// The ports of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// To SSH.
    pub ssh: u16,
    /// To the RPC.
    pub rpc: u16,
    /// To others.
    pub forwards: Vec<Forward>,
}

/// The ports of all machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Of each machine.
    pub ports: Vec<Ports>,
    /// What the user must know: which usual ports were taken, by whom, and what is there instead.
    pub notes: Vec<String>,
}

/// Why a port cannot be had.
#[derive(Debug)]
pub enum Holder {
    /// It is this machine's, on or off.
    Machine(String),
    /// The system says no.
    System(io::Error),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(name) => write!(f, "is taken by the VM {name}"),
            Self::System(error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "is taken by another program")
            }
            Self::System(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "may not be used by you ({error}; ports below 1024 are mostly root's)")
            }
            Self::System(error) => write!(f, "cannot be used ({error})"),
        }
    }
}

/// Whether this host lets a program listen on a port now.
///
/// # Errors
/// What the system says.
pub fn bind(port: u16) -> io::Result<()> {
    TcpListener::bind(("127.0.0.1", port)).map(drop)
}

/// Chooses the ports of `count` new machines. `others` are the machines that there are, `bind` tries a port.
///
/// # Errors
/// [`VmError::Port`], [`VmError::PortTwice`], [`VmError::NoPort`].
pub fn choose(
    wanted: &Wanted,
    count: usize,
    others: &[Machine],
    bind: &dyn Fn(u16) -> io::Result<()>,
) -> Result<Chosen, VmError> {
    let (usual_ssh, usual_rpc) = if wanted.registry { (2223, 26_658) } else { (2222, 26_657) };
    let mut desk = Desk { others, bind, given: Vec::new(), notes: Vec::new() };
    let ssh = desk.row("SSH", "--ssh-port", wanted.ssh, usual_ssh, count)?;
    let rpc = desk.row("the RPC", "--rpc-port", wanted.rpc, usual_rpc, count)?;
    let mut forwards = wanted.forwards.clone();
    for forward in &forwards {
        desk.row("--forward", "--forward", Some(forward.host), 0, 1)?;
    }
    if wanted.registry {
        // The user may have put them elsewhere.
        for guest in REGISTRY_PORTS.iter().filter(|port| wanted.forwards.iter().all(|to| to.guest != **port))
        {
            let host = desk.row("the registry", "--forward", None, *guest, 1)?;
            forwards.extend(host.into_iter().map(|host| Forward { host, guest: *guest }));
        }
    }
    let ports = ssh.into_iter().zip(rpc).map(|(ssh, rpc)| Ports { ssh, rpc, forwards: forwards.clone() });
    Ok(Chosen { ports: ports.collect(), notes: desk.notes })
}

/// Where ports are given out.
struct Desk<'a> {
    others: &'a [Machine],
    bind: &'a dyn Fn(u16) -> io::Result<()>,
    given: Vec<(u16, &'static str)>,
    notes: Vec<String>,
}

impl Desk<'_> {
    /// A port for each of `count` machines: from `named` on without a gap, else the next free ones from `usual` on.
    fn row(
        &mut self,
        what: &str,
        option: &'static str,
        named: Option<u16>,
        usual: u16,
        count: usize,
    ) -> Result<Vec<u16>, VmError> {
        let first = named.unwrap_or(usual);
        let (mut row, mut taken) = (Vec::new(), Vec::new());
        for port in first..=u16::MAX {
            if row.len() == count {
                break;
            }
            match self.holder(port) {
                None => row.push(port),
                Some(holder) if named.is_some() || !moves(&holder) => {
                    return Err(VmError::Port { port, option, holder });
                }
                Some(holder) => taken.push(format!("port {port} {holder}")),
            }
        }
        if row.len() < count {
            return Err(VmError::NoPort { count, first, option });
        }
        for port in &row {
            if let Some((_, other)) = self.given.iter().find(|(given, _)| given == port) {
                return Err(VmError::PortTwice { port: *port, first: other, second: option });
            }
            self.given.push((*port, option));
        }
        if !taken.is_empty() {
            let row: Vec<String> = row.iter().map(ToString::to_string).collect();
            self.notes.push(format!("{}: {what} is on {}", taken.join(", "), row.join(", ")));
        }
        Ok(row)
    }

    fn holder(&self, port: u16) -> Option<Holder> {
        let machine = self.others.iter().find(|machine| machine.ports().any(|other| other == port));
        match machine {
            Some(machine) => Some(Holder::Machine(machine.name.clone())),
            None => (self.bind)(port).err().map(Holder::System),
        }
    }
}

/// Whether the next port may be free when this one is not; any other trouble, the next port has too.
fn moves(holder: &Holder) -> bool {
    match holder {
        Holder::Machine(_) => true,
        Holder::System(error) => error.kind() == io::ErrorKind::AddrInUse,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vm::machine::tests::machine;

    // In the place of `bind`.
    #[allow(clippy::unnecessary_wraps)]
    fn free(_: u16) -> io::Result<()> {
        Ok(())
    }

    fn kitchen() -> Machine {
        Machine { ssh_port: 2222, rpc_port: 26_657, ..machine() }
    }

    fn pairs(chosen: &Chosen) -> Vec<(u16, u16)> {
        chosen.ports.iter().map(|ports| (ports.ssh, ports.rpc)).collect()
    }

    fn refusal(wanted: &Wanted, count: usize, others: &[Machine]) -> String {
        choose(wanted, count, others, &free).unwrap_err().to_string()
    }

    #[test]
    fn the_first_machines_have_the_usual_ports() {
        let chosen = choose(&Wanted::default(), 4, &[], &free).unwrap();
        assert_eq!(pairs(&chosen), [(2222, 26_657), (2223, 26_658), (2224, 26_659), (2225, 26_660)]);
        assert_eq!(chosen.notes, Vec::<String>::new());
        let registry = Wanted { registry: true, ..Wanted::default() };
        let chosen = choose(&registry, 1, &[kitchen()], &free).unwrap();
        assert_eq!(pairs(&chosen), [(2223, 26_658)]);
        let forwards = [(8000, 8000), (8053, 8053)].map(|(host, guest)| Forward { host, guest });
        assert_eq!((chosen.ports[0].forwards.as_slice(), chosen.notes.len()), (&forwards[..], 0));
    }

    #[test]
    fn usual_ports_move_past_machines_that_are_off_and_that_is_said() {
        let chosen = choose(&Wanted::default(), 2, &[kitchen()], &free).unwrap();
        assert_eq!(pairs(&chosen), [(2223, 26_658), (2224, 26_659)]);
        assert_eq!(chosen.notes[0], "port 2222 is taken by the VM kitchen: SSH is on 2223, 2224");
        assert_eq!(chosen.notes[1], "port 26657 is taken by the VM kitchen: the RPC is on 26658, 26659");
        // Also past one that lies in between.
        let between = Machine { ssh_port: 1, rpc_port: 2, ..kitchen() };
        let between = Machine { forwards: vec![Forward { host: 2223, guest: 80 }], ..between };
        let chosen = choose(&Wanted::default(), 2, &[between], &free).unwrap();
        assert_eq!(pairs(&chosen), [(2222, 26_657), (2224, 26_658)]);
    }

    #[test]
    fn usual_ports_move_past_other_programs() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(bind(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let held = |port: u16| if port == 8000 { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) };
        let registry = Wanted { registry: true, ..Wanted::default() };
        let chosen = choose(&registry, 1, &[], &held).unwrap();
        assert_eq!(chosen.ports[0].forwards[0], Forward { host: 8001, guest: 8000 });
        assert_eq!(chosen.notes, ["port 8000 is taken by another program: the registry is on 8001"]);
    }

    #[test]
    fn ports_of_the_registry_that_the_user_placed_stay_there() {
        let forwards = vec![Forward { host: 9000, guest: 8000 }];
        let registry = Wanted { registry: true, forwards, ..Wanted::default() };
        let chosen = choose(&registry, 1, &[], &free).unwrap();
        let forwards = [(9000, 8000), (8053, 8053)].map(|(host, guest)| Forward { host, guest });
        assert_eq!(chosen.ports[0].forwards, forwards);
    }

    #[test]
    fn a_port_that_the_user_named_is_refused_with_its_holder() {
        let wanted = Wanted { ssh: Some(2222), ..Wanted::default() };
        let why = refusal(&wanted, 1, &[kitchen()]);
        assert!(
            why.contains("2222") && why.contains("the VM kitchen") && why.contains("--ssh-port"),
            "{why}"
        );
        let wanted = Wanted { forwards: vec![Forward { host: 80, guest: 80 }], ..Wanted::default() };
        let denied = |port| if port == 80 { Err(io::Error::from_raw_os_error(13)) } else { Ok(()) };
        let why = choose(&wanted, 1, &[], &denied).unwrap_err().to_string();
        assert!(why.contains("ermission denied") && !why.contains("taken"), "{why}");
        assert!(why.contains("--forward"), "{why}");
    }

    #[test]
    fn a_port_is_given_once() {
        let forward = |host| Forward { host, guest: 80 };
        for wanted in [
            Wanted { ssh: Some(26_657), ..Wanted::default() },
            Wanted { rpc: Some(2222), ..Wanted::default() },
            Wanted { forwards: vec![forward(2222)], ..Wanted::default() },
            Wanted { forwards: vec![forward(8080), forward(8080)], ..Wanted::default() },
            Wanted { registry: true, ssh: Some(8053), ..Wanted::default() },
        ] {
            assert!(refusal(&wanted, 1, &[]).contains("wanted twice"), "{wanted:?}");
        }
        let rows = Wanted { ssh: Some(26_655), ..Wanted::default() };
        assert!(refusal(&rows, 4, &[]).contains("port 26657 of this machine is wanted twice"));
    }

    #[test]
    fn ports_end_at_65535() {
        let wanted = Wanted { ssh: Some(65_534), ..Wanted::default() };
        let why = refusal(&wanted, 4, &[]);
        assert!(
            why.contains("not 4 free ports") && why.contains("65534") && why.contains("--ssh-port"),
            "{why}"
        );
        assert_eq!(pairs(&choose(&wanted, 2, &[], &free).unwrap())[1].0, 65_535);
    }
}
