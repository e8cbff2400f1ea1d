//! `trustnet os provision`: makes the node's home of an appliance, once. Keys are made on the device,
//! or taken from the folder that `[node] keys` names. A power cut at any moment is made good by the next
//! call, and nothing that a node may have used is ever overwritten:
//!
//! ```text
//! HOME/.new-keys/   the three keys, from the first moment on: the machine's name comes from them
//! HOME/.new/        a whole home, made aside
//! HOME/data, logs   moved there from .new
//! HOME/config       moved last: a home that has it is finished
//! ```

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use trustnet_ledger::Genesis;
use trustnet_ledger::crypto::SecretKey;

use crate::cli::error::CliError;
use crate::cli::init::{fetch_genesis, fetch_peer, new_genesis, read_genesis};
use crate::client::{Client, ClientError};
use crate::config::{Config, P2P_PORT, Peer, RPC_PORT};
use crate::home::{Home, HomeError};
use crate::keys::{self, KeyError, Role};
use crate::new_home::{self, NodeKeys};
use crate::os::mdns;
use crate::os::settings::Node;

/// The folder of fresh keys in the home.
pub const NEW_KEYS: &str = ".new-keys";
/// The folder of the unfinished home in the home.
const NEW: &str = ".new";

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was a node already.
    Present,
    /// The home was finished now.
    Made,
    /// The keys are there; the rest needs the network.
    KeysOnly,
}

/// Makes the home at `root` as `[node]` of the settings wants it. `media` is the boot medium that
/// its paths are on. With `offline`, what needs the network is left to a later call.
///
/// # Errors
/// What stands in the way, with a next step. The home is as before, or further on the same way.
pub fn provision(root: &Path, node: &Node, media: Option<&Path>, offline: bool) -> Result<Outcome, CliError> {
    let home = Home::at(root);
    if home.exists() {
        clean(root);
        return Ok(Outcome::Present);
    }
    let staged = Home::at(root.join(NEW));
    if staged.exists() {
        // Cut between making and moving.
        move_in(&home, &staged)?;
        return Ok(Outcome::Made);
    }
    // Keys or data without settings: somebody's node, or what is left of it. Not ours to replace.
    home.check_vacant()?;
    if has_entries(&home.data_dir()) {
        let found = "data".to_owned();
        return Err(HomeError::Unfinished { root: root.to_owned(), found }.into());
    }
    fs::create_dir_all(root).map_err(|error| unwritable(root, &error))?;
    let folder = node.keys.as_ref().map(|path| on_media(media, path)).transpose()?;
    let folder = folder.map(|dir| if dir.join("config").is_dir() { dir.join("config") } else { dir });
    let node_keys = match &folder {
        Some(dir) => given_keys(&root.join(NEW_KEYS), dir)?,
        None => fresh_keys(&root.join(NEW_KEYS))?,
    };
    let given = folder.as_ref().map(|dir| dir.join("genesis.json")).filter(|path| path.exists());
    // Which chain a node belongs to, and with which keys, is settled once: a typing mistake must not settle it.
    if node.is_unsure {
        return Err(CliError::failed(
            "trustnet.toml has mistakes that may concern [node], so no node was made of it",
        )
        .next("correct what trustnet-report.txt beside it names, then restart the machine"));
    }
    let genesis_file = match &node.genesis {
        Some(path) => Some(on_media(media, path)?),
        None => given,
    };
    if offline && genesis_file.is_none() && !node.join.is_empty() {
        return Ok(Outcome::KeysOnly);
    }
    let name =
        node.name.clone().unwrap_or_else(|| format!("node-{}", &node_keys.node.public().to_string()[..8]));
    let (genesis, peers) = network(node, genesis_file.as_deref(), &name, &node_keys, offline)?;
    let config = match folder.as_ref().map(|dir| dir.join("config.toml")).filter(|path| path.exists()) {
        Some(path) => Config::load(&path).map_err(CliError::failed)?,
        None => appliance_config(name, peers),
    };
    remove(&root.join(NEW))?;
    new_home::create(&staged, &config, &node_keys, &genesis).map_err(CliError::failed)?;
    move_in(&home, &staged)?;
    Ok(Outcome::Made)
}

/// Settings of a node on an appliance: it answers on all addresses, the firewall decides.
fn appliance_config(name: String, peers: Vec<Peer>) -> Config {
    let mut config = Config { name, ..Config::default() };
    config.p2p.peers = peers;
    config.p2p.listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, P2P_PORT));
    config.rpc.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, RPC_PORT));
    config
}

