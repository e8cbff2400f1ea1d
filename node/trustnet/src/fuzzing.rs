//! What trustnet-fuzz reaches: a node's RPC without sockets, and the parsers of files.

pub use crate::node::fuzzing::still_node;
pub use crate::rpc::fuzzing::InProcess;

use crate::import::seed::ImportSeed;
use crate::keys;
use crate::up::network::Network;

/// The text of a key file.
///
/// # Panics
/// When a message quotes what may be a secret.
pub fn key_file(text: &str) {
    if let Err(problem) = keys::parse(text) {
        let secret = text.split_ascii_whitespace().find(|word| word.len() > 32);
        assert!(
            secret.is_none_or(|secret| !problem.contains(secret)),
            "the message quotes the file: {problem}"
        );
    }
    let _ = keys::parse_public(text);
}

/// The bytes of a seed file.
pub fn seed_file(bytes: &[u8]) {
    if let Some(seed) = ImportSeed::parse(bytes) {
        let _ = seed.key_of(7);
    }
}

/// The text of `network.json`.
///
/// # Panics
/// When what was read does not read back.
pub fn network_file(text: &str) {
    if let Ok(network) = Network::parse(text) {
        let again = serde_json::to_string(&network).expect("a network has a JSON form");
        assert_eq!(Network::parse(&again).as_ref(), Ok(&network));
        assert!(network.nodes.iter().all(|node| !node.name.contains(['/', '.'])), "a name is no path");
    }
}
