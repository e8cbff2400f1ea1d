//! Peers that break the protocol, and strangers that do not even know it.

use std::net::UdpSocket;
use std::sync::Arc;

use super::*;
use crate::hello::MAX_HELLO_BYTES;
use crate::identity;
use crate::pex;

/// Connects a raw peer, lets it misbehave, and checks that it is sent away while another peer is not.
async fn is_dropped(break_protocol: impl AsyncFnOnce(&mut Raw)) -> String {
    let (mut node, mut witness) = pair(config(1), config(2)).await;
    let mut raw = Raw::greeted(66, &node.net).await;
    node.up_with(id(66)).await;
    break_protocol(&mut raw).await;
    let reason = node.down().await;
    assert!(raw.closed().await.contains("code 6"), "a protocol error");
    assert_eq!(node.net.stats().protocol_errors, 1);
    node.send(id(2), Class::Consensus, b"unharmed");
    assert_eq!(witness.frame().await.1, "unharmed");
    reason
}

#[tokio::test]
async fn an_oversized_frame_ends_the_connection_before_its_payload() {
    let reason = is_dropped(async |raw| raw.write(0, vec![1, 0x20, 0, 1]).await).await;
    assert!(reason.contains("too long"), "{reason}");
    let reason = is_dropped(async |raw| raw.write(1, vec![2, 4, 0, 1]).await).await;
    assert!(reason.contains("too long"), "{reason}");
}

#[tokio::test]
async fn unknown_and_misplaced_kinds_end_the_connection() {
    for bytes in [vec![99, 0, 0, 0], vec![2, 0, 0, 0], vec![4, 0, 0, 0]] {
        let reason = is_dropped(async |raw| raw.write(0, bytes).await).await;
        assert!(reason.contains("does not belong"), "{reason}");
    }
    let reason = is_dropped(async |raw| {
        let hello = raw.hello().encode();
        raw.write_frame(2, Kind::Hello, &hello).await;
    });
    assert!(reason.await.contains("does not belong"), "a second greeting");
}

#[tokio::test]
async fn a_truncated_frame_ends_the_connection() {
    let reason = is_dropped(async |raw| {
        raw.write(0, vec![1, 0, 0, 9, 1, 2, 3]).await;
        raw.streams[0].0.finish();
    });
    assert!(reason.await.contains("inside a frame"));
}

#[tokio::test]
async fn giving_up_a_lasting_stream_ends_the_connection() {
    let reason = is_dropped(async |raw| raw.streams[1].0.reset()).await;
    assert!(reason.contains("gave up"), "{reason}");
}

#[tokio::test]
async fn telling_of_peers_unasked_ends_the_connection() {
    let reason =
        is_dropped(async |raw| raw.write_frame(2, Kind::PexResponse, &pex::encode(vec![])).await).await;
    assert!(reason.contains("without being asked"), "{reason}");
}

#[tokio::test]
async fn a_bulk_stream_of_unknown_purpose_ends_the_connection() {
    let reason = is_dropped(async |raw| raw.open(&[77]).await).await;
    assert!(reason.contains("unknown purpose"), "{reason}");
    let reason = is_dropped(async |raw| {
        raw.open(&[4]).await;
        raw.write(3, vec![7, 0xff, 0xff, 0xff]).await;
    });
    assert!(reason.await.contains("too long"));
}

#[tokio::test]
async fn bulk_streams_that_are_given_up_harm_nobody() {
    let mut node = Node::start(config(1)).await;
    let mut raw = Raw::greeted(66, &node.net).await;
    node.up().await;
    for _ in 0..100 {
        raw.open(&[4]).await;
        let (mut sender, receiver) = raw.streams.pop().unwrap();
        sender.reset();
        drop(receiver);
    }
    raw.write_frame(1, Kind::Gossip, b"alive").await;
    assert_eq!(node.frame().await.1, "alive");
    assert_eq!(node.net.stats().protocol_errors, 0);
}

#[tokio::test]
async fn a_frame_that_never_completes_ends_the_connection() {
    let mut node_config = config(1);
    node_config.limits.stall_time = Duration::from_millis(200);
    let mut node = Node::start(node_config).await;
    let mut raw = Raw::greeted(66, &node.net).await;
    node.up().await;
    raw.write(0, vec![1, 0, 0, 100, 1]).await;
    assert!(node.down().await.contains("slow"));
}

