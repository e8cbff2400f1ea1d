//! A local network of network namespaces: a bridge, one namespace and one cable for each node, and scissors.
//!
//! It is made inside a namespace of mounts, processes and network of its own ([`enter`]), so that nothing of the
//! machine's own network is touched and nothing remains, however this test ends: when the first process of that
//! space is gone, the system ends all others and the namespaces with them.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, ExitStatus, Stdio};

use crate::common::Place;
use crate::plan::{Cut, NODES};

/// Set in the process that runs inside.
const INSIDE: &str = "TRUSTNET_CHAOS_INSIDE";
/// A hardware address that nobody has: packets to it vanish without a word, as on a broken link.
const NOBODY: &str = "02:00:00:00:ff:ff";
/// `ip netns` keeps its names in /run; the machine's own stay out of sight.
const PREPARE: &str = "mount -t tmpfs none /run && ip link set lo up";

/// Whether this process is inside.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The command that runs `script` and then what stands behind it in a space of its own.
fn in_own_space(script: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "--", "sh", "-c", script])
        .stdin(Stdio::null());
    command
}

/// Whether network namespaces can be made here, or why not.
pub fn is_possible() -> Result<(), String> {
    let script = format!(
        "{PREPARE} && ip link add trial type bridge && ip netns add trial && \
         ip link add v type veth peer name eth0 netns trial && ip netns exec trial true"
    );
    let output = in_own_space(&script).output().map_err(|error| format!("setpriv cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

/// Runs the test `name` of this very program inside.
pub fn enter(name: &str) -> ExitStatus {
    let program = std::env::current_exe().unwrap();
    in_own_space(&format!("{PREPARE} && exec \"$0\" \"$@\""))
        .arg(program)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap()
}

/// The network, made inside.
pub struct Lan;

impl Lan {
    /// The address of this test itself, on the bridge.
    pub const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

    /// Lays all cables.
    pub fn build() -> Self {
        assert!(is_inside(), "the machine's own network is not ours to change");
        let mut script =
            format!("link add lan type bridge\nlink set lan up\naddress add {}/24 dev lan\n", Self::OWN);
        for node in 0..NODES {
            script += &format!(
                "netns add node-{node}\n\
                 link add port-{node} type veth peer name eth0 address {} netns node-{node}\n\
                 link set port-{node} master lan up\n",
                hardware(node)
            );
        }
        ip(&[], &script);
        for node in 0..NODES {
            let script = format!(
                "link set lo up\naddress add {}/24 dev eth0\nlink set eth0 up\n{}",
                address(node),
                neighbours(node, None)
            );
            ip(&["-netns", &format!("node-{node}")], &script);
        }
        Self
    }

    /// Where a node lives.
    pub fn place(&self, node: usize) -> Place {
        let words = ["ip".into(), "netns".into(), "exec".into(), format!("node-{node}").into()];
        Place { address: IpAddr::V4(address(node)), through: words.into() }
    }

    /// Cuts links.
    pub fn cut(&self, cut: Cut) {
        self.set(Some(cut));
    }

    /// Heals all links.
    pub fn heal(&self) {
        self.set(None);
    }

    fn set(&self, cut: Option<Cut>) {
        let ports: String = (0..NODES)
            .map(|node| {
                let unplugged = cut == Some(Cut::Unplugged(node));
                format!("link set port-{node} {}\n", if unplugged { "down" } else { "up" })
            })
            .collect();
        ip(&[], &ports);
        for node in 0..NODES {
            ip(&["-netns", &format!("node-{node}")], &neighbours(node, cut));
        }
    }
}

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, node as u8 + 1)
}

fn hardware(node: usize) -> String {
    format!("02:00:00:00:00:{:02x}", node + 1)
}

/// To which hardware address `from` sends for each other node.
fn neighbours(from: usize, cut: Option<Cut>) -> String {
    let others = (0..NODES).filter(|to| *to != from);
    let line = |to: usize| {
        let stopped = cut.is_some_and(|cut| !matches!(cut, Cut::Unplugged(_)) && cut.stops(from, to));
        let hardware = if stopped { NOBODY.to_owned() } else { hardware(to) };
        format!("neighbour replace {} lladdr {hardware} nud permanent dev eth0\n", address(to))
    };
    others.map(line).collect()
}

/// Runs `ip` with a list of commands.
fn ip(arguments: &[&str], script: &str) {
    let mut child = Command::new("ip")
        .args(arguments)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ip {arguments:?}: {errors}\n{script}");
}
