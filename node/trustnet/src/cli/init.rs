//! `trustnet init`: makes a node's home.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trustnet_ledger::{CategoryWeights, Genesis, GenesisValidator, Params, shape};

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::cli::send::now_ms;
use crate::client::{Client, ClientError};
use crate::config::{Config, P2P_PORT, Peer};
use crate::new_home::{self, NodeKeys};
use crate::output::Paint;

/// Voting power of the one validator of a new chain; those who join later get the same.
const POWER: u64 = 10;
/// Longest genesis file that is read, in bytes.
const MAX_GENESIS_BYTES: u64 = 1024 * 1024;

/// Make a node's home: keys, settings, genesis
#[derive(Debug, clap::Args)]
#[command(after_help = "Without --genesis and --join: a new chain with this node as its only validator.\n\
                        Join a chain: trustnet init --join http://node-1.lan:26657")]
pub struct InitArgs {
    /// The node's name on the ledger: 1 to 32 of a-z 0-9 . _ - [default: node-1 on a new chain]
    #[arg(long)]
    name: Option<String>,

    /// Who runs the node (new chain only)
    #[arg(long, default_value = "", hide_default_value = true)]
    owner: String,

    /// The name of a new chain [default: home- and 8 random digits]
    #[arg(long, value_name = "ID", conflicts_with_all = ["genesis", "join"])]
    chain_id: Option<String>,

    /// Join the chain with this genesis file
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// A node to join: its RPC address (http://HOST:PORT), or <node id>@HOST:PORT with --genesis.
    /// May be given several times
    #[arg(long, value_name = "NODE")]
    join: Vec<String>,

    /// Where to listen for other nodes (UDP)
    #[arg(long, value_name = "ADDR:PORT")]
    p2p_listen: Option<SocketAddr>,

    /// Where to listen for JSON-RPC (TCP)
    #[arg(long, value_name = "ADDR:PORT")]
    rpc_listen: Option<SocketAddr>,
}

/// Runs `trustnet init`.
///
/// # Errors
/// When a home is there already, an argument makes no sense, or something cannot be written.
pub fn main(args: &InitArgs, globals: &Globals) -> Result<(), CliError> {
    let home = globals.home()?;
    // Before anything is asked of the network.
    home.check_vacant()?;
    if let Some(name) = &args.name {
        shape::check_name(name)
            .map_err(|error| CliError::usage(format!("--name `{}`: {error}", name.escape_debug())))?;
    }
    let keys = NodeKeys::generate()?;
    let joined = join(args.genesis.as_deref(), &args.join)?;
    let (genesis, peers, new_chain) = if let Some((genesis, peers)) = joined {
        (genesis, peers, false)
    } else {
        let name = args.name.as_deref().unwrap_or("node-1");
        (new_genesis(name, &args.owner, args.chain_id.clone(), &keys)?, Vec::new(), true)
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None if new_chain => genesis.validators[0].name.clone(),
        // Names are for ever and unique: this one is free.
        None => format!("node-{}", &keys.node.public().to_string()[..8]),
    };
    let mut config = Config { name: name.clone(), ..Config::default() };
    config.p2p.peers = peers;
    config.p2p.listen = args.p2p_listen.unwrap_or(config.p2p.listen);
    config.rpc.listen = args.rpc_listen.unwrap_or(config.rpc.listen);
    new_home::create(&home, &config, &keys, &genesis)?;
    let made = Made {
        home: home.root(),
        default_home: globals.home.is_none(),
        name: &name,
        genesis: &genesis,
        new_chain,
        peers: config.p2p.peers.len(),
        node_id: keys.node.public().to_string(),
    };
    globals.output().either(&made.to_json(), |paint| made.render(paint))
}

/// A chain of one validator.
pub(crate) fn new_genesis(
    name: &str,
    owner: &str,
    chain_id: Option<String>,
    keys: &NodeKeys,
) -> Result<Genesis, CliError> {
    let chain_id = chain_id.unwrap_or_else(|| format!("home-{}", &keys.validator.public().to_string()[..8]));
    let genesis = Genesis {
        version: trustnet_ledger::genesis::GENESIS_VERSION,
        chain_id,
        time_ms: now_ms(),
        validators: vec![GenesisValidator {
            name: name.to_owned(),
            owner: owner.to_owned(),
            operator: keys.operator.public(),
            node_key: keys.node.public(),
            validator_key: keys.validator.public(),
            power: POWER,
        }],
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params::default(),
    };
    genesis.validate().map_err(CliError::usage)?;
    Ok(genesis)
}

