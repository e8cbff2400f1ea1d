//! `/tx` and the lists of waiting transactions.

use serde_json::{Value, json};
use trustnet_engine::block::Block;
use trustnet_ledger::crypto::Hash32;
use trustnet_ledger::merkle;

use super::broadcast::tx_result;
use crate::rpc::encode::{base64, hex_upper, int};

/// Transaction number `index` of a block, with its RFC 6962 inclusion proof if `prove`; `None` when the
/// block has no such transaction.
pub fn tx(id: &Hash32, block: &Block, index: usize, prove: bool) -> Option<Value> {
    let bytes = block.txs.get(index)?;
    let mut value = json!({
        "hash": hex_upper(id.0),
        "height": int(block.header.height),
        "index": index,
        "tx_result": tx_result(0, ""),
        "tx": base64(bytes),
    });
    if prove {
        let leaves: Vec<merkle::Sha> = block.txs.iter().map(|tx| merkle::leaf_hash(tx)).collect();
        let aunts = merkle::inclusion_proof(&leaves, index)?;
        value["proof"] = json!({
            "root_hash": hex_upper(block.header.txs_root.0),
            "data": base64(bytes),
            "proof": {
                "total": int(leaves.len()),
                "index": int(index),
                "leaf_hash": base64(leaves.get(index)?),
                "aunts": aunts.iter().map(base64).collect::<Vec<_>>(),
            },
        });
    }
    Some(value)
}

/// Waiting transactions; `txs` is `None` when only their number was asked.
pub fn unconfirmed(total: usize, total_bytes: usize, txs: Option<&[String]>) -> Value {
    json!({
        "n_txs": int(txs.map_or(total, <[String]>::len)),
        "total": int(total),
        "total_bytes": int(total_bytes),
        "txs": txs,
    })
}
