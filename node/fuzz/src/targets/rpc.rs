//! The RPC of a node with a chain, from the bytes of a body or a URI to those of the answer.

use std::path::PathBuf;

use serde_json::Value;
use tokio::runtime::Builder;
use trustnet::fuzzing::{InProcess, still_node};

use crate::world::{self, GENESIS, HISTORY, KEYS};

const POST: u8 = 0;
const GET: u8 = 1;
/// Statuses that the server gives.
const STATUSES: [u16; 4] = [200, 400, 404, 500];

thread_local! {
    static SERVER: InProcess = server();
}

fn server() -> InProcess {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = folder();
    let (node, validator) = (KEYS[0].node.clone(), KEYS[0].validator.clone());
    let handle = runtime.block_on(still_node(&folder, &GENESIS, node, validator, &HISTORY));
    InProcess::new(runtime, handle)
}

/// A new folder for the node's data. It stays until the system, or `.ci/fuzz`, clears its temporary files: a fuzzer
/// ends without telling anybody.
fn folder() -> PathBuf {
    let name = format!("trustnet-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("temporary files can be written");
    folder
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    SERVER.with(|server| {
        if kind % 2 == POST {
            let (status, body) = server.post(bytes);
            check_post(bytes, status, &body);
        } else if let Some((status, body)) = server.get(bytes) {
            assert!(STATUSES.contains(&status), "status {status}");
            if status == 200
                && bytes.first() == Some(&b'/')
                && bytes.get(1).is_some_and(u8::is_ascii_alphabetic)
            {
                check_answer(&json(&body));
            }
        }
    });
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("an answer is JSON")
}

fn check_post(request: &[u8], status: u16, body: &[u8]) {
    assert!(STATUSES.contains(&status), "status {status}");
    // The list of methods, and the answer to notifications.
    if request.is_empty() || body.is_empty() {
        return;
    }
    match json(body) {
        Value::Array(answers) => {
            let asked = serde_json::from_slice::<Value>(request).ok();
            let asked = asked.as_ref().and_then(Value::as_array).map_or(usize::MAX, Vec::len);
            assert!(!answers.is_empty() && answers.len() <= asked);
            answers.iter().for_each(check_answer);
        }
        answer => check_answer(&answer),
    }
}

fn check_answer(answer: &Value) {
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer.get("id").is_some(), "{answer}");
    assert!(answer.get("result").is_some() != answer.get("error").is_some(), "one of the two: {answer}");
    if let Some(error) = answer.get("error") {
        assert!(
            error["code"].as_i64().is_some_and(|code| code < 0) && error["message"].is_string(),
            "{answer}"
        );
    }
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let (block, _) = &HISTORY[1];
    let id = block.header.id().to_string();
    let tx = &block.txs[0];
    let tx_id = trustnet_engine::mempool::tx_id(tx).to_string();
    let waiting = world::rating(1, 2, 900, 3);
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let mut uris: Vec<String> = [
        "/",
        "/health",
        "/status",
        "/net_info",
        "/genesis",
        "/consensus_state",
        "/consensus_params?height=2",
        "/validators?height=3&page=1&per_page=2",
        "/block?height=2",
        "/block",
        "/header?height=5",
        "/commit?height=2",
        "/commit",
        "/blockchain?minHeight=1&maxHeight=4",
        "/abci_info",
        "/num_unconfirmed_txs",
        "/unconfirmed_txs?limit=3",
        "/eth_blockNumber",
        "/eth_chainId",
        "/net_version",
        "/web3_clientVersion",
        "/tx_search?query=%22a%22",
        "/broadcast_tx_sync?tx=0x00",
        "/broadcast_tx_async?tx=%22a%20b%22",
    ]
    .map(str::to_owned)
    .to_vec();
    uris.push(format!("/block_by_hash?hash=0x{id}"));
    uris.push(format!("/header_by_hash?hash=0x{id}"));
    uris.push(format!("/tx?hash=0x{tx_id}&prove=true"));
    uris.push(format!("/broadcast_tx_sync?tx=0x{}", hex(waiting.bytes())));
    let queries = [
        ("/summary", "{}".to_owned()),
        ("/node", r#"{"node":"node-1"}"#.to_owned()),
        ("/nodes", r#"{"after":1,"limit":2}"#.to_owned()),
        ("/account", format!(r#"{{"key":"{}"}}"#, KEYS[0].operator.public())),
        ("/accounts", format!(r#"{{"keys":["{}"]}}"#, KEYS[1].operator.public())),
        ("/ratings", r#"{"node":2,"direction":"in","history":true,"limit":3}"#.to_owned()),
        ("/all-ratings", r#"{"after":"1-0-2-0","limit":2}"#.to_owned()),
        ("/trust", r#"{"day":20780}"#.to_owned()),
        ("/why", r#"{"node":"node-2"}"#.to_owned()),
        ("/genesis-hash", String::new()),
        ("/params", "{}".to_owned()),
        ("/header", r#"{"height":2}"#.to_owned()),
    ];
    let mut bodies: Vec<String> = Vec::new();
    for (path, argument) in queries {
        let data = hex(argument.as_bytes());
        uris.push(format!("/abci_query?path=%22{path}%22&data=0x{data}"));
        bodies.push(format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"abci_query","params":{{"path":"{path}","data":"{data}"}}}}"#
        ));
    }
    for method in ["status", "block", "validators", "tx", "broadcast_tx_commit", "nothing"] {
        bodies.push(format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}","params":["5"]}}"#));
    }
    bodies.push(r#"[{"id":1,"method":"health"},{"method":"health"},5,{"id":2,"method":"block","params":{"height":2}}]"#.to_owned());
    bodies.push(r#"[{"id":1,"method":"broadcast_tx_sync","params":["AA=="]},{"id":2,"method":"broadcast_tx_sync","params":{"tx":"AQ=="}}]"#.to_owned());
    let uris = uris.iter().map(|uri| [&[GET], uri.as_bytes()].concat());
    let bodies = bodies.iter().map(|body| [&[POST], body.as_bytes()].concat());
    uris.chain(bodies).collect()
}
