//! The program as its users meet it: exit codes, what goes to which stream, and transactions as they
//! reach a node. The node is a small stand-in that answers JSON-RPC as program.md lays it down.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use trustnet::keys::{self, Role};
use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::{Action, SignedTransaction};

const CHAIN: &str = "test-1";

/// What the stand-in node knows and what it was sent.
#[derive(Default)]
struct State {
    /// Codes with which the next transactions are answered; then 0.
    codes: Vec<u32>,
    transactions: Vec<SignedTransaction>,
}

struct Node {
    url: String,
    state: Arc<Mutex<State>>,
}

fn operator(name: &str) -> SecretKey {
    let seed = if name == "alice" { 1 } else { 2 };
    SecretKey::from_seed(&[seed; 32])
}

fn view(name: &str) -> Value {
    let seed = if name == "alice" { "11" } else { "22" };
    json!({
        "index": 0, "id": format!("0x{}", seed.repeat(32)), "name": name, "kind": "validator", "status": "ACTIVE",
        "operator": operator(name).public().to_string(), "reputation_mp": 50_000, "ledger_mp": 50_000,
    })
}

impl Node {
    fn start(codes: Vec<u32>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { codes, ..State::default() }));
        let shared = Arc::clone(&state);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { url, state }
    }

    fn transactions(&self) -> Vec<SignedTransaction> {
        self.state.lock().unwrap().transactions.clone()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request: Value = serde_json::from_slice(&body).unwrap();
        let result = answer(&request, &mut state.lock().unwrap());
        let body = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(request: &Value, state: &mut State) -> Value {
    let params = &request["params"];
    match request["method"].as_str().unwrap() {
        "genesis" => json!({ "genesis": { "chain_id": CHAIN } }),
        "broadcast_tx_commit" | "broadcast_tx_sync" => {
            let bytes = BASE64.decode(params["tx"].as_str().unwrap()).unwrap();
            let tx = SignedTransaction::decode(&bytes).unwrap();
            let check = tx.signature_check(CHAIN);
            assert!(check.key.verify(&check.message, &check.signature), "the signature is for this chain");
            state.transactions.push(tx);
            let code = if state.codes.is_empty() { 0 } else { state.codes.remove(0) };
            let log = if code == 0 { "" } else { "the ledger's own words" };
            json!({
                "code": code, "log": log, "check_tx": { "code": code, "log": log }, "tx_result": { "code": 0 },
                "hash": "AB", "height": "7",
            })
        }
        "abci_query" => {
            let data = hex::decode(params["data"].as_str().unwrap()).unwrap();
            let argument: Value = serde_json::from_slice(&data).unwrap();
            let value = match params["path"].as_str().unwrap() {
                "/account" => {
                    json!({ "nonce": 41 + state.transactions.len(), "nodes": [view("alice")["id"]] })
                }
                "/node" if argument["node"] == "bob" => view("bob"),
                "/node" if argument["node"] != "nobody" => view("alice"),
                "/node" => return json!({ "response": { "code": 7, "log": "there is no node nobody" } }),
                path => panic!("{path}"),
            };
            json!({ "response": { "code": 0, "value": BASE64.encode(value.to_string()) } })
        }
        method => panic!("{method}"),
    }
}

/// Runs the program in an environment without a home.
fn trustnet(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trustnet"));
    command.args(args).env("XDG_DATA_HOME", home.path()).env("HOME", home.path()).env_remove("TRUSTNET_RPC");
    command.stdin(Stdio::null()).output().unwrap()
}

fn key_file(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(format!("{name}.key"));
    keys::save(&path, Role::Operator, &operator(name)).unwrap();
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn without_arguments_it_names_the_first_step() {
    let output = trustnet(&[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("trustnet up "));
    assert!(text(&trustnet(&["--version"]).stdout).starts_with("trustnet 0."));
}

#[test]
fn a_usage_error_goes_to_standard_error_with_code_2() {
    let output = trustnet(&["query", "tx", "xyz"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("a hash is 64 hex digits"));
    assert_eq!(trustnet(&["provision"]).status.code(), Some(2));
}

#[test]
fn no_node_is_code_3_with_the_way_out() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let output = trustnet(&["status", "--rpc", &url]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with(&format!("trustnet: no node answers at {url}: connection refused\n  next: ")),
        "{stderr}"
    );
    let output = trustnet(&["status", "--json", "--rpc", &url]);
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(
        (error["error"]["exit_code"].as_u64(), error["error"]["class"].as_str()),
        (Some(3), Some("unreachable"))
    );
}

#[test]
fn a_rating_reaches_the_node_signed_numbered_and_for_its_chain() {
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path(), "alice");
    let node = Node::start(Vec::new());
    let output = trustnet(&[
        "rate",
        "alice",
        "bob",
        "4",
        "--category",
        "reliability",
        "--reason",
        "always there",
        "--key",
        key.to_str().unwrap(),
        "--rpc",
        &node.url,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let sent = node.transactions();
    assert_eq!((sent.len(), sent[0].tx.nonce), (1, 42));
    match &sent[0].tx.action {
        Action::Rate { stars, reason, .. } => assert_eq!((*stars, reason.as_str()), (4, "always there")),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        text(&output.stdout),
        format!(
            "alice gives bob 4 of 5 stars for reliability.\n  in block 7, transaction {}\n  next: trustnet why bob\n",
            sent[0].id()
        )
    );
}

#[test]
fn the_rater_left_out_is_the_node_of_the_key_and_json_says_what_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path(), "alice");
    let node = Node::start(Vec::new());
    let output = trustnet(&[
        "rate",
        "bob",
        "5",
        "--json",
        "--no-wait",
        "--key",
        key.to_str().unwrap(),
        "--rpc",
        &node.url,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["action"], "rate");
    assert_eq!(value["committed"], false);
    assert_eq!(value["hash"], node.transactions()[0].id().to_string());
}

#[test]
fn a_transaction_that_was_overtaken_is_numbered_anew() {
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path(), "alice");
    let node = Node::start(vec![4]);
    let output = trustnet(&["pause", "alice", "--key", key.to_str().unwrap(), "--rpc", &node.url]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let nonces: Vec<u64> = node.transactions().iter().map(|tx| tx.tx.nonce).collect();
    assert_eq!(nonces, [42, 43]);
}

#[test]
fn a_refusal_is_code_4_in_the_ledgers_words() {
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path(), "alice");
    let node = Node::start(vec![9]);
    let output = trustnet(&["resume", "alice", "--key", key.to_str().unwrap(), "--rpc", &node.url]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(text(&output.stderr), "trustnet: the ledger's own words\n");
    let output = trustnet(&["query", "node", "nobody", "--rpc", &node.url]);
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(4), "trustnet: there is no node nobody\n")
    );
}

#[test]
fn a_key_of_somebody_else_is_noticed_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path(), "bob");
    let node = Node::start(Vec::new());
    let args = ["rate", "alice", "bob", "1", "--key", key.to_str().unwrap(), "--rpc", &node.url];
    let output = trustnet(&args);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("alice is operated by the key "), "{}", text(&output.stderr));
    assert!(node.transactions().is_empty());
}

