//! What the genesis fixes for all time, ready for use.

use std::collections::BTreeMap;

use crate::crypto::Hash32;
use crate::genesis::{Genesis, root_weight_on};
use crate::ids::NodeId;
use crate::params::Params;
use crate::trust::TrustParams;

/// What the genesis fixes for all time.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub id: String,
    pub genesis: Hash32,
    pub genesis_ms: u64,
    pub params: Params,
    pub trust: TrustParams,
    /// Roots with their weights at the genesis; they may not be registered yet.
    pub roots: BTreeMap<NodeId, u64>,
}

impl Chain {
    pub fn new(genesis: &Genesis) -> Self {
        Self {
            id: genesis.chain_id.clone(),
            genesis: genesis.hash(),
            genesis_ms: genesis.time_ms,
            params: genesis.params,
            trust: TrustParams { category_weights: genesis.category_weights.by_category() },
            roots: genesis.root_weights().into_iter().collect(),
        }
    }

    /// A node's weight as a root on a UTC day; 0 for other nodes.
    pub fn root_weight(&self, node: &NodeId, day: u32) -> u64 {
        self.roots.get(node).map_or(0, |weight| root_weight_on(*weight, self.genesis_ms, day))
    }
}
