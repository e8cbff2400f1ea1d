#![allow(clippy::unwrap_used)]
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn node() -> Node {
    Node::default()
}

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path());
    (dir, home)
}

fn files(root: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_node_gets_keys_of_its_own_and_a_chain() {
    let (dir, home) = home();
    assert_eq!(provision(dir.path(), &node(), None, true).unwrap(), Outcome::Made);
    let key = home.key(Role::Node).unwrap().public().to_string();
    let config = home.config().unwrap();
    assert_eq!(config.name, format!("node-{}", &key[..8]));
    assert_eq!(config.rpc.listen.to_string(), "0.0.0.0:26657");
    assert_eq!(config.p2p.listen.to_string(), "[::]:26656");
    assert_eq!(files(dir.path()), ["config", "data", "logs"]);
    assert_eq!(fs::metadata(home.config_dir()).unwrap().permissions().mode() & 0o777, 0o700);
    // Called again: nothing changes, whatever the settings say now.
    let other = Node { name: Some("other".into()), ..node() };
    assert_eq!(provision(dir.path(), &other, None, false).unwrap(), Outcome::Present);
    assert_eq!(home.key(Role::Node).unwrap().public().to_string(), key);
    assert_eq!(home.config().unwrap(), config);
}

#[test]
fn cut_at_any_moment_it_goes_on_with_the_same_keys() {
    // Cut after the keys.
    let (dir, home) = home();
    let keys = fresh_keys(&dir.path().join(NEW_KEYS)).unwrap();
    // A half-made home beside them.
    fs::create_dir_all(dir.path().join(".new/config")).unwrap();
    fs::write(dir.path().join(".new/config/node.key"), "half").unwrap();
    assert_eq!(provision(dir.path(), &node(), None, true).unwrap(), Outcome::Made);
    assert_eq!(home.key(Role::Node).unwrap().public(), keys.node.public());

    // Cut after each of the moves: undo the later ones.
    for moved in 0..3 {
        let whole = tempfile::tempdir().unwrap();
        provision(whole.path(), &node(), None, true).unwrap();
        let id = Home::at(whole.path()).key(Role::Node).unwrap().public();
        let staged = whole.path().join(NEW);
        fs::create_dir(&staged).unwrap();
        for name in ["data", "logs", "config"].iter().skip(moved) {
            fs::rename(whole.path().join(name), staged.join(name)).unwrap();
        }
        assert_eq!(provision(whole.path(), &node(), None, true).unwrap(), Outcome::Made, "{moved}");
        assert_eq!(Home::at(whole.path()).key(Role::Node).unwrap().public(), id);
        assert_eq!(files(whole.path()), ["config", "data", "logs"]);
    }
}

#[test]
fn half_a_key_is_made_anew_because_nothing_was_signed_with_it() {
    let (dir, home) = home();
    fresh_keys(&dir.path().join(NEW_KEYS)).unwrap();
    fs::write(dir.path().join(NEW_KEYS).join("operator.key"), "").unwrap();
    assert_eq!(provision(dir.path(), &node(), None, true).unwrap(), Outcome::Made);
    assert!(home.key(Role::Operator).is_ok());
}

#[test]
fn what_is_left_of_a_node_is_never_replaced() {
    let (dir, home) = home();
    provision(dir.path(), &node(), None, true).unwrap();
    let key = fs::read(home.key_file(Role::Validator)).unwrap();
    // The settings are gone, keys and data are there.
    fs::remove_file(home.config_file()).unwrap();
    assert!(
        provision(dir.path(), &node(), None, true).unwrap_err().message.contains("holds parts of a node")
    );
    assert_eq!(fs::read(home.key_file(Role::Validator)).unwrap(), key);
    // Only the data are left.
    fs::remove_dir_all(home.config_dir()).unwrap();
    assert!(provision(dir.path(), &node(), None, true).is_err());
    fs::remove_file(home.data_dir().join("vote.lock")).unwrap();
    assert!(provision(dir.path(), &node(), None, true).is_err());
    assert_eq!(files(dir.path()), ["data", "logs"]);
}

/// A boot medium with a folder as `vm create --nodes` makes it.
fn medium() -> tempfile::TempDir {
    let media = tempfile::tempdir().unwrap();
    let made = Home::at(media.path().join("node-1"));
    fs::create_dir(made.root()).unwrap();
    provision(made.root(), &Node { name: Some("ada".into()), ..node() }, None, true).unwrap();
    fs::remove_dir_all(made.data_dir()).unwrap();
    for role in Role::ALL {
        // As FAT shows it.
        fs::set_permissions(made.key_file(role), fs::Permissions::from_mode(0o755)).unwrap();
    }
    media
}

#[test]
fn given_keys_are_taken_once_and_kept_private() {
    let media = medium();
    let given = Node { keys: Some("node-1".into()), ..node() };
    let (dir, home) = home();
    assert_eq!(provision(dir.path(), &given, Some(media.path()), true).unwrap(), Outcome::Made);
    let theirs = keys::load_shared(&media.path().join("node-1/config/validator.key")).unwrap().1;
    assert_eq!(home.key(Role::Validator).unwrap().public(), theirs.public());
    assert_eq!(home.config().unwrap().name, "ada");
    assert!(home.data_dir().join("vote.lock").exists());
    // Another folder in the settings later on: the node stays who it is.
    let second = medium();
    assert_eq!(provision(dir.path(), &given, Some(second.path()), true).unwrap(), Outcome::Present);
    assert_eq!(home.key(Role::Validator).unwrap().public(), theirs.public());
}

#[test]
fn given_keys_that_are_wrong_make_nothing() {
    let media = medium();
    let config = media.path().join("node-1/config");
    let given = Node { keys: Some("node-1".into()), ..node() };
    let (dir, home) = home();
    assert!(
        provision(dir.path(), &given, None, true).unwrap_err().message.contains("boot medium was not found")
    );
    let absent = Node { keys: Some("node-9".into()), ..node() };
    assert!(
        provision(dir.path(), &absent, Some(media.path()), true)
            .unwrap_err()
            .message
            .contains("not on the boot medium")
    );
    fs::copy(config.join("node.key"), config.join("operator.key")).unwrap();
    assert!(
        provision(dir.path(), &given, Some(media.path()), true)
            .unwrap_err()
            .message
            .contains("holds a node key, but a operator key is needed")
    );
    assert!(!home.exists());
}

#[test]
fn with_a_mistake_that_may_concern_it_no_chain_is_begun() {
    let (dir, home) = home();
    let unsure = Node { is_unsure: true, ..node() };
    for offline in [true, false] {
        let error = provision(dir.path(), &unsure, None, offline).unwrap_err();
        assert!(error.message.contains("mistakes that may concern [node]"), "{error:?}");
        assert!(!home.exists());
    }
    // The machine has its name all the same, and keeps it once the file is right.
    let key = load_keys(&dir.path().join(NEW_KEYS)).unwrap().node.public();
    assert_eq!(provision(dir.path(), &node(), None, true).unwrap(), Outcome::Made);
    assert_eq!(home.key(Role::Node).unwrap().public(), key);
    // A mistake that is made later costs a node nothing.
    assert_eq!(provision(dir.path(), &unsure, None, true).unwrap(), Outcome::Present);
}

#[test]
fn joining_waits_for_the_network_with_the_keys_made() {
    let (dir, home) = home();
    let joining = Node { join: vec!["http://127.0.0.1:9".into()], ..node() };
    assert_eq!(provision(dir.path(), &joining, None, true).unwrap(), Outcome::KeysOnly);
    let key = load_keys(&dir.path().join(NEW_KEYS)).unwrap().node.public();
    // Nobody answers: no chain of its own, and the same keys the next time.
    assert!(provision(dir.path(), &joining, None, false).unwrap_err().message.contains("no node answers"));
    assert!(!home.exists());
    assert_eq!(provision(dir.path(), &joining, None, true).unwrap(), Outcome::KeysOnly);
    assert_eq!(load_keys(&dir.path().join(NEW_KEYS)).unwrap().node.public(), key);
}

#[test]
fn a_genesis_on_the_medium_with_peers_needs_nobody() {
    let media = medium();
    fs::copy(media.path().join("node-1/config/genesis.json"), media.path().join("genesis.json")).unwrap();
    let peer: Peer = format!("{}@node-1.lan:26656", "ab".repeat(32)).parse().unwrap();
    let joining = Node { genesis: Some("genesis.json".into()), peers: vec![peer.clone()], ..node() };
    let (dir, home) = home();
    assert_eq!(provision(dir.path(), &joining, Some(media.path()), true).unwrap(), Outcome::Made);
    assert_eq!(home.config().unwrap().p2p.peers, std::slice::from_ref(&peer));
    // Peers alone do not say which chain.
    let lost = Node { peers: vec![peer], ..node() };
    let other = tempfile::tempdir().unwrap();
    assert!(
        provision(other.path(), &lost, None, true).unwrap_err().message.contains("needs the chain's genesis")
    );
}

#[test]
fn the_name_in_a_url_is_found_and_an_address_is_left_alone() {
    for url in ["http://kitchen.local:26657", "kitchen.local:26657", "http://kitchen.local/", "kitchen.local"]
    {
        assert_eq!(host_of(url), "kitchen.local", "{url}");
    }
    for url in ["http://[fd10:1234::1]:26657", "http://192.168.1.21:26657", "http://example.org:1", ""] {
        assert_eq!(resolved(url), url);
    }
}
