//! What the network tells the application, and what it answers.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::PeerId;
use crate::config::{MAX_CONSENSUS_FRAME_BYTES, MAX_CONTROL_FRAME_BYTES, MAX_GOSSIP_FRAME_BYTES};

/// A class of traffic: each has its own stream, so none waits behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Proposals and votes: sent at once, before anything else, never dropped.
    Consensus,
    /// Transactions and announcements: collected for up to 10 ms; the oldest are dropped under pressure.
    Gossip,
    /// Rare small messages between neighbours, such as status.
    Control,
}

impl Class {
    /// All classes, in the order of their stream bytes.
    pub const ALL: [Self; 3] = [Self::Consensus, Self::Gossip, Self::Control];

    /// Longest frame of this class, in bytes of payload.
    pub const fn max_frame_bytes(self) -> usize {
        match self {
            Self::Consensus => MAX_CONSENSUS_FRAME_BYTES,
            Self::Gossip => MAX_GOSSIP_FRAME_BYTES,
            Self::Control => MAX_CONTROL_FRAME_BYTES,
        }
    }

    /// The class's place in an array of three.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// What the network tells the application.
///
/// For each peer: one `Up`, then frames, requests and responses, then one `Down`; an answer to a request
/// may also arrive without the peer ever being up, as a failure.
#[derive(Debug)]
pub enum Event {
    /// A connection is ready: both sides have proved their keys and agree on the chain.
    Up {
        /// Who.
        peer: PeerId,
        /// Where from.
        addr: SocketAddr,
        /// Whether this node dialled.
        outbound: bool,
        /// What the peer's application said in the greeting (at most 512 bytes, not checked).
        app: Bytes,
    },
    /// The connection is gone.
    Down {
        /// Who.
        peer: PeerId,
        /// Why, for people.
        reason: String,
    },
    /// A frame arrived; frames of one class arrive in the order in which they were sent.
    Frame {
        /// From whom.
        peer: PeerId,
        /// In which class.
        class: Class,
        /// The payload, as sent.
        bytes: Bytes,
    },
    /// A peer asks for something; answer with [`Network::respond`](crate::Network::respond), or drop the
    /// token to refuse.
    Request {
        /// From whom.
        peer: PeerId,
        /// What.
        bytes: Bytes,
        /// Where the answer goes.
        token: RequestToken,
    },
    /// The end of a request of this node.
    Response {
        /// To whom the request went.
        peer: PeerId,
        /// The tag given with the request.
        tag: u64,
        /// The answer, or why there is none.
        result: Result<Bytes, RequestError>,
    },
}

/// The right to answer one request. Dropping it refuses the request.
pub struct RequestToken {
    pub(crate) reply: oneshot::Sender<Bytes>,
}

impl fmt::Debug for RequestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestToken")
    }
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no connection with the peer.
    #[error("there is no connection with the peer; ask another, or wait until it is up")]
    NotConnected,
    /// The connection ended before the answer was complete.
    #[error("the connection ended before the answer was complete; ask another peer")]
    Disconnected,
    /// The answer was not complete in time.
    #[error("the answer was not complete in time; ask another peer")]
    TimedOut,
    /// The peer does not answer this request, or is too busy to.
    #[error("the peer refused the request; ask another peer")]
    Refused,
    /// Too many requests to this peer are waiting.
    #[error("too many requests to this peer are waiting; ask later, or ask another peer")]
    TooMany,
    /// The request is longer than a request may be.
    #[error("the request is longer than a request may be; split it")]
    TooLong,
}

/// What became of a frame handed to [`Network::send`](crate::Network::send).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// It waits to be sent.
    Queued,
    /// It waits to be sent; older gossip was dropped to make room.
    QueuedOldestDropped,
    /// There is no connection with the peer.
    NotConnected,
    /// It is longer than frames of its class may be; nothing was sent.
    TooLong,
    /// The peer reads too slowly and is being disconnected; nothing was sent.
    SlowPeer,
}

/// What waits to be sent to a peer in one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueInfo {
    /// Waiting frames.
    pub frames: usize,
    /// Waiting bytes of payload.
    pub bytes: usize,
    /// Frames dropped since the connection came up (gossip only).
    pub dropped: u64,
}

/// One connected peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Who.
    pub id: PeerId,
    /// Where.
    pub addr: SocketAddr,
    /// Whether this node dialled.
    pub outbound: bool,
    /// Whether connection limits do not apply to it.
    pub reserved: bool,
    /// Since when.
    pub since: Instant,
    /// Round-trip time.
    pub rtt: Duration,
    /// Bytes of frames and bulk sent.
    pub sent_bytes: u64,
    /// Bytes of frames and bulk received.
    pub received_bytes: u64,
    /// Frames and bulk messages sent.
    pub sent_frames: u64,
    /// Frames and bulk messages received.
    pub received_frames: u64,
    /// Score: 0 at first, decays to 0 in ten minutes, banned at -100.
    pub score: i32,
    /// What waits to be sent, in the order of [`Class::ALL`].
    pub queues: [QueueInfo; 3],
}

/// Incoming connections that were refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedStats {
    /// Too many were half open.
    pub half_open: u64,
    /// A rate limit was reached (address, subnet or in all).
    pub rate: u64,
    /// The handshake or the greeting failed or took too long (no key, another chain, a scanner).
    pub handshake: u64,
    /// The peer is banned.
    pub banned: u64,
    /// No free slot (in all, for the address or for the subnet).
    pub full: u64,
    /// This node itself.
    pub own: u64,
    /// Another connection with the same peer was kept.
    pub duplicate: u64,
}

/// Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Peers up at the moment.
    pub peers: usize,
    /// Connections that came up.
    pub connected: u64,
    /// Dials that failed.
    pub dial_failed: u64,
    /// Incoming connections refused, by reason.
    pub refused: RefusedStats,
    /// Strangers asked to prove their address first.
    pub retries: u64,
    /// Bans pronounced.
    pub bans: u64,
    /// Bans in force at the moment.
    pub banned_now: usize,
    /// Peers disconnected because they read too slowly.
    pub slow_peers: u64,
    /// Peers disconnected because they broke the protocol.
    pub protocol_errors: u64,
    /// Gossip frames dropped because a peer read too slowly.
    pub gossip_dropped: u64,
    /// Peers in the address book.
    pub known_peers: usize,
}
