//! Answers.

use axum::body::Body;
use axum::http::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::upstream::UpstreamError;

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(super) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
pub(super) const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
pub(super) const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Seconds after which a client that was one too many may try again.
const RETRY_AFTER_SECONDS: &str = "5";

/// An answer in the making.
pub(super) struct Answer(Response);

impl Answer {
    /// An answer without a body.
    pub(super) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Self(response)
    }

    /// Adds a header. Values are made of what passed our grammars; one that cannot be a header is left out.
    pub(super) fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers_mut().append(name, value);
        }
        self
    }

    pub(super) fn location(self, path: impl AsRef<str>) -> Self {
        self.header(LOCATION, path)
    }

    pub(super) fn digest(self, digest: &Digest) -> Self {
        self.header(CONTENT_DIGEST, digest.to_string())
    }

    /// Ends it with a body of a known length.
    pub(super) fn body(self, content_type: &str, body: impl Into<Body>, len: u64) -> Response {
        let mut response = self.header(CONTENT_TYPE, content_type).header(CONTENT_LENGTH, len.to_string()).0;
        *response.body_mut() = body.into();
        response
    }

    /// Ends it with a body of a length that is not known yet.
    pub(super) fn streamed(self, body: Body) -> Response {
        let mut response = self.0;
        *response.body_mut() = body;
        response
    }

    /// Ends it with a text for a body.
    pub(super) fn text(self, content_type: &str, text: String) -> Response {
        let len = text.len() as u64;
        self.body(content_type, text, len)
    }

    /// Ends it without a body.
    pub(super) fn empty(self) -> Response {
        self.0
    }
}

/// The answer to a request that is refused or failed.
pub(super) fn refusal(error: &RegistryError) -> Response {
    let mut answer = Answer::new(error.status());
    match error.innermost() {
        RegistryError::Upstream(UpstreamError::Busy { seconds, .. }) => {
            answer = answer.header(RETRY_AFTER, seconds.to_string());
        }
        RegistryError::ReadOnly(_) => answer = answer.header(ALLOW, "GET, HEAD, DELETE"),
        RegistryError::TooMany(_) => answer = answer.header(RETRY_AFTER, RETRY_AFTER_SECONDS),
        RegistryError::TooOften { seconds } => answer = answer.header(RETRY_AFTER, seconds.to_string()),
        RegistryError::Unauthorized { challenge, .. } if !challenge.is_empty() => {
            answer = answer.header(WWW_AUTHENTICATE, challenge);
        }
        RegistryError::Unsupported { allow } => answer = answer.header(ALLOW, allow),
        RegistryError::RangeInvalid { total } => {
            answer = answer.header(CONTENT_RANGE, format!("bytes */{total}"));
        }
        _ => {}
    }
    answer.text("application/json", error.body())
}
