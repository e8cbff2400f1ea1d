//! Making a local network: keys, genesis and settings of every node.

use std::net::{Ipv4Addr, SocketAddr};

use trustnet_ledger::genesis::GENESIS_VERSION;
use trustnet_ledger::{CategoryWeights, Genesis, GenesisValidator, NodeId, Params, Root, RootRef};

use super::network::{Member, Network, NetworkDir, NetworkError, member_name, write_file};
use super::ports::Ports;
use crate::cli::CliError;
use crate::config::Config;
use crate::new_home::{self, NewHomeError, NodeKeys};

/// Voting power of each node: all the same.
const POWER: u64 = 10;
/// Weight of a root that comes from the ratings.
const RATED_ROOT_WEIGHT: u64 = 1;

/// The settings of a node: its ports, and everybody else as a peer.
pub fn config(member: &Member, all: &[Member]) -> Config {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut config = Config { name: member.name.clone(), ..Config::default() };
    config.p2p.listen = local(member.ports.p2p);
    config.rpc.listen = local(member.ports.rpc);
    let peer = |other: &Member| format!("{}@127.0.0.1:{}", other.id, other.ports.p2p).parse().ok();
    config.p2p.peers = all.iter().filter(|other| other.id != member.id).filter_map(peer).collect();
    config
}

/// The genesis of a local network. With roots from a file of ratings trust flows from those people,
/// and only honesty counts, because that is what such a file rates.
pub fn genesis(chain_id: &str, time_ms: u64, validators: Vec<GenesisValidator>, roots: &[NodeId]) -> Genesis {
    let honesty_only = CategoryWeights { reliability: 0, performance: 0, honesty: 100 };
    let root = |id: &NodeId| Root { node: RootRef::Id(*id), weight: RATED_ROOT_WEIGHT };
    Genesis {
        version: GENESIS_VERSION,
        chain_id: chain_id.to_owned(),
        time_ms,
        validators,
        roots: roots.iter().map(root).collect(),
        category_weights: if roots.is_empty() { CategoryWeights::default() } else { honesty_only },
        params: Params::default(),
    }
}

/// Makes every node's home and then `network.json`.
///
/// # Errors
/// When something cannot be written; the next attempt clears away what was made.
pub fn create(
    dir: &NetworkDir,
    ports: &[Ports],
    time_ms: u64,
    roots: &[NodeId],
) -> Result<Network, CliError> {
    let mut id = [0; 3];
    getrandom::fill(&mut id)
        .map_err(|error| CliError::failed(format!("the system gave no randomness: {error}")))?;
    let chain_id = format!("trustnet-local-{}", hex::encode(id));
    dir.begin().map_err(network_error)?;
    let (mut members, mut validators, mut all_keys) = (Vec::new(), Vec::new(), Vec::new());
    for (index, &ports) in ports.iter().enumerate() {
        let keys = NodeKeys::generate().map_err(|error| CliError::failed(&error))?;
        let name = member_name(index + 1);
        members.push(Member { name: name.clone(), id: keys.node.public().to_string(), ports });
        validators.push(GenesisValidator {
            name,
            owner: String::new(),
            operator: keys.operator.public(),
            node_key: keys.node.public(),
            validator_key: keys.validator.public(),
            power: POWER,
        });
        all_keys.push(keys);
    }
    let genesis = genesis(&chain_id, time_ms, validators, roots);
    genesis.validate().map_err(|error| CliError::failed(format!("the genesis is not valid: {error}")))?;
    let network = Network::new(chain_id, members);
    for (member, keys) in network.nodes.iter().zip(&all_keys) {
        let config = config(member, &network.nodes);
        new_home::create(&dir.home(member), &config, keys, &genesis).map_err(|error| home_error(&error))?;
    }
    dir.complete(&network).map_err(network_error)?;
    Ok(network)
}

/// Gives every node its ports and peers anew after a port has changed; other settings stay.
///
/// # Errors
/// When a home's settings cannot be read or written.
pub fn rewire(dir: &NetworkDir, network: &Network) -> Result<(), CliError> {
    for member in &network.nodes {
        let home = dir.home(member);
        let wired = config(member, &network.nodes);
        let mut config = home.config()?;
        (config.p2p.listen, config.p2p.peers, config.rpc.listen) =
            (wired.p2p.listen, wired.p2p.peers, wired.rpc.listen);
        write_file(&home.config_file(), &config.render()).map_err(network_error)?;
    }
    dir.save(network).map_err(network_error)
}

