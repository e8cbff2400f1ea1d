//! `trustnet.toml`: from its text to settings and mistakes. Pure.

use std::net::IpAddr;

use crate::config::Peer;
use crate::os::checks::{self, Cidr};
use crate::os::mistakes::{Mistake, position};
use crate::os::reader::{Reader, Section};

/// The template: every setting, commented out. The image puts it onto the boot medium.
pub const TEMPLATE: &str = include_str!("../../../../overlays/usr/share/trustnet/trustnet.toml");

/// Longest file that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most SSH keys, nodes to join, peers.
const MAX_LIST: usize = 64;
/// Most name servers: resolvers use no more.
const MAX_DNS: usize = 3;

/// What `trustnet.toml` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The machine's name.
    pub hostname: Option<String>,
    /// Who may log in: lines of `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// Fixed address, routes, names.
    pub network: Network,
    /// The wireless network to join.
    pub wifi: Option<Wifi>,
    /// How the node is made.
    pub node: Node,
    /// `host:port` of a syslog server.
    pub remote_log: Option<String>,
    /// Whether the image registry runs.
    pub registry: bool,
}

impl Settings {
    /// Of a file that cannot be read.
    pub fn unknown() -> Self {
        Self { node: Node { is_unsure: true, ..Node::default() }, ..Self::default() }
    }
}

/// `[network]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// A fixed address instead of DHCP.
    pub address: Option<Cidr>,
    /// The router; only with an address.
    pub gateway: Option<IpAddr>,
    /// Name servers instead of those that DHCP names.
    pub dns: Vec<IpAddr>,
    /// The private IPv6 address.
    pub ula: Ula,
}

/// The private IPv6 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ula {
    /// Below the network's prefix, the rest from the node's key.
    #[default]
    FromKey,
    /// None.
    Off,
    /// As given.
    Fixed(Cidr),
}

/// `[wifi]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Wifi {
    /// The network's name.
    pub ssid: Vec<u8>,
    /// Its password; an open network has none.
    pub password: Option<String>,
    /// Two capital letters.
    pub country: Option<String>,
}

impl std::fmt::Debug for Wifi {
    /// Without the password: settings are shown in tests and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wifi").field("password", &self.password.is_some()).finish_non_exhaustive()
    }
}

/// `[node]`: used once, when the node's home is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The node's name on the ledger.
    pub name: Option<String>,
    /// RPC addresses of nodes to join.
    pub join: Vec<String>,
    /// Nodes to connect to.
    pub peers: Vec<Peer>,
    /// The genesis file on the boot medium.
    pub genesis: Option<String>,
    /// A folder with keys on the boot medium.
    pub keys: Option<String>,
    /// Whether a mistake in the file may have cost one of these: then they are not what was meant.
    pub is_unsure: bool,
}

/// Understands the bytes of a file. What is wrong is left out and becomes a mistake, in the order of lines.
pub fn parse(bytes: &[u8]) -> (Settings, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    if bytes.len() > MAX_BYTES {
        let problem = format!("{} bytes are more than the {MAX_BYTES} of a settings file", bytes.len());
        return (Settings::unknown(), vec![Mistake::of_file(problem, "all of it is left out")]);
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes.contains(&0) {
        let problem = "the file is UTF-16 or no text; save it as UTF-8 (in Notepad: Save as, encoding UTF-8)";
        return (Settings::unknown(), vec![Mistake::of_file(problem, "all of it is left out")]);
    }
    // Windows' editors put a mark in front of UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = std::str::from_utf8(bytes) {
        // Up to here lossy and original text agree.
        let (line, column) = position(&text, error.valid_up_to());
        let problem = "this character is not UTF-8; save the file as UTF-8".to_owned();
        mistakes.push(Mistake { line, column, problem, instead: "values with it are left out".to_owned() });
    }
    let (mut reader, table) = Reader::parse(&text);
    let root = reader.root(&table, &["hostname", "ssh", "network", "wifi", "node", "log", "registry"]);
    let settings = read(&mut reader, root);
    mistakes.append(&mut reader.mistakes);
    mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    (settings, mistakes)
}

