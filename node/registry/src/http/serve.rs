//! The server's loop: takes connections within limits, and hands their requests on, over TLS or without.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::handler::Registry;
use super::peer::{Peer, Places, WithPeer};
use super::secure::{HANDSHAKE_SHARE, Secure, of_one_address};
use crate::limits::{CONNECTION_BUFFER_BYTES, Limits, MAX_HEAD_BYTES};
use crate::settings::LiveSettings;
use crate::store::Store;
use crate::tls::{Certificates, TlsError, server_config};

/// Pause after the system refused a connection for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the task is dropped; its connections end with it.
///
/// hyper is driven directly, since its limits (a head's time and length, a connection's buffer) cannot be set through
/// axum's own loop, and without them eight uploads take as much memory as they like.
///
/// # Errors
/// When the limits allow no connection.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>) -> io::Result<()> {
    serve_until(listener, registry, pending(), Duration::ZERO).await
}

/// As [`serve`], until `stop` is done: then no connection is taken any more, and requests that run have `grace` to end.
///
/// # Errors
/// As [`serve`].
pub async fn serve_until(
    listener: TcpListener,
    registry: Arc<Registry>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> io::Result<()> {
    Server::of(&registry, None).run(listener, stop, grace).await
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
    serve_tls_until(listener, registry, certificates, pending(), Duration::ZERO).await
}

/// As [`serve_until`], over TLS as [`serve_tls`].
///
/// # Errors
/// As [`serve_tls`].
pub async fn serve_tls_until(
    listener: TcpListener,
    registry: Arc<Registry>,
    certificates: &Arc<Certificates>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> Result<(), TlsError> {
    let failed = |error| TlsError::Io { action: "serve", path: "TLS".to_owned(), source: error };
    let secure = Secure::new(server_config(certificates)?, &registry.limits);
    Server::of(&registry, Some(secure)).run(listener, stop, grace).await.map_err(failed)
}

/// Serves something small, with places of its own.
pub(crate) async fn serve_router(listener: TcpListener, router: Router, limits: &Limits) -> io::Result<()> {
    let all = (limits.max_connections / HANDSHAKE_SHARE).max(1);
    let places = Places::new(all, of_one_address(all, limits));
    let server = Server { router, limits: limits.clone(), places, store: None, settings: None, secure: None };
    server.run(listener, pending(), Duration::ZERO).await
}

/// What one listener serves.
struct Server {
    router: Router,
    limits: Limits,
    places: Places,
    /// Whose metrics count the connections.
    store: Option<Arc<Store>>,
    /// Who speaks for others.
    settings: Option<Arc<LiveSettings>>,
    secure: Option<Arc<Secure>>,
}

impl Server {
    fn of(registry: &Arc<Registry>, secure: Option<Arc<Secure>>) -> Self {
        Self {
            router: registry.router(),
            limits: registry.limits.clone(),
            places: registry.places(),
            store: Some(Arc::clone(&registry.store)),
            settings: Some(Arc::clone(&registry.settings)),
            secure,
        }
    }

    /// Whether what comes from an address is that of many clients.
    fn is_proxy(&self, address: SocketAddr) -> bool {
        let settings = self.settings.as_ref().map(|settings| settings.now());
        settings.is_some_and(|settings| settings.access.proxies().contain(address.ip()))
    }

    async fn run(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) -> io::Result<()> {
        let (stopping, is_stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        tokio::select! {
            failed = self.take_connections(listener, &mut connections, &is_stopping) => return failed,
            () = stop => {}
        }
        // The listener is gone; whoever connects now is refused at once.
        let _ = stopping.send(true);
        let _ = timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
        // Until they are gone, those that did not end in time have the store.
        connections.shutdown().await;
        Ok(())
    }

    async fn take_connections(
        &self,
        listener: TcpListener,
        connections: &mut JoinSet<()>,
        is_stopping: &watch::Receiver<bool>,
    ) -> io::Result<()> {
        let service = TowerToHyperService::new(self.router.clone());
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(CONNECTION_BUFFER_BYTES);
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the system refused a connection to the registry");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // A proxy's connections are counted as well, but none is one too many.
            let is_proxy = self.is_proxy(address);
            let address_place = self.places.of_address(address);
            if address_place.is_none() && !is_proxy {
                tracing::debug!(%address, "too many connections from one address");
                continue;
            }
            // After a connection was taken, not before: a listener that nobody comes to must not hold a place that
            // another one needs. The one connection that waits here costs no more than in the system's queue.
            let handshake = match &self.secure {
                Some(secure) => {
                    // Before the wait: one address that ends no handshake must not make all others wait.
                    let own = secure.place_of(address);
                    if own.is_none() && !is_proxy {
                        tracing::debug!(%address, "too many handshakes of one address");
                        continue;
                    }
                    Some((own, secure.place().await?))
                }
                None => None,
            };
            let place = self.places.one().await?;
            // Answers are written whole; waiting for more to send would only delay them.
            let _ = stream.set_nodelay(true);
            let stream = Connection::new(stream, self.limits.write_time, place, self.store.clone());
            let service = WithPeer::new(service.clone(), Peer { address, is_tls: self.secure.is_some() });
            let (http, secure, is_stopping) = (http.clone(), self.secure.clone(), is_stopping.clone());
            connections.spawn(async move {
                let _address_place = address_place;
                let Some(secure) = secure else {
                    return drive(&http, stream, service, is_stopping).await;
                };
                let stream = secure.shake_hands(stream).await;
                drop(handshake);
                if let Some(stream) = stream {
                    drive(&http, stream, service, is_stopping).await;
                }
            });
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn drive<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    http: &http1::Builder,
    stream: S,
    service: WithPeer<TowerToHyperService<Router>>,
    mut is_stopping: watch::Receiver<bool>,
) {
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(is_stopping.wait_for(|is_stopping| *is_stopping).await) } => {
            // One that rests ends here; one with a request ends after it.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
