//! HTTP: bodies become calls, answers become bodies. Knows no method; a function carries calls out.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request as HttpRequest;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::args::Args;
use super::batch;
use super::error::RpcError;
use super::join::Later;
use super::jsonrpc::{Body as RpcBody, Id, Request, answer};
use super::limits::{RpcLimits, SMALL_BODY_BYTES};
use super::methods::{self, Method};
use super::uri::parse_query;

/// How long a reply that never changes may be kept by caches, as in `CometBFT`.
const CACHE_FOR_A_DAY: &str = "public, max-age=86400";

/// What a call gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The result.
    pub value: Value,
    /// Whether the same call will give the same result for ever.
    pub immutable: bool,
}

impl Reply {
    /// A result that holds for the moment.
    pub fn now(value: Value) -> Self {
        Self { value, immutable: false }
    }
}

/// Carries out one call.
pub type Caller = Arc<dyn Fn(&'static Method, Args) -> Later<'static, Result<Reply, RpcError>> + Send + Sync>;

/// The HTTP side of the server.
pub struct Http {
    pub(super) caller: Caller,
    pub(super) limits: RpcLimits,
    large_bodies: Semaphore,
}

impl Http {
    /// A server whose calls are carried out by `caller`.
    pub fn new(caller: Caller, limits: RpcLimits) -> Self {
        let large_bodies = Semaphore::new(limits.max_large_bodies.max(1));
        Self { caller, limits, large_bodies }
    }

    /// Answers one request.
    pub async fn handle(&self, request: HttpRequest) -> Response {
        let path = request.uri().path();
        if path != "/" {
            return match path.strip_prefix('/').and_then(methods::find) {
                Some(method) => self.uri_call(method, request.uri().query().unwrap_or_default()).await,
                None => respond(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n"),
            };
        }
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = request.into_body();
        let small = body.size_hint().upper().is_some_and(|upper| upper <= SMALL_BODY_BYTES as u64);
        let _place = if small { None } else { self.large_bodies.acquire().await.ok() };
        match to_bytes(body, self.limits.max_body_bytes).await {
            Ok(bytes) if bytes.is_empty() => {
                respond(StatusCode::OK, "text/html", methods::list_of_endpoints(&host))
            }
            Ok(bytes) => self.post(&bytes).await,
            Err(_) => {
                let error = RpcError::InvalidRequest(format!(
                    "error reading request body: it is cut short or longer than {} bytes",
                    self.limits.max_body_bytes
                ));
                json(StatusCode::BAD_REQUEST, &answer(&Id::Unknown, Err(&error)), false)
            }
        }
    }

    async fn uri_call(&self, method: &'static Method, query: &str) -> Response {
        let args = parse_query(query).and_then(|params| Args::bind(params, method.args));
        let result = match args {
            Ok(args) => (self.caller)(method, args).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(reply) => json(StatusCode::OK, &answer(&Id::URI, Ok(reply.value)), reply.immutable),
            // Errors of URI calls have this status in CometBFT, whatever their cause.
            Err(error) => json(StatusCode::INTERNAL_SERVER_ERROR, &answer(&Id::URI, Err(&error)), false),
        }
    }

    async fn post(&self, bytes: &Bytes) -> Response {
        match RpcBody::parse(bytes, self.limits.max_batch) {
            Ok(RpcBody::Single(request)) => match self.single(request).await {
                Some((value, immutable)) => json(StatusCode::OK, &value, immutable),
                None => respond(StatusCode::OK, "application/json", Body::empty()),
            },
            Ok(RpcBody::Batch(requests)) => {
                let (text, immutable) = batch::run(self, requests).await;
                cached(respond(StatusCode::OK, "application/json", text), immutable)
            }
            Err(error) => {
                let status = if matches!(error, RpcError::Parse(_)) {
                    StatusCode::INTERNAL_SERVER_ERROR
                } else {
                    StatusCode::OK
                };
                json(status, &answer(&Id::Unknown, Err(&error)), false)
            }
        }
    }

    /// Carries out one request; `None` when it wants no answer.
    pub(super) async fn single(&self, request: Request) -> Option<(Value, bool)> {
        match request {
            Request::Notification => None,
            Request::Invalid(id, error) => Some((answer(&id, Err(&error)), false)),
            Request::Call { id, method, params } => {
                let bound = methods::find(&method)
                    .ok_or(RpcError::MethodNotFound)
                    .and_then(|method| Ok((method, Args::bind(params, method.args)?)));
                let result = match bound {
                    Ok((method, args)) => (self.caller)(method, args).await,
                    Err(error) => Err(error),
                };
                Some(match result {
                    Ok(reply) => (answer(&id, Ok(reply.value)), reply.immutable),
                    Err(error) => (answer(&id, Err(&error)), false),
                })
            }
        }
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn json(status: StatusCode, value: &Value, immutable: bool) -> Response {
    cached(respond(status, "application/json", value.to_string()), immutable)
}

fn cached(mut response: Response, immutable: bool) -> Response {
    if immutable {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE_FOR_A_DAY));
    }
    response
}
