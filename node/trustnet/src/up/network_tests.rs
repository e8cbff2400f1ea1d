#![allow(clippy::unwrap_used)]
use super::*;

fn network() -> Network {
    let ports = Ports { p2p: 1, rpc: 2 };
    Network::new("c-1".into(), vec![Member { name: "node-1".into(), id: "ab".into(), ports }])
}

#[test]
fn a_network_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = NetworkDir::open(&dir.path().join("new/up")).unwrap();
    assert_eq!(open.load().unwrap(), None);
    open.save(&network()).unwrap();
    assert_eq!(open.load().unwrap(), Some(network()));
}

#[test]
fn a_running_network_is_not_started_twice() {
    let dir = tempfile::tempdir().unwrap();
    let first = NetworkDir::open(dir.path()).unwrap();
    let error = NetworkDir::open(dir.path()).unwrap_err();
    assert!(matches!(error, NetworkError::InUse { .. }), "{error}");
    assert!(error.next().contains("trustnet status"));
    drop(first);
    NetworkDir::open(dir.path()).unwrap();
}

#[test]
fn folders_that_hold_something_else_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let error = NetworkDir::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("holds other files (`letter.txt`)"), "{error}");
    let node = tempfile::tempdir().unwrap();
    fs::create_dir(node.path().join("config")).unwrap();
    fs::write(node.path().join("config/config.toml"), "").unwrap();
    let error = NetworkDir::open(node.path()).unwrap_err();
    assert!(error.to_string().contains("the home of a single node"), "{error}");
    assert!(error.next().contains("--home"));
    let file = dir.path().join("letter.txt");
    assert!(NetworkDir::open(&file).unwrap_err().to_string().contains("a file"));
}

#[test]
fn a_damaged_description_says_what_is_wrong_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let open = NetworkDir::open(dir.path()).unwrap();
    let good = serde_json::to_string(&network()).unwrap();
    for (text, expected) in [
        ("{".to_owned(), "line 1"),
        (good.replace("trustnet-up-v1", "trustnet-up-v9"), "its format is `trustnet-up-v9`"),
        (good.replace("node-1", "../etc"), "is not the name of a node's folder"),
        (r#"{"format":"trustnet-up-v1","chain_id":"c","nodes":[]}"#.to_owned(), "names 0 nodes"),
        (" ".repeat(70_000), "too long"),
    ] {
        fs::write(dir.path().join(NETWORK_FILE), text).unwrap();
        let error = open.load().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.next().contains("--fresh"));
    }
}

#[test]
fn clearing_removes_nodes_and_keeps_the_seed_and_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let open = NetworkDir::open(dir.path()).unwrap();
    open.save(&network()).unwrap();
    for name in ["node-1", "node-16", "node-17", "node-01"] {
        fs::create_dir_all(dir.path().join(name).join("data")).unwrap();
    }
    fs::write(open.seed_file(), "s").unwrap();
    open.clear().unwrap();
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["import.seed", "network.lock", "node-01", "node-17"]);
}

#[test]
fn nodes_that_somebody_else_made_are_not_taken_for_half_a_network() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("node-2/data/blocks")).unwrap();
    let error = NetworkDir::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("nodes without network.json"), "{error}");
}

#[test]
fn an_interrupted_attempt_is_known_as_our_own_and_cleared() {
    let dir = tempfile::tempdir().unwrap();
    NetworkDir::open(dir.path()).unwrap().begin().unwrap();
    fs::create_dir_all(dir.path().join("node-1/data/blocks")).unwrap();
    let open = NetworkDir::open(dir.path()).unwrap();
    open.begin().unwrap();
    assert!(!dir.path().join("node-1").exists());
    open.complete(&network()).unwrap();
    assert!(!dir.path().join(MAKING_FILE).exists());
}

#[test]
fn an_unwritable_place_is_named() {
    let error = NetworkDir::open(Path::new("/proc/nothing/up")).unwrap_err();
    assert!(error.to_string().starts_with("cannot write /proc/nothing/up"), "{error}");
}