#[test]
fn destroying_takes_a_yes_that_a_script_must_write_out() {
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path(), "alice");
    let node = Node::start(Vec::new());
    let args = ["destroy", "alice", "--key", key.to_str().unwrap(), "--rpc", &node.url];
    let output = trustnet(&args);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).ends_with("next: trustnet destroy alice --yes\n"),
        "{}",
        text(&output.stderr)
    );
    assert!(node.transactions().is_empty());
    let output = trustnet(&[&args[..], &["--yes"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(matches!(node.transactions()[0].tx.action, Action::Destroy { .. }));
}

#[test]
fn a_validator_registers_with_the_keys_of_its_home() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("node");
    let home = home.to_str().unwrap();
    assert_eq!(trustnet(&["init", "--home", home]).status.code(), Some(0));
    let node = Node::start(Vec::new());
    let output = trustnet(&["register", "carol", "--kind", "validator", "--home", home, "--rpc", &node.url]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let sent = node.transactions();
    let tx = &sent[0].tx;
    match &tx.action {
        Action::Register { node_key: Some(node_key), validator_key: Some(validator_key), .. } => {
            use trustnet_ledger::KeyRole;
            assert!(node_key.is_valid(KeyRole::Node, CHAIN, &tx.signer, tx.nonce, tx.time_ms));
            assert!(validator_key.is_valid(KeyRole::Validator, CHAIN, &tx.signer, tx.nonce, tx.time_ms));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_home_is_made_once_and_its_keys_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("node");
    let home = home.to_str().unwrap();
    let output = trustnet(&["init", "--home", home, "--name", "ada", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let output = trustnet(&["keys", "show", "node", "--home", home]);
    assert_eq!(text(&output.stdout).trim(), made["node_id"].as_str().unwrap());
    assert_eq!(text(&trustnet(&["keys", "list", "--home", home]).stdout).lines().count(), 4);
    let output = trustnet(&["init", "--home", home]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("next: trustnet run --home {home}\n")));
}

#[test]
fn a_mistyped_setting_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("node");
    assert_eq!(trustnet(&["init", "--home", home.to_str().unwrap()]).status.code(), Some(0));
    let config = home.join("config/config.toml");
    let changed = std::fs::read_to_string(&config).unwrap().replace("\npeers = ", "\npears = ");
    std::fs::write(&config, changed).unwrap();
    let output = trustnet(&["status", "--home", home.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("config.toml:") && stderr.contains("did you mean `peers`?"), "{stderr}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trustnet"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn a_link_by_another_name_is_its_command() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("trustnet-query");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_trustnet"), &link).unwrap();
    let node = Node::start(Vec::new());
    let output =
        Command::new(&link).args(["reputation", "--node=alice", "--rpc", &node.url]).output().unwrap();
    assert_eq!(text(&output.stdout), "alice  R 50.0  = ledger 50.0 + peers +0.0\n");
}
