//! The server's loop: takes connections within limits, and hands their requests on.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::handler::Registry;
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
    let (stopping, is_stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::select! {
        failed = take_connections(listener, &registry, &mut connections, &is_stopping) => return failed,
        () = stop => {}
    }
    // The listener is gone; whoever connects now is refused at once.
    let _ = stopping.send(true);
    let _ = timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

async fn take_connections(
    listener: TcpListener,
    registry: &Arc<Registry>,
    connections: &mut JoinSet<()>,
    is_stopping: &watch::Receiver<bool>,
) -> io::Result<()> {
    let limits = &registry.limits;
    let service = TowerToHyperService::new(registry.router());
    let places = Arc::new(Semaphore::new(limits.max_connections.max(1)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(CONNECTION_BUFFER_BYTES);
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the system refused a connection to the registry");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let connection = Connection::new(stream, limits.write_time, place, Arc::clone(&registry.store));
        let connection = http.serve_connection(TokioIo::new(connection), service.clone());
        let mut is_stopping = is_stopping.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
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
        });
        while connections.try_join_next().is_some() {}
    }
}
