//! `/net_info`.

use std::net::SocketAddr;

use serde_json::{Value, json};
use trustnet_ledger::crypto::PublicKey;

use super::node_info::{NodeShown, node_info};
use crate::rpc::encode::{int, time};

/// A connected peer as it is shown.
#[derive(Clone, Debug)]
pub struct PeerShown {
    /// Its identity.
    pub node_key: PublicKey,
    /// Its name in the ledger; empty when it has none there.
    pub moniker: String,
    /// Where it is.
    pub addr: SocketAddr,
    /// Whether this node dialled.
    pub outbound: bool,
    /// When it connected, Unix milliseconds.
    pub since_unix_ms: u64,
    /// How long ago, in milliseconds.
    pub connected_ms: u64,
    /// Bytes and messages sent.
    pub sent: (u64, u64),
    /// Bytes and messages received.
    pub received: (u64, u64),
    /// Frames that wait to be sent in each class.
    pub waiting: [usize; 3],
}

/// What is known of one direction. Rates are means over the whole connection.
fn monitor(peer: &PeerShown, (bytes, messages): (u64, u64)) -> Value {
    let rate = (u128::from(bytes) * 1_000 / u128::from(peer.connected_ms.max(1))).to_string();
    json!({
        "Start": time(peer.since_unix_ms),
        "Bytes": int(bytes),
        "Samples": int(messages),
        "InstRate": rate,
        "CurRate": rate,
        "AvgRate": rate,
        "PeakRate": rate,
        "BytesRem": "0",
        "Duration": nanoseconds(peer.connected_ms),
        "Idle": "0",
        "TimeRem": "0",
        "Progress": 0,
        "Active": true,
    })
}

fn nanoseconds(ms: u64) -> Value {
    int(u128::from(ms) * 1_000_000)
}

fn peer(peer: &PeerShown, network: &str) -> Value {
    let channels: Vec<Value> = peer
        .waiting
        .iter()
        .zip(1..)
        .map(|(waiting, id)| {
            json!({
                "ID": id,
                "SendQueueCapacity": "0",
                "SendQueueSize": int(waiting),
                "Priority": int(4 - id),
                "RecentlySent": "0",
            })
        })
        .collect();
    let node = NodeShown {
        node_key: &peer.node_key,
        listen: peer.addr.to_string(),
        network,
        moniker: &peer.moniker,
        rpc: String::new(),
    };
    json!({
        "node_info": node_info(&node),
        "is_outbound": peer.outbound,
        "connection_status": {
            "Duration": nanoseconds(peer.connected_ms),
            "SendMonitor": monitor(peer, peer.sent),
            "RecvMonitor": monitor(peer, peer.received),
            "Channels": channels,
        },
        "remote_ip": peer.addr.ip().to_canonical().to_string(),
    })
}

/// The answer.
pub fn net_info(listen: &SocketAddr, peers: &[PeerShown], network: &str) -> Value {
    let shown: Vec<Value> = peers.iter().map(|one| peer(one, network)).collect();
    json!({
        "listening": true,
        "listeners": [format!("Listener(@{listen})")],
        "n_peers": int(shown.len()),
        "peers": shown,
    })
}