/// The genesis and the peers of the chain to join; `None` for a new chain.
fn join(genesis: Option<&Path>, nodes: &[String]) -> Result<Option<(Genesis, Vec<Peer>)>, CliError> {
    let mut genesis = genesis.map(read_genesis).transpose()?;
    let mut peers = Vec::new();
    for node in nodes {
        if node.contains('@') {
            peers
                .push(node.parse::<Peer>().map_err(|problem| CliError::usage(format!("--join: {problem}")))?);
            continue;
        }
        let client = Client::new(node)?;
        let theirs = fetch_genesis(&client)?;
        match &genesis {
            Some(ours) if ours.hash() != theirs.hash() => {
                return Err(CliError::damaged(format!(
                    "{node} is on another chain ({}, genesis {}) than expected ({}, genesis {})",
                    theirs.chain_id,
                    theirs.hash(),
                    ours.chain_id,
                    ours.hash()
                ))
                .next("check the address, or ask the network's operators for its genesis hash"));
            }
            _ => genesis = Some(theirs),
        }
        peers.push(fetch_peer(&client)?);
    }
    match (genesis, nodes.is_empty()) {
        (Some(genesis), _) => Ok(Some((genesis, peers))),
        (None, true) => Ok(None),
        (None, false) => Err(CliError::usage("to join by node id, the chain's genesis is needed, too")
            .next("copy config/genesis.json from a node of the network and add --genesis FILE")),
    }
}

pub(crate) fn read_genesis(path: &Path) -> Result<Genesis, CliError> {
    let unreadable = |reason: String| {
        CliError::failed(format!("cannot read the genesis file {}: {reason}", path.display()))
            .next("copy config/genesis.json from a node of the network")
    };
    let length = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > MAX_GENESIS_BYTES {
        return Err(unreadable(format!("{length} bytes are more than the {MAX_GENESIS_BYTES} of a genesis")));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    Genesis::from_json(&text).map_err(|error| CliError::damaged(format!("{}: {error}", path.display())))
}

pub(crate) fn fetch_genesis(client: &Client) -> Result<Genesis, CliError> {
    let result = client.call("genesis", &json!({}))?;
    let text = result["genesis"]["app_state"].to_string();
    Genesis::from_json(&text).map_err(|error| {
        ClientError::BadAnswer { url: client.url().to_owned(), problem: error.to_string() }.into()
    })
}

/// The peer behind an RPC address: the same host, with the node's key and UDP port.
pub(crate) fn fetch_peer(client: &Client) -> Result<Peer, CliError> {
    let status = client.call("status", &json!({}))?;
    let peer = peer_of(client.url(), &status["node_info"]);
    peer.ok_or_else(|| {
        let problem = "its status does not say how other nodes reach it".to_owned();
        ClientError::BadAnswer { url: client.url().to_owned(), problem }.into()
    })
}

fn peer_of(url: &str, node_info: &Value) -> Option<Peer> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    // The port after the last colon; the colons of an IPv6 address stand in brackets.
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    let key = node_info["other"]["node_key"].as_str()?;
    let listen = node_info["listen_addr"].as_str()?;
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or(P2P_PORT);
    format!("{key}@{host}:{port}").parse().ok()
}

/// What was made, for the report.
struct Made<'a> {
    home: &'a Path,
    default_home: bool,
    name: &'a str,
    genesis: &'a Genesis,
    new_chain: bool,
    peers: usize,
    node_id: String,
}

