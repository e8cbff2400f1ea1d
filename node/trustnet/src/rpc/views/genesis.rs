//! `/genesis` and `/consensus_params`.

use serde_json::{Value, json};
use trustnet_engine::block::MAX_BLOCK_BYTES;
use trustnet_engine::evidence::MAX_EVIDENCE_AGE_BLOCKS;
use trustnet_ledger::genesis::Genesis;

use super::header::APP_PROTOCOL;
use crate::rpc::encode::{address, int, public_key, time};

/// What `CometBFT` calls consensus parameters. Evidence grows stale by blocks alone: the duration is the
/// least that its own rules allow, because it takes both to make evidence stale.
pub fn consensus_params() -> Value {
    json!({
        "block": { "max_bytes": int(MAX_BLOCK_BYTES), "max_gas": "-1" },
        "evidence": {
            "max_age_num_blocks": int(MAX_EVIDENCE_AGE_BLOCKS),
            "max_age_duration": "1",
            "max_bytes": int(MAX_BLOCK_BYTES),
        },
        "validator": { "pub_key_types": ["ed25519"] },
        "version": { "app": APP_PROTOCOL },
        "abci": { "vote_extensions_enable_height": "0" },
    })
}

/// The answer of `/consensus_params`: they are fixed for the life of a chain.
pub fn consensus_params_at(height: u64) -> Value {
    json!({ "block_height": int(height), "consensus_params": consensus_params() })
}

/// The genesis; `app_state` is our own genesis file, whole.
pub fn genesis(genesis: &Genesis) -> Value {
    let validators: Vec<Value> = genesis
        .validators
        .iter()
        .map(|v| {
            json!({
                "address": address(&v.validator_key),
                "pub_key": public_key(&v.validator_key),
                "power": int(v.power),
                "name": v.name,
            })
        })
        .collect();
    json!({
        "genesis": {
            "genesis_time": time(genesis.time_ms),
            "chain_id": genesis.chain_id,
            "initial_height": "1",
            "consensus_params": consensus_params(),
            "validators": validators,
            "app_hash": "",
            // A genesis holds strings and numbers only, so this cannot fail.
            "app_state": serde_json::to_value(genesis).unwrap_or_default(),
        },
    })
}
