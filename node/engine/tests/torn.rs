//! Power cuts that tear a signer record apart from what was to become durable with it.
#![allow(clippy::unwrap_used)]

mod common;

use common::Cluster;
use trustnet_engine::message::Message;
use trustnet_engine::sign_record::SignRecord;

/// A chain of one with two blocks, its power gone.
fn two_blocks() -> Cluster {
    let mut cluster = Cluster::new(1);
    for (height, name) in [(1, "alice"), (2, "bob")] {
        let tx = Cluster::registration(name);
        cluster.submit(0, &tx);
        cluster.run_until(2_000, "a block", |c| c.height(0) == height);
    }
    cluster.kill(0);
    cluster
}

fn votes_sent(cluster: &Cluster) -> Vec<(u64, u32, bool)> {
    let votes = cluster.replicas[0].sent.iter().filter_map(|message| match message {
        Message::Vote(vote) => Some((vote.height, vote.round, vote.precommit)),
        _ => None,
    });
    votes.collect()
}

#[test]
fn a_commit_that_the_log_lost_comes_back_by_the_precommit_that_is_said_again() {
    let mut cluster = two_blocks();
    let record = SignRecord::decode(cluster.replicas[0].disk.signer.as_ref().unwrap()).unwrap();
    assert_eq!((record.height, record.before.map(|last| (last.height, last.round))), (2, Some((1, 0))));
    let first = cluster.replicas[0].finals[0].id;
    // The flush that was to make commit 1 and the votes at 2 durable brought only the signer record to the disk.
    cluster.replicas[0].disk.committed.clear();
    cluster.replicas[0].disk.candidates.retain(|id, _| *id == first);
    cluster.replicas[0].finals.clear();
    cluster.replicas[0].sent.clear();
    cluster.boot(0);
    assert_eq!(cluster.height(0), 1);
    assert_eq!(cluster.replicas[0].finals[0].id, first, "the same block");
    assert_eq!(votes_sent(&cluster), [(1, 0, true)], "nothing else is signed at a height that was over");

    let tx = Cluster::registration("carol");
    cluster.submit(0, &tx);
    cluster.run_until(10_000, "the next block", |c| c.height(0) == 2);
    let later = votes_sent(&cluster);
    assert!(later[1..].iter().all(|(height, round, _)| (*height, *round) >= (2, 1)), "{later:?}");
    assert_eq!(cluster.replicas[0].engine.as_ref().unwrap().stats().refused_signatures, 0);
}

#[test]
fn a_precommit_whose_block_is_gone_binds_its_slot_and_nothing_else() {
    let mut cluster = two_blocks();
    cluster.replicas[0].disk.committed.remove(&2);
    cluster.replicas[0].disk.candidates.clear();
    cluster.replicas[0].finals.clear();
    cluster.replicas[0].sent.clear();
    cluster.boot(0);
    assert_eq!(cluster.height(0), 1);
    let tx = Cluster::registration("carol");
    cluster.submit(0, &tx);
    cluster.run_until(10_000, "the next block", |c| c.height(0) == 2);
    let votes = votes_sent(&cluster);
    assert!(votes.iter().all(|(height, round, _)| (*height, *round) == (2, 1)), "{votes:?}");
    assert_eq!(cluster.replicas[0].engine.as_ref().unwrap().stats().refused_signatures, 0);
}

#[test]
fn a_precommit_whose_block_is_there_is_said_again_as_it_was() {
    let mut cluster = two_blocks();
    let second = cluster.replicas[0].finals[1].id;
    cluster.replicas[0].disk.committed.remove(&2);
    cluster.replicas[0].finals.clear();
    cluster.boot(0);
    cluster.run_until(2_000, "the same block", |c| c.height(0) == 2);
    assert_eq!(cluster.replicas[0].finals[0].id, second);
}

#[test]
fn with_the_commit_lost_nothing_is_signed_while_no_one_gives_the_block_back() {
    let mut cluster = two_blocks();
    cluster.replicas[0].disk.committed.clear();
    cluster.replicas[0].disk.candidates.clear();
    cluster.replicas[0].finals.clear();
    cluster.replicas[0].sent.clear();
    cluster.boot(0);
    cluster.run(60_000);
    assert_eq!(cluster.height(0), 0);
    assert!(votes_sent(&cluster).iter().all(|vote| *vote == (1, 0, true)));
    let reason = cluster.replicas[0].engine.as_ref().unwrap().silent_reason();
    assert!(reason.is_some_and(|reason| reason.contains("lost the last block")), "{reason:?}");
}

#[test]
fn four_that_all_lose_the_same_commit_find_it_again() {
    let mut cluster = Cluster::new(4);
    for _ in 0..2 {
        let tx = cluster.rating(0, 1);
        cluster.submit(0, &tx);
        let height = cluster.height(0) + 1;
        cluster.run_until(5_000, "a block", |c| (0..4).all(|i| c.height(i) == height));
    }
    for i in 0..4 {
        cluster.kill(i);
    }
    for replica in &mut cluster.replicas {
        replica.disk.committed.clear();
        replica.finals.clear();
    }
    for i in 0..4 {
        cluster.boot(i);
    }
    cluster.run_until(10_000, "the commit again", |c| (0..4).all(|i| c.height(i) >= 1));
    let tx = cluster.rating(2, 1);
    cluster.submit(2, &tx);
    cluster.run_until(60_000, "and more", |c| (0..4).all(|i| c.height(i) >= 2));
    cluster.check_safety();
}
