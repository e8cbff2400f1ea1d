//! Networks of real processes: agreement, kill -9, wiped disks, restarts.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{TestNet, wait_for};
use trustnet_ledger::SignedTransaction;

const PROGRAM: &str = env!("CARGO_BIN_EXE_trustnet");

/// Hands a transaction in at one node after the other until one says that it is committed.
fn commit_somewhere(net: &TestNet, tx: &SignedTransaction, alive: &[usize]) {
    wait_for(Duration::from_secs(60), "a rating is committed", || {
        alive.iter().any(|&at| {
            net.commit(tx, at).is_ok_and(|sent| sent.code == 0 && sent.height > 0) || net.has_tx(at, tx)
        })
    });
}

#[test]
fn four_nodes_lose_nothing_that_was_acknowledged_while_they_are_killed_one_after_the_other() {
    let mut net = TestNet::start(PROGRAM, 4, 41_000);
    let ids = net.ids();
    let mut acknowledged = Vec::new();
    for round in 0..8 {
        let victim = round % 4;
        let alive: Vec<usize> = (0..4).filter(|i| *i != victim).collect();
        // Half of the kills come in the middle of a commit that another node acknowledges.
        let tx = net.rating(&ids, alive[0], alive[1], 5);
        net.kill(victim);
        commit_somewhere(&net, &tx, &alive);
        acknowledged.push(tx);
        net.boot(victim);
        let tx = net.rating(&ids, alive[1], alive[2], 4);
        commit_somewhere(&net, &tx, &alive);
        acknowledged.push(tx);
        net.wait_ready(victim);
    }
    net.check_agreement();
    for (number, tx) in acknowledged.iter().enumerate() {
        for i in 0..4 {
            assert!(net.has_tx(i, tx), "rating {number} is missing on node {i}");
        }
    }
}

#[test]
fn a_wiped_node_fetches_the_chain_and_takes_part_again() {
    let mut net = TestNet::start(PROGRAM, 4, 41_100);
    let ids = net.ids();
    for _ in 0..10 {
        let tx = net.rating(&ids, 0, 1, 5);
        commit_somewhere(&net, &tx, &[0]);
    }
    net.kill(3);
    std::fs::remove_dir_all(net.data_dir(3)).unwrap();
    let tx = net.rating(&ids, 0, 2, 3);
    commit_somewhere(&net, &tx, &[0, 1]);
    net.boot(3);
    net.wait_ready(3);
    net.check_agreement();
    assert!(net.has_tx(3, &tx));
    wait_for(Duration::from_secs(30), "the wiped node votes again", || {
        let summary: serde_json::Value = net.client(3).query("/summary", &serde_json::json!({})).unwrap();
        summary["silent_reason"].is_null()
    });
    // It may have voted at the height that was under way, and begun the next: until both are over it counts as faulty.
    for _ in 0..2 {
        let tx = net.rating(&ids, 0, 1, 4);
        commit_somewhere(&net, &tx, &[0, 1]);
    }
    // With another node away, the chain needs the wiped one's votes.
    net.kill(2);
    let tx = net.rating(&ids, 0, 1, 2);
    commit_somewhere(&net, &tx, &[0, 1]);
}

#[test]
fn all_killed_at_once_go_on_with_the_same_chain() {
    let mut net = TestNet::start(PROGRAM, 4, 41_200);
    let ids = net.ids();
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        for _ in 0..5 {
            let tx = net.rating(&ids, 1, 2, 5);
            commit_somewhere(&net, &tx, &[1]);
            acknowledged.push(tx);
        }
        for i in 0..4 {
            net.kill(i);
        }
        for i in 0..4 {
            net.boot(i);
        }
        for i in 0..4 {
            net.wait_ready(i);
        }
    }
    let tx = net.rating(&ids, 1, 2, 1);
    commit_somewhere(&net, &tx, &[0, 1]);
    net.check_agreement();
    assert!(acknowledged.iter().all(|tx| net.has_tx(0, tx)));
}