#[tokio::test]
async fn false_greetings_never_come_up() {
    let node = Node::start(config(1)).await;
    let good = Raw::dial(66, &node.net).await.unwrap().hello();
    let others_record = PeerRecord::sign(&secret(67), CHAIN, vec![], 1);
    let greetings: Vec<(&[u8], Vec<u8>)> = vec![
        (&[1, 2, 3], Hello::new(CHAIN.into(), others_record, vec![]).encode()),
        (&[1, 2, 3], Hello::new("other".into(), good.record.clone(), vec![]).encode()),
        (&[1, 2, 3], vec![9; 20]),
        (&[1, 2, 3], vec![]),
        (&[1, 1, 3], good.encode()),
        (&[1, 2, 4], good.encode()),
    ];
    for (firsts, hello) in greetings {
        let mut raw = Raw::dial(66, &node.net).await.unwrap();
        raw.open(firsts).await;
        raw.write_frame(2, Kind::Hello, &hello).await;
        raw.closed().await;
    }
    let mut raw = Raw::dial(66, &node.net).await.unwrap();
    raw.open(&[1, 2, 3]).await;
    let len = u32::try_from(MAX_HELLO_BYTES + 1).unwrap().to_be_bytes();
    raw.write(2, vec![4, len[1], len[2], len[3]]).await;
    raw.closed().await;
    assert_eq!(node.net.stats().connected, 0);
}

#[tokio::test]
async fn asking_for_peers_too_often_ends_in_a_ban() {
    let mut node = Node::start(config(1)).await;
    let mut raw = Raw::greeted(66, &node.net).await;
    node.up().await;
    for _ in 0..11 {
        raw.write_frame(2, Kind::PexRequest, &[]).await;
    }
    assert!(node.down().await.contains("banned"));
    assert_eq!(node.net.stats().bans, 1);
}

#[tokio::test]
async fn a_banned_peer_is_refused_right_after_the_handshake() {
    let (mut a, mut b) = pair(config(1), config(2)).await;
    a.net.punish(&id(2), -60, "a test");
    assert!((-60..=-59).contains(&a.net.peers()[0].score));
    a.net.punish(&id(2), -60, "a test");
    assert_eq!(a.down().await, "banned: a test");
    assert!(b.down().await.contains("banned"));
    eventually("the ban to be felt", || a.net.stats().refused.banned > 0).await;
    let stats = a.net.stats();
    assert_eq!((stats.bans, stats.banned_now, stats.peers), (1, 1, 0));
}

#[tokio::test]
async fn breaking_the_protocol_again_and_again_ends_in_a_ban() {
    let mut node = Node::start(config(1)).await;
    for _ in 0..4 {
        let mut raw = Raw::greeted(66, &node.net).await;
        node.up().await;
        raw.write(0, vec![99; 4]).await;
        node.down().await;
    }
    assert!(Raw::greeted(66, &node.net).await.closed().await.contains("banned"));
}

#[tokio::test]
async fn a_client_without_a_key_is_refused() {
    let node = Node::start(config(1)).await;
    let hash = Hash32([7; 32]);
    let mut tls = identity::client_config(&secret(66), &hash).unwrap();
    tls.client_auth_cert_resolver = Arc::new(NoKey);
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let client = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let name = identity::server_name(&id(1).0);
    let connecting = endpoint.connect_with(client, node.net.local_addr(), &name).unwrap();
    // The client's side may look complete for a moment: in TLS 1.3 the server decides last.
    if let Ok(connection) = connecting.await {
        timeout(PATIENCE, connection.closed()).await.unwrap();
    }
    eventually("the refusal to be counted", || node.net.stats().refused.handshake == 1).await;
    assert_eq!(node.net.stats().connected, 0);
}

/// Offers no client key.
#[derive(Debug)]
struct NoKey;

impl rustls::client::ResolvesClientCert for NoKey {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn garbage_datagrams_do_nothing() {
    let node = Node::start(config(1)).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut jitter = crate::jitter::Jitter::new(3);
    for n in 0..3000usize {
        let mut datagram: Vec<u8> = (0..150).flat_map(|_| jitter.next().to_le_bytes()).collect();
        if n % 3 == 0 {
            // The beginning of an Initial packet of QUIC version 1, then nonsense.
            datagram[..7].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8, 1]);
        }
        datagram.truncate(1 + n % 1200);
        socket.send_to(&datagram, node.net.local_addr()).unwrap();
    }
    let mut honest = Node::start(Config { static_peers: vec![node.contact()], ..config(2) }).await;
    honest.up().await;
    let refused = node.net.stats().refused;
    assert_eq!(refused.banned + refused.full + refused.own, 0);
}

#[tokio::test]
async fn half_open_connections_are_bounded_and_end_by_themselves() {
    let mut node_config = config(1);
    node_config.limits.handshake_time = Duration::from_secs(1);
    node_config.limits.half_open = 12;
    let node = Node::start(node_config).await;
    let mut raws = Vec::new();
    for seed in 100..112 {
        raws.push(Raw::dial(seed, &node.net).await.unwrap());
    }
    let stats = node.net.stats();
    assert!(stats.retries > 0, "above eight, strangers prove their address");
    // One more is not even looked at until a place is free; then the honest peer gets in.
    let mut honest = Node::start(Config { static_peers: vec![node.contact()], ..config(2) }).await;
    honest.up().await;
    for raw in &raws {
        raw.closed().await;
    }
    // At least: a dialler that gave up says so in a first datagram, which looks like one more stranger.
    eventually("all to be counted", || node.net.stats().refused.handshake >= 12).await;
    assert!(node.net.stats().refused.half_open > 0);
}
