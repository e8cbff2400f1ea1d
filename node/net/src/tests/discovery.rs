//! How nodes find each other, and remember.

use super::*;

#[tokio::test]
async fn c_finds_b_through_a() {
    let mut a = Node::start(config(1)).await;
    let to_a = vec![a.contact()];
    let mut b = Node::start(Config { static_peers: to_a.clone(), ..config(2) }).await;
    a.up_with(id(2)).await;
    b.up_with(id(1)).await;
    let mut c = Node::start(Config { static_peers: to_a, ..config(3) }).await;
    tokio::join!(b.up_with(id(3)), c.up_with(id(2)));
}

#[tokio::test]
async fn the_address_book_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers");
    let with_book = |config: Config| Config { address_book: Some(path.clone()), ..config };
    let (a, mut b) = pair(config(1), with_book(config(2))).await;
    b.net.shutdown().await;
    // No static peer this time: only the book knows A.
    b = Node::start(with_book(config(2))).await;
    b.up_with(id(1)).await;
    assert_eq!(b.net.stats().known_peers, 1);
    drop(a);
}

#[tokio::test]
async fn a_damaged_address_book_is_begun_afresh() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers");
    std::fs::write(&path, b"\x01 this is no address book").unwrap();
    let (_a, b) = pair(config(1), Config { address_book: Some(path.clone()), ..config(2) }).await;
    b.net.shutdown().await;
    let book = crate::book::load(&path, CHAIN, id(2)).unwrap();
    assert!(book.get(&id(1)).is_some());
}

#[tokio::test]
async fn static_peers_may_be_added_by_name_while_running() {
    let mut a = Node::start(config(1)).await;
    let mut b = Node::start(config(2)).await;
    b.net.add_static("not a peer".into());
    b.net.add_static(format!("{}@localhost:{}", id(1), a.net.local_addr().port()));
    tokio::join!(a.up(), b.up());
    assert!(b.net.peers()[0].reserved);
}

#[tokio::test]
async fn a_node_listening_everywhere_learns_its_address_from_being_reached() {
    let mut b_config = config(2);
    b_config.listen = "0.0.0.0:0".parse().unwrap();
    let mut b = Node::start(b_config).await;
    let port = b.net.local_addr().port();
    let contact = format!("{}@127.0.0.1:{port}", id(2));
    let mut a = Node::start(Config { static_peers: vec![contact], ..config(1) }).await;
    tokio::join!(a.up(), b.up());
    // C knows only A, and finds B under an address that B was never told.
    let mut c = Node::start(Config { static_peers: vec![a.contact()], ..config(3) }).await;
    c.up_with(id(2)).await;
}