/// A folder's error with its next step.
pub fn network_error(error: NetworkError) -> CliError {
    let next = error.next();
    let error = match error {
        NetworkError::Damaged { .. } | NetworkError::OtherKind { .. } | NetworkError::InUse { .. } => {
            CliError::damaged(error)
        }
        _ => CliError::failed(error),
    };
    error.next(next)
}

/// An error while a home is made: nearly always the folder's space or permissions.
fn home_error(error: &NewHomeError) -> CliError {
    CliError::failed(error)
        .next("check the folder's free space and permissions, or choose another with --home DIR")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::ports::standard;
    use super::*;
    use crate::keys::Role;
    use trustnet_ledger::crypto::Hash32;

    #[test]
    fn a_new_network_has_homes_with_keys_genesis_and_each_other_as_peers() {
        let dir = tempfile::tempdir().unwrap();
        let open = NetworkDir::open(dir.path()).unwrap();
        let roots = [NodeId(Hash32([7; 32]))];
        let network = create(&open, &standard(26_656, 3), 1_700_000_000_000, &roots).unwrap();
        assert_eq!(open.load().unwrap().as_ref(), Some(&network));
        let first = open.home(&network.nodes[0]);
        let text = std::fs::read_to_string(first.genesis_file()).unwrap();
        let genesis = Genesis::from_json(&text).unwrap();
        assert_eq!((genesis.validators.len(), genesis.roots.len()), (3, 1));
        assert_eq!(genesis.category_weights.by_category().iter().sum::<u64>(), 100);
        assert_eq!(genesis.chain_id, network.chain_id);
        for (member, validator) in network.nodes.iter().zip(&genesis.validators) {
            let home = open.home(member);
            assert_eq!(std::fs::read_to_string(home.genesis_file()).unwrap(), text);
            assert_eq!(home.key(Role::Node).unwrap().public().to_string(), member.id);
            assert_eq!(home.key(Role::Validator).unwrap().public(), validator.validator_key);
            assert_eq!(home.key(Role::Operator).unwrap().public(), validator.operator);
            let config = home.config().unwrap();
            assert_eq!((config.name.as_str(), config.p2p.peers.len()), (member.name.as_str(), 2));
            assert!(config.p2p.peers.iter().all(|peer| !peer.as_str().starts_with(&member.id)));
            assert_eq!(config.rpc.listen.port(), member.ports.rpc);
        }
    }

    #[test]
    fn a_network_without_ratings_trusts_its_validators_in_all_categories() {
        let genesis = genesis("c", 1, Vec::new(), &[]);
        assert!(genesis.roots.is_empty());
        assert_eq!(genesis.category_weights, CategoryWeights::default());
    }

    #[test]
    fn half_a_network_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let open = NetworkDir::open(dir.path()).unwrap();
        create(&open, &standard(26_656, 2), 1, &[]).unwrap();
        std::fs::remove_file(dir.path().join("network.json")).unwrap();
        open.begin().unwrap();
        create(&open, &standard(26_656, 2), 1, &[]).unwrap();
    }

    #[test]
    fn a_changed_port_reaches_every_peer_and_other_settings_stay() {
        let dir = tempfile::tempdir().unwrap();
        let open = NetworkDir::open(dir.path()).unwrap();
        let mut network = create(&open, &standard(26_656, 2), 1, &[]).unwrap();
        let second = open.home(&network.nodes[1]);
        let mut edited = second.config().unwrap();
        edited.log.level = crate::config::Level::Debug;
        std::fs::write(second.config_file(), edited.render()).unwrap();
        network.nodes[0].ports = Ports { p2p: 30_000, rpc: 30_001 };
        rewire(&open, &network).unwrap();
        let config = second.config().unwrap();
        assert_eq!(config.log.level, crate::config::Level::Debug);
        assert!(config.p2p.peers[0].as_str().ends_with("@127.0.0.1:30000"));
        assert_eq!(open.home(&network.nodes[0]).config().unwrap().rpc.listen.port(), 30_001);
        assert_eq!(open.load().unwrap(), Some(network));
    }
}
