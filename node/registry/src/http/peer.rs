//! Who is at the other end of a connection, and how many connections each address has.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;
use hyper::Request;
use hyper::service::Service;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Network;

/// The other end of the connection that a request came on. Whoever puts the registry behind a listener of its own adds
/// it to the extensions of each request; without it all requests count as from one unknown address.
///
/// If that end is a proxy of the settings, it becomes the client that the proxy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; port 0 where only a proxy knows the port.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
}

/// Where a request comes from, as far as limits are concerned.
pub(super) fn network_of(parts: &Parts) -> Network {
    parts.extensions.get::<Peer>().map_or(Network::UNKNOWN, |peer| Network::of(peer.address.ip()))
}

/// Hands requests on with their peer.
pub(super) struct WithPeer<S> {
    service: S,
    peer: Peer,
}

impl<S> WithPeer<S> {
    pub(super) fn new(service: S, peer: Peer) -> Self {
        Self { service, peer }
    }
}

impl<B, S: Service<Request<B>>> Service<Request<B>> for WithPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.service.call(request)
    }
}

/// Places of connections, of all listeners together.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

impl Places {
    pub(super) fn new(all: usize, of_an_address: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all.max(1))), addresses: Addresses::new(of_an_address) }
    }

    /// A place for one more connection from an address, if there is one.
    pub(super) fn of_address(&self, address: SocketAddr) -> Option<AddressPlace> {
        self.addresses.place(address)
    }

    /// Waits for a place among all connections.
    pub(super) async fn one(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.map_err(io::Error::other)
    }
}

/// How many connections each address has.
pub(super) struct Addresses {
    max: usize,
    open: Mutex<HashMap<Network, usize>>,
}

/// The place of a connection among those of its address, until it is dropped.
pub(super) struct AddressPlace {
    addresses: Arc<Addresses>,
    network: Network,
}

impl Addresses {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Network, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection from an address, if there is one.
    pub(super) fn place(self: &Arc<Self>, address: SocketAddr) -> Option<AddressPlace> {
        let network = Network::of(address.ip());
        let mut open = self.open();
        let count = open.entry(network).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AddressPlace { addresses: Arc::clone(self), network })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.open();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            // As many addresses are kept as have connections.
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let addresses = Addresses::new(2);
        let place = |text: &str| addresses.place(text.parse().unwrap());
        let (one, two) = (place("10.0.0.1:1"), place("10.0.0.1:2"));
        assert!(one.is_some() && two.is_some() && place("10.0.0.1:3").is_none());
        let other = place("10.0.0.2:1");
        assert!(other.is_some(), "others have their own");
        drop(one);
        assert!(place("10.0.0.1:3").is_some());
        drop((two, other));
        assert!(addresses.open().is_empty());
    }
}
