//! The reckoning after a storm: do all nodes hold one chain, is everything on it that was acknowledged, and did
//! anybody sign twice?

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use trustnet::client::number;
use trustnet_bft as bft;
use trustnet_ledger::SignedTransaction;
use trustnet_ledger::crypto::{Hash32, PublicKey, Signature};

use crate::common::TestNet;
use crate::disk;
use crate::load::Acknowledged;
use crate::slots::{Slots, Step};

/// Heights that are asked for in one request.
const HEIGHTS_AT_ONCE: usize = 64;
/// A signature for the block, in the words of the RPC.
const FLAG_COMMIT: u64 = 2;

/// What was found.
#[derive(Default)]
pub struct Found {
    pub height: u64,
    pub txs: usize,
    /// Heights of which the recorder saw the votes of a quorum, first hand.
    pub heights_overheard: u64,
    pub records: usize,
}

/// Checks that all nodes say the same of every height, that every acknowledged transaction is there once and where
/// its client was told, and that nonces run without gap. All nodes must be at `height`.
pub fn chains(net: &TestNet, height: u64, acknowledged: &[Acknowledged], slots: &mut Slots) -> Found {
    let mut found = Found { height, ..Found::default() };
    found.heights_overheard = (1..=height)
        .filter(|height| {
            let quorum = 2 * net.len() / 3 + 1;
            slots.signers(*height, Step::Prevote) >= quorum
                && slots.signers(*height, Step::Precommit) >= quorum
                && slots.signers(*height, Step::Proposal) >= 1
        })
        .count() as u64;
    let mut places: HashMap<Hash32, u64> = HashMap::new();
    let mut nonces: HashMap<PublicKey, u64> = HashMap::new();
    let heights: Vec<u64> = (1..=height).collect();
    for heights in heights.chunks(HEIGHTS_AT_ONCE) {
        let blocks = same_on_all_nodes(net, heights);
        for (height, block) in heights.iter().zip(&blocks) {
            let evidence = &block["block"]["evidence"];
            assert_eq!(*evidence, json!({ "evidence": [] }), "evidence of double-signing at height {height}");
            for tx in block["block"]["data"]["txs"].as_array().unwrap() {
                let tx = SignedTransaction::decode(&BASE64.decode(tx.as_str().unwrap()).unwrap()).unwrap();
                let before = places.insert(tx.id(), *height);
                assert_eq!(before, None, "transaction {} is on the chain twice, also at {height}", tx.id());
                let nonce = nonces.entry(tx.tx.signer).or_default();
                *nonce += 1;
                assert_eq!(tx.tx.nonce, *nonce, "nonces of {} at height {height}", tx.tx.signer);
                found.txs += 1;
            }
        }
        commits(net, heights, &blocks, slots);
    }
    for told in acknowledged {
        let place = places.get(&told.tx.id());
        assert_eq!(
            place,
            Some(&told.height),
            "node {} acknowledged transaction {} (nonce {} of {}) at height {}, where it is not",
            told.node,
            told.tx.id(),
            told.tx.tx.nonce,
            told.tx.tx.signer,
            told.height,
        );
    }
    found
}

/// Blocks of some heights, once every node has given the very same.
fn same_on_all_nodes(net: &TestNet, heights: &[u64]) -> Vec<Value> {
    let params: Vec<Value> = heights.iter().map(|height| json!({ "height": height.to_string() })).collect();
    let of = |node: usize| -> Vec<Value> {
        let answers = net.client(node).batch("block", &params).unwrap();
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|error| panic!("node {node}: {error}")))
            .collect()
    };
    let first = of(0);
    for node in 1..net.len() {
        for ((height, ours), theirs) in heights.iter().zip(&first).zip(of(node)) {
            assert_eq!(ours["block_id"], theirs["block_id"], "height {height} on nodes 0 and {node}");
            let root = |block: &Value| block["block"]["header"]["app_hash"].clone();
            assert_eq!(root(ours), root(&theirs), "state after height {height} on nodes 0 and {node}");
            assert_eq!(*ours, theirs, "height {height} on nodes 0 and {node}");
        }
    }
    first
}

/// Notes the signatures of every commit that every node holds, and checks that each commit decides its block.
fn commits(net: &TestNet, heights: &[u64], blocks: &[Value], slots: &mut Slots) {
    let params: Vec<Value> = heights.iter().map(|height| json!({ "height": height.to_string() })).collect();
    for node in 0..net.len() {
        let commits = net.client(node).batch("commit", &params).unwrap();
        for ((height, block), commit) in heights.iter().zip(blocks).zip(commits) {
            let commit = &commit.unwrap()["signed_header"]["commit"];
            assert_eq!(commit["block_id"], block["block_id"], "commit of height {height} on node {node}");
            let id: Hash32 = commit["block_id"]["hash"].as_str().unwrap().to_lowercase().parse().unwrap();
            let round = u32::try_from(number(&commit["round"]).unwrap()).unwrap();
            let mut count = 0;
            for (validator, entry) in (0u16..).zip(commit["signatures"].as_array().unwrap()) {
                if entry["block_id_flag"] != FLAG_COMMIT {
                    continue;
                }
                let signature = BASE64.decode(entry["signature"].as_str().unwrap()).unwrap();
                let vote = bft::Vote {
                    kind: bft::VoteKind::Precommit,
                    height: *height,
                    round,
                    value: Some(bft::ValueId(id.0)),
                    validator,
                };
                let signature = Signature(signature.try_into().unwrap());
                slots.note_signed_vote(&vote, &signature, &format!("commit on node {node}")).unwrap();
                count += 1;
            }
            assert!(
                3 * count > 2 * net.len(),
                "the commit of height {height} on node {node} has {count} signatures"
            );
        }
    }
}

/// Notes all signer records that lie on the disks of the stopped nodes. Says how many.
pub fn disks(net: &TestNet, slots: &mut Slots) -> usize {
    let mut count = 0;
    for node in 0..net.len() {
        let data = net.data_dir(node);
        for (records, source) in [(disk::log(&data), "log"), (disk::vote_lock(&data), "vote.lock")] {
            count += records.len();
            for record in records {
                slots.note_record(node, &record, &format!("{source} of node {node}"));
            }
        }
    }
    count
}

/// Lines of the nodes' logs that no storm excuses: warnings, errors, panics, and punishments of honest peers.
pub fn complaints(net: &TestNet) -> Vec<String> {
    let mut found = Vec::new();
    for node in 0..net.len() {
        let log = std::fs::read(net.log_file(node)).unwrap();
        for line in String::from_utf8_lossy(&log).lines() {
            let is_complaint =
                [" WARN ", " ERROR ", "panicked at", "peer punished"].iter().any(|word| line.contains(word));
            if is_complaint {
                found.push(format!("node {node}: {line}"));
            }
        }
    }
    found
}
