//! The RPC of a whole node: one validator, its disk and its network, asked by this program's own client.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;
use tendermint_rpc::{Response, endpoint};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};
use trustnet_engine::mempool::tx_id;
use trustnet_ledger::crypto::{PublicKey, SecretKey};
use trustnet_ledger::{
    Action, Category, CategoryWeights, Genesis, GenesisValidator, NodeId, NodeKind, Params,
    SignedTransaction, Transaction, merkle, node_id,
};

use super::jsonrpc::{Id, answer};
use crate::client::{Client, ClientError};
use crate::config::Config;
use crate::home::Home;
use crate::new_home::{NodeKeys, create};
use crate::node::{RunError, run_on};

const CHAIN: &str = "live-1";
/// How long ago the chain began, in milliseconds: transactions are later than that and not in the
/// future, and no whole epoch of uptime has passed that the validator would attest in a block.
const AGE_MS: u64 = 10_000;
/// Time after which a node should have answered.
const PATIENCE: Duration = Duration::from_mins(1);

struct Live {
    client: Client,
    keys: NodeKeys,
    begin_ms: u64,
    node: JoinHandle<Result<(), RunError>>,
    _dir: TempDir,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.node.abort();
    }
}

async fn start() -> Live {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("node"));
    let keys = NodeKeys::generate().unwrap();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let begin_ms = now_ms - AGE_MS;
    let genesis = Genesis {
        version: 1,
        chain_id: CHAIN.to_owned(),
        time_ms: begin_ms,
        validators: vec![GenesisValidator {
            name: "node-1".to_owned(),
            owner: String::new(),
            operator: keys.operator.public(),
            node_key: keys.node.public(),
            validator_key: keys.validator.public(),
            power: 10,
        }],
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = Config { name: "node-1".to_owned(), ..Config::default() };
    config.p2p.listen = "127.0.0.1:0".parse().unwrap();
    config.rpc.listen = address;
    create(&home, &config, &keys, &genesis).unwrap();
    let node = tokio::spawn(run_on(home, config, listener));
    let client = Client::new(&format!("http://{address}")).unwrap();
    let live = Live { client, keys, begin_ms, node, _dir: dir };
    let up = async {
        while live.call("health", json!({})).await.is_err() {
            assert!(!live.node.is_finished(), "the node has stopped");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, up).await.unwrap();
    live
}

impl Live {
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, ClientError> {
        let client = self.client.clone();
        spawn_blocking(move || client.call(method, &params)).await.unwrap()
    }

    async fn parse<R: Response>(&self, method: &'static str, params: Value) -> R {
        let value = self.call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"));
        let text = answer(&Id::Int(1), Ok(value)).to_string();
        R::from_string(&text).unwrap_or_else(|error| panic!("{method}: {error}\n{text}"))
    }

    async fn query(&self, path: &'static str, argument: Value) -> Result<Value, ClientError> {
        let client = self.client.clone();
        spawn_blocking(move || client.query(path, &argument)).await.unwrap()
    }

    /// Hands a transaction in and waits for its block; gives its height and its id in hex.
    async fn commit(&self, bytes: Vec<u8>) -> (u64, String) {
        let client = self.client.clone();
        let id = tx_id(&bytes).to_string();
        match spawn_blocking(move || client.broadcast_commit(&bytes)).await.unwrap() {
            Ok(done) => {
                assert_eq!((done.code, done.log.as_str()), (0, ""));
                (done.height, done.hash)
            }
            // A disk that is busy with others' files can hold up a block for longer than a call waits.
            Err(ClientError::Rpc { message, .. }) if message.starts_with("timed out") => {
                (self.block_of(&id).await, id)
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for the block that holds a transaction.
    async fn block_of(&self, id: &str) -> u64 {
        let since = Instant::now();
        loop {
            if let Ok(found) = self.call("tx", json!({ "hash": id })).await {
                return found["height"].as_str().unwrap().parse().unwrap();
            }
            if since.elapsed() > PATIENCE {
                let waiting = self.call("num_unconfirmed_txs", json!({})).await;
                let consensus = self.call("consensus_state", json!({})).await;
                panic!("{id} is in no block: {waiting:?} {consensus:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn sign(&self, signer: &SecretKey, nonce: u64, action: Action) -> Vec<u8> {
        let tx = Transaction { signer: signer.public(), nonce, time_ms: self.begin_ms + nonce, action };
        SignedTransaction::sign(tx, signer, CHAIN).bytes().to_vec()
    }

    fn register(&self, signer: &SecretKey, name: &str) -> Vec<u8> {
        let action = Action::Register {
            name: name.to_owned(),
            owner: String::new(),
            kind: NodeKind::User,
            node_key: None,
            validator_key: None,
        };
        self.sign(signer, 1, action)
    }

    fn rate(&self, signer: &SecretKey, nonce: u64, from: NodeId, to: NodeId) -> Vec<u8> {
        let reason = "answers".to_owned();
        self.sign(signer, nonce, Action::Rate { from, to, stars: 5, category: Category::Honesty, reason })
    }

    /// A key, and the id of the node that its first transaction registers.
    fn person(&self, seed: u8) -> (SecretKey, NodeId) {
        let key = SecretKey::from_seed(&[seed; 32]);
        let id = node_id(&key.public(), self.begin_ms + 1, 1);
        (key, id)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_blocks_answers() {
    let live = start().await;
    let status: endpoint::status::Response = live.parse("status", json!({})).await;
    assert_eq!(status.sync_info.latest_block_height.value(), 0);
    assert_eq!(status.validator_info.power.value(), 10);
    let validators: endpoint::validators::Response = live.parse("validators", json!({})).await;
    assert_eq!((validators.block_height.value(), validators.total), (1, 1));
    assert_eq!(live.parse::<endpoint::net_info::Response>("net_info", json!({})).await.n_peers, 0);
    assert!(
        live.parse::<endpoint::blockchain::Response>("blockchain", json!({})).await.block_metas.is_empty()
    );
    live.parse::<endpoint::consensus_state::Response>("consensus_state", json!({})).await;
    live.parse::<endpoint::abci_info::Response>("abci_info", json!([])).await;
    live.parse::<endpoint::genesis::Response<Value>>("genesis", json!({})).await;
    for method in ["block", "commit", "header"] {
        let error = live.call(method, json!({})).await.unwrap_err().to_string();
        assert!(error.contains("there is no block yet"), "{method}: {error}");
    }
    assert_eq!(live.call("eth_blockNumber", json!([])).await.unwrap(), "0x0");
    let chain_id = live.call("eth_chainId", json!([])).await.unwrap();
    let number = u64::from_str_radix(chain_id.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert_eq!(live.call("net_version", json!([])).await.unwrap(), number.to_string());
    assert!(
        live.call("web3_clientVersion", json!([])).await.unwrap().as_str().unwrap().starts_with("TrustNet/v")
    );
    assert_eq!(live.call("num_unconfirmed_txs", json!({})).await.unwrap()["total"], "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_committed_found_and_proven() {
    let live = start().await;
    let (alice, _) = live.person(1);
    let bytes = live.register(&alice, "alice");
    let (height, hash) = live.commit(bytes.clone()).await;
    assert_eq!(height, 1);
    // Found by its id, with a proof that leads to the block's header.
    let tx: endpoint::tx::Response = live.parse("tx", json!({ "hash": hash, "prove": true })).await;
    assert_eq!((tx.height.value(), tx.tx.as_slice()), (1, bytes.as_slice()));
    let proof = tx.proof.unwrap();
    let block: endpoint::block::Response = live.parse("block", json!({ "height": "1" })).await;
    assert_eq!(block.block.header.data_hash.unwrap(), proof.root_hash);
    assert_eq!(merkle::leaf_hash(&bytes), proof.proof.leaf_hash.as_bytes());
    assert_eq!(block.block.data.as_slice(), std::slice::from_ref(&bytes));
    // The same block by hash, in short, and as header.
    let id = block.block_id.hash.to_string();
    let by_hash: endpoint::block_by_hash::Response = live.parse("block_by_hash", json!({ "hash": id })).await;
    assert_eq!(by_hash.block.unwrap(), block.block);
    let metas: endpoint::blockchain::Response = live.parse("blockchain", json!({})).await;
    assert_eq!(metas.block_metas[0].header, block.block.header);
    let header: endpoint::header::Response = live.parse("header", json!({ "height": "1" })).await;
    assert_eq!(header.header, block.block.header);
    // Its commit is not canonical before the next block, and is signed by the validator.
    let commit: endpoint::commit::Response = live.parse("commit", json!({})).await;
    assert!(!commit.canonical);
    let signer = commit.signed_header.commit.signatures[0].validator_address().unwrap();
    assert_eq!(signer.as_bytes(), live.keys.validator.public().address());
    // The same transaction again: it is told where it is.
    let client = live.client.clone();
    let again = spawn_blocking(move || client.broadcast_commit(&bytes)).await.unwrap().unwrap();
    assert_eq!((again.code, again.height), (0, 1));
    // A second block makes the first commit canonical.
    let (bob, _) = live.person(2);
    assert_eq!(live.commit(live.register(&bob, "bob")).await.0, 2);
    let commit: endpoint::commit::Response = live.parse("commit", json!({ "height": "1" })).await;
    assert!(commit.canonical);
    let second: endpoint::block::Response = live.parse("block", json!({})).await;
    assert_eq!(second.block.last_commit.unwrap(), commit.signed_header.commit);
    let validators: endpoint::validators::Response = live.parse("validators", json!({ "height": "1" })).await;
    assert_eq!(validators.total, 1);
    let status: endpoint::status::Response = live.parse("status", json!({})).await;
    assert_eq!(status.sync_info.latest_block_hash, second.block_id.hash);
    assert_eq!(status.sync_info.earliest_block_hash, block.block_id.hash);
    assert_eq!(live.call("eth_blockNumber", json!([])).await.unwrap(), "0x2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_carry_the_ledgers_code() {
    let live = start().await;
    let (alice, _) = live.person(1);
    let mut wrong = live.register(&alice, "alice");
    *wrong.last_mut().unwrap() ^= 1;
    let client = live.client.clone();
    let (sync, malformed) = spawn_blocking(move || {
        (client.broadcast_sync(&wrong).unwrap(), client.broadcast_sync(b"x").unwrap())
    })
    .await
    .unwrap();
    assert_eq!((sync.code, malformed.code), (3, 1));
    let missing = live.call("tx", json!({ "hash": "00".repeat(32) })).await.unwrap_err().to_string();
    assert!(missing.contains("not found"), "{missing}");
    let too_high = live.call("block", json!({ "height": "1000000" })).await.unwrap_err().to_string();
    assert!(too_high.contains("must be less than or equal to the current blockchain height 0"), "{too_high}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_transactions_is_taken_in_its_order() {
    let live = start().await;
    let (alice, alice_id) = live.person(1);
    let (bob, bob_id) = live.person(2);
    live.commit(live.register(&bob, "bob")).await;
    // Nonces 1 to 40 of one signer in one batch: one out of order would be told of a gap or refused.
    let mut batch = vec![live.register(&alice, "alice")];
    batch.extend((2..=40).map(|nonce| live.rate(&alice, nonce, alice_id, bob_id)));
    let last = batch.pop().unwrap();
    let client = live.client.clone();
    let taken = spawn_blocking(move || client.broadcast_sync_batch(&batch)).await.unwrap().unwrap();
    for (nonce, reply) in taken.into_iter().enumerate() {
        let reply = reply.unwrap();
        assert_eq!((reply.code, reply.log.as_str()), (0, ""), "nonce {}", nonce + 1);
    }
    live.commit(last).await;
    let account = live.query("/account", json!({ "key": alice.public().to_string() })).await.unwrap();
    assert_eq!(account["nonce"], 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledgers_questions_are_answered() {
    let live = start().await;
    let (alice, alice_id) = live.person(1);
    let validator = node_id(&live.keys.operator.public(), live.begin_ms, 0);
    live.commit(live.register(&alice, "alice")).await;
    live.commit(live.rate(&live.keys.operator, 1, validator, alice_id)).await;
    let summary = live.query("/summary", json!({})).await.unwrap();
    let facts =
        (&summary["chain_id"], &summary["height"], &summary["nodes"], &summary["ratings"], &summary["peers"]);
    assert_eq!(facts, (&json!(CHAIN), &json!(2), &json!(2), &json!(1), &json!(0)));
    assert_eq!(summary["validators"][0]["name"], "node-1");
    for node in [json!("alice"), json!(alice_id.to_string()), json!(1), json!("1")] {
        let view = live.query("/node", json!({ "node": node })).await.unwrap();
        assert_eq!((&view["name"], &view["status"]), (&json!("alice"), &json!("ACTIVE")));
    }
    let nodes = live.query("/nodes", json!({ "after": 0, "limit": 10 })).await.unwrap();
    assert_eq!(nodes.as_array().unwrap().len(), 1);
    let keys = [alice.public(), PublicKey([9; 32])].map(|key| key.to_string());
    let accounts = live.query("/accounts", json!({ "keys": keys })).await.unwrap();
    assert_eq!(accounts[0], json!({ "key": keys[0], "nonce": 1, "node": alice_id.to_string() }));
    assert_eq!(accounts[1], json!({ "key": keys[1], "nonce": 0, "node": null }));
    for (direction, node) in [("in", "alice"), ("out", "node-1")] {
        let page = live.query("/ratings", json!({ "node": node, "direction": direction })).await.unwrap();
        assert_eq!((&page["items"][0]["stars"], &page["next"]), (&json!(5), &Value::Null));
    }
    let all = live.query("/all-ratings", json!({ "after": null, "limit": 5000 })).await.unwrap();
    assert_eq!(all["items"][0]["to"], alice_id.to_string());
    let trust = live.query("/trust", json!({ "day": null })).await.unwrap();
    assert_eq!(trust["rows"].as_array().unwrap().len(), 2);
    assert_eq!(trust["checksum"].as_str().unwrap().len(), 64);
    assert_eq!(live.query("/why", json!({ "node": "alice" })).await.unwrap()["view"]["name"], "alice");
    let hash = live.query("/genesis-hash", json!({})).await.unwrap();
    assert_eq!(hash.as_str().unwrap().len(), 64);
    assert_eq!(live.query("/params", json!({})).await.unwrap()["heartbeat_ms"], 30_000);
    let own = live.query("/header", json!({ "height": 1 })).await.unwrap();
    let bytes = hex::decode(own["bytes"].as_str().unwrap()).unwrap();
    let id = trustnet_ledger::crypto::hash(trustnet_ledger::crypto::domain::BLOCK_ID, &[&bytes]);
    assert_eq!(own["id"], id.to_string());
    assert_eq!(own["header"]["height"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_that_make_no_sense_say_so() {
    let live = start().await;
    let code = |result: Result<Value, ClientError>| match result {
        Err(ClientError::Query { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(live.query("/nope", json!({})).await), 2_000);
    assert_eq!(code(live.query("/node", json!({ "node": "nobody" })).await), 7);
    assert_eq!(code(live.query("/node", json!({})).await), 1);
    assert_eq!(code(live.query("/node", json!({ "node": [] })).await), 1);
    assert_eq!(code(live.query("/account", json!({ "key": "zz" })).await), 1);
    assert_eq!(code(live.query("/accounts", json!({ "keys": vec!["0"; 1_001] })).await), 1);
    assert_eq!(code(live.query("/all-ratings", json!({ "after": "x" })).await), 1);
    assert_eq!(code(live.query("/trust", json!({ "day": -1 })).await), 1);
    assert_eq!(code(live.query("/header", json!({ "height": 5 })).await), 2_001);
}
