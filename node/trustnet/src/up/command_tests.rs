#![allow(clippy::unwrap_used)]
use super::*;

fn globals(dir: &std::path::Path) -> Globals {
    Globals { home: Some(dir.to_owned()), ..Globals::default() }
}

fn network(dir: &std::path::Path, nodes: u8) -> (NetworkDir, Network) {
    let open = NetworkDir::open(dir).unwrap();
    let args = UpArgs { nodes: Some(nodes), listen_base: Some(41_000), ..UpArgs::default() };
    let network = create(&open, &args, None, now_ms(), &mut Vec::new()).unwrap();
    (open, network)
}

#[test]
fn a_broken_file_of_ratings_ends_it_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.csv");
    std::fs::write(&file, "1,1,1,1\n").unwrap();
    let home = dir.path().join("up");
    let args = UpArgs { ratings: Some(file), ..UpArgs::default() };
    let error = main(&args, &globals(&home)).unwrap_err();
    assert!(error.message.contains("r.csv:1: person 1 rates itself"), "{error}");
    assert!(!home.exists());
}

#[test]
fn fresh_needs_a_yes_where_nobody_can_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (open, _) = network(dir.path(), 1);
    let error = clear(&open, false).unwrap_err();
    assert_eq!(error.class, crate::cli::Class::Usage);
    assert!(error.next.unwrap().contains("--yes"));
    assert!(open.load().unwrap().is_some());
    clear(&open, true).unwrap();
    assert!(open.load().unwrap().is_none());
    clear(&open, false).unwrap();
}

#[test]
fn a_network_that_exists_is_continued_with_its_nodes_and_ports() {
    let dir = tempfile::tempdir().unwrap();
    let (open, made) = network(dir.path(), 2);
    let same = continue_with(&open, made.clone(), &UpArgs::default(), &mut Vec::new()).unwrap();
    assert_eq!(same.chain_id, made.chain_id);
    let other = UpArgs { nodes: Some(3), ..UpArgs::default() };
    let error = continue_with(&open, made.clone(), &other, &mut Vec::new()).unwrap_err();
    assert!(error.message.contains("has 2 nodes, not 3") && error.next.unwrap().contains("--fresh"));
    let roots = UpArgs { roots: Some(3), ..UpArgs::default() };
    assert!(continue_with(&open, made, &roots, &mut Vec::new()).is_err());
}

#[test]
fn a_taken_port_is_replaced_told_and_saved() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let (open, mut made) = network(dir.path(), 1);
    made.nodes[0].ports.rpc = port;
    let mut notes = Vec::new();
    let continued = continue_with(&open, made, &UpArgs::default(), &mut notes).unwrap();
    assert_ne!(continued.nodes[0].ports.rpc, port);
    assert!(notes[0].contains(&format!("TCP port {port} is taken: node-1 uses")), "{notes:?}");
    assert_eq!(open.load().unwrap().unwrap(), continued);
}

#[test]
fn ports_that_do_not_fit_are_a_usage_error() {
    assert!(wanted_ports(65_000, 16).is_ok());
    assert!(wanted_ports(65_520, 16).is_err());
}
