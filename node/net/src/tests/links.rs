//! How connections come about, carry frames, end and come back.

use std::collections::HashSet;

use super::*;
use crate::NetError;

#[tokio::test]
async fn two_nodes_exchange_frames_of_all_classes_in_order() {
    let mut a_config = config(1);
    a_config.hello_app = Bytes::from_static(b"I am A");
    let mut a = Node::start(a_config).await;
    let mut b = Node::start(Config { static_peers: vec![a.contact()], ..config(2) }).await;
    let Event::Up { peer, outbound: true, app, .. } = b.event().await else { panic!("up comes first") };
    assert_eq!((peer, app), (id(1), Bytes::from_static(b"I am A")));
    assert_eq!(a.up().await, id(2));

    for n in 0..500u32 {
        for class in Class::ALL {
            let frame = Bytes::copy_from_slice(&n.to_le_bytes());
            while a.net.send(&id(2), class, frame.clone()) == SendOutcome::SlowPeer {}
            b.net.broadcast(class, frame, None);
        }
        tokio::task::yield_now().await;
        if n % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for node in [&mut a, &mut b] {
        let mut next = [0u32; 3];
        while next != [500; 3] {
            let (class, bytes) = node.frame().await;
            let place = &mut next[class as usize];
            assert_eq!(*bytes, place.to_le_bytes(), "{class:?}");
            *place += 1;
        }
    }
    let info = &a.net.peers()[0];
    assert_eq!((info.id, info.outbound, info.score), (id(2), false, 0));
    assert!(info.sent_frames >= 1500 && info.received_frames >= 1500);
    assert!(info.received_bytes >= 1500 * 8);
}

#[tokio::test]
async fn the_longest_frames_pass_and_longer_ones_are_not_sent() {
    let (mut a, b) = pair(config(1), config(2)).await;
    for class in Class::ALL {
        let longest = Bytes::from(vec![class as u8; class.max_frame_bytes()]);
        assert_eq!(b.net.send(&id(1), class, longest.clone()), SendOutcome::Queued);
        assert_eq!(a.frame().await, (class, longest));
        let longer = Bytes::from(vec![0; class.max_frame_bytes() + 1]);
        assert_eq!(b.net.send(&id(1), class, longer.clone()), SendOutcome::TooLong);
        b.net.broadcast(class, longer, None);
        b.send(id(1), class, b"still here");
        assert_eq!(a.frame().await.1, "still here");
    }
    assert_eq!(b.net.send(&id(9), Class::Gossip, Bytes::new()), SendOutcome::NotConnected);
}

#[tokio::test]
async fn a_broadcast_leaves_out_whom_it_should() {
    let mut a = Node::start(config(1)).await;
    let to_a = vec![a.contact()];
    let mut b = Node::start(Config { static_peers: to_a.clone(), ..config(2) }).await;
    let mut c = Node::start(Config { static_peers: to_a, ..config(3) }).await;
    for _ in 0..2 {
        a.up().await;
    }
    a.net.broadcast(Class::Gossip, Bytes::from_static(b"not for b"), Some(&id(2)));
    a.net.broadcast(Class::Gossip, Bytes::from_static(b"for all"), None);
    assert_eq!(b.frame().await.1, "for all");
    assert_eq!(c.frame().await.1, "not for b");
}

#[tokio::test]
async fn another_chain_is_refused_in_the_handshake() {
    let a = Node::start(config(1)).await;
    let mut other = Config { static_peers: vec![a.contact()], ..config(2) };
    other.genesis_hash = Hash32([8; 32]);
    let b = Node::start(other).await;
    eventually("a failed dial", || b.net.stats().dial_failed > 0 && a.net.stats().refused.handshake > 0)
        .await;
    assert_eq!(a.net.stats().connected + b.net.stats().connected, 0);
}

#[tokio::test]
async fn another_chain_id_with_the_same_genesis_prefix_is_refused_in_the_greeting() {
    let a = Node::start(config(1)).await;
    let mut other = Config { static_peers: vec![a.contact()], ..config(2) };
    other.chain_id = "another".into();
    let b = Node::start(other).await;
    eventually("a failed dial", || b.net.stats().dial_failed > 0 && a.net.stats().refused.handshake > 0)
        .await;
    assert_eq!(a.net.stats().connected + b.net.stats().connected, 0);
}

#[tokio::test]
async fn whoever_answers_with_another_key_than_the_dialled_one_is_refused() {
    let a = Node::start(config(1)).await;
    let contact = format!("{}@{}", id(3), a.net.local_addr());
    let b = Node::start(Config { static_peers: vec![contact], ..config(2) }).await;
    eventually("a failed dial", || b.net.stats().dial_failed > 0).await;
    assert_eq!(a.net.stats().connected + b.net.stats().connected, 0);
}

#[tokio::test]
async fn a_node_does_not_talk_to_itself() {
    let mut node = Node::start(config(1)).await;
    node.net.add_static(node.contact());
    let raw = Raw::dial(1, &node.net).await.unwrap();
    assert!(raw.closed().await.contains("dialled itself"));
    eventually("the refusal to be counted", || node.net.stats().refused.own == 1).await;
    assert!(node.events.try_recv().is_err());
}

#[tokio::test]
async fn a_simultaneous_dial_ends_in_the_lower_ids_connection() {
    for lead in [244, 246, 248, 249, 250, 251, 253] {
        simultaneous_dial(Duration::from_millis(lead)).await;
    }
}

/// The higher id begins `lead` earlier.
async fn simultaneous_dial(lead: Duration) {
    let (low, high) = ordered(1, 2);
    let mut low = Node::start(config(low)).await;
    let mut high = Node::start(config(high)).await;
    // The higher id waits 250 ms before its first dial, so both dial at about the same time.
    high.net.add_static(low.contact());
    tokio::time::sleep(lead).await;
    low.net.add_static(high.contact());
    tokio::join!(low.up(), high.up());
    let agreed = || {
        let (l, h) = (low.net.peers(), high.net.peers());
        l.len() == 1 && h.len() == 1 && l[0].outbound != h[0].outbound
    };
    eventually("one connection on which both agree", agreed).await;
    // If the higher id's was complete first, the lower id's may still replace it: wait for an answer.
    let answer = async {
        loop {
            low.net.send(&high.net.id(), Class::Consensus, Bytes::from_static(b"ping"));
            if timeout(Duration::from_millis(200), high.frame()).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, answer).await.expect("an answer");
    eventually("one connection on which both agree", || {
        low.net.peers().len() == 1 && high.net.peers().len() == 1
    })
    .await;
    assert!(low.net.stats().connected <= 2, "at most one connection was replaced");
    if low.net.stats().connected == 2 {
        assert!(low.net.peers()[0].outbound, "the lower id's dial wins");
    }
}

#[tokio::test]
async fn a_peer_that_restarts_is_connected_again() {
    let (mut a, b) = pair(config(1), config(2)).await;
    let addr = b.net.local_addr();
    b.net.shutdown().await;
    assert!(a.down().await.contains("stops"));
    // This time A is the one who dials, with back-off, as it knows B as a static peer.
    a.net.add_static(format!("{}@{addr}", id(2)));
    let mut b = start_at(addr, config(2)).await;
    tokio::join!(a.up(), b.up());
}

/// Starts a node on a port that an earlier one has just left; on a loaded machine the system may need a
/// moment to let go of it.
async fn start_at(addr: SocketAddr, config: Config) -> Node {
    let starting = async {
        loop {
            match Network::start(Config { listen: addr, ..config.clone() }).await {
                Ok((net, events)) => return Node { net, events },
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, starting).await.expect("the port to be free")
}

/// A node on a runtime of its own, which can end without a word to anyone.
fn node_to_crash(config: Config) -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let starting = runtime.handle().clone();
    // A runtime may not be entered from within another.
    let starting = std::thread::spawn(move || starting.block_on(Network::start(config)).unwrap());
    let (net, events) = starting.join().unwrap();
    let addr = net.local_addr();
    // They live as long as the runtime.
    runtime.spawn(async move {
        let (_net, mut events) = (net, events);
        while events.recv().await.is_some() {}
        std::future::pending::<()>().await;
    });
    (runtime, addr)
}

#[tokio::test]
async fn a_peer_that_crashed_and_dials_again_replaces_its_old_connection() {
    let mut a = Node::start(config(1)).await;
    let b_config = Config { static_peers: vec![a.contact()], ..config(2) };
    let (runtime, addr) = node_to_crash(b_config.clone());
    a.up().await;
    runtime.shutdown_background();
    let mut b = start_at(addr, b_config).await;
    a.up().await;
    b.up().await;
    a.send(id(2), Class::Consensus, b"welcome back");
    assert_eq!(b.frame().await.1, "welcome back");
    assert_eq!(a.net.peers().len(), 1);
}

#[tokio::test]
async fn a_connection_closed_by_the_application_comes_back() {
    let (mut a, mut b) = pair(config(1), config(2)).await;
    a.net.disconnect(&id(2), "for a reason");
    assert_eq!(a.down().await, "for a reason");
    assert!(b.down().await.contains("for a reason"));
    tokio::join!(a.up(), b.up());
}

#[tokio::test]
async fn shutdown_delivers_what_is_queued_and_ends_the_events() {
    let (mut a, mut b) = pair(config(1), config(2)).await;
    for n in 0..200u32 {
        for class in Class::ALL {
            b.net.send(&id(1), class, Bytes::copy_from_slice(&n.to_le_bytes()));
        }
    }
    timeout(PATIENCE, b.net.shutdown()).await.unwrap();
    let mut received = 0;
    loop {
        match a.event().await {
            Event::Frame { .. } => received += 1,
            Event::Down { reason, .. } => {
                assert!(reason.contains("stops"), "{reason}");
                break;
            }
            _ => {}
        }
    }
    assert_eq!(received, 600);
    while b.events.recv().await.is_some() {}
    timeout(PATIENCE, b.net.shutdown()).await.unwrap();
    assert_eq!(b.net.send(&id(1), Class::Gossip, Bytes::new()), SendOutcome::NotConnected);
}

#[tokio::test]
async fn the_network_stops_with_its_last_handle() {
    let (mut a, mut b) = pair(config(1), config(2)).await;
    let second = b.net.clone();
    drop(second);
    b.send(id(1), Class::Gossip, b"one handle is left");
    assert_eq!(a.frame().await.1, "one handle is left");
    drop(b.net);
    while b.events.recv().await.is_some() {}
    assert!(a.down().await.contains("stops"));
}

#[tokio::test]
async fn a_port_in_use_and_settings_out_of_bounds_are_explained() {
    let node = Node::start(config(1)).await;
    let addr = node.net.local_addr();
    let taken = Network::start(Config { listen: addr, ..config(2) }).await.unwrap_err();
    assert!(matches!(taken, NetError::AddressInUse { addr: at } if at == addr), "{taken}");
    let elsewhere = Config { listen: "192.0.2.1:0".parse().unwrap(), ..config(2) };
    assert!(matches!(Network::start(elsewhere).await, Err(NetError::AddressNotAvailable { .. })));
    let long = Config { chain_id: "c".repeat(51), ..config(2) };
    assert!(matches!(Network::start(long).await, Err(NetError::TooLong { found: 51, .. })));
    let peers = Config { static_peers: vec!["node-1:26656".into()], ..config(2) };
    let unreadable = Network::start(peers).await.unwrap_err();
    assert!(unreadable.to_string().contains("node-1:26656"), "{unreadable}");
}

#[tokio::test]
async fn a_stranger_finds_no_place_when_all_are_taken_and_a_reserved_peer_does() {
    let mut a_config = config(1);
    a_config.limits.inbound = 1;
    a_config.reserved = HashSet::from([id(3)]);
    let mut a = Node::start(a_config).await;
    let to_a = vec![a.contact()];
    let _b = Node::start(Config { static_peers: to_a.clone(), ..config(2) }).await;
    a.up_with(id(2)).await;
    let _stranger = Node::start(Config { static_peers: to_a.clone(), ..config(4) }).await;
    eventually("the stranger to be refused", || a.net.stats().refused.full > 0).await;
    let _reserved = Node::start(Config { static_peers: to_a, ..config(3) }).await;
    a.up_with(id(3)).await;
    // Once it is reserved, it gets in as well.
    a.net.set_reserved(HashSet::from([id(3), id(4)]));
    a.up_with(id(4)).await;
    assert!(a.net.peers().iter().all(|peer| peer.reserved == (peer.id != id(2))));
}
