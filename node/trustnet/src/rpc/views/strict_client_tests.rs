//! A strict client (tendermint-rpc) parses every shape; `/status` and `/validators` are fixed to the byte.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tendermint_rpc::Response;
use tendermint_rpc::endpoint;
use trustnet_engine::view::{RoundState, RoundVotes};
use trustnet_ledger::crypto::Hash32;
use trustnet_ledger::merkle;

use super::block::Previous;
use super::net_info::PeerShown;
use super::node_info::NodeShown;
use super::page::Page;
use super::sample::{BEGIN_MS, CHAIN, block, commit_of, deciders, evidence, genesis, key, keys};
use super::status::{BlockPoint, Status};
use super::{abci, broadcast, consensus, net_info, status, tx, validators};
use crate::rpc::jsonrpc::{Id, answer};

/// Parses a result as the client does: text, envelope and all.
fn parse<R: Response>(result: Value) -> R {
    let text = answer(&Id::Int(1), Ok(result)).to_string();
    R::from_string(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn node_shown(node_key: &trustnet_ledger::crypto::PublicKey) -> NodeShown<'_> {
    NodeShown {
        node_key,
        listen: "0.0.0.0:26656".to_owned(),
        network: CHAIN,
        moniker: "node-1",
        rpc: "127.0.0.1:26657".to_owned(),
    }
}

fn sample_status(latest: BlockPoint, earliest: BlockPoint) -> Value {
    let node_key = key(11);
    status::status(&Status {
        node: node_shown(&node_key),
        latest,
        earliest,
        catching_up: false,
        validator_key: &key(1),
        power: 10,
    })
}

fn point(height: u64) -> BlockPoint {
    BlockPoint {
        id: Hash32([height as u8; 32]),
        state_root: Hash32([0xa0; 32]),
        height,
        time_ms: BEGIN_MS + height * 1_500,
    }
}

#[test]
fn status_is_fixed_to_the_byte() {
    let text = serde_json::to_string_pretty(&sample_status(point(3), point(1))).unwrap();
    assert_eq!(text, include_str!("golden/status.json").trim_end());
}

#[test]
fn validators_are_fixed_to_the_byte() {
    let set = deciders();
    let page = Page::new(Some(2), Some(3), set.len()).unwrap();
    let text = serde_json::to_string_pretty(&validators::validators(5, &set, page)).unwrap();
    assert_eq!(text, include_str!("golden/validators.json").trim_end());
}

#[test]
fn status_parses() {
    let parsed: endpoint::status::Response = parse(sample_status(point(3), point(1)));
    assert_eq!(parsed.sync_info.latest_block_height.value(), 3);
    assert_eq!(parsed.sync_info.latest_block_hash.as_bytes(), [3; 32]);
    assert_eq!(parsed.node_info.network.as_str(), CHAIN);
    assert_eq!(parsed.validator_info.power.value(), 10);
    assert_eq!(parsed.validator_info.pub_key.to_bytes(), key(1).0);
    let dialect = tendermint_rpc::client::CompatMode::from_version(parsed.node_info.version).unwrap();
    assert_eq!(dialect, tendermint_rpc::client::CompatMode::V0_38);
}

#[test]
fn status_before_the_first_block_parses() {
    let parsed: endpoint::status::Response =
        parse(sample_status(BlockPoint::default(), BlockPoint::default()));
    assert_eq!(parsed.sync_info.latest_block_height.value(), 0);
    assert!(parsed.sync_info.latest_block_hash.is_empty());
}

#[test]
fn health_parses() {
    parse::<endpoint::health::Response>(json!({}));
}

#[test]
fn net_info_parses_with_and_without_peers() {
    let listen = "0.0.0.0:26656".parse().unwrap();
    let none: endpoint::net_info::Response = parse(net_info::net_info(&listen, &[], CHAIN));
    assert_eq!(none.n_peers, 0);
    let peers = ["10.0.0.2:26656", "[fd10:1234::2]:26656", "[::ffff:10.0.0.3]:26656"].map(|addr| PeerShown {
        node_key: key(12),
        moniker: "node-2".to_owned(),
        addr: addr.parse().unwrap(),
        outbound: true,
        since_unix_ms: BEGIN_MS,
        connected_ms: 4_000,
        sent: (8_000, 20),
        received: (u64::MAX, u64::MAX),
        waiting: [0, 3, 0],
    });
    let some: endpoint::net_info::Response = parse(net_info::net_info(&listen, &peers, CHAIN));
    assert_eq!(some.n_peers, 3);
    assert_eq!(some.peers[0].connection_status.send_monitor.avg_rate, 2_000);
    assert_eq!(some.peers[2].remote_ip.to_string(), "10.0.0.3");
}

#[test]
fn a_peer_that_just_connected_has_no_impossible_rate() {
    let listen = "0.0.0.0:26656".parse().unwrap();
    let peer = PeerShown {
        node_key: key(12),
        moniker: String::new(),
        addr: "10.0.0.2:1".parse().unwrap(),
        outbound: false,
        since_unix_ms: 0,
        connected_ms: 0,
        sent: (5, 1),
        received: (0, 0),
        waiting: [0; 3],
    };
    parse::<endpoint::net_info::Response>(net_info::net_info(&listen, &[peer], CHAIN));
}

#[test]
fn validators_parse_in_our_order() {
    let set = deciders();
    let page = Page::new(None, None, set.len()).unwrap();
    let parsed: endpoint::validators::Response = parse(validators::validators(5, &set, page));
    assert_eq!((parsed.block_height.value(), parsed.total), (5, 4));
    let shown: Vec<_> = parsed.validators.iter().map(|v| v.pub_key.to_bytes()).collect();
    assert_eq!(shown, keys().iter().map(|key| key.0.to_vec()).collect::<Vec<_>>());
}

#[test]
fn the_first_block_parses_without_predecessor() {
    let first = block(None, &[b"one"], Vec::new());
    let previous = Previous { time_ms: 0, deciders: Some(&[]) };
    let value = super::block::block(&first.header.id(), &first, CHAIN, previous);
    assert_eq!(value["block"]["last_commit"]["signatures"], json!([]));
    assert_eq!(value["block"]["header"]["last_block_id"]["hash"], "");
    let parsed: endpoint::block::Response = parse(value.clone());
    assert_eq!(parsed.block.header.height.value(), 1);
    assert_eq!(parsed.block.header.last_block_id, None);
    assert_eq!(parsed.block.last_commit, None);
    parse::<endpoint::block::v0_38::DialectResponse>(value);
}

#[test]
fn a_later_block_parses_with_its_commit_transactions_and_evidence() {
    let first = block(None, &[], Vec::new());
    let second = block(Some(&first), &[b"one", b"two"], evidence());
    let previous = Previous { time_ms: first.header.time_ms, deciders: Some(&keys()) };
    let value = super::block::block(&second.header.id(), &second, CHAIN, previous);
    let parsed: endpoint::block::v0_38::DialectResponse = parse(value.clone());
    let parsed = endpoint::block::Response::from(parsed);
    assert_eq!(parsed.block_id.hash.as_bytes(), second.header.id().0);
    assert_eq!(parsed.block.data, [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(parsed.block.evidence.iter().count(), 1, "double votes only: the client knows no other kind");
    assert_eq!(value["block"]["evidence"]["proposals"].as_array().unwrap().len(), 1);
    let commit = parsed.block.last_commit.unwrap();
    assert_eq!((commit.height.value(), commit.round.value()), (1, 1));
    let absent: Vec<bool> = commit.signatures.iter().map(tendermint_rpc_sig_is_absent).collect();
    assert_eq!(absent, [false, true, false, false]);
    assert_eq!(parsed.block.header.time.to_rfc3339(), crate::rpc::encode::time(second.header.time_ms));
    parse::<endpoint::block_by_hash::Response>(value);
}

fn tendermint_rpc_sig_is_absent<T: std::fmt::Debug>(signature: &T) -> bool {
    format!("{signature:?}") == "BlockIdFlagAbsent"
}

#[test]
fn a_block_whose_deciders_are_not_known_parses_without_signatures() {
    let first = block(None, &[], Vec::new());
    let second = block(Some(&first), &[], Vec::new());
    let previous = Previous { time_ms: first.header.time_ms, deciders: None };
    parse::<endpoint::block::Response>(super::block::block(&second.header.id(), &second, CHAIN, previous));
}

#[test]
fn no_block_by_hash_parses() {
    let parsed: endpoint::block_by_hash::Response = parse(super::block::no_block());
    assert!(parsed.block.is_none());
}

#[test]
fn blockchain_parses() {
    let first = block(None, &[b"one"], Vec::new());
    let meta = super::block::block_meta(&first.header.id(), &first, CHAIN, 400);
    let parsed: endpoint::blockchain::Response = parse(super::block::blockchain(1, &[meta]));
    assert_eq!((parsed.last_height.value(), parsed.block_metas[0].num_txs), (1, 1));
}

#[test]
fn commit_parses_and_names_its_signers() {
    let first = block(None, &[], Vec::new());
    let value = super::block::signed_header(&first.header, &commit_of(&first), CHAIN, Some(&keys()), true);
    let parsed: endpoint::commit::Response = parse(value);
    assert!(parsed.canonical);
    let signer = parsed.signed_header.commit.signatures[2].validator_address().unwrap();
    assert_eq!(signer.as_bytes(), key(3).address());
}

#[test]
fn header_parses() {
    let first = block(None, &[], Vec::new());
    let header = super::header::header(&first.header, CHAIN);
    let parsed: endpoint::header::Response = parse(json!({ "header": header }));
    assert_eq!(parsed.header.app_hash.as_bytes(), [4; 32]);
}

#[test]
fn tx_parses_and_its_proof_verifies() {
    let txs: [&'static [u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
    let first = block(None, &txs, Vec::new());
    for (index, bytes) in txs.iter().enumerate() {
        let parsed: endpoint::tx::Response = parse(tx::tx(&Hash32([9; 32]), &first, index, true).unwrap());
        assert_eq!((parsed.height.value(), parsed.index as usize, parsed.tx.as_slice()), (1, index, *bytes));
        let proof = parsed.proof.unwrap();
        let sha = |hash: &[u8]| merkle::Sha::try_from(hash).unwrap();
        let aunts: Vec<merkle::Sha> = proof.proof.aunts.iter().map(|aunt| sha(aunt.as_bytes())).collect();
        let root = sha(proof.root_hash.as_bytes());
        assert_eq!(root, first.header.txs_root.0);
        let leaf = merkle::leaf_hash(&proof.data);
        assert_eq!(leaf, proof.proof.leaf_hash.as_bytes());
        assert!(merkle::verify_inclusion(&root, proof.proof.total, proof.proof.index, &leaf, &aunts));
    }
    let without: endpoint::tx::Response = parse(tx::tx(&Hash32([9; 32]), &first, 0, false).unwrap());
    assert!(without.proof.is_none());
    assert!(tx::tx(&Hash32([9; 32]), &first, 5, true).is_none());
}

#[test]
fn queries_parse_whether_they_succeed_or_not() {
    let good: endpoint::abci_query::Response = parse(abci::query(0, "", b"{}", b"[1]", 7));
    assert_eq!((good.response.value.as_slice(), good.response.height.value()), (b"[1]".as_slice(), 7));
    let bad: endpoint::abci_query::Response = parse(abci::query(7, "no node", b"", b"", 7));
    assert!(bad.response.code.is_err());
    assert_eq!(bad.response.codespace, "trustnet");
}

#[test]
fn abci_info_parses() {
    let parsed: endpoint::abci_info::Response = parse(abci::info("0.1.0", 7, &Hash32([4; 32])));
    assert_eq!(parsed.response.last_block_height.value(), 7);
    // This client keeps the base64 text as if it were the bytes.
    assert_eq!(
        parsed.response.last_block_app_hash.as_bytes(),
        crate::rpc::encode::base64([4; 32]).as_bytes()
    );
}

#[test]
fn broadcasts_parse_whether_taken_or_refused() {
    let taken = broadcast::Checked { id: Hash32([9; 32]), code: 0, log: String::new() };
    let refused = broadcast::Checked { code: 4, log: "nonce 1 is used".to_owned(), ..taken.clone() };
    let sync: endpoint::broadcast::tx_sync::Response = parse(broadcast::broadcast(&taken));
    assert!(sync.code.is_ok());
    parse::<endpoint::broadcast::tx_async::Response>(broadcast::broadcast(&taken));
    let sync: endpoint::broadcast::tx_sync::Response = parse(broadcast::broadcast(&refused));
    assert_eq!((sync.code.value(), sync.codespace.as_str()), (4, "trustnet"));
    let commit: endpoint::broadcast::tx_commit::Response = parse(broadcast::broadcast_commit(&taken, 12));
    assert_eq!(commit.height.value(), 12);
    let commit: endpoint::broadcast::tx_commit::Response = parse(broadcast::broadcast_commit(&refused, 0));
    assert!(commit.check_tx.code.is_err());
}

#[test]
fn consensus_state_parses_with_every_kind_of_vote() {
    let block = Some(Hash32([9; 32]));
    let state = RoundState {
        height: 7,
        round: 1,
        step: 6,
        proposal: block,
        locked: block,
        valid: None,
        proposer: 2,
        started_unix_ms: BEGIN_MS,
        votes: vec![RoundVotes {
            round: 1,
            prevotes: vec![Some(block), Some(None), None, Some(block)],
            precommits: vec![None; 4],
        }],
    };
    let value = consensus::consensus_state(&state, &deciders());
    assert_eq!(value["round_state"]["height_vote_set"][0]["prevotes_bit_array"], "BA{4:xx_x} 30/40 = 0.75");
    let parsed: endpoint::consensus_state::Response = parse(value);
    assert_eq!(parsed.round_state.height_round_step.height.value(), 7);
    assert_eq!(parsed.round_state.proposer.address.as_bytes(), key(3).address());
}

#[test]
fn a_state_that_points_beyond_the_set_is_shown_without_panicking() {
    let state = RoundState {
        height: 1,
        round: 0,
        step: 1,
        proposal: None,
        locked: None,
        valid: None,
        proposer: 9,
        started_unix_ms: 0,
        votes: vec![RoundVotes { round: 0, prevotes: vec![None; 9], precommits: Vec::new() }],
    };
    let value = consensus::consensus_state(&state, &[]);
    assert_eq!(value["round_state"]["height_vote_set"][0]["precommits_bit_array"], "BA{0:} 0/0 = 0.00");
}

#[test]
fn genesis_and_consensus_parameters_parse() {
    let parsed: endpoint::genesis::Response<Value> = parse(super::genesis::genesis(&genesis()));
    assert_eq!(parsed.genesis.chain_id.as_str(), CHAIN);
    assert_eq!(parsed.genesis.validators.len(), 4);
    assert_eq!(parsed.genesis.app_state["validators"][0]["name"], "node-1");
    let parsed: endpoint::consensus_params::Response = parse(super::genesis::consensus_params_at(3));
    assert_eq!(parsed.consensus_params.evidence.max_age_num_blocks, 100_000);
}

#[test]
fn an_error_parses_with_its_code() {
    let error = crate::rpc::error::RpcError::Internal("height 9 is too high".to_owned());
    let text = answer(&Id::Int(1), Err(&error)).to_string();
    let error = endpoint::block::Response::from_string(&text).unwrap_err();
    assert!(format!("{error}").contains("height 9 is too high"), "{error}");
}
