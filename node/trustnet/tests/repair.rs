//! `trustnet repair` as its users meet it: a node refuses its damaged data and names the command, the command says what
//! it would do and does it, and the node goes on with a prefix of the chain.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{TestNet, wait_for};
use serde_json::Value;
use trustnet_ledger::{Action, NodeKind, SignedTransaction, Transaction};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trustnet");
const PAGE: usize = 4096;

/// Exit code, standard output, standard error.
fn trustnet(home: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    let output = command.args(words).arg("--home").arg(home).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Every file below a folder, but for the lock, with the hash of its bytes.
fn files(folder: &Path) -> BTreeMap<String, blake3::Hash> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(file, hash)| (format!("{name}/{file}"), hash)));
        } else if name != "LOCK" {
            found.insert(name, blake3::hash(&std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// Breaks a record in the middle of the log.
fn break_the_log(data: &Path) {
    let path = data.join("log/000000.seg");
    let mut log = std::fs::read(&path).unwrap();
    let records = (0..log.len()).step_by(PAGE).filter(|at| log[*at..].starts_with(b"TNLR"));
    let records = records.collect::<Vec<_>>();
    assert!(records.len() > 8, "{records:?}");
    log[records[records.len() / 2] + 100] ^= 1;
    std::fs::write(&path, log).unwrap();
}

/// A registration, signed by the first operator.
fn newcomer(net: &TestNet, nonce: u64) -> SignedTransaction {
    let key = &net.operators[0];
    let action = Action::Register {
        name: format!("newcomer-{nonce}"),
        owner: String::new(),
        kind: NodeKind::User,
        node_key: None,
        validator_key: None,
    };
    let tx = Transaction { signer: key.public(), nonce, time_ms: common::unix_ms(), action };
    SignedTransaction::sign(tx, key, &net.network.chain_id)
}

fn aside(data: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let mut folders =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("damaged-"));
    let folder = folders.next().unwrap();
    assert!(folders.next().is_none());
    folder
}

#[test]
fn a_validator_with_a_damaged_log_is_repaired_and_votes_again() {
    let mut net = TestNet::start(PROGRAM, 4, 43_600);
    let ids = net.ids();
    for stars in 1..=5 {
        let tx = net.rating(&ids, 0, 3, stars);
        assert!(net.commit(&tx, 0).is_ok());
    }
    wait_for(Duration::from_secs(60), "all nodes have the block", || {
        net.all_at_same_height().is_some_and(|height| height >= 5)
    });
    let (home, data) = (net.home(3), net.data_dir(3));

    let (code, _, error) = trustnet(&home, &["repair", "--apply"]);
    assert_eq!(code, 5, "{error}");
    assert!(error.contains("is in use by another process"), "{error}");

    // Killed, so that there is no checkpoint and the whole log counts.
    net.kill(3);
    let (code, shown, error) = trustnet(&home, &["repair"]);
    assert_eq!((code, error.as_str()), (0, ""), "{shown}");
    assert!(shown.contains("is not damaged") && shown.contains("trustnet run --home"), "{shown}");

    break_the_log(&data);
    let (code, _, error) = trustnet(&home, &["run"]);
    assert_eq!(code, 5, "{error}");
    assert!(error.contains("the log is damaged in the middle"), "{error}");
    assert!(error.contains(&format!("next: trustnet repair --home {}", home.display())), "{error}");

    let before = files(&data);
    let (code, shown, error) = trustnet(&home, &["repair"]);
    assert_eq!(code, 5, "{error}");
    for part in ["the log is damaged: segment 000000", "What --apply would do", "end the log at its offset"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(error.contains("nothing was changed") && error.contains("trustnet repair --apply"), "{error}");
    let (code, json, _) = trustnet(&home, &["repair", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["damaged"], &json["applied"]), (5, &true.into(), &false.into()), "{json}");
    assert_eq!(json["findings"][0]["code"], "log-damaged", "{json}");
    assert_eq!(json["signer_lost"], true, "{json}");
    let height = json["height"].as_u64().unwrap();
    assert!((1..5).contains(&height), "{json}");
    assert_eq!(files(&data), before, "a dry run changes nothing");

    let (code, shown, error) = trustnet(&home, &["repair", "--apply"]);
    assert_eq!((code, error.as_str()), (0, ""), "{shown}");
    assert!(shown.contains("was repaired") && shown.contains("trustnet run --home"), "{shown}");
    assert!(shown.contains(&format!("The chain here ends at block {height};")), "{shown}");
    let set_aside = aside(&data);
    assert!(shown.contains(set_aside.to_str().unwrap()), "{shown}");
    assert_eq!(files(&set_aside)["000000.seg"], before["log/000000.seg"], "as it was");
    assert_eq!(files(&set_aside)["vote.lock"], before["vote.lock"], "as it was");
    let (code, shown, _) = trustnet(&home, &["repair", "--apply"]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("is not damaged"), "{shown}");

    // Fetches what is missing, is told what it signed, and is needed: without it there is no quorum.
    net.boot(3);
    net.wait_ready(3);
    net.check_agreement();
    for height in 1..=net.height(0) {
        assert_eq!(net.state_root(3, height), net.state_root(0, height), "height {height}");
    }
    wait_for(Duration::from_secs(60), "the repaired validator votes", || {
        let summary = net.client(3).query::<Value>("/summary", &serde_json::json!({})).unwrap();
        summary["silent_reason"].is_null()
    });
    let tx = net.rating(&ids, 0, 3, 5);
    assert!(net.commit(&tx, 0).is_ok());
    let tx = net.rating(&ids, 0, 3, 4);
    assert!(net.commit(&tx, 0).is_ok());
    net.kill(2);
    let tx = net.rating(&ids, 0, 3, 3);
    wait_for(Duration::from_secs(60), "a block without the fourth", || {
        net.has_tx(0, &tx) || net.commit(&tx, 0).is_ok_and(|_| net.has_tx(0, &tx))
    });
    assert!(net.has_tx(0, &tx));
}

#[test]
fn a_chain_of_one_goes_on_when_its_state_is_made_again_from_the_log() {
    let mut net = TestNet::start(PROGRAM, 1, 43_700);
    let (home, data) = (net.home(0), net.data_dir(0));
    for nonce in 1..=3 {
        assert!(net.commit(&newcomer(&net, nonce), 0).is_ok());
    }
    let (height, root) = (net.height(0), net.state_root(0, net.height(0)));
    net.kill(0);
    let state = data.join("state.redb");
    let mut bytes = std::fs::read(&state).unwrap();
    bytes[..PAGE].fill(0xa5);
    std::fs::write(&state, &bytes).unwrap();

    let (code, _, error) = trustnet(&home, &["run"]);
    assert_eq!(code, 5, "{error}");
    assert!(error.contains("is damaged") && error.contains("next: trustnet repair --home"), "{error}");
    let (code, json, error) = trustnet(&home, &["repair", "--apply", "--json"]);
    assert_eq!((code, error.as_str()), (0, ""), "{json}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["applied"], &json["signer_lost"]), (&true.into(), &false.into()), "{json}");
    assert_eq!(json["height"], height, "{json}");
    assert_eq!(files(&aside(&data))["state.redb"], blake3::hash(&bytes), "as it was");

    net.boot(0);
    net.wait_ready(0);
    assert_eq!((net.height(0), net.state_root(0, height)), (height, root));
    assert!(net.commit(&newcomer(&net, 4), 0).is_ok(), "it signs as before");
    assert_eq!(net.height(0), height + 1);
}

#[test]
fn without_a_node_or_data_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, error) = trustnet(dir.path(), &["repair"]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("there is no node in") && error.contains("trustnet init"), "{error}");
    let home = dir.path().join("home");
    assert_eq!(trustnet(&home, &["init"]).0, 0);
    std::fs::remove_dir_all(home.join("data")).unwrap();
    let (code, _, error) = trustnet(&home, &["repair"]);
    assert_eq!(code, 5, "{error}");
    assert!(error.contains("holds no store") && error.contains("next: trustnet run --home"), "{error}");
    // Its settings may be broken, too.
    std::fs::write(home.join("config/config.toml"), "nonsense").unwrap();
    assert!(trustnet(&home, &["repair"]).2.contains("holds no store"));
}
