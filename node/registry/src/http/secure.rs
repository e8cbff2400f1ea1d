//! How connections become encrypted, within limits of their own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Connection;
use super::peer::{AddressPlace, Places};
use crate::limits::Limits;
use crate::tls::ACME_ALPN;

/// One in so many connections may be in the middle of its TLS handshake: clients that do not end theirs must leave room
/// for those that have.
pub(super) const HANDSHAKE_SHARE: usize = 4;
/// One address may have one in so many of the places of handshakes.
const ADDRESS_SHARE: usize = 4;

/// How many of `all` places one address may have, so that it cannot take them all.
pub(super) fn of_one_address(all: usize, limits: &Limits) -> usize {
    (all / ADDRESS_SHARE).clamp(1, limits.max_connections_per_address.max(1))
}

/// TLS of a listener.
pub(super) struct Secure {
    acceptor: TlsAcceptor,
    places: Places,
    time: Duration,
}

impl Secure {
    pub(super) fn new(config: Arc<ServerConfig>, limits: &Limits) -> Arc<Self> {
        let all = (limits.max_connections / HANDSHAKE_SHARE).max(1);
        let places = Places::new(all, of_one_address(all, limits));
        Arc::new(Self { acceptor: TlsAcceptor::from(config), places, time: limits.handshake_time })
    }

    /// A place for one more handshake of an address, if there is one.
    pub(super) fn place_of(&self, address: SocketAddr) -> Option<AddressPlace> {
        self.places.of_address(address)
    }

    /// Waits for a place among the handshakes.
    pub(super) async fn place(&self) -> io::Result<OwnedSemaphorePermit> {
        self.places.one().await
    }

    /// `None` if the client does not end its handshake as it should, or wanted no more than that.
    pub(super) async fn shake_hands(
        &self,
        stream: Connection<TcpStream>,
    ) -> Option<TlsStream<Connection<TcpStream>>> {
        match timeout(self.time, self.acceptor.accept(stream)).await {
            // A public authority that looked at the answer to its challenge.
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_ALPN) => None,
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a client did not agree on TLS");
                None
            }
            Err(_) => {
                tracing::debug!("a client did not end its TLS handshake in time");
                None
            }
        }
    }
}
