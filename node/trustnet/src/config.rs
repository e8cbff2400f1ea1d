//! A node's settings: `config/config.toml`. Every key is optional; unknown keys are errors, because
//! a mistyped setting that is silently ignored is found only when it hurts.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, io};

use serde::Deserialize;

use crate::suggest::nearest;

/// Settings of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node's name on the ledger; empty: found through the node's keys.
    pub name: String,
    /// Node to node.
    pub p2p: P2p,
    /// The JSON-RPC interface.
    pub rpc: Rpc,
    /// Waiting times.
    pub consensus: Consensus,
    /// What is written to the log.
    pub log: Log,
}

/// `[p2p]`: node to node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct P2p {
    /// Address and UDP port to listen on.
    pub listen: SocketAddr,
    /// Nodes to connect to, for ever: `<64 hex node id>@host:port`.
    pub peers: Vec<Peer>,
    /// Addresses under which others reach this node, when it cannot tell them itself (NAT).
    pub advertise: Vec<SocketAddr>,
}

/// `[rpc]`: the JSON-RPC interface.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rpc {
    /// Address and TCP port to listen on.
    pub listen: SocketAddr,
}

/// `[consensus]`: how long to wait for others before going on without them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consensus {
    /// Milliseconds to wait for a proposal in a height's first round.
    pub propose_ms: u64,
    /// Milliseconds to wait for more votes once 2/3 have voted without agreeing.
    pub vote_ms: u64,
    /// Milliseconds by which both grow with every further round.
    pub delta_ms: u64,
}

/// `[log]`: what is written to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important level that is written.
    pub level: Level,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Needs a person.
    Error,
    /// Unusual, handled.
    Warn,
    /// What the node does.
    #[default]
    Info,
    /// Why the node does it.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The level as in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The standard port between nodes (UDP).
pub const P2P_PORT: u16 = 26656;
/// The standard port of the JSON-RPC (TCP).
pub const RPC_PORT: u16 = 26657;
/// Longest waiting time that may be set, in milliseconds: an hour. More is surely a slip of the unit.
const MAX_WAIT_MS: u64 = 3_600_000;
/// Most peers in `[p2p] peers` and addresses in `advertise`.
const MAX_PEERS: usize = 256;
/// Longest config file, in bytes.
const MAX_CONFIG_BYTES: u64 = 256 * 1024;

impl Default for P2p {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, P2P_PORT)),
            peers: Vec::new(),
            advertise: Vec::new(),
        }
    }
}

impl Default for Rpc {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, RPC_PORT)) }
    }
}

impl Default for Consensus {
    fn default() -> Self {
        Self { propose_ms: 1_000, vote_ms: 500, delta_ms: 500 }
    }
}

/// A peer to connect to: `<64 hex node id>@host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Peer(String);

impl Peer {
    /// The text form, for `trustnet_net::Config::static_peers`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            Err(format!("`{text}` is not a peer: {what}; expected `<64 hex node id>@host:port`"))
        };
        let Some((id, address)) = text.split_once('@') else { return wrong("there is no `@`") };
        if id.len() != 64 || hex::decode(id).is_err() {
            return wrong("the node id is not 64 hex digits");
        }
        let Some((host, port)) = address.rsplit_once(':') else { return wrong("there is no port") };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return wrong("there is no host");
        }
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return wrong("the port is not a number from 1 to 65535");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Peer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Why a config file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not valid.
    #[error("{}:{line}:{column}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong and, for a mistyped key, what may have been meant.
        problem: String,
    },
}

