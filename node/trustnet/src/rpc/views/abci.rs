//! `/abci_query` and `/abci_info`.

use serde_json::{Value, json};
use trustnet_ledger::crypto::Hash32;

use super::broadcast::codespace;
use super::header::APP_PROTOCOL;
use crate::rpc::encode::{abci_bytes, int};

/// The answer to a query: `value` on success, else `log` says why.
pub fn query(code: u32, log: &str, key: &[u8], value: &[u8], height: u64) -> Value {
    json!({
        "response": {
            "code": code,
            "log": log,
            "info": "",
            "index": "0",
            "key": abci_bytes(key),
            "value": abci_bytes(value),
            "proofOps": null,
            "height": int(height),
            "codespace": codespace(code),
        },
    })
}

/// The application: name, version of the program, and where it stands.
pub fn info(version: &str, height: u64, state_root: &Hash32) -> Value {
    json!({
        "response": {
            "data": "trustnet",
            "version": version,
            "app_version": APP_PROTOCOL,
            "last_block_height": int(height),
            "last_block_app_hash": abci_bytes(&state_root.0),
        },
    })
}