/// The chain to belong to, and the nodes to connect to.
fn network(
    node: &Node,
    genesis_file: Option<&Path>,
    name: &str,
    keys: &NodeKeys,
    offline: bool,
) -> Result<(Genesis, Vec<Peer>), CliError> {
    let mut peers = node.peers.clone();
    let mut genesis = genesis_file.map(read_genesis).transpose()?;
    if genesis.is_none() && node.join.is_empty() {
        if !peers.is_empty() {
            return Err(CliError::failed("[node] peers needs the chain's genesis, too")
                .next("copy genesis.json of the network beside trustnet.toml and name it in [node] genesis, or use join"));
        }
        return Ok((new_genesis(name, "", None, keys)?, peers));
    }
    let known = genesis.is_some();
    let mut last_error = None;
    // With the genesis at hand the others' addresses are a help, but no condition.
    for url in node.join.iter().filter(|_| !offline) {
        match ask(url) {
            Ok((theirs, peer)) => {
                if let Some(ours) = genesis.as_ref().filter(|ours| ours.hash() != theirs.hash()) {
                    return Err(CliError::damaged(format!(
                        "{url} is on another chain ({}, genesis {}) than expected ({}, genesis {})",
                        theirs.chain_id,
                        theirs.hash(),
                        ours.chain_id,
                        ours.hash()
                    ))
                    .next("correct [node] join in trustnet.toml"));
                }
                genesis = Some(theirs);
                peers.push(peer);
            }
            Err(error) => last_error = Some(error),
        }
    }
    match (genesis, last_error) {
        (Some(genesis), None) => Ok((genesis, peers)),
        (Some(genesis), Some(_)) if known || !peers.is_empty() => Ok((genesis, peers)),
        (_, Some(error)) => Err(error),
        (_, None) => Err(CliError::failed("no node of the network could be asked")),
    }
}

fn ask(url: &str) -> Result<(Genesis, Peer), CliError> {
    let client = Client::new(&resolved(url)).map_err(|error: ClientError| CliError::from(error))?;
    Ok((fetch_genesis(&client)?, fetch_peer(&client)?))
}

/// The URL with the address of a name below `.local`, which no name server of the appliance knows.
fn resolved(url: &str) -> String {
    let host = host_of(url);
    match mdns::resolve(host) {
        Some(IpAddr::V4(ip)) => url.replacen(host, &ip.to_string(), 1),
        Some(IpAddr::V6(ip)) => url.replacen(host, &format!("[{ip}]"), 1),
        None => url.to_owned(),
    }
}

/// The name in a URL; something that is none where an IPv6 address stands.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split([':', '/']).next().unwrap_or(rest)
}

/// The keys of an earlier, interrupted call if all three are whole; else new ones. Nothing was signed with
/// keys that are not in a finished home.
fn fresh_keys(dir: &Path) -> Result<NodeKeys, CliError> {
    if let Ok(keys) = load_keys(dir) {
        return Ok(keys);
    }
    save_keys(dir, NodeKeys::generate()?)
}

/// The keys of a folder on the boot medium. Its file system knows no owners, so their permissions are not
/// looked at.
fn given_keys(dir: &Path, from: &Path) -> Result<NodeKeys, CliError> {
    let read = |role: Role| -> Result<SecretKey, CliError> {
        let path = from.join(role.file_name());
        let (found, key) = keys::load_shared(&path).map_err(CliError::from)?;
        if found == role {
            return Ok(key);
        }
        Err(KeyError::WrongRole { path, expected: role, found }.into())
    };
    let keys = NodeKeys {
        node: read(Role::Node)?,
        validator: read(Role::Validator)?,
        operator: read(Role::Operator)?,
    };
    save_keys(dir, keys)
}

fn load_keys(dir: &Path) -> Result<NodeKeys, CliError> {
    let load = |role: Role| Ok::<_, CliError>(keys::load(&dir.join(role.file_name()), Some(role))?.1);
    Ok(NodeKeys {
        node: load(Role::Node)?,
        validator: load(Role::Validator)?,
        operator: load(Role::Operator)?,
    })
}

fn save_keys(dir: &Path, keys: NodeKeys) -> Result<NodeKeys, CliError> {
    use std::os::unix::fs::DirBuilderExt as _;
    remove(dir)?;
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(|error| unwritable(dir, &error))?;
    for (role, key) in [
        // The machine's name comes from this one, so it stands on the disk last.
        (Role::Validator, &keys.validator),
        (Role::Operator, &keys.operator),
        (Role::Node, &keys.node),
    ] {
        keys::save(&dir.join(role.file_name()), role, key)?;
    }
    Ok(keys)
}

/// Moves a finished home from the side into its place; `config` last.
fn move_in(home: &Home, staged: &Home) -> Result<(), CliError> {
    for (from, to) in [
        (staged.data_dir(), home.data_dir()),
        (staged.logs_dir(), home.logs_dir()),
        (staged.config_dir(), home.config_dir()),
    ] {
        sync(home.root())?;
        match fs::rename(&from, &to) {
            Ok(()) => {}
            // Moved by an earlier call.
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
            Err(error) => return Err(unwritable(&to, &error)),
        }
    }
    sync(home.root())?;
    clean(home.root());
    Ok(())
}

fn clean(root: &Path) {
    // Leftovers do no harm; the next start tries again.
    let _ = fs::remove_dir_all(root.join(NEW));
    let _ = fs::remove_dir_all(root.join(NEW_KEYS));
}

fn remove(dir: &Path) -> Result<(), CliError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(dir, &error)),
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> Result<(), CliError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| unwritable(dir, &error))
}

fn has_entries(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

fn on_media(media: Option<&Path>, path: &str) -> Result<PathBuf, CliError> {
    let dir = media.ok_or_else(|| CliError::failed("the boot medium was not found"))?;
    let path = dir.join(path);
    if path.exists() {
        return Ok(path);
    }
    Err(CliError::failed(format!("{} is not on the boot medium", path.display()))
        .next("copy it there, or correct [node] in trustnet.toml"))
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::failed(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
#[path = "provision_tests.rs"]
mod tests;
