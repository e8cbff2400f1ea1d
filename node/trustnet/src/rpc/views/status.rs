//! `/status`.

use serde_json::{Value, json};
use trustnet_ledger::crypto::{Hash32, PublicKey};

use super::node_info::{NodeShown, node_info};
use crate::rpc::encode::{address, hex_upper, int, public_key, time};

/// What `/status` says of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockPoint {
    /// Its id.
    pub id: Hash32,
    /// The state after it.
    pub state_root: Hash32,
    /// Its height; 0 stands for no block.
    pub height: u64,
    /// Its time, Unix milliseconds.
    pub time_ms: u64,
}

impl BlockPoint {
    fn hash(hash: &Hash32) -> String {
        if *hash == Hash32::default() { String::new() } else { hex_upper(hash.0) }
    }
}

/// Everything that `/status` shows.
#[derive(Clone, Debug)]
pub struct Status<'a> {
    /// This node.
    pub node: NodeShown<'a>,
    /// The last block.
    pub latest: BlockPoint,
    /// The first block that this node still has.
    pub earliest: BlockPoint,
    /// Whether it is fetching blocks that others have committed.
    pub catching_up: bool,
    /// Its validator key; the node key when it has none.
    pub validator_key: &'a PublicKey,
    /// Its power over the next block; 0 when it is no validator.
    pub power: u64,
}

/// The answer.
pub fn status(status: &Status<'_>) -> Value {
    json!({
        "node_info": node_info(&status.node),
        "sync_info": {
            "latest_block_hash": BlockPoint::hash(&status.latest.id),
            "latest_app_hash": BlockPoint::hash(&status.latest.state_root),
            "latest_block_height": int(status.latest.height),
            "latest_block_time": time(status.latest.time_ms),
            "earliest_block_hash": BlockPoint::hash(&status.earliest.id),
            "earliest_app_hash": BlockPoint::hash(&status.earliest.state_root),
            "earliest_block_height": int(status.earliest.height),
            "earliest_block_time": time(status.earliest.time_ms),
            "catching_up": status.catching_up,
        },
        "validator_info": {
            "address": address(status.validator_key),
            "pub_key": public_key(status.validator_key),
            "voting_power": int(status.power),
        },
    })
}
