//! `/validators`.

use serde_json::{Value, json};
use trustnet_ledger::crypto::PublicKey;

use super::page::Page;
use crate::rpc::encode::{address, int, public_key};

/// A validator. Proposers follow from powers alone, without state, so the priority is always zero.
pub fn validator(key: &PublicKey, power: u64) -> Value {
    json!({
        "address": address(key),
        "pub_key": public_key(key),
        "voting_power": int(power),
        "proposer_priority": "0",
    })
}

/// One page of the validators that decide `height`, in their order.
pub fn validators(height: u64, set: &[(PublicKey, u64)], page: Page) -> Value {
    let page = page.of(set);
    let shown: Vec<Value> = page.iter().map(|(key, power)| validator(key, *power)).collect();
    json!({
        "block_height": int(height),
        "validators": shown,
        "count": int(page.len()),
        "total": int(set.len()),
    })
}
