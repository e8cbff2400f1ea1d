//! Peers that read too slowly or send too much, and what they cost.

use super::*;
use crate::{MAX_CONSENSUS_FRAME_BYTES, QueueLimit, Rate};

#[tokio::test]
async fn a_peer_that_does_not_read_consensus_is_disconnected_and_costs_bounded_memory() {
    let mut node_config = config(1);
    node_config.limits.consensus_queue = QueueLimit { frames: 100_000, bytes: 4 << 20 };
    let mut node = Node::start(node_config).await;
    let _silent = Raw::greeted(66, &node.net).await;
    node.up().await;
    let frame = Bytes::from(vec![0; 100_000]);
    let mut queued = 0;
    loop {
        match node.net.send(&id(66), Class::Consensus, frame.clone()) {
            SendOutcome::Queued => queued += frame.len(),
            SendOutcome::SlowPeer => break,
            other => panic!("{other:?}"),
        }
        assert!(node.net.peers()[0].queues[0].bytes <= 4 << 20);
        tokio::task::yield_now().await;
    }
    assert!(queued < 12 << 20, "{queued} bytes: the queue and the windows");
    assert!(node.down().await.contains("slow"));
    assert_eq!(node.net.stats().slow_peers, 1);
}

#[tokio::test]
async fn gossip_to_a_peer_that_does_not_read_is_dropped_oldest_first_and_the_peer_stays() {
    let mut node = Node::start(config(1)).await;
    let _silent = Raw::greeted(66, &node.net).await;
    node.up().await;
    let frame = Bytes::from(vec![0; 10_000]);
    let mut dropped = 0;
    for n in 0..2000 {
        if node.net.send(&id(66), Class::Gossip, frame.clone()) == SendOutcome::QueuedOldestDropped {
            dropped += 1;
        }
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(dropped > 500, "{dropped}");
    let info = &node.net.peers()[0];
    assert!(info.queues[1].bytes <= 2 << 20);
    assert_eq!(info.queues[1].dropped, node.net.stats().gossip_dropped);
    // Votes still pass beside the blocked gossip.
    assert_eq!(node.net.send(&id(66), Class::Consensus, frame), SendOutcome::Queued);
    eventually("the vote to leave", || node.net.peers()[0].queues[0].frames == 0).await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_for_too_long_is_disconnected_without_a_full_queue() {
    let mut node_config = config(1);
    node_config.limits.stall_time = Duration::from_millis(300);
    let mut node = Node::start(node_config).await;
    let _silent = Raw::greeted(66, &node.net).await;
    node.up().await;
    node.net.send(&id(66), Class::Consensus, vec![0; MAX_CONSENSUS_FRAME_BYTES].into());
    assert!(node.down().await.contains("slow"));
}

#[tokio::test]
async fn a_flooding_peer_is_read_at_its_rate_and_loses_nothing() {
    let mut node_config = config(1);
    node_config.limits.frames_from_peer = Rate { burst: 100, per_second: 200 };
    let mut node = Node::start(node_config).await;
    let mut raw = Raw::greeted(66, &node.net).await;
    node.up().await;
    let start = std::time::Instant::now();
    raw.write(1, [2, 0, 0, 0].repeat(300)).await;
    for _ in 0..300 {
        assert_eq!(node.frame().await, (Class::Gossip, Bytes::new()));
    }
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_stalled_application_holds_peers_back_within_the_room_for_large_frames() {
    let mut node_config = config(1);
    node_config.limits.inbound_bytes = 4 << 20;
    let (mut node, sender) = pair(node_config, config(2)).await;
    let frame = Bytes::from(vec![5; 1 << 20]);
    for _ in 0..8 {
        assert_eq!(sender.net.send(&id(1), Class::Consensus, frame.clone()), SendOutcome::Queued);
    }
    // Nobody receives: four frames fill the room, the windows hold the next bytes back at the sender.
    let received = || node.net.peers()[0].received_bytes;
    eventually("the room to be full", || received() >= 4 << 20).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(received() < 5 << 20, "{} bytes", received());
    for _ in 0..8 {
        assert_eq!(node.frame().await, (Class::Consensus, frame.clone()));
    }
}

#[tokio::test]
async fn one_slow_stream_does_not_hold_up_the_others_of_the_same_peer() {
    let mut node_config = config(1);
    node_config.limits.frames_from_peer = Rate { burst: 10, per_second: 1 };
    let mut node = Node::start(node_config).await;
    let mut raw = Raw::greeted(66, &node.net).await;
    node.up().await;
    raw.write(1, [2, 0, 0, 0].repeat(1000)).await;
    for _ in 0..10 {
        assert_eq!(node.frame().await.0, Class::Gossip);
    }
    raw.write_frame(0, Kind::Consensus, b"vote").await;
    loop {
        let (class, bytes) = node.frame().await;
        if class == Class::Consensus {
            assert_eq!(bytes, "vote");
            break;
        }
    }
}
