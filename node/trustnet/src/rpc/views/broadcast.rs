//! `/broadcast_tx_*`.

use serde_json::{Value, json};
use trustnet_ledger::crypto::Hash32;

use crate::rpc::encode::{hex_upper, int};

/// Whose codes they are.
pub const CODESPACE: &str = "trustnet";

/// The code space that belongs to a code: none to success.
pub fn codespace(code: u32) -> &'static str {
    if code == 0 { "" } else { CODESPACE }
}

/// What became of a transaction at the pool's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its id.
    pub id: Hash32,
    /// 0 when it was taken.
    pub code: u32,
    /// Why it was not.
    pub log: String,
}

/// The answer of `broadcast_tx_sync` and `broadcast_tx_async`.
pub fn broadcast(checked: &Checked) -> Value {
    json!({
        "code": checked.code,
        "data": "",
        "log": checked.log,
        "codespace": codespace(checked.code),
        "hash": hex_upper(checked.id.0),
    })
}

/// The result of a check or of an execution. Blocks hold only transactions that succeed, and there is
/// no gas.
pub fn tx_result(code: u32, log: &str) -> Value {
    json!({
        "code": code,
        "data": null,
        "log": log,
        "info": "",
        "gas_wanted": "0",
        "gas_used": "0",
        "events": [],
        "codespace": codespace(code),
    })
}

/// The answer of `broadcast_tx_commit`; height 0 when the check refused it.
pub fn broadcast_commit(checked: &Checked, height: u64) -> Value {
    json!({
        "check_tx": tx_result(checked.code, &checked.log),
        "tx_result": tx_result(0, ""),
        "hash": hex_upper(checked.id.0),
        "height": int(height),
    })
}