fn read(reader: &mut Reader<'_>, root: Section<'_>) -> Settings {
    let instead = "the name is made from the node's key";
    let hostname = reader.text(root, "hostname", instead, checks::hostname);
    let ssh = reader.section(root, "ssh", &["keys"]);
    let ssh_keys = reader.texts(ssh, "keys", MAX_LIST, checks::ssh_key);
    let network = read_network(reader, root);
    let wifi = read_wifi(reader, root);
    let log = reader.section(root, "log", &["remote"]);
    let remote_log = reader.text(log, "remote", "the log stays on this machine", checks::remote_log);
    let registry = reader.section(root, "registry", &["enabled"]);
    let registry = reader.flag(registry, "enabled", "the registry stays off").unwrap_or(false);
    // Last: a mistake in any section may be of what was meant for this one.
    let node = read_node(reader, root);
    Settings { hostname, ssh_keys, network, wifi, node, remote_log, registry }
}

fn read_network(reader: &mut Reader<'_>, root: Section<'_>) -> Network {
    let section = reader.section(root, "network", &["address", "gateway", "dns", "ula"]);
    let address = reader.text(section, "address", "DHCP is used", checks::cidr);
    let mut gateway = reader.text(section, "gateway", "there is no way out of the local network", checks::ip);
    if let Some(ip) = gateway {
        let problem = match address {
            None => Some("a gateway is used only together with a valid address"),
            Some(address) if !address.contains(ip) || address.addr == ip => {
                Some("the gateway must be another machine in the network of the address")
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            reader.mistake(section, "gateway", problem, "it is left out");
            gateway = None;
        }
    }
    let dns = reader.texts(section, "dns", MAX_DNS, checks::ip);
    let instead = "the address is made from the node's key";
    let ula = if reader.is_text(section, "ula") {
        reader.text(section, "ula", instead, checks::ula).map_or(Ula::FromKey, Ula::Fixed)
    } else {
        match reader.flag(section, "ula", instead) {
            Some(false) => Ula::Off,
            Some(true) | None => Ula::FromKey,
        }
    };
    Network { address, gateway, dns, ula }
}

fn read_wifi(reader: &mut Reader<'_>, root: Section<'_>) -> Option<Wifi> {
    const NO_WIFI: &str = "Wi-Fi stays off";
    let section = reader.section(root, "wifi", &["ssid", "password", "country"]);
    let asked = |reader: &Reader<'_>, key: &str| reader.has(section, key);
    let ssid = reader.text(section, "ssid", NO_WIFI, checks::ssid);
    let password = reader.text(section, "password", NO_WIFI, checks::wifi_password);
    let country = reader.text(section, "country", "the fewest channels are used", checks::country);
    if password.is_some() && !asked(reader, "ssid") {
        reader.mistake(section, "password", "it needs an ssid, too", NO_WIFI);
    }
    // A password that was refused must not make the network an open one.
    if password.is_none() && asked(reader, "password") {
        return None;
    }
    Some(Wifi { ssid: ssid?, password, country })
}

fn read_node(reader: &mut Reader<'_>, root: Section<'_>) -> Node {
    let before = reader.mistakes.len();
    let section = reader.section(root, "node", &["name", "join", "peers", "genesis", "keys"]);
    let mut node = Node {
        is_unsure: false,
        name: reader.text(section, "name", "the name is made from the node's key", checks::node_name),
        join: reader.texts(section, "join", MAX_LIST, checks::join),
        peers: reader.texts(section, "peers", MAX_LIST, checks::peer),
        genesis: reader.text(section, "genesis", "it is left out", checks::path),
        keys: reader.text(section, "keys", "no keys are taken", checks::path),
    };
    node.is_unsure = reader.is_unsure || reader.mistakes.len() > before;
    node
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
