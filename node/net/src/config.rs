//! What a node is told at start, and every bound that a peer meets.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use trustnet_ledger::crypto::{Hash32, SecretKey};

use crate::PeerId;

/// Longest consensus frame, in bytes of payload.
pub const MAX_CONSENSUS_FRAME_BYTES: usize = 2 << 20;
/// Longest gossip frame, in bytes of payload.
pub const MAX_GOSSIP_FRAME_BYTES: usize = 256 << 10;
/// Longest control frame, in bytes of payload.
pub const MAX_CONTROL_FRAME_BYTES: usize = 16 << 10;
/// Longest bulk request, in bytes.
pub const MAX_BULK_REQUEST_BYTES: usize = 16 << 10;
/// Longest bulk response, in bytes.
pub const MAX_BULK_RESPONSE_BYTES: usize = 4 << 20;
/// Longest chain id, in bytes.
pub const MAX_CHAIN_ID_BYTES: usize = 50;
/// Longest application blob in the greeting, in bytes.
pub const MAX_HELLO_APP_BYTES: usize = 512;
/// Time between keep-alive datagrams: twice within the idle limit of 60 s, and below the 30 s after which
/// common home routers forget a UDP flow.
pub const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(25);

/// What a node is told at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node key; its public half is the node's identity.
    pub secret: SecretKey,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The chain's genesis hash: its first 8 hex digits are in the ALPN, so another chain fails in the
    /// handshake.
    pub genesis_hash: Hash32,
    /// The chain's name, at most [`MAX_CHAIN_ID_BYTES`].
    pub chain_id: String,
    /// Peers to keep a connection with for ever: `<64 hex>@host:port`. Limits never apply to them.
    pub static_peers: Vec<String>,
    /// Where to remember peers across restarts; `None` remembers nothing.
    pub address_book: Option<PathBuf>,
    /// Every bound that a peer meets.
    pub limits: Limits,
    /// Addresses at which others reach this node (at most 8). Addresses of this machine that peers were
    /// seen to reach are added by themselves.
    pub advertise: Vec<SocketAddr>,
    /// Validators and configured peers: connection limits never apply to them.
    pub reserved: HashSet<PeerId>,
    /// Time between keep-alive datagrams on connections that this node dialled; `None` sends none, and an
    /// idle connection then ends after 60 s.
    pub keep_alive: Option<Duration>,
    /// What the application says in the greeting, at most [`MAX_HELLO_APP_BYTES`]; the other side's
    /// arrives in [`Event::Up`](crate::Event::Up).
    pub hello_app: Bytes,
}

impl Config {
    /// A configuration with no peers, no book, default limits and the default keep-alive.
    pub fn new(
        secret: SecretKey,
        listen: SocketAddr,
        genesis_hash: Hash32,
        chain_id: impl Into<String>,
    ) -> Self {
        Self {
            secret,
            listen,
            genesis_hash,
            chain_id: chain_id.into(),
            static_peers: Vec::new(),
            address_book: None,
            limits: Limits::default(),
            advertise: Vec::new(),
            reserved: HashSet::new(),
            keep_alive: Some(DEFAULT_KEEP_ALIVE),
            hello_app: Bytes::new(),
        }
    }
}

/// A token bucket: `burst` at once, refilled at `per_second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens in a full bucket.
    pub burst: u32,
    /// Tokens added each second.
    pub per_second: u32,
}

/// How much may wait to be sent to one peer in one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimit {
    /// Frames.
    pub frames: usize,
    /// Bytes of payload.
    pub bytes: usize,
}

/// Every bound that a peer meets. The defaults are those of net-storage.md section 5.1 and suit a board of
/// 512 MB.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections between the first datagram and the end of the greeting.
    pub half_open: usize,
    /// Half-open connections above which a stranger must first prove its address (QUIC retry).
    pub half_open_before_retry: usize,
    /// Time for handshake and greeting together.
    pub handshake_time: Duration,
    /// Handshakes from one address; loopback is exempt.
    pub handshakes_per_ip: Rate,
    /// Handshakes from one /24 or /48; loopback and private ranges are exempt.
    pub handshakes_per_subnet: Rate,
    /// Handshakes from everybody.
    pub handshakes: Rate,
    /// Connections from peers that are not reserved.
    pub inbound: usize,
    /// Connections that this node dials to peers that are not reserved.
    pub outbound: usize,
    /// Inbound connections from one public address.
    pub inbound_per_ip: usize,
    /// Inbound connections from one public /24 or /48.
    pub inbound_per_subnet: usize,
    /// Waiting consensus frames; one more and the slow peer is disconnected.
    pub consensus_queue: QueueLimit,
    /// Waiting gossip frames; one more and the oldest is dropped.
    pub gossip_queue: QueueLimit,
    /// Waiting control frames; one more and the slow peer is disconnected.
    pub control_queue: QueueLimit,
    /// Frames that one peer may send; a faster peer is read more slowly, so that QUIC's flow control slows
    /// it. Reserved peers have sixteen times as much.
    pub frames_from_peer: Rate,
    /// Bytes that one peer may send; as above.
    pub bytes_from_peer: Rate,
    /// Requests that one peer may make; as above.
    pub requests_from_peer: Rate,
    /// Bytes of large frames that may be in memory between the wire and the application: once for
    /// reserved peers together, once for all others together.
    pub inbound_bytes: usize,
    /// Bytes of responses that may wait for slow readers: once for reserved peers together, once for all
    /// others together.
    pub response_bytes: usize,
    /// Requests to one peer that run at the same time.
    pub requests_at_once: usize,
    /// Requests to one peer that wait for their turn.
    pub requests_waiting: usize,
    /// Time for a request, from its turn to the last byte of the answer, on both sides.
    pub request_time: Duration,
    /// Time in which a started frame must be complete, and a started write must progress.
    pub stall_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            half_open: 64,
            half_open_before_retry: 8,
            handshake_time: Duration::from_secs(5),
            handshakes_per_ip: Rate { burst: 5, per_second: 1 },
            handshakes_per_subnet: Rate { burst: 10, per_second: 1 },
            handshakes: Rate { burst: 20, per_second: 20 },
            inbound: 32,
            outbound: 8,
            inbound_per_ip: 4,
            inbound_per_subnet: 8,
            consensus_queue: QueueLimit { frames: 4096, bytes: 8 << 20 },
            gossip_queue: QueueLimit { frames: 2048, bytes: 2 << 20 },
            control_queue: QueueLimit { frames: 256, bytes: 256 << 10 },
            frames_from_peer: Rate { burst: 8192, per_second: 2048 },
            bytes_from_peer: Rate { burst: 16 << 20, per_second: 4 << 20 },
            requests_from_peer: Rate { burst: 128, per_second: 64 },
            inbound_bytes: 24 << 20,
            response_bytes: 24 << 20,
            requests_at_once: 8,
            requests_waiting: 256,
            request_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(30),
        }
    }
}
