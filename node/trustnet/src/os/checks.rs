//! What each value of `trustnet.toml` may be. Everything that passes is written into other programs'
//! files, so each check says which characters can come out of it: no quote, no newline, no blank where
//! they would mean something there.

use std::net::{IpAddr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use trustnet_ledger::shape;

use crate::client::Client;
use crate::config::Peer;

/// Key types that sshd takes.
const SSH_KEY_TYPES: [&str; 8] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
    "rsa-sha2-512",
];
/// Longest line with a key: an RSA key of 16,384 bits has 2,800 characters.
const MAX_SSH_KEY: usize = 4096;
/// Longest comment of a key that is kept, in characters.
const MAX_COMMENT: usize = 100;
/// Standard port of syslog.
const SYSLOG_PORT: u16 = 514;

/// An address with its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address of this machine.
    pub addr: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
}

impl Cidr {
    /// Whether `other` lies in this network.
    pub fn contains(&self, other: IpAddr) -> bool {
        let shift = |bits: u8| u32::from(bits - self.prefix);
        match (self.addr, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// A value as it may be shown in a message: short, and without control characters.
fn shown(text: &str) -> String {
    let mut short: String = text.escape_debug().take(60).collect();
    if short.len() < text.len() && text.chars().count() > 60 {
        short.push_str("...");
    }
    format!("\"{short}\"")
}

/// One label of a host name, in lower case. Out come only a-z, 0-9 and `-`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn hostname(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let wrong = |what: &str| Err(format!("{} is not a host name: {what}", shown(text)));
    if name.is_empty() || name.len() > 63 {
        return wrong("it must have 1 to 63 characters");
    }
    if let Some(c) = name.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '-') {
        return wrong(&format!("it may hold a-z, 0-9 and -, not {c:?}"));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return wrong("it must not begin or end with -");
    }
    if name == "localhost" {
        return wrong("every machine calls itself that");
    }
    Ok(name)
}

/// A public key as in `authorized_keys`, without options. Out come the type, base64 and a comment of
/// printable ASCII.
///
/// # Errors
/// What is wrong with it, for people.
pub fn ssh_key(text: &str) -> Result<String, String> {
    if text.len() > MAX_SSH_KEY {
        return Err(format!("this is no SSH key: it is longer than {MAX_SSH_KEY} characters"));
    }
    if text.contains("PRIVATE KEY") {
        return Err(
            "this is a PRIVATE key, which belongs on no other machine; take the line from the .pub file"
                .to_owned(),
        );
    }
    let mut words = text.split_whitespace();
    let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
        return Err(format!("{} is no SSH key; take the whole line from the .pub file", shown(text)));
    };
    if !SSH_KEY_TYPES.contains(&kind) {
        return Err(format!(
            "{} is no type of SSH key (options in front of a key are not taken)",
            shown(kind)
        ));
    }
    let bytes =
        BASE64.decode(blob).map_err(|_| "the key's second word is damaged (not base64)".to_owned())?;
    // A key begins with its own type: a length of four bytes, then the name.
    let named = bytes.get(4..4 + kind.len()) == Some(kind.as_bytes())
        && bytes.get(..4) == Some((kind.len() as u32).to_be_bytes().as_slice());
    if !named || bytes.len() < kind.len() + 4 + 32 {
        return Err(format!("the key's second word is damaged (it is no {kind} key)"));
    }
    let comment: String = words
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(MAX_COMMENT)
        .collect();
    Ok(format!("{kind} {blob} {comment}").trim_end().to_owned())
}

/// An address of this machine with its prefix, as `192.168.1.20/24`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn cidr(text: &str) -> Result<Cidr, String> {
    let wrong = |what: &str| {
        Err(format!(
            "{} is not an address with its network: {what}; expected as \"192.168.1.20/24\"",
            shown(text)
        ))
    };
    let Some((addr, prefix)) = text.split_once('/') else { return wrong("there is no /") };
    let Ok(addr) = addr.parse::<IpAddr>() else { return wrong("the part before / is no IP address") };
    let most = if addr.is_ipv4() { 32 } else { 128 };
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = match prefix.parse::<u8>() {
        Ok(prefix) if digits && (8..=most).contains(&prefix) => prefix,
        _ => return wrong(&format!("the part after / is not a number from 8 to {most}")),
    };
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() {
        return wrong("a machine cannot have this address");
    }
    if let IpAddr::V4(v4) = addr {
        let host = v4.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0);
        let ones = u32::MAX.checked_shl(u32::from(prefix)).unwrap_or(0);
        if v4.is_broadcast() || (prefix <= 30 && (host == 0 || host == ones)) {
            return wrong("this is the address of the network itself, or of all in it");
        }
    }
    Ok(Cidr { addr, prefix })
}

