//! Networks of engines agree, whatever their number, and go on through loss and restarts.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap)]

mod common;

use common::{Cluster, START_UNIX_MS};
use trustnet_engine::io::SubmitError;
use trustnet_ledger::tx_error::TxError;

fn rate_around(cluster: &mut Cluster, rounds: usize) {
    let count = cluster.replicas.len();
    for _ in 0..rounds {
        for from in 0..count {
            let tx = cluster.rating(from, (from + 1) % count);
            cluster.submit(from, &tx);
        }
    }
}

#[test]
fn networks_of_two_three_four_and_seven_agree() {
    for count in [2, 3, 4, 7] {
        let mut cluster = Cluster::new(count);
        rate_around(&mut cluster, 3);
        cluster.run_until(20_000, "all transactions committed everywhere", |c| {
            (0..count).all(|i| c.committed_txs(i) == 3 * count)
        });
        cluster.check_safety();
        let roots: Vec<_> =
            cluster.replicas.iter().map(|r| r.engine.as_ref().unwrap().ledger().state_root()).collect();
        assert!(roots.iter().all(|root| *root == roots[0]), "{count} validators");
    }
}

#[test]
fn an_idle_network_makes_no_block() {
    let mut cluster = Cluster::new(4);
    cluster.run(20 * 60_000);
    assert_eq!(cluster.heights(), [0; 4]);
    assert!(cluster.replicas.iter().all(|replica| replica.disk.signer.is_none()), "and writes nothing");
}

#[test]
fn an_hour_of_uptime_becomes_one_block_of_attestations() {
    let mut cluster = Cluster::new(4);
    cluster.run(3 * 3_600_000);
    let attesting: Vec<usize> = cluster.replicas[0].finals.iter().map(|done| done.block.txs.len()).collect();
    assert!(cluster.heights().iter().all(|height| *height <= 3 && *height >= 2), "{:?}", cluster.heights());
    assert!(attesting.iter().all(|txs| *txs == 4), "{attesting:?}");
    cluster.check_safety();
}

#[test]
fn one_dead_node_of_four_does_not_stop_the_chain() {
    let mut cluster = Cluster::new(4);
    cluster.kill(2);
    for turn in 0..8 {
        let tx = cluster.rating(0, 1);
        cluster.submit(0, &tx);
        cluster.run_until(15_000, "the next block", |c| c.height(0) > turn);
    }
    cluster.check_safety();
}

#[test]
fn a_node_that_is_behind_does_not_wait_long_for_a_peer_that_does_not_answer() {
    for silent in [vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2]] {
        let mut cluster = Cluster::new(4);
        cluster.kill(3);
        for turn in 0..12 {
            let tx = cluster.rating(0, 1);
            cluster.submit(0, &tx);
            cluster.run_until(15_000, "the next block", |c| c.height(0) > turn);
        }
        cluster.unresponsive.extend(&silent);
        cluster.boot(3);
        let limit_ms = 1_000 + 2_000 * silent.len() as u64;
        cluster.run_until(limit_ms, &format!("caught up although {silent:?} do not answer"), |c| {
            c.height(3) == c.height(0)
        });
        cluster.check_safety();
    }
}

#[test]
fn a_node_that_was_away_catches_up_while_the_others_go_on() {
    let mut cluster = Cluster::new(4);
    cluster.kill(3);
    for turn in 0..12 {
        let tx = cluster.rating(0, 1);
        cluster.submit(0, &tx);
        cluster.run_until(15_000, "the next block", |c| c.height(0) > turn);
    }
    cluster.boot(3);
    cluster.run_until(15_000, "caught up", |c| c.height(3) >= 12);
    for _ in 0..8 {
        let tx = cluster.rating(0, 1);
        cluster.submit(0, &tx);
    }
    cluster.run_until(15_000, "takes part again", |c| c.height(3) == c.height(0) && c.committed_txs(3) == 20);
    cluster.check_safety();
}

#[test]
fn a_wiped_validator_fetches_the_chain_and_votes_again_without_signing_twice() {
    let mut cluster = Cluster::new(4);
    rate_around(&mut cluster, 4);
    cluster.run_until(20_000, "some blocks", |c| c.committed_txs(3) == 16);
    cluster.kill(3);
    cluster.replicas[3].disk = common::DiskModel { lost: true, ..Default::default() };
    cluster.boot(3);
    cluster.run_until(15_000, "fetched the chain", |c| c.height(3) == c.height(0));
    cluster.run(2_000);
    assert_eq!(cluster.replicas[3].engine.as_ref().unwrap().silent_reason(), None);
    // It may have voted at the height that is under way, and begun the next: it counts as faulty until both are over.
    for _ in 0..2 {
        let tx = cluster.rating(0, 1);
        cluster.submit(1, &tx);
        cluster.run(3_000);
    }
    // With another node dead, the chain needs the wiped one's votes.
    cluster.kill(0);
    let before = cluster.height(1);
    for _ in 0..6 {
        let tx = cluster.rating(1, 2);
        cluster.submit(1, &tx);
        cluster.run(3_000);
    }
    assert!(cluster.height(1) > before, "the wiped validator votes again");
    cluster.check_safety();
}