#[test]
fn one_node_alone_decides_and_survives_kills_and_a_clean_stop() {
    let mut net = TestNet::start(PROGRAM, 1, 41_300);
    let key = trustnet_ledger::crypto::SecretKey::from_seed(&[7; 32]);
    let chain_id = net.network.chain_id.clone();
    let register = |nonce: u64| {
        let tx = trustnet_ledger::Transaction {
            signer: key.public(),
            nonce,
            time_ms: common::unix_ms(),
            action: trustnet_ledger::Action::Register {
                name: format!("user-{nonce}"),
                owner: String::new(),
                kind: trustnet_ledger::NodeKind::User,
                node_key: None,
                validator_key: None,
            },
        };
        SignedTransaction::sign(tx, &key, &chain_id)
    };
    for nonce in 1..=6 {
        let tx = register(nonce);
        commit_somewhere(&net, &tx, &[0]);
        if nonce % 2 == 0 {
            net.kill(0);
        } else {
            net.stop(0);
        }
        net.boot(0);
        net.wait_ready(0);
        assert_eq!(net.height(0), nonce, "one block for each registration, none lost");
        assert!(net.has_tx(0, &tx));
    }
}

#[test]
fn garbage_and_a_flood_of_bad_transactions_change_nothing() {
    let mut net = TestNet::start(PROGRAM, 4, 41_400);
    let ids = net.ids();
    let good = net.rating(&ids, 0, 1, 5);
    commit_somewhere(&net, &good, &[0]);
    let before = net.height(0);
    let client = net.client(0);
    let mut forged = net.rating(&ids, 0, 1, 4).encode();
    *forged.last_mut().unwrap() ^= 1;
    for (bytes, reason) in [
        (forged, "signature"),
        (good.encode(), "nonce"),
        (vec![0xff; 300], ""),
        (Vec::new(), ""),
        (vec![1; 40_000], "bytes"),
    ] {
        let answer = client.broadcast_sync(&bytes).unwrap();
        assert_ne!(answer.code, 0, "{reason}");
        assert!(answer.log.contains(reason), "{}", answer.log);
    }
    let target = format!("127.0.0.1:{}", net.network.nodes[0].ports.p2p);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for i in 0..2_000u32 {
        let _ = socket.send_to(&i.to_be_bytes().repeat(50), &target);
    }
    assert_eq!(net.height(0), before);
    // The forged one took no nonce: a true one with the same nonce still works.
    let key = net.operators[0].clone();
    let tx = common::rating(&net.network.chain_id, &key, 2, ids[0], ids[1], 3);
    commit_somewhere(&net, &tx, &[0]);
    net.check_agreement();
}

#[test]
fn a_home_of_another_chain_or_in_use_is_refused_with_the_next_step() {
    let mut net = TestNet::start(PROGRAM, 1, 41_500);
    let run = |home: &std::path::Path| {
        std::process::Command::new(PROGRAM)
            .args(["run", "--home"])
            .arg(home)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    };
    let in_use = run(&net.home(0));
    assert_eq!(in_use.status.code(), Some(5), "{}", String::from_utf8_lossy(&in_use.stderr));
    assert!(String::from_utf8_lossy(&in_use.stderr).contains("in use"));

    net.stop(0);
    let path = net.home(0).join("config/genesis.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("trustnet-local-", "trustnet-other-")).unwrap();
    let other = run(&net.home(0));
    assert_eq!(other.status.code(), Some(5), "{}", String::from_utf8_lossy(&other.stderr));
    assert!(String::from_utf8_lossy(&other.stderr).contains("belongs to chain"));

    std::fs::write(&path, text.replace("\"power\"", "\"pwoer\"")).unwrap();
    let typo = String::from_utf8_lossy(&run(&net.home(0)).stderr).into_owned();
    assert!(typo.contains("genesis.json") && typo.contains("line"), "{typo}");
}
