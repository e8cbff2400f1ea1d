#![allow(clippy::unwrap_used)]
use trustnet_ledger::crypto::{PublicKey, Signature};

use super::*;
use crate::block::{BLOCK_VERSION, Commit, Header, evidence_hash, txs_root};
use crate::mempool::{short_id, tx_id};

fn id_of(tx: &[u8]) -> ShortId {
    short_id(&tx_id(tx))
}

fn txs(count: u8) -> Vec<Bytes> {
    (0..count).map(|byte| Bytes::from(vec![byte; 9])).collect()
}

/// A proposal of a block of `txs`.
fn proposal(txs: &[Bytes]) -> WireProposal {
    let zero = Hash32::default();
    let header = Header {
        version: BLOCK_VERSION,
        genesis: zero,
        height: 1,
        time_ms: 1,
        last_block: zero,
        last_commit: Commit::none().hash(),
        txs_root: txs_root(txs),
        tx_count: txs.len() as u32,
        evidence: evidence_hash(&[]),
        validators: zero,
        next_validators: zero,
        state_root: zero,
        log_root: zero,
        log_size: 0,
        results: zero,
        proposer: PublicKey([0; 32]),
    };
    WireProposal {
        round: 0,
        pol_round: None,
        proposer: 0,
        signature: Signature([0; 64]),
        header,
        last_commit: Commit::none(),
        evidence: Vec::new(),
        txs: txs.iter().map(|tx| id_of(tx)).collect(),
        polka: None,
    }
}

fn partial(txs: &[Bytes]) -> Partial {
    Partial::new(&proposal(txs), |_| None)
}

#[test]
fn an_answer_to_an_earlier_question_still_fits() {
    let txs = txs(5);
    let mut partial = partial(&txs);
    // Two peers were asked for all; the first gives the second and the fourth.
    assert_eq!(partial.fill(vec![txs[1].clone(), txs[3].clone()], id_of), Taken::Fine);
    assert_eq!(partial.missing(), [0, 2, 4]);
    // The other's answer is whole, and no fault of its sender.
    assert_eq!(partial.fill(txs.clone(), id_of), Taken::Fine);
    let block = partial.complete().unwrap();
    assert!(block.matches_header());
    assert_eq!(block.txs, txs);
}

#[test]
fn what_the_list_does_not_name_leads_to_the_whole_block_and_accuses_nobody() {
    let txs = txs(3);
    // Somebody passed the proposal on with a list of its own.
    let mut wire = proposal(&txs);
    wire.txs[1] = [7; 8];
    let mut partial = Partial::new(&wire, |_| None);
    assert_eq!(partial.fill(txs.clone(), id_of), Taken::AskForAll);
    assert_eq!(partial.missing(), [0, 1, 2], "what was gathered so far is not trusted");
    // An answer to the earlier question is no answer to this one.
    assert_eq!(partial.fill(txs[..2].to_vec(), id_of), Taken::Fine);
    assert_eq!(partial.missing(), [0, 1, 2]);
    assert_eq!(partial.fill(txs.clone(), id_of), Taken::Fine);
    assert!(partial.complete().unwrap().matches_header());
}

#[test]
fn a_whole_block_of_other_transactions_is_a_lie_and_leaves_no_trace() {
    let txs = txs(3);
    let mut partial = partial(&txs);
    assert_eq!(partial.demand_whole(), Taken::AskForAll);
    let mut others = txs.clone();
    others[2] = Bytes::from_static(b"another");
    assert_eq!(partial.fill(others, id_of), Taken::Wrong);
    let huge = vec![Bytes::from(vec![0; MAX_BLOCK_BYTES]); 3];
    assert_eq!(partial.fill(huge, id_of), Taken::Wrong);
    assert!(partial.complete().is_none());
    assert_eq!(partial.fill(txs, id_of), Taken::Fine);
    assert!(partial.complete().is_some());
}

#[test]
fn a_transaction_of_the_same_short_id_in_the_pool_is_found_out() {
    let txs = txs(2);
    let mut partial = Partial::new(&proposal(&txs), |_| Some(Bytes::from_static(b"twin")));
    assert!(!partial.complete().unwrap().matches_header());
    partial.demand_whole();
    assert_eq!(partial.missing(), [0, 1]);
    assert_eq!(partial.fill(txs, id_of), Taken::Fine);
    assert!(partial.complete().unwrap().matches_header());
}

#[test]
fn parts_that_do_not_fit_the_header_are_seen_at_once() {
    let good = proposal(&txs(2));
    assert!(good.fits_header());
    let mut fewer = good.clone();
    fewer.txs.pop();
    assert!(!fewer.fits_header());
    let mut commit = good.clone();
    commit.last_commit.round = 1;
    assert!(!commit.fits_header());
}