/// A private IPv6 address with its prefix.
///
/// # Errors
/// What is wrong with it, for people.
pub fn ula(text: &str) -> Result<Cidr, String> {
    let cidr = cidr(text).map_err(|_| format!("{} is not as \"fd10:1234::1/64\"", shown(text)))?;
    match cidr.addr {
        IpAddr::V6(v6) if v6.octets()[0] == 0xfd => Ok(cidr),
        _ => Err(format!("{} is not private: the address must begin with fd", shown(text))),
    }
}

/// An IP address.
///
/// # Errors
/// What is wrong with it, for people.
pub fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse::<IpAddr>().map_err(|_| format!("{} is no IP address", shown(text)))
}

/// The name of a wireless network: 1 to 32 bytes of any kind; it is written in hexadecimal.
///
/// # Errors
/// What is wrong with it, for people.
pub fn ssid(text: &str) -> Result<Vec<u8>, String> {
    match text.len() {
        1..=32 => Ok(text.as_bytes().to_vec()),
        _ => Err("the name of a wireless network has 1 to 32 bytes".to_owned()),
    }
}

/// A Wi-Fi password: 8 to 63 printable ASCII characters, or a key of 64 hexadecimal digits. A newline
/// cannot come out. The message never quotes it.
///
/// # Errors
/// What is wrong with it, for people.
pub fn wifi_password(text: &str) -> Result<String, String> {
    let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_key && !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err("it holds characters that Wi-Fi passwords cannot have".to_owned());
    }
    if !is_key && !(8..=63).contains(&text.len()) {
        return Err(format!("it has {} characters; Wi-Fi passwords have 8 to 63", text.len()));
    }
    Ok(text.to_owned())
}

/// A country by two letters.
///
/// # Errors
/// What is wrong with it, for people.
pub fn country(text: &str) -> Result<String, String> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(text.to_ascii_uppercase());
    }
    Err(format!("{} is not a country's two letters, as \"DE\"", shown(text)))
}

/// The node's name on the ledger.
///
/// # Errors
/// What is wrong with it, for people.
pub fn node_name(text: &str) -> Result<String, String> {
    shape::check_name(text).map_err(|error| format!("{}: {error}", shown(text)))?;
    Ok(text.to_owned())
}

/// A node to join: its RPC address.
///
/// # Errors
/// What is wrong with it, for people.
pub fn join(text: &str) -> Result<String, String> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._:/[]".contains(c);
    let url = text.strip_prefix("http://").unwrap_or(text);
    if !url.chars().all(harmless) {
        return Err(format!("{} is not as \"http://192.168.1.21:26657\"", shown(text)));
    }
    let client = Client::new(text).map_err(|error| error.to_string())?;
    Ok(client.url().to_owned())
}

/// A node to connect to.
///
/// # Errors
/// What is wrong with it, for people.
pub fn peer(text: &str) -> Result<Peer, String> {
    let peer: Peer = text
        .parse()
        .map_err(|_| format!("{} is not as \"<64 hex node id>@192.168.1.21:26656\"", shown(text)))?;
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._:[]@".contains(c);
    if !text.chars().all(harmless) {
        return Err(format!("{} holds a character that no address has", shown(text)));
    }
    Ok(peer)
}

/// A path on the boot medium, which it cannot leave.
///
/// # Errors
/// What is wrong with it, for people.
pub fn path(text: &str) -> Result<String, String> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let inside = text.split('/').all(|part| part != ".." && !part.starts_with('-'));
    let text_ok = !text.is_empty() && text.len() <= 200 && text.chars().all(harmless);
    if !text_ok || !inside || text.starts_with('/') {
        return Err(format!(
            "{} is not the name of a file on this partition (a-z 0-9 - . _ /, without ..)",
            shown(text)
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A syslog server: host or address, with or without a port.
///
/// # Errors
/// What is wrong with it, for people.
pub fn remote_log(text: &str) -> Result<String, String> {
    let wrong = || format!("{} is not as \"192.168.1.5:514\"", shown(text));
    if let Ok(addr) = text.parse::<Ipv6Addr>() {
        return Ok(format!("[{addr}]:{SYSLOG_PORT}"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            (host, port.parse::<u16>().ok().filter(|port| digits && *port > 0).ok_or_else(wrong)?)
        }
        _ => (text, SYSLOG_PORT),
    };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match v6 {
        Some(addr) => addr.parse::<Ipv6Addr>().is_ok(),
        None => host.len() <= 253 && host.split('.').all(is_label),
    };
    if good { Ok(format!("{host}:{port}")) } else { Err(wrong()) }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
}

#[cfg(test)]
#[path = "checks_tests.rs"]
pub(super) mod tests;
