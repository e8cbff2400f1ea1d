//! Several machines that are validators of one new chain: keys, genesis, addresses.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use trustnet::config::{Config, P2P_PORT, RPC_PORT};
use trustnet::home::Home;
use trustnet::new_home::{self, NodeKeys};
use trustnet_ledger::genesis::GENESIS_VERSION;
use trustnet_ledger::{CategoryWeights, Genesis, GenesisValidator, Params};

use crate::files::read_folder;
use crate::tree::Tree;

/// Voting power of each: all the same.
const POWER: u64 = 10;
/// Where a member's keys lie on its FAT partition.
pub const KEYS_FOLDER: &str = "node";

/// Why no network was made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the network's keys and genesis: {0}")]
pub struct ClusterError(String);

/// The address of machine `number` on the network of this host's machines.
#[must_use]
pub fn address(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd10, 0x1234, 0, 0, 0, 0, 0, number.into())
}

/// For each member of a new network what goes onto its FAT partition: its keys, the genesis, its settings.
///
/// # Errors
/// [`ClusterError`].
pub fn member_files(names: &[(String, u8)], time_ms: u64) -> Result<Vec<Tree>, ClusterError> {
    let failed = |error: &dyn std::fmt::Display| ClusterError(error.to_string());
    let keys = names.iter().map(|_| NodeKeys::generate()).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| failed(&error))?;
    let mut id = [0; 3];
    getrandom::fill(&mut id).map_err(|error| failed(&error))?;
    let validators = names.iter().zip(&keys).map(|((name, _), keys)| GenesisValidator {
        name: name.clone(),
        owner: String::new(),
        operator: keys.operator.public(),
        node_key: keys.node.public(),
        validator_key: keys.validator.public(),
        power: POWER,
    });
    let genesis = Genesis {
        version: GENESIS_VERSION,
        chain_id: format!("vms-{}", hex::encode(id)),
        time_ms,
        validators: validators.collect(),
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params::default(),
    };
    genesis.validate().map_err(|error| failed(&error))?;
    let peer = |(index, (_, number)): (usize, &(String, u8))| {
        format!("{}@[{}]:{P2P_PORT}", keys[index].node.public(), address(*number)).parse().ok()
    };
    let mut all = Vec::new();
    for (index, (name, _)) in names.iter().enumerate() {
        let mut config = Config { name: name.clone(), ..Config::default() };
        config.p2p.listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, P2P_PORT));
        config.p2p.peers =
            names.iter().enumerate().filter(|(other, _)| *other != index).filter_map(peer).collect();
        config.rpc.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, RPC_PORT));
        let scratch = Scratch::new().map_err(|error| failed(&error))?;
        let home = Home::at(scratch.0.join("home"));
        new_home::create(&home, &config, &keys[index], &genesis).map_err(|error| failed(&error))?;
        let mut tree = Tree::new();
        for (path, entry) in read_folder(&home.config_dir()).map_err(|error| failed(&error))?.iter() {
            tree.put(&format!("{KEYS_FOLDER}/{path}"), entry.clone()).map_err(|error| failed(&error))?;
        }
        all.push(tree);
    }
    Ok(all)
}

/// A folder for secrets that is gone when it is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(std::io::Error::other)?;
        let path = std::env::temp_dir().join(format!("trustnet-image-{}", hex::encode(name)));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it but tidiness; the folder is its owner's only.
        let _ = fs::remove_dir_all(&self.0);
    }
}
