//! A commit: one entry for each validator of its height, in their order, present or absent.

use serde_json::{Value, json};
use trustnet_engine::block::Commit;
use trustnet_ledger::crypto::PublicKey;

use super::header::block_id;
use crate::rpc::encode::{ZERO_TIME, address, base64, int, time};

/// `CometBFT`'s number for a validator without signature.
const FLAG_ABSENT: u8 = 1;
/// `CometBFT`'s number for a signature for the block.
const FLAG_COMMIT: u8 = 2;

/// A commit whose block has the time `time_ms` and was decided by `deciders`. When these are not known,
/// the signatures are left out: a signature under a wrong address would be worse than none.
pub fn commit(commit: &Commit, time_ms: u64, deciders: Option<&[PublicKey]>) -> Value {
    let signatures: Vec<Value> = deciders.map_or_else(Vec::new, |deciders| {
        let entry = |(position, key): (usize, &PublicKey)| {
            let found = commit.signatures.iter().find(|(signer, _)| usize::from(*signer) == position);
            match found {
                Some((_, signature)) => json!({
                    "block_id_flag": FLAG_COMMIT,
                    "validator_address": address(key),
                    "timestamp": time(time_ms),
                    "signature": base64(signature.0),
                }),
                None => json!({
                    "block_id_flag": FLAG_ABSENT,
                    "validator_address": "",
                    "timestamp": ZERO_TIME,
                    "signature": null,
                }),
            }
        };
        deciders.iter().enumerate().map(entry).collect()
    });
    json!({
        "height": int(commit.height),
        "round": commit.round,
        "block_id": block_id(&commit.block),
        "signatures": signatures,
    })
}
