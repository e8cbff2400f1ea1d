//! One request and its answer.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::request::Builder;
use axum::http::{HeaderMap, Method, StatusCode, header};
use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::ClientError;
use super::address::Reach;
use super::dial::Dialer;
use super::target::Target;
use crate::limits::CONNECTION_BUFFER_BYTES;

/// How long a short body may take.
const BODY_TIME: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("trustnet-registry/", env!("CARGO_PKG_VERSION"));

/// A request to be sent.
pub(crate) struct Send<'a> {
    pub(crate) method: Method,
    pub(crate) target: &'a Target,
    pub(crate) reach: Reach,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer, whose body is still to come.
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// Where it came from.
    pub(crate) from: IpAddr,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received")
            .field("status", &self.status)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl Dialer {
    /// Sends a request on a connection of its own; gives the answer's head, with the body to come.
    pub(crate) async fn send(&self, send: Send<'_>) -> Result<Received, ClientError> {
        let host = send.target.authority();
        let broken =
            |error: hyper::Error| ClientError::Unreachable { host: host.clone(), why: reason(&error) };
        let (stream, from) = self.dial(send.target, send.reach).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(CONNECTION_BUFFER_BYTES)
            .handshake::<_, Body>(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends by itself: when the answer was read, or nobody wants it any more.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to another server ended early");
            }
        });
        let mut request = Builder::new()
            .method(send.method)
            .uri(&send.target.path)
            .header(header::HOST, &host)
            .header(header::CONNECTION, "close")
            .body(Body::from(send.body))
            .map_err(|error| ClientError::Target(error.to_string()))?;
        request.headers_mut().extend(send.headers);
        request
            .headers_mut()
            .entry(header::USER_AGENT)
            .or_insert(header::HeaderValue::from_static(USER_AGENT));
        let answer = timeout(self.times.head, sender.send_request(request)).await;
        let answer = answer.map_err(|_| ClientError::Timeout { host: host.clone() })?.map_err(broken)?;
        let (parts, body) = answer.into_parts();
        Ok(Received { status: parts.status, headers: parts.headers, body: Body::new(body), from })
    }
}

fn reason(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Reads a whole body of at most `max_bytes`.
pub(crate) async fn collect(mut body: Body, max_bytes: usize, host: &str) -> Result<Bytes, ClientError> {
    let wrong = |why: &str| ClientError::Answer { host: host.to_owned(), why: why.to_owned() };
    let all = async {
        let mut all = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let frame = frame.map_err(|_| wrong("it broke off"))?;
            if let Ok(part) = frame.into_data() {
                if all.len() + part.len() > max_bytes {
                    return Err(wrong("it is far too long"));
                }
                all.extend_from_slice(&part);
            }
        }
        Ok(Bytes::from(all))
    };
    timeout(BODY_TIME, all).await.map_err(|_| ClientError::Timeout { host: host.to_owned() })?
}
