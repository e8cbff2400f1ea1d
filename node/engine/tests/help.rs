//! Nodes help each other along: enough to go on, and not so much that one could drown another.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Cluster, secret};
use trustnet_engine::Input;
use trustnet_engine::block::vote_sign_bytes;
use trustnet_engine::message::{Holding, Message, WireVote};

/// Four validators that have committed one block.
fn after_one_block() -> Cluster {
    let mut cluster = Cluster::new(4);
    let tx = cluster.rating(0, 1);
    cluster.submit(0, &tx);
    cluster.run_until(15_000, "the first block", |c| c.heights() == [1; 4]);
    cluster.run(3_000);
    cluster
}

/// Position of a replica among the deciders.
fn position(cluster: &Cluster, i: usize) -> u16 {
    let deciders = cluster.replicas[0].engine.as_ref().unwrap().deciders();
    deciders.iter().position(|(key, _)| *key == secret(3, i).public()).unwrap() as u16
}

fn is_precommit_for_a_block(message: &Message) -> bool {
    matches!(message, Message::Vote(vote) if vote.precommit && vote.value.is_some())
}

/// Node 2 precommits towards node 3 alone, says nil to the others, and is gone. Node 3, who never got the block, knows
/// that it is decided. The others hold the block and are a round further; without node 3 they are no quorum.
#[test]
fn a_decision_that_one_node_alone_knows_and_whose_block_it_lacks_reaches_those_who_hold_the_block() {
    let mut cluster = after_one_block();
    cluster.loses = Some(|from, to, message| match message {
        Message::Proposal(_) | Message::BlockTxs { .. } => to == 3,
        _ => from == 2 && to != 3 && is_precommit_for_a_block(message),
    });
    let tx = cluster.rating(0, 1);
    cluster.submit(0, &tx);
    let decided = |c: &Cluster| {
        let precommitted = |i: usize| {
            c.wire.iter().any(|(from, to, m)| (*from, *to) == (i, 3) && is_precommit_for_a_block(m))
        };
        (0..3).all(precommitted)
    };
    let before = cluster.wire.len();
    cluster.wire.clear();
    assert!(before > 0);
    cluster.run_until(15_000, "precommits of the others", decided);
    cluster.run(cluster.delay_ms);
    cluster.kill(2);
    let (height, round) = (2, 0);
    let vote = trustnet_bft::Vote {
        kind: trustnet_bft::VoteKind::Precommit,
        height,
        round,
        value: None,
        validator: position(&cluster, 2),
    };
    let signature = secret(3, 2).sign(&vote_sign_bytes("test", &vote));
    let nil = WireVote { precommit: true, height, round, value: None, validator: vote.validator, signature };
    for to in [0, 1] {
        let bytes = Message::Vote(nil.clone()).encode();
        cluster.feed(to, Input::Message { peer: Cluster::key(3), bytes });
    }
    let state = |c: &Cluster, i: usize| c.replicas[i].engine.as_ref().unwrap().round_state();
    cluster.run(800);
    assert!([0, 1].iter().all(|i| state(&cluster, *i).round > 0), "they have gone on");
    assert_eq!(cluster.heights()[3], 1, "it lacks the block");
    cluster.run_until(10_000, "the block everywhere", |c| [0, 1, 3].iter().all(|i| c.height(*i) == 2));
    cluster.check_safety();
}

#[test]
fn who_asks_for_help_over_and_over_gets_it_now_and_then() {
    let mut cluster = after_one_block();
    let nothing = [0; trustnet_engine::block::MAX_VALIDATORS / 64];
    let holding = Holding { height: 1, round: 0, proposal: false, prevotes: nothing, precommits: nothing };
    let bytes = Message::Holding(holding).encode();
    cluster.wire.clear();
    for _ in 0..200 {
        cluster.feed(0, Input::Message { peer: Cluster::key(3), bytes: bytes.clone() });
        cluster.run(10);
    }
    let certificates = cluster
        .wire
        .iter()
        .filter(|(from, to, m)| (*from, *to) == (0, 3) && matches!(m, Message::Certificate(_)));
    let certificates = certificates.count();
    assert!((2..=5).contains(&certificates), "{certificates} in two seconds");
}

/// The last block is fetched, but nobody serves it; all tell that they saw a vote of this node there.
#[test]
fn a_node_that_lost_its_record_does_not_ask_for_one_vote_over_and_over() {
    let mut cluster = after_one_block();
    let tx = cluster.rating(0, 1);
    cluster.submit(0, &tx);
    let voted = |c: &Cluster| {
        c.replicas[3].sent.iter().any(|message| matches!(message, Message::Vote(vote) if vote.height == 2))
    };
    cluster.run_until(15_000, "its vote", voted);
    cluster.kill(3);
    cluster.run_until(15_000, "the block of the others", |c| (0..3).all(|i| c.height(i) == 2));
    cluster.unresponsive.extend([0, 1, 2]);
    cluster.replicas[3].disk.lost = true;
    cluster.wire.clear();
    cluster.boot(3);
    cluster.run(2_000);
    assert_eq!(cluster.height(3), 1);
    for peer in 0..3 {
        let asked = cluster.wire.iter().filter(|(from, to, message)| {
            (*from, *to) == (3, peer) && matches!(message, Message::Holding(_))
        });
        let asked = asked.count();
        assert!((1..=6).contains(&asked), "{asked} times in two seconds");
    }
    // The vote is told of; with the block served it is back.
    cluster.unresponsive.clear();
    cluster.run_until(10_000, "the block", |c| c.height(3) == 2);
    cluster.check_safety();
}