#[test]
fn all_nodes_killed_at_once_go_on_from_their_disks() {
    let mut cluster = Cluster::new(4);
    for turn in 0..30 {
        let tx = cluster.rating(turn % 4, (turn + 1) % 4);
        cluster.submit(turn % 4, &tx);
        // An odd number of milliseconds cuts the protocol at a different place each time.
        cluster.run(turn as u64 * 7 % 23);
        for i in 0..4 {
            cluster.kill(i);
        }
        for i in 0..4 {
            cluster.boot(i);
        }
    }
    cluster.run(10_000);
    cluster.check_safety();
    let height = cluster.height(0);
    assert!(cluster.heights().iter().all(|h| *h == height));
}

#[test]
fn a_single_validator_decides_alone_and_goes_on_after_a_restart() {
    let mut cluster = Cluster::new(1);
    let before = cluster.height(0);
    // With one validator nobody can rate anybody: registering is what it can do.
    let key = common::secret(9, 0);
    let tx = trustnet_ledger::signed::SignedTransaction::sign(
        trustnet_ledger::tx::Transaction {
            signer: key.public(),
            nonce: 1,
            time_ms: START_UNIX_MS,
            action: trustnet_ledger::tx::Action::Register {
                name: "alice".into(),
                owner: String::new(),
                kind: trustnet_ledger::node::NodeKind::User,
                node_key: None,
                validator_key: None,
            },
        },
        &key,
        "test",
    );
    cluster.submit(0, &tx);
    cluster.run_until(2_000, "a block", |c| c.height(0) == before + 1);
    cluster.kill(0);
    cluster.boot(0);
    assert_eq!(cluster.height(0), before + 1);
    cluster.check_safety();
}

#[test]
fn a_cut_network_stops_and_a_healed_one_goes_on() {
    let mut cluster = Cluster::new(4);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        cluster.cut.insert((a, b));
        cluster.cut.insert((b, a));
    }
    rate_around(&mut cluster, 1);
    cluster.run(20_000);
    assert_eq!(cluster.heights(), [0; 4], "two and two have no majority");
    cluster.cut.clear();
    cluster.run_until(60_000, "all committed after healing", |c| (0..4).all(|i| c.committed_txs(i) == 4));
    cluster.check_safety();
}

#[test]
fn a_link_that_is_missing_is_made_good_by_the_neighbours() {
    let mut cluster = Cluster::new(4);
    cluster.cut.insert((0, 3));
    cluster.cut.insert((3, 0));
    for turn in 0..8 {
        let tx = cluster.rating(1, 2);
        cluster.submit(1, &tx);
        cluster.run_until(20_000, "the next block", |c| (0..4).all(|i| c.height(i) > turn));
    }
    cluster.check_safety();
}

#[test]
fn bad_transactions_get_their_reason_and_change_nothing() {
    let mut cluster = Cluster::new(4);
    let good = cluster.rating(0, 1);
    let token = cluster.submit(0, &good);
    cluster.run_until(5_000, "committed", |c| c.height(0) == 1);
    assert!(cluster.replicas[0].submitted[&token].is_ok());

    let replayed = cluster.submit(0, &good);
    let mut forged_bytes = cluster.rating(0, 1).encode();
    let last = forged_bytes.len() - 1;
    forged_bytes[last] ^= 1;
    cluster.push(0, 0, trustnet_engine::Input::Submit { token: 900, bytes: forged_bytes.into() });
    cluster.push(0, 0, trustnet_engine::Input::Submit { token: 901, bytes: vec![1, 2, 3].into() });
    cluster.push(0, 0, trustnet_engine::Input::Submit { token: 902, bytes: vec![1; 100_000].into() });
    cluster.run(3_000);
    let result = |token: u64| cluster.replicas[0].submitted[&token].clone();
    assert!(matches!(result(replayed), Err(SubmitError::Refused(TxError::NonceUsed { .. }))));
    assert!(matches!(result(900), Err(SubmitError::Refused(TxError::BadSignature))));
    assert!(matches!(result(901), Err(SubmitError::Refused(TxError::Malformed(_)))));
    assert!(matches!(result(902), Err(SubmitError::Refused(TxError::TooLarge { .. }))));
    assert_eq!(cluster.heights(), [1; 4]);
}

#[test]
fn a_flood_of_garbage_is_punished_and_harms_nobody() {
    let mut cluster = Cluster::new(4);
    for i in 0..200u8 {
        let bytes = vec![i; usize::from(i)].into();
        cluster.push(0, 0, trustnet_engine::Input::Message { peer: Cluster::key(3), bytes });
    }
    rate_around(&mut cluster, 1);
    cluster.run_until(10_000, "committed", |c| (0..4).all(|i| c.committed_txs(i) == 4));
    assert!(cluster.replicas[0].punished.iter().any(|(peer, _)| *peer == Cluster::key(3)));
    cluster.check_safety();
}

