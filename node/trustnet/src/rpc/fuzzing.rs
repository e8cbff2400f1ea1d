//! The RPC without sockets, for trustnet-fuzz.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Uri};
use bytes::Bytes;
use tokio::runtime::Runtime;

use super::http::Http;
use super::limits::RpcLimits;
use super::state::Rpc;
use crate::node::NodeHandle;

/// A server's inside: requests in, answers out.
pub struct InProcess {
    runtime: Runtime,
    http: Http,
}

impl InProcess {
    /// The RPC of a node; `runtime` is the one in which the node's network lives.
    ///
    /// # Panics
    /// When the node is gone.
    pub fn new(runtime: Runtime, handle: NodeHandle) -> Self {
        let limits = RpcLimits { commit_wait: Duration::from_millis(1), ..RpcLimits::default() };
        let rpc = runtime.block_on(Rpc::new(handle, limits.clone())).expect("the node answers");
        let http = Http::new(Arc::new(rpc).caller(), limits);
        Self { runtime, http }
    }

    /// Answers a body sent to `/`: status and body.
    pub fn post(&self, body: &[u8]) -> (u16, Bytes) {
        let mut request = Request::new(Body::from(Bytes::copy_from_slice(body)));
        *request.method_mut() = Method::POST;
        self.answer(request)
    }

    /// Answers `GET uri`. `None` when the text is no URI, which the HTTP layer refuses before us.
    pub fn get(&self, uri: &[u8]) -> Option<(u16, Bytes)> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::try_from(uri).ok()?;
        Some(self.answer(request))
    }

    fn answer(&self, request: Request) -> (u16, Bytes) {
        self.runtime.block_on(async {
            let response = self.http.handle(request).await;
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            (status, body.expect("an answer is whole"))
        })
    }
}
