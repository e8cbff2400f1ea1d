//! Proofs of double-signing, as `CometBFT`'s duplicate-vote evidence.

use serde_json::{Value, json};
use trustnet_engine::evidence::Evidence;
use trustnet_ledger::crypto::{Hash32, PublicKey, Signature};

use super::header::block_id;
use crate::rpc::encode::{address, base64, hex_upper, int, time};

/// The members `evidence` and `proposals` of a block that has the time `time_ms`. `CometBFT` knows no
/// evidence of two proposals, and strict clients refuse unknown kinds in its list, so those stand in a
/// list of their own.
pub fn evidence(all: &[Evidence], time_ms: u64) -> Value {
    let mut votes_list: Vec<Value> = Vec::new();
    let mut proposals_list: Vec<Value> = Vec::new();
    for evidence in all {
        match evidence {
            Evidence::Votes { validator, precommit, height, round, votes } => {
                let side = |(value, signature): &(Option<[u8; 32]>, Signature)| {
                    vote(validator, *precommit, *height, *round, value.map(Hash32), signature, time_ms)
                };
                votes_list.push(json!({
                    "type": "tendermint/DuplicateVoteEvidence",
                    "value": {
                        "vote_a": side(&votes[0]),
                        "vote_b": side(&votes[1]),
                        "TotalVotingPower": "0",
                        "ValidatorPower": "0",
                        "Timestamp": time(time_ms),
                    },
                }));
            }
            Evidence::Proposals { validator, height, round, proposals } => {
                let side = |(value, pol_round, signature): &([u8; 32], Option<u32>, Signature)| {
                    json!({
                        "block_id": block_id(&Hash32(*value)),
                        "pol_round": pol_round.map_or(-1, i64::from),
                        "signature": base64(signature.0),
                    })
                };
                proposals_list.push(json!({
                    "validator_address": address(validator),
                    "height": int(height),
                    "round": round,
                    "proposal_a": side(&proposals[0]),
                    "proposal_b": side(&proposals[1]),
                }));
            }
        }
    }
    if proposals_list.is_empty() {
        json!({ "evidence": votes_list })
    } else {
        json!({ "evidence": votes_list, "proposals": proposals_list })
    }
}

fn vote(
    validator: &PublicKey,
    precommit: bool,
    height: u64,
    round: u32,
    value: Option<Hash32>,
    signature: &Signature,
    time_ms: u64,
) -> Value {
    json!({
        "type": if precommit { 2 } else { 1 },
        "height": int(height),
        "round": round,
        "block_id": block_id(&value.unwrap_or_default()),
        "timestamp": time(time_ms),
        "validator_address": hex_upper(validator.address()),
        "validator_index": 0,
        "signature": base64(signature.0),
        "extension": null,
        "extension_signature": null,
    })
}
