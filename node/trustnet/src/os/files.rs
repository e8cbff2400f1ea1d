//! From settings to the files of the base system. Pure: what this machine is like comes in as [`Facts`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::os::checks::Cidr;
use crate::os::settings::{Settings, Ula, Wifi};

/// The wireless card: the first one's name in every base.
const WIRELESS: &str = "wlan0";
/// The prefix below which nodes of one network see each other (DESIGN 6).
const ULA_PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd10, 0x1234, 0, 0, 0, 0, 0, 0);
/// As in the overlay's file, byte for byte: `OpenRC` would look at every service again if a file of /etc/conf.d changed.
const SYSLOG_COMMENT: &str = "\
# A ring in memory (4 MiB), read with `logread`: the log never wears the card.
# `trustnet os apply` adds a remote log when trustnet.toml names one.
";
/// The ring of the log in memory, as in the overlay's /etc/conf.d/syslog.
const SYSLOG_OPTIONS: &str = "-t -D -C4096";

/// What this machine is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Names of the cards with a cable, in order.
    pub wired: Vec<String>,
    /// The node's public key, if there is one yet.
    pub node_key: Option<[u8; 32]>,
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// It has this text.
    Text {
        /// All of it.
        text: String,
        /// Permission bits.
        mode: u32,
    },
    /// There is none.
    Absent,
}

impl File {
    fn new(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), mode: 0o644 }
    }

    fn secret(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), mode: 0o600 }
    }

    fn when(wanted: bool, text: impl Into<String>) -> Self {
        if wanted { Self::new(text) } else { Self::Absent }
    }
}

/// Files by their path below the root.
pub type Files = BTreeMap<&'static str, File>;

/// The machine's name: as set, else made from the node's key.
pub fn hostname(settings: &Settings, facts: &Facts) -> String {
    match (&settings.hostname, facts.node_key) {
        (Some(name), _) => name.clone(),
        (None, Some(key)) => format!("trustnet-{}", hex::encode(&key[..2])),
        (None, None) => "trustnet".to_owned(),
    }
}

/// All files that the settings decide. Files that are not named here are left alone.
pub fn files(settings: &Settings, facts: &Facts) -> Files {
    let mut files = Files::new();
    let name = hostname(settings, facts);
    files.insert("etc/hostname", File::new(format!("{name}\n")));
    files.insert(
        "etc/hosts",
        File::new(format!("127.0.0.1\t{name} localhost\n::1\tlocalhost ip6-localhost\n")),
    );
    network(settings, facts, &mut files);
    ssh(settings, &mut files);
    let remote = settings.remote_log.as_deref().map(|server| format!(" -L -R {server}"));
    let options =
        format!("{SYSLOG_COMMENT}SYSLOGD_OPTS=\"{SYSLOG_OPTIONS}{}\"\n", remote.unwrap_or_default());
    files.insert("etc/conf.d/syslog", File::new(options));
    registry(settings.registry, facts, &mut files);
    files
}

fn network(settings: &Settings, facts: &Facts, files: &mut Files) {
    files.insert("etc/network/interfaces", File::new(interfaces(settings, facts)));
    let dns = &settings.network.dns;
    // The DHCP client would write its own name servers over these.
    files.insert("etc/udhcpc/udhcpc.conf", File::when(!dns.is_empty(), "RESOLV_CONF=\"no\"\n"));
    if !dns.is_empty() {
        let mut lines = String::new();
        for server in dns {
            let _ = writeln!(lines, "nameserver {server}");
        }
        files.insert("etc/resolv.conf", File::new(lines));
    }
    let wifi = settings.wifi.as_ref().map_or(File::Absent, |wifi| File::secret(wpa_supplicant(wifi)));
    files.insert("etc/wpa_supplicant/wpa_supplicant.conf", wifi);
}

