//! What `CometBFT` tells of a node, its own or a peer.

use serde_json::{Value, json};
use trustnet_ledger::crypto::PublicKey;

use super::header::{APP_PROTOCOL, BLOCK_PROTOCOL};

/// The `CometBFT` release whose shapes these are. Strict clients choose their dialect by it.
pub const COMET_VERSION: &str = "0.38.17";
/// Peer protocol, as in that release.
const P2P_PROTOCOL: &str = "8";
/// One byte for each of our streams: consensus, gossip, control.
const CHANNELS: &str = "010203";

/// A node as it is shown.
#[derive(Clone, Debug)]
pub struct NodeShown<'a> {
    /// Its identity.
    pub node_key: &'a PublicKey,
    /// Where its peers reach it, `host:port` (QUIC).
    pub listen: String,
    /// Chain id.
    pub network: &'a str,
    /// Name for people.
    pub moniker: &'a str,
    /// Where clients reach it, `host:port`; empty when not known.
    pub rpc: String,
}

/// The id in `CometBFT`'s form: 40 hex digits, the address of the node key.
pub fn node_id(node_key: &PublicKey) -> String {
    hex::encode(node_key.address())
}

/// A node. `other.node_key` is the whole key, with which `<key>@host:port` names a peer for us.
pub fn node_info(node: &NodeShown<'_>) -> Value {
    let rpc = if node.rpc.is_empty() { String::new() } else { format!("tcp://{}", node.rpc) };
    json!({
        "protocol_version": { "p2p": P2P_PROTOCOL, "block": BLOCK_PROTOCOL, "app": APP_PROTOCOL },
        "id": node_id(node.node_key),
        "listen_addr": format!("udp://{}", node.listen),
        "network": node.network,
        "version": COMET_VERSION,
        "channels": CHANNELS,
        "moniker": node.moniker,
        "other": { "tx_index": "on", "rpc_address": rpc, "node_key": node.node_key.to_string() },
    })
}