impl Made<'_> {
    fn run_command(&self) -> String {
        if self.default_home {
            "trustnet run".to_owned()
        } else {
            format!("trustnet run --home {}", self.home.display())
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "home": self.home, "name": self.name, "node_id": self.node_id,
            "chain_id": self.genesis.chain_id, "genesis_hash": self.genesis.hash().to_string(),
            "new_chain": self.new_chain, "peers": self.peers, "next": self.run_command(),
        })
    }

    fn render(&self, paint: Paint) -> String {
        let kind = if self.new_chain { "a new chain; this node is its only validator" } else { "joined" };
        let mut text = format!(
            "Made {} in {}\n  chain    {} ({kind})\n  genesis  {}\n  node id  {}\n",
            paint.bold(self.name),
            self.home.display(),
            self.genesis.chain_id,
            self.genesis.hash(),
            self.node_id
        );
        text.push_str("Keep a copy of config/*.key in a safe place: lost keys cannot be made again.\n");
        if !self.new_chain {
            text.push_str("Compare the genesis hash with the one that the network's operators publish.\n");
        }
        if !self.new_chain && self.peers == 0 {
            text.push_str("No peer is known yet: add one under [p2p] peers in config/config.toml.\n");
        }
        text.extend(["  next: ", &self.run_command(), "\n"]);
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::*;
    use crate::home::Home;

    fn init(home: &Path, options: &[&str]) -> Result<(), CliError> {
        let mut line = vec!["trustnet", "init", "--json", "--home", home.to_str().unwrap()];
        line.extend(options);
        let cli = crate::cli::Cli::try_parse_from(line).unwrap();
        match cli.command {
            Some(crate::cli::Command::Init(args)) => main(&args, &cli.globals),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_second_init_refuses_and_names_the_next_step() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("node");
        init(&root, &["--name", "ada", "--chain-id", "test-1"]).unwrap();
        let home = Home::at(&root);
        assert_eq!(home.config().unwrap().name, "ada");
        let genesis = read_genesis(&home.genesis_file()).unwrap();
        assert_eq!((genesis.chain_id.as_str(), genesis.validators[0].name.as_str()), ("test-1", "ada"));
        let error = init(&root, &[]).unwrap_err();
        assert_eq!(error.message, format!("{} holds a node already", root.display()));
        assert_eq!(error.next.unwrap(), format!("trustnet run --home {}", root.display()));
    }

    #[test]
    fn a_node_joins_by_genesis_file_and_peer() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        init(&first, &[]).unwrap();
        let genesis = first.join("config/genesis.json");
        let peer = format!("{}@node-1.lan:26656", "ab".repeat(32));
        let error = init(&second, &["--join", &peer]).unwrap_err();
        assert!(error.next.unwrap().contains("--genesis FILE"));
        init(&second, &["--join", &peer, "--genesis", genesis.to_str().unwrap()]).unwrap();
        let config = Home::at(&second).config().unwrap();
        assert_eq!(config.p2p.peers[0].as_str(), peer);
        assert!(config.name.starts_with("node-") && config.name.len() == 13, "{}", config.name);
    }

    #[test]
    fn wrong_names_chain_ids_and_files_are_refused_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("node");
        let broken = dir.path().join("genesis.json");
        fs::write(&broken, "{\n  \"version\": 1,\n  \"chain\": 5\n}\n").unwrap();
        for (options, expected) in [
            (vec!["--name", "No"], "--name `No`: a name is 1 to 32"),
            (vec!["--chain-id", "a b"], "chain_id: must be 1 to 50"),
            (vec!["--genesis", broken.to_str().unwrap()], "line 3"),
            (vec!["--genesis", "/nowhere/genesis.json"], "cannot read the genesis file"),
            (vec!["--join", "https://x"], "plain HTTP"),
            (vec!["--join", "x@y:1"], "the node id is not 64 hex digits"),
        ] {
            let error = init(&root, &options).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
            assert!(!root.exists(), "{options:?}");
        }
    }

    #[test]
    fn a_peer_is_found_behind_an_rpc_address() {
        let key = "cd".repeat(32);
        let info = json!({ "listen_addr": "udp://0.0.0.0:26658", "other": { "node_key": key } });
        for (url, expected) in [
            ("http://node-1.lan:26657", format!("{key}@node-1.lan:26658")),
            ("http://[::1]:26657", format!("{key}@[::1]:26658")),
            ("http://[::1]", format!("{key}@[::1]:26658")),
            ("http://h/path", format!("{key}@h:26658")),
        ] {
            assert_eq!(peer_of(url, &info).unwrap().as_str(), expected);
        }
        assert!(peer_of("http://h:1", &json!({})).is_none());
    }
}
