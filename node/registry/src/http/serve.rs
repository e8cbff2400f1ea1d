//! The server's loop: takes connections within limits, and hands their requests on, over TLS or without.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::handler::Registry;
use super::peer::{Addresses, Peer, WithPeer};
use crate::limits::{CONNECTION_BUFFER_BYTES, Limits, MAX_HEAD_BYTES};
use crate::tls::{ACME_ALPN, Certificates, TlsError, server_config};

/// Pause after the system refused a connection for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// One in so many connections may be in the middle of its TLS handshake: clients that do not end theirs must leave room
/// for those that have.
const HANDSHAKE_SHARE: usize = 4;

/// Serves until the task is dropped; its connections end with it.
///
/// hyper is driven directly, since its limits (a head's time and length, a connection's buffer) cannot be set through
/// axum's own loop, and without them eight uploads take as much memory as they like.
///
/// # Errors
/// When the limits allow no connection.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>) -> io::Result<()> {
    accept(listener, registry.router(), &registry.limits, registry.places(), None).await
}

/// As [`serve`], over TLS, with the certificates that `certificates` shows at the time. Both may be served at once; they
/// share the places of connections.
///
/// # Errors
/// When the limits allow no connection, or TLS cannot be set up.
pub async fn serve_tls(
    listener: TcpListener,
    registry: Arc<Registry>,
    certificates: &Arc<Certificates>,
) -> Result<(), TlsError> {
    let failed = |error| TlsError::Io { action: "serve", path: "TLS".to_owned(), source: error };
    let config = server_config(certificates)?;
    accept(listener, registry.router(), &registry.limits, registry.places(), Some(config))
        .await
        .map_err(failed)
}

/// Serves something small, with places of its own.
pub(crate) async fn serve_router(listener: TcpListener, router: Router, limits: &Limits) -> io::Result<()> {
    let places = Places::new(limits.max_connections / HANDSHAKE_SHARE, limits.max_connections_per_address);
    accept(listener, router, limits, places, None).await
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
}

/// How connections become encrypted.
struct Secure {
    acceptor: TlsAcceptor,
    /// Places of handshakes.
    places: Arc<Semaphore>,
    time: Duration,
}

impl Secure {
    /// `None` if the client does not end its handshake as it should, or wanted no more than that.
    async fn shake_hands(
        &self,
        stream: Connection<TcpStream>,
    ) -> Option<tokio_rustls::server::TlsStream<Connection<TcpStream>>> {
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

async fn accept(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    places: Places,
    tls: Option<Arc<ServerConfig>>,
) -> io::Result<()> {
    let service = TowerToHyperService::new(router);
    let is_tls = tls.is_some();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(CONNECTION_BUFFER_BYTES);
    let handshakes = (limits.max_connections / HANDSHAKE_SHARE).max(1);
    let secure = tls.map(|config| {
        let (acceptor, places) = (TlsAcceptor::from(config), Arc::new(Semaphore::new(handshakes)));
        Arc::new(Secure { acceptor, places, time: limits.handshake_time })
    });
    let mut connections = JoinSet::new();
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the system refused a connection to the registry");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(address_place) = places.addresses.place(address) else {
            tracing::debug!(%address, "too many connections from one address");
            continue;
        };
        // After a connection was taken, not before: a listener that nobody comes to must not hold a place that another
        // one needs. The one connection that waits here costs no more than in the system's queue.
        let handshake = match &secure {
            Some(secure) => Some(Arc::clone(&secure.places).acquire_owned().await.map_err(io::Error::other)?),
            None => None,
        };
        let place = Arc::clone(&places.all).acquire_owned().await.map_err(io::Error::other)?;
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let stream = Connection::new(stream, limits.write_time, place);
        let service = WithPeer::new(service.clone(), Peer { address, is_tls });
        let (http, secure) = (http.clone(), secure.clone());
        connections.spawn(async move {
            let _address_place = address_place;
            match secure {
                None => drive(&http, stream, service).await,
                Some(secure) => {
                    let stream = secure.shake_hands(stream).await;
                    drop::<Option<OwnedSemaphorePermit>>(handshake);
                    if let Some(stream) = stream {
                        drive(&http, stream, service).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn drive<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    http: &http1::Builder,
    stream: S,
    service: WithPeer<TowerToHyperService<Router>>,
) {
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
