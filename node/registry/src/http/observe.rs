//! Every request, seen from outside: counted, and written of.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;

use super::handler::{Registry, handle};
use super::peer::Peer;
use super::respond::CONTENT_DIGEST;
use crate::access::Caller;
use crate::logs::{AccessLog, Record};

/// What kind of address a path is, for those who count. Names of repositories do not matter here.
fn kind(path: &str) -> &'static str {
    match path {
        "/health" => "health",
        "/v2" | "/v2/" => "base",
        path if !path.starts_with("/v2/") => "other",
        path if path.ends_with("/tags/list") => "tags",
        path if path.ends_with("/blobs/uploads") || path.contains("/blobs/uploads/") => "upload",
        path => match path.rsplit('/').nth(1) {
            Some("blobs") => "blob",
            Some("manifests") => "manifest",
            Some("referrers") => "referrers",
            _ => "other",
        },
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a request belongs in the access log: what clients of images ask for.
fn is_recorded(path: &str) -> bool {
    path == "/token" || path == "/v2" || path.starts_with("/v2/")
}

/// What the access log tells of a request whose client went away before the answer: what it asked for may have been done all
/// the same. Other servers write this number, too; no client ever sees it.
const CLIENT_WENT: u16 = 499;

/// The access log's line of a request. One that is not ended is written when it is dropped.
struct Line {
    log: Arc<AccessLog>,
    record: Option<Record>,
    begun: Instant,
}

impl Line {
    /// As far as it can be written before the answer.
    fn begin(log: Arc<AccessLog>, request: &Request) -> Self {
        let client = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
        let agent = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let record = Record::begin(client, request.method().as_str(), request.uri().path(), agent);
        Self { log, record: Some(record), begun: Instant::now() }
    }

    fn end(&mut self, who: &str, status: u16, bytes: Option<u64>) {
        if let Some(mut record) = self.record.take() {
            record.end(who, status, bytes, self.begun.elapsed());
            self.log.record(record);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end("", CLIENT_WENT, None);
    }
}

/// Answers a request, counts it, and writes a line of it. The query is left out: it may hold what is not to be told.
pub(super) async fn observe(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let begun = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let sent_bytes = text(request.headers(), &header::CONTENT_LENGTH).to_owned();
    let metrics = Arc::clone(&registry.store);
    let log = registry.log.clone().filter(|_| is_recorded(&path));
    let line = log.map(|log| Line::begin(log, &request));
    let response = handle(State(registry), request).await;
    let (status, duration) = (response.status().as_u16(), begun.elapsed());
    metrics.metrics.request(method.as_str(), kind(&path), status, duration);
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let who = response.extensions().get::<Caller>().map(ToString::to_string).unwrap_or_default();
    let digest = text(response.headers(), &CONTENT_DIGEST);
    if let Some(mut line) = line {
        line.end(&who, status, text(response.headers(), &header::CONTENT_LENGTH).parse().ok());
    }
    // What changes something, once it is done: chunks of uploads on their way are not worth a line.
    let is_change = status == 201 || (method == Method::DELETE && status < 300);
    if is_change {
        tracing::info!(who, %method, path, digest, bytes = sent_bytes, ms, status, "changed");
    } else {
        tracing::debug!(who, %method, path, digest, bytes = text(response.headers(), &header::CONTENT_LENGTH), ms, status, "answered");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{is_recorded, kind};

    #[test]
    fn paths_have_a_kind_whatever_their_repository_is_called() {
        let cases = [
            ("/health", "health"),
            ("/v2/", "base"),
            ("/v2/a/blobs/sha256:00", "blob"),
            ("/v2/blobs/manifests/v1", "manifest"),
            ("/v2/a/blobs/uploads/", "upload"),
            ("/v2/a/blobs/uploads/x", "upload"),
            ("/v2/a/tags/list", "tags"),
            ("/v2/a/referrers/sha256:00", "referrers"),
            ("/v2/a/b", "other"),
            ("/", "other"),
            ("", "other"),
        ];
        for (path, expected) in cases {
            assert_eq!(kind(path), expected, "{path}");
        }
    }

    #[test]
    fn what_no_client_of_images_asks_for_is_not_recorded() {
        for path in ["/v2", "/v2/", "/v2/a/blobs/uploads/", "/token", "/v2/nonsense"] {
            assert!(is_recorded(path), "{path}");
        }
        for path in ["/health", "/", "", "/v1/", "/v20", "/tokens", "/.well-known/acme-challenge/x"] {
            assert!(!is_recorded(path), "{path}");
        }
    }
}