#[test]
fn a_node_with_a_clock_in_1970_does_not_stop_the_others() {
    let mut cluster = Cluster::new(4);
    cluster.replicas[2].unix_skew_ms = -(START_UNIX_MS as i64);
    for turn in 0..6 {
        let tx = cluster.rating(0, 1);
        cluster.submit(0, &tx);
        cluster.run_until(20_000, "the next block", |c| c.height(0) > turn);
    }
    let time = cluster.replicas[0].finals.last().unwrap().block.header.time_ms;
    assert!(time > START_UNIX_MS, "the chain's clock is that of the many");
    cluster.check_safety();
}

#[test]
fn with_two_validators_a_wiped_one_gets_its_votes_back_from_the_other() {
    for cut_ms in 0..12 {
        let mut cluster = Cluster::new(2);
        rate_around(&mut cluster, 1);
        // Somewhere in the middle of the first height.
        cluster.run(cut_ms);
        cluster.kill(1);
        cluster.replicas[1].disk = common::DiskModel { lost: true, ..Default::default() };
        // What was on the wire arrives before a machine is up again.
        cluster.run(50);
        cluster.boot(1);
        // What only the wiped node's pool held is lost with it; the rest is not.
        let tx = cluster.rating(0, 1);
        cluster.submit(0, &tx);
        cluster.run_until(60_000, "both go on", |c| (0..2).all(|i| c.committed_txs(i) >= 2));
        cluster.check_safety();
    }
}

#[test]
fn locks_that_only_some_hold_do_not_stop_a_network_whose_nodes_all_crash() {
    // Links that are cut decide who sees two thirds of the prevotes before the lights go out.
    for missing in 0..16usize {
        for cut_ms in [3, 5, 6, 7, 8, 9] {
            let mut cluster = Cluster::new(4);
            for (bit, link) in [(1, 3), (2, 3), (0, 2), (3, 1)].into_iter().enumerate() {
                if missing & (1 << bit) != 0 {
                    cluster.cut.insert(link);
                }
            }
            let tx = cluster.rating(0, 1);
            cluster.submit(0, &tx);
            cluster.run(cut_ms);
            for i in 0..4 {
                cluster.kill(i);
            }
            cluster.cut.clear();
            for i in 0..4 {
                cluster.boot(i);
            }
            // The pools are gone; a new transaction gives the network something to agree on.
            let tx = cluster.rating(2, 1);
            cluster.submit(2, &tx);
            cluster.run_until(60_000, "a block after the crash", |c| (0..4).all(|i| c.committed_txs(i) >= 1));
            cluster.check_safety();
        }
    }
}

#[test]
fn a_validator_restored_from_an_old_backup_does_not_sign_twice() {
    for backup_at in 0..4 {
        let mut cluster = Cluster::new(4);
        let mut backup = cluster.replicas[3].disk.clone();
        for turn in 0..6 {
            let tx = cluster.rating(0, 1);
            cluster.submit(0, &tx);
            cluster.run_until(20_000, "the next block", |c| (0..4).all(|i| c.height(i) > turn));
            if turn + 1 == backup_at {
                backup = cluster.replicas[3].disk.clone();
            }
        }
        cluster.kill(3);
        cluster.replicas[3].disk = backup;
        cluster.boot(3);
        for turn in 6..12 {
            let tx = cluster.rating(0, 1);
            cluster.submit(0, &tx);
            cluster.run_until(20_000, "the next block", |c| (0..4).all(|i| c.height(i) > turn));
        }
        cluster.run(3_000);
        assert_eq!(cluster.replicas[3].engine.as_ref().unwrap().silent_reason(), None, "it votes again");
        cluster.check_safety();
    }
}

#[test]
fn the_largest_numbers_that_a_peer_can_name_change_nothing() {
    use trustnet_engine::Input;
    use trustnet_engine::message::{Holding, Message, Status};
    use trustnet_ledger::crypto::Hash32;
    let mut cluster = Cluster::new(4);
    cluster.run(100);
    let none = [0; 2];
    let (height, round) = (u64::MAX, u32::MAX);
    let holding = Holding { height, round, proposal: false, prevotes: none, precommits: none };
    let status =
        Status { height, block: Hash32::default(), earliest: height, round: Some(round), your_vote: None };
    for message in [Message::Holding(holding), Message::Status(status)] {
        let (peer, bytes) = (Cluster::key(1), message.encode());
        cluster.push(0, 0, Input::Message { peer, bytes });
    }
    cluster.run(100);
    let tx = cluster.rating(1, 2);
    cluster.submit(0, &tx);
    cluster.run_until(5_000, "the network goes on", |c| c.heights() == [1; 4]);
    cluster.check_safety();
}
