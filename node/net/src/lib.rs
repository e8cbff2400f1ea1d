//! QUIC peers: identity, discovery, gossip and transfer.
//!
//! A node's Ed25519 key is its TLS identity (RFC 7250 raw public keys, both sides authenticated). One
//! connection links a pair of nodes; it carries three long-lived streams, one per [`Class`], and short
//! streams for bulk requests. The crate knows no blocks and no votes: a frame is opaque bytes in a class.
//!
//! [`Network::start`] gives a handle, on which nothing blocks, and a channel of [`Event`]s. Everything that
//! a stranger can make this crate hold or do is bounded by [`Limits`]; the bounds are checked before memory
//! is taken. Nothing ticks: with no traffic there is one keep-alive datagram a connection each 25 s.
//!
//! What it is not: it decides nothing about the content of frames, verifies no application signature, and
//! does not relay. The application reports misbehaviour with [`Network::punish`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
mod address;
mod admission;
mod book;
mod bulk;
mod config;
mod dial;
mod error;
mod event;
mod exchange;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hello;
mod identity;
mod inbox;
mod jitter;
mod limits;
mod lock;
mod manager;
mod network;
mod outbox;
mod peer;
mod pex;
mod queue;
mod reach;
mod reader;
mod record;
mod session;
mod shared;
mod standing;
mod transport;

#[cfg(test)]
mod tests;

pub use address::{AddressError, MAX_PEER_ADDRS, PeerAddress, PeerId, StaticPeer};
pub use config::{
    Config, DEFAULT_KEEP_ALIVE, Limits, MAX_BULK_REQUEST_BYTES, MAX_BULK_RESPONSE_BYTES, MAX_CHAIN_ID_BYTES,
    MAX_CONSENSUS_FRAME_BYTES, MAX_CONTROL_FRAME_BYTES, MAX_GOSSIP_FRAME_BYTES, MAX_HELLO_APP_BYTES,
    QueueLimit, Rate,
};
pub use error::NetError;
pub use event::{
    Class, Event, NetStats, PeerInfo, QueueInfo, RefusedStats, RequestError, RequestToken, SendOutcome,
};
pub use network::Network;