/// `/etc/network/interfaces`: DHCP on every card, but
/// - `[network] address` goes to Wi-Fi if that is set, else to the first card;
/// - the private IPv6 address goes to the last card with a cable, else to Wi-Fi. A second card on which
///   such an address was chosen is the network of the nodes (of a VM, say), where no DHCP answers.
fn interfaces(settings: &Settings, facts: &Facts) -> String {
    let mut cards: Vec<&str> = facts.wired.iter().map(String::as_str).collect();
    if cards.is_empty() {
        cards.push("eth0");
    }
    let wired = cards.len();
    let private_card = cards[wired - 1];
    if settings.wifi.is_some() {
        cards.push(WIRELESS);
    }
    let private_card =
        if facts.wired.is_empty() && settings.wifi.is_some() { WIRELESS } else { private_card };
    let fixed_card = if settings.wifi.is_some() { WIRELESS } else { cards[0] };
    let private = match settings.network.ula {
        Ula::Off => None,
        Ula::Fixed(cidr) => Some(cidr),
        Ula::FromKey => facts.node_key.map(|key| private_address(&key)),
    };
    let nodes_only = |card: &str| {
        matches!(settings.network.ula, Ula::Fixed(_))
            && wired > 1
            && card == private_card
            && card != fixed_card
    };
    let mut text =
        String::from("# Written by `trustnet os apply` at each start.\nauto lo\niface lo inet loopback\n");
    for card in cards {
        let _ = write!(text, "\nauto {card}\n");
        let address = settings.network.address.filter(|_| card == fixed_card);
        match address {
            Some(address) => {
                if address.addr.is_ipv6() {
                    let _ = writeln!(text, "iface {card} inet dhcp");
                }
                stanza(&mut text, card, address, settings.network.gateway);
            }
            None if nodes_only(card) => {}
            None => {
                let _ = writeln!(text, "iface {card} inet dhcp");
            }
        }
        if let Some(private) = private.filter(|_| card == private_card) {
            stanza(&mut text, card, private, None);
        }
    }
    text
}

fn stanza(text: &mut String, card: &str, address: Cidr, gateway: Option<IpAddr>) {
    let (family, mask) = match address.addr {
        IpAddr::V4(_) => {
            let bits = u32::MAX.checked_shl(32 - u32::from(address.prefix)).unwrap_or(0);
            ("inet", Ipv4Addr::from_bits(bits).to_string())
        }
        IpAddr::V6(_) => ("inet6", address.prefix.to_string()),
    };
    let _ = write!(text, "iface {card} {family} static\n\taddress {}\n\tnetmask {mask}\n", address.addr);
    if let Some(gateway) = gateway {
        let _ = writeln!(text, "\tgateway {gateway}");
    }
}

/// The node's private address: the common prefix, then 64 bits of a hash of its key.
pub fn private_address(node_key: &[u8; 32]) -> Cidr {
    let hash = blake3::derive_key("trustnet 2026 ula interface id", node_key);
    let mut octets = ULA_PREFIX.octets();
    octets[8..].copy_from_slice(&hash[..8]);
    Cidr { addr: Ipv6Addr::from(octets).into(), prefix: 64 }
}

/// The name goes in hexadecimal, so no character of it can mean anything. The password stands between
/// quotes, of which the last one on the line ends it, and holds no newline.
fn wpa_supplicant(wifi: &Wifi) -> String {
    let mut text = String::from("# Written by `trustnet os apply` at each start.\n");
    if let Some(country) = &wifi.country {
        let _ = writeln!(text, "country={country}");
    }
    let _ = write!(text, "network={{\n\tssid={}\n\tscan_ssid=1\n", hex::encode(&wifi.ssid));
    match &wifi.password {
        None => text.push_str("\tkey_mgmt=NONE\n"),
        // 64 hexadecimal digits are the key itself.
        Some(key) if key.len() == 64 => {
            let _ = write!(text, "\tkey_mgmt=WPA-PSK\n\tpsk={key}\n");
        }
        Some(password) => {
            let _ = write!(text, "\tkey_mgmt=WPA-PSK SAE\n\tieee80211w=1\n\tpsk=\"{password}\"\n");
        }
    }
    text.push_str("}\n");
    text
}

/// Without keys in the settings, keys that the image brings stay.
fn ssh(settings: &Settings, files: &mut Files) {
    if settings.ssh_keys.is_empty() {
        return;
    }
    let keys = settings.ssh_keys.join("\n") + "\n";
    files.insert("etc/ssh/authorized_keys/keeper", File::when(settings.registry, keys.clone()));
    files.insert("etc/ssh/authorized_keys/warden", File::new(keys));
}

/// The registry believes tokens that this node signs, as long as it has no settings of its own.
fn registry(enabled: bool, facts: &Facts, files: &mut Files) {
    let rules = if enabled {
        "add element inet trustnet registry_ports { 8000, 8053 }\n"
    } else {
        "# The registry is not enabled: no port of it is open.\n"
    };
    files.insert("etc/nftables.d/registry.nft", File::new(rules));
    let mut options = "# Enabled by trustnet.toml.\n".to_owned();
    if let Some(key) = facts.node_key {
        let _ = writeln!(options, "registry_options=\"--trust-key {}\"", hex::encode(key));
    }
    files.insert("etc/conf.d/trustnet-registry", File::when(enabled, options));
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