impl Config {
    /// Reads the config file `path`. A missing file is an error: a home has one.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.into(), source };
        let length = fs::metadata(path).map_err(unreadable)?.len();
        if length > MAX_CONFIG_BYTES {
            let reason = format!("{length} bytes are more than the {MAX_CONFIG_BYTES} of a config file");
            return Err(unreadable(io::Error::other(reason)));
        }
        Self::parse(&fs::read_to_string(path).map_err(unreadable)?, path)
    }

    /// Parses the text of a config file; `path` is for messages only.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let invalid = |offset: usize, problem: String| {
            let (line, column) = position(text, offset);
            ConfigError::Invalid { path: path.into(), line, column, problem }
        };
        let config: Self = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            invalid(offset, explain(error.message()))
        })?;
        config.check().map_err(|(key, problem)| invalid(text.find(key).unwrap_or(0), problem))?;
        Ok(config)
    }

    /// The rules that types cannot express. Gives the key at fault and the problem.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let waits = [
            ("propose_ms", self.consensus.propose_ms, 1),
            ("vote_ms", self.consensus.vote_ms, 1),
            // Waiting times must grow, or a slow network might never agree (consensus.md 19).
            ("delta_ms", self.consensus.delta_ms, 1),
        ];
        for (key, value, least) in waits {
            if !(least..=MAX_WAIT_MS).contains(&value) {
                return Err((
                    key,
                    format!("{key} = {value} is not between {least} and {MAX_WAIT_MS} milliseconds"),
                ));
            }
        }
        for (key, count) in [("peers", self.p2p.peers.len()), ("advertise", self.p2p.advertise.len())] {
            if count > MAX_PEERS {
                return Err((
                    key,
                    format!("{count} entries in `{key}` are more than the {MAX_PEERS} allowed"),
                ));
            }
        }
        Ok(())
    }

    /// The file's text, each key with a comment. [`Self::parse`] of it gives `self` again.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "# Settings of this TrustNet node. Every key may be left out; what stands here then applies.\n\
             # After a change: stop the node and start it again.\n\n",
        );
        let mut put = |comment: &str, line: String| {
            let comment = comment.replace('\n', "\n# ");
            let _ = writeln!(text, "# {comment}\n{line}\n");
        };
        let list = |items: Vec<String>| {
            let items: Vec<String> = items.iter().map(|item| format!("\n  {},", quote(item))).collect();
            if items.is_empty() { "[]".to_owned() } else { format!("[{}\n]", items.concat()) }
        };
        put("The node's name on the ledger.", format!("name = {}", quote(&self.name)));
        put(
            "Node to node (QUIC). Open this UDP port in your firewall if others are to reach you.",
            format!("[p2p]\nlisten = {}", quote(&self.p2p.listen.to_string())),
        );
        put(
            "Nodes to connect to, as \"<64 hex node id>@host:port\". More are found by themselves.",
            format!("peers = {}", list(self.p2p.peers.iter().map(ToString::to_string).collect())),
        );
        put(
            "Addresses to announce when the node stands behind a router, as \"203.0.113.7:26656\".",
            format!("advertise = {}", list(self.p2p.advertise.iter().map(ToString::to_string).collect())),
        );
        put(
            "The JSON-RPC interface (TCP). 127.0.0.1 lets only this machine ask; 0.0.0.0 lets everybody.",
            format!("[rpc]\nlisten = {}", quote(&self.rpc.listen.to_string())),
        );
        put(
            "How long to wait for others before going on without them, in milliseconds:\n\
             for a proposal, for votes, and how much longer with every further round.",
            format!(
                "[consensus]\npropose_ms = {}\nvote_ms = {}\ndelta_ms = {}",
                self.consensus.propose_ms, self.consensus.vote_ms, self.consensus.delta_ms
            ),
        );
        put("error, warn, info, debug or trace.", format!("[log]\nlevel = {}", quote(self.log.level.name())));
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Line and column (from 1, in characters) of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The parser's message; for an unknown key the nearest known one is put first.
fn explain(message: &str) -> String {
    let message = message.trim();
    if !message.starts_with("unknown field ") {
        return message.replace('\n', "; ");
    }
    // serde's wording: unknown field `a`, expected one of `b`, `c` (or: expected `b` or `c`).
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let choices = known.join(", ");
    match nearest(unknown, &known) {
        Some(near) => {
            format!("there is no setting `{unknown}` here; did you mean `{near}`? (known: {choices})")
        }
        None => format!("there is no setting `{unknown}` here (known: {choices})"),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
