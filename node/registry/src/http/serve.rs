//! The server's loop: takes connections within limits, and hands their requests on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection::Connection;
use super::handler::Registry;
use super::peer::{Addresses, Peer, WithPeer};
use crate::limits::{CONNECTION_BUFFER_BYTES, MAX_HEAD_BYTES};

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
    let limits = &registry.limits;
    let service = TowerToHyperService::new(registry.router());
    let places = Arc::new(Semaphore::new(limits.max_connections.max(1)));
    let addresses = Addresses::new(limits.max_connections_per_address);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(CONNECTION_BUFFER_BYTES);
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the system refused a connection to the registry");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(address_place) = addresses.place(address) else {
            tracing::debug!(%address, "too many connections from one address");
            continue;
        };
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let connection = Connection::new(stream, limits.write_time, place);
        let service = WithPeer::new(service.clone(), Peer { address, is_tls: false });
        let connection = http.serve_connection(TokioIo::new(connection), service);
        connections.spawn(async move {
            let _address_place = address_place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
