//! What is counted, told on a port of its own: it says how busy a registry is, which is nobody's business outside.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::respond::{Answer, refusal};
use crate::error::RegistryError;
use crate::metrics::MEDIA_TYPE;
use crate::store::Store;
use crate::upstream::Upstreams;

/// Connections at once.
const MAX_CONNECTIONS: usize = 4;
/// How long a connection lives: a reader comes back for the next look.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// How long a head may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// hyper takes no smaller buffer.
const BUFFER_BYTES: usize = 8 * 1024;

/// Whose counters are told.
#[derive(Clone)]
struct Counting {
    store: Arc<Store>,
    upstreams: Arc<Upstreams>,
}

async fn answer(State(counting): State<Counting>, request: Request) -> Response {
    if request.uri().path() != "/metrics" {
        return refusal(&RegistryError::NotFound);
    }
    if request.method() != Method::GET {
        return refusal(&RegistryError::Unsupported { allow: "GET" });
    }
    let Counting { store, upstreams } = counting;
    let text = spawn_blocking(move || store.metrics_text(&upstreams.pulls())).await;
    match text.map_err(|_| RegistryError::Interrupted).and_then(|text| text) {
        Ok(text) => Answer::new(StatusCode::OK).text(MEDIA_TYPE, text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be told");
            refusal(&error)
        }
    }
}

/// Tells what `store` and `upstreams` count, until the task is dropped.
pub(crate) async fn serve_metrics(
    listener: TcpListener,
    store: Arc<Store>,
    upstreams: Arc<Upstreams>,
) -> io::Result<()> {
    let counting = Counting { store, upstreams };
    let service = TowerToHyperService::new(Router::new().fallback(answer).with_state(counting));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(BUFFER_BYTES);
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        connections.spawn(async move {
            // Ended by time or by its client, it is the same: there is nothing to lose.
            let _ = timeout(CONNECTION_TIME, connection).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}
