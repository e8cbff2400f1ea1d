//! `/consensus_state`.

use serde_json::{Value, json};
use trustnet_engine::view::{RoundState, RoundVotes};
use trustnet_ledger::crypto::{Hash32, PublicKey};

use crate::rpc::encode::{address, hex_upper, time};

/// Bytes of a hash or address that stand for the whole of it.
const FINGERPRINT_BYTES: usize = 6;

/// A vote as the engine's state has it: none, nil, or for a block.
#[allow(clippy::option_option)]
type Vote = Option<Option<Hash32>>;

/// Which kind of vote.
#[derive(Clone, Copy)]
enum Kind {
    Prevote,
    Precommit,
}

/// The answer; `deciders` are the keys and powers of the height being decided, in their order.
pub fn consensus_state(state: &RoundState, deciders: &[(PublicKey, u64)]) -> Value {
    let hash = |hash: &Option<Hash32>| hash.map_or_else(String::new, |hash| hex_upper(hash.0));
    let votes: Vec<Value> = state
        .votes
        .iter()
        .map(|round| {
            json!({
                "round": round.round,
                "prevotes": votes(state, round, &round.prevotes, Kind::Prevote, deciders),
                "prevotes_bit_array": bit_array(&round.prevotes, deciders),
                "precommits": votes(state, round, &round.precommits, Kind::Precommit, deciders),
                "precommits_bit_array": bit_array(&round.precommits, deciders),
            })
        })
        .collect();
    let proposer =
        deciders.get(usize::from(state.proposer)).map_or_else(String::new, |(key, _)| address(key));
    json!({
        "round_state": {
            "height/round/step": format!("{}/{}/{}", state.height, state.round, state.step),
            "start_time": time(state.started_unix_ms),
            "proposal_block_hash": hash(&state.proposal),
            "locked_block_hash": hash(&state.locked),
            "valid_block_hash": hash(&state.valid),
            "height_vote_set": votes,
            "proposer": { "address": proposer, "index": state.proposer },
        },
    })
}

/// Votes in `CometBFT`'s short form. Votes carry no time and the state no signatures: the height's
/// beginning and zeros stand for them.
fn votes(
    state: &RoundState,
    round: &RoundVotes,
    votes: &[Vote],
    kind: Kind,
    deciders: &[(PublicKey, u64)],
) -> Vec<String> {
    let word = match kind {
        Kind::Prevote => "SIGNED_MSG_TYPE_PREVOTE(Prevote)",
        Kind::Precommit => "SIGNED_MSG_TYPE_PRECOMMIT(Precommit)",
    };
    let one = |index: usize, value: &Option<Hash32>, key: &PublicKey| {
        format!(
            "Vote{{{index}:{} {}/{:02}/{word} {} {} @ {}}}",
            fingerprint(&key.address()),
            state.height,
            round.round,
            fingerprint(&value.unwrap_or_default().0),
            fingerprint(&[0; FINGERPRINT_BYTES]),
            time(state.started_unix_ms),
        )
    };
    let positions = votes.iter().zip(deciders).enumerate();
    positions
        .map(|(index, (vote, (key, _)))| {
            vote.as_ref().map_or_else(|| "nil-Vote".to_owned(), |value| one(index, value, key))
        })
        .collect()
}

fn fingerprint(bytes: &[u8]) -> String {
    hex_upper(&bytes[..bytes.len().min(FINGERPRINT_BYTES)])
}

/// `BA{4:x_xx} 30/40 = 0.75`: who has voted, and their part of the power.
fn bit_array(votes: &[Vote], deciders: &[(PublicKey, u64)]) -> String {
    let bits: String = votes.iter().map(|vote| if vote.is_some() { 'x' } else { '_' }).collect();
    let power = |of: &mut dyn Iterator<Item = &(PublicKey, u64)>| {
        of.map(|(_, power)| u128::from(*power)).sum::<u128>()
    };
    let total = power(&mut deciders.iter());
    let voted =
        power(&mut votes.iter().zip(deciders).filter(|(vote, _)| vote.is_some()).map(|(_, decider)| decider));
    let hundredths = (voted * 100 + total / 2).checked_div(total).unwrap_or(0);
    format!("BA{{{}:{bits}}} {voted}/{total} = {}.{:02}", votes.len(), hundredths / 100, hundredths % 100)
}
