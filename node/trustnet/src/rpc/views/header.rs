//! A block's header and id. The mapping of our fields to `CometBFT`'s stands in the module doc of `rpc`.

use serde_json::{Value, json};
use trustnet_engine::block::Header;
use trustnet_ledger::crypto::Hash32;

use crate::rpc::encode::{address, hex_upper, int, time};

/// Block protocol that the shapes follow (`CometBFT` 0.38).
pub const BLOCK_PROTOCOL: &str = "11";
/// Version of what the ledger does, for clients that compare it.
pub const APP_PROTOCOL: &str = "1";

/// A block's id. There are no part sets: one part, whose hash is the block's own.
pub fn block_id(id: &Hash32) -> Value {
    if *id == Hash32::default() {
        return json!({ "hash": "", "parts": { "total": 0, "hash": "" } });
    }
    let hash = hex_upper(id.0);
    json!({ "hash": hash, "parts": { "total": 1, "hash": hash } })
}

/// A header.
pub fn header(header: &Header, chain_id: &str) -> Value {
    json!({
        "version": { "block": BLOCK_PROTOCOL, "app": APP_PROTOCOL },
        "chain_id": chain_id,
        "height": int(header.height),
        "time": time(header.time_ms),
        "last_block_id": block_id(&header.last_block),
        "last_commit_hash": hex_upper(header.last_commit.0),
        "data_hash": hex_upper(header.txs_root.0),
        "validators_hash": hex_upper(header.validators.0),
        "next_validators_hash": hex_upper(header.next_validators.0),
        "consensus_hash": hex_upper(header.genesis.0),
        "app_hash": hex_upper(header.state_root.0),
        "last_results_hash": hex_upper(header.results.0),
        "evidence_hash": hex_upper(header.evidence.0),
        "proposer_address": address(&header.proposer),
    })
}
