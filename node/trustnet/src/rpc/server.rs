//! The server's loop: takes connections, hands their requests to [`Http`].

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::net::TcpListener;

use super::guard::GuardedListener;
use super::http::Http;

/// Serves until the task is dropped.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve_http(listener: TcpListener, http: Arc<Http>) -> io::Result<()> {
    let listener = GuardedListener::new(listener, &http.limits);
    let router = Router::new().fallback(handle).with_state(http);
    axum::serve(listener, router).await
}

async fn handle(State(http): State<Arc<Http>>, request: Request) -> Response {
    http.handle(request).await
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
