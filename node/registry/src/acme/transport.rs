//! The protocol library on the registry's own HTTP client.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use axum::http::{self, Request};
use bytes::Bytes;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::client::{Dialer, Reach, Send, Target, collect};

/// Longest answer of an authority, in bytes: chains of certificates have about 6,000.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Sends the library's requests.
pub(super) struct Transport {
    dialer: Dialer,
    directory: Target,
    /// From where the directory came: what it names may lead to public addresses and those of that kind.
    from: Arc<OnceLock<std::net::IpAddr>>,
}

impl Transport {
    pub(super) fn new(dialer: Dialer, directory: Target) -> Self {
        Self { dialer, directory, from: Arc::default() }
    }
}

async fn send(
    dialer: Dialer,
    request: Request<BodyWrapper<Bytes>>,
    directory: Target,
    from: Arc<OnceLock<std::net::IpAddr>>,
) -> Result<BytesResponse, Error> {
    let other = |error: crate::client::ClientError| Error::Other(Box::new(error));
    let (parts, body) = request.into_parts();
    let target = Target::parse(&parts.uri.to_string()).map_err(other)?;
    if !target.is_https {
        return Err(Error::Str("the authority names an address that is not https"));
    }
    let body = collect(axum::body::Body::new(body), MAX_ANSWER_BYTES, "the request").await.map_err(other)?;
    let reach = match from.get() {
        Some(from) if !target.is_same_server(&directory) => Reach::led_from(*from),
        _ => Reach::Configured,
    };
    let send = Send { method: parts.method, target: &target, reach, headers: parts.headers, body };
    let answer = dialer.send(send).await.map_err(other)?;
    if target.is_same_server(&directory) {
        // The first one counts; a later one cannot differ in kind without being refused.
        let _ = from.set(answer.from);
    }
    let body = collect(answer.body, MAX_ANSWER_BYTES, &target.authority()).await.map_err(other)?;
    let mut response = http::Response::new(());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let (parts, ()) = response.into_parts();
    Ok(BytesResponse { parts, body: Box::new(body) })
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + std::marker::Send>> {
        Box::pin(send(self.dialer.clone(), request, self.directory.clone(), Arc::clone(&self.from)))
    }
}
