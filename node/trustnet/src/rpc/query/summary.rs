//! `/summary`: the chain, its validators and this node at a glance.

use serde::{Deserialize, Serialize};
use trustnet_ledger::crypto::Hash32;

use crate::node::NodeView;

/// No argument.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Summary {
    chain_id: String,
    height: u64,
    time_ms: u64,
    state_root: Hash32,
    log_root: Hash32,
    log_size: u64,
    nodes: u32,
    ratings: u64,
    validators: Vec<trustnet_ledger::NodeView>,
    /// Transactions that wait.
    pool: usize,
    catching_up: bool,
    silent_reason: Option<&'static str>,
    /// Validators that may stop without stopping the chain, the strongest first.
    faults_tolerated: usize,
    /// Connected peers.
    peers: usize,
    trust_epoch_height: u64,
    trust_epoch_day: u32,
    /// The epoch of uptime that the validators attest next.
    next_attestation_epoch: u64,
}

/// The summary.
pub fn summary(view: &NodeView<'_>) -> Summary {
    let ledger = view.engine.ledger();
    let validators = ledger.validators();
    let powers: Vec<u64> = validators.iter().map(|v| v.power).collect();
    Summary {
        chain_id: ledger.chain_id().to_owned(),
        height: ledger.height(),
        time_ms: ledger.time_ms(),
        state_root: ledger.state_root(),
        log_root: Hash32(ledger.log_root()),
        log_size: ledger.log_size(),
        nodes: ledger.node_count(),
        ratings: ledger.rating_count(),
        validators: validators.iter().filter_map(|v| ledger.node_by_index(v.node)).collect(),
        pool: view.engine.pool().len(),
        catching_up: view.engine.catching_up(),
        silent_reason: view.engine.silent_reason(),
        faults_tolerated: faults_tolerated(powers),
        peers: view.net.peers().len(),
        trust_epoch_height: ledger.trust_epoch_height(),
        trust_epoch_day: ledger.trust_epoch_day(),
        next_attestation_epoch: ledger.epoch_of(ledger.time_ms()),
    }
}

/// How many validators may fail, whichever they are: the rest still holds more than two thirds.
fn faults_tolerated(mut powers: Vec<u64>) -> usize {
    powers.sort_unstable_by(|a, b| b.cmp(a));
    let total: u128 = powers.iter().map(|power| u128::from(*power)).sum();
    let mut failed = 0_u128;
    powers
        .iter()
        .take_while(|power| {
            failed += u128::from(**power);
            failed * 3 < total
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_power_is_one_too_many() {
        let equal = |count: usize| faults_tolerated(vec![10; count]);
        assert_eq!([0, 1, 2, 3, 4, 6, 7, 9, 10, 100].map(equal), [0, 0, 0, 0, 1, 1, 2, 2, 3, 33]);
    }

    #[test]
    fn the_strongest_fail_first() {
        assert_eq!(faults_tolerated(vec![1, 1, 1, 100]), 0);
        assert_eq!(faults_tolerated(vec![4, 3, 3]), 0);
        assert_eq!(faults_tolerated(vec![3, 3, 3, 1]), 1);
        assert_eq!(faults_tolerated(vec![u64::MAX; 4]), 1);
    }
}
