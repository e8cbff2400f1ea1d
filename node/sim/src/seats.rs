//! Keys, names and the genesis of a simulated network. A seat is one identity; a machine may hold a copy of it.

use trustnet_ledger::crypto::{PublicKey, SecretKey};
use trustnet_ledger::genesis::{CategoryWeights, Genesis, GenesisValidator};
use trustnet_ledger::ids::NodeId;
use trustnet_ledger::params::Params;

/// The simulated chain's id.
pub const CHAIN_ID: &str = "sim";
/// Length of an epoch of uptime in a simulated network: short, so that a run sees several.
const EPOCH_MS: u64 = 20_000;
/// Virtual time begins here, Unix milliseconds (2026), three seconds before an epoch ends.
pub const START_UNIX_MS: u64 = 1_795_000_000_000 / EPOCH_MS * EPOCH_MS + 17_000;

/// The keys of one identity.
#[derive(Clone)]
pub struct Seat {
    /// Signs the operator's transactions.
    pub operator: SecretKey,
    /// The node's network identity.
    pub node: SecretKey,
    /// Votes.
    pub validator: SecretKey,
    /// The same, as others see them.
    pub node_key: PublicKey,
    /// The voting key.
    pub validator_key: PublicKey,
    /// The operator's key.
    pub operator_key: PublicKey,
}

impl Seat {
    /// The keys of seat `index`.
    pub fn new(index: usize) -> Self {
        let key = |role: u8| {
            let mut seed = [role; 32];
            seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
            SecretKey::from_seed(&seed)
        };
        let (operator, node, validator) = (key(1), key(2), key(3));
        let (operator_key, node_key, validator_key) = (operator.public(), node.public(), validator.public());
        Self { operator, node, validator, node_key, validator_key, operator_key }
    }
}

/// The name of the node of a seat.
pub fn name(seat: usize) -> String {
    format!("node-{seat}")
}

/// A genesis whose validators are the first seats, with these powers.
pub fn genesis(seats: &[Seat], powers: &[u64]) -> Genesis {
    let validators = seats.iter().zip(powers).enumerate();
    let validators = validators
        .map(|(index, (seat, power))| GenesisValidator {
            name: name(index),
            owner: String::new(),
            operator: seat.operator_key,
            node_key: seat.node_key,
            validator_key: seat.validator_key,
            power: *power,
        })
        .collect();
    Genesis {
        version: 1,
        chain_id: CHAIN_ID.into(),
        time_ms: START_UNIX_MS - EPOCH_MS,
        validators,
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params {
            epoch_ms: EPOCH_MS,
            heartbeat_ms: 2_000,
            trust_epoch_blocks: 10,
            initial_reputation: 100_000,
            attestation_grace_ms: 2_000,
            ..Params::default()
        },
    }
}

/// The ids of the genesis nodes, by seat.
pub fn genesis_ids(genesis: &Genesis) -> Vec<NodeId> {
    genesis.validators.iter().map(|validator| genesis.validator_id(validator)).collect()
}
