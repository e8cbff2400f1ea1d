//! What an engine is told about itself.

use std::sync::Arc;

use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::genesis::Genesis;

use crate::verifier::Verifier;

/// Durations of consensus, in milliseconds. Local to a node: nodes with other values still agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Wait for a proposal in round 0.
    pub propose_ms: u64,
    /// Wait for more votes in round 0.
    pub vote_ms: u64,
    /// Added for each further round, so that a slow network is waited for at last.
    pub delta_ms: u64,
    /// The longest of these waits: rounds beyond add nothing.
    pub max_ms: u64,
    /// Under load, blocks start at least this far apart, so that they carry more and write less.
    pub pace_ms: u64,
    /// While a height is undecided, neighbours are told this often what is held.
    pub repair_ms: u64,
    /// A waiting transaction is offered again after this long.
    pub regossip_ms: u64,
    /// A validator that has just started waits this long, at the most, for others to tell what they saw of it.
    pub listen_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            propose_ms: 1_000,
            vote_ms: 500,
            delta_ms: 500,
            max_ms: 30_000,
            pace_ms: 100,
            repair_ms: 1_000,
            regossip_ms: 2_000,
            listen_ms: 2_000,
        }
    }
}

/// Configuration of an engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// The node's identity; signs heartbeats.
    pub node_key: SecretKey,
    /// The validator's key, if this node may be one.
    pub validator_key: Option<SecretKey>,
    /// Durations.
    pub timing: Timing,
    /// Judges signatures.
    pub verifier: Arc<dyn Verifier>,
    /// Secret randomness for choices among peers.
    pub seed: [u8; 32],
}

/// What the disk said about the signer record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerState {
    /// A new validator that has signed nothing.
    Fresh,
    /// The encoded record.
    Known(Vec<u8>),
    /// Lost or restored: be silent until peers have told where we were.
    Lost,
}
