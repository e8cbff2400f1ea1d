//! Pulls for which there is no room: what comes of the upstream is passed on to the client that asked, verified as what is
//! kept is, and goes no further.
//!
//! A manifest is in memory as a whole before any of it goes out. A blob passes part by part, the last one only when all of
//! it has the digest. Each client has a fetch of its own, as fast as it takes it; a range is answered with the whole, since
//! a part of it cannot be told from a part of something wrong.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::time::timeout;

use super::body::PlacedBody;
use super::fetch::{blame, content_length, manifest_type, said_digest};
use super::handler::Registry;
use super::parts::{Parts, PartsBody};
use super::pull::{Wanted, blob_head, end_blob};
use super::receive::{Sink, next, receive};
use super::respond::Answer;
use crate::client::Received;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Mismatch, RegistryError, Result};
use crate::files::InMemory;
use crate::limits::{MAX_MANIFEST_BYTES, SMALL_BYTES};
use crate::manifest::Manifest;
use crate::name::Reference;
use crate::upstream::{Outcome, Upstreams};

/// What is received as a whole.
#[derive(Default)]
struct Whole(Vec<u8>);

impl Sink for Whole {
    fn append(&mut self, batch: &[u8]) -> Result<()> {
        self.0.extend_from_slice(batch);
        Ok(())
    }
}

/// A blob on its way through. Its parts are at most as long as a connection's buffer, so that hashing one does not keep a
/// thread from others for long.
struct Passing {
    body: Body,
    digest: Digest,
    /// `None` once all has passed.
    hasher: Option<Hasher>,
    held_back: Option<Bytes>,
    /// How long a part may take.
    part_time: Duration,
    upstreams: Arc<Upstreams>,
}

impl Passing {
    /// Receives the first part: much of what goes wrong does so before that, and can then be told.
    async fn begin(&mut self) -> Result<()> {
        self.held_back = self.receive().await?;
        Ok(())
    }

    /// The next part that the upstream sends; `None` at the end, if all of it has the digest.
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let Some(hasher) = &mut self.hasher else { return Ok(None) };
        let part = timeout(self.part_time, next(&mut self.body)).await;
        if let Some(part) = part.map_err(|_| RegistryError::TooSlow)?.transpose()? {
            self.upstreams.received(part.len() as u64);
            hasher.update(&part);
            return Ok(Some(part));
        }
        let actual = self.hasher.take().map(Hasher::finish);
        match actual {
            Some(actual) if actual != self.digest => {
                let expected = self.digest;
                Err(RegistryError::DigestMismatch(Box::new(Mismatch { expected, actual })))
            }
            _ => Ok(None),
        }
    }
}

impl Parts for Passing {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.receive().await {
                Ok(Some(part)) => {
                    if let Some(before) = self.held_back.replace(part) {
                        return Ok(Some(before));
                    }
                }
                Ok(None) => return Ok(self.held_back.take()),
                Err(error) => {
                    tracing::warn!(%error, digest = %self.digest, "what an upstream sends is not passed on to its end");
                    return Err(io::Error::other(error));
                }
            }
        }
    }
}

/// Looks at a manifest; gives its digest and media type.
fn verify(bytes: &Bytes, expected: Option<Digest>, kind: Option<&str>) -> Result<(Digest, String)> {
    let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
    let actual = Digest::of(algorithm, bytes);
    if let Some(expected) = expected.filter(|expected| *expected != actual) {
        return Err(RegistryError::DigestMismatch(Box::new(Mismatch { expected, actual })));
    }
    let manifest = Manifest::read(&InMemory(bytes.clone()), bytes.len() as u64, kind)?;
    Ok((actual, manifest.media_type))
}

impl Registry {
    /// Lets the operator know why something is passed on.
    pub(super) fn tell_no_room(&self, error: &RegistryError) {
        if self.upstreams.is_news() {
            tracing::warn!(%error, "what clients pull from upstreams is passed on without being kept");
        }
    }

    /// Passes a manifest on.
    pub(super) async fn pass_manifest(&self, wanted: &Wanted, reference: &Reference) -> Result<Response> {
        let place = self.fetch_place().await?;
        let remote = &wanted.remote;
        let answer = remote.manifest(Method::GET, &wanted.name, &reference.to_string()).await?;
        let exact = content_length(&answer.headers);
        let expected = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => said_digest(&answer.headers),
        };
        let kind = manifest_type(&answer.headers);
        let terms = self.fetch_terms(MAX_MANIFEST_BYTES, RegistryError::ManifestTooLarge, exact);
        let mut body = answer.body;
        let received = receive(&mut body, self.counted(Whole::default()), terms).await;
        let bytes = Bytes::from(received.map_err(|error| blame(remote, error))?.sink.0);
        let (len, shared) = (bytes.len() as u64, bytes.clone());
        let verified = self.blocking(move |_| verify(&shared, expected, kind)).await;
        let (digest, media_type) = verified.map_err(|error| blame(remote, error))?;
        self.upstreams.count(Outcome::Passed);
        let answer =
            Answer::new(StatusCode::OK).digest(&digest).header(header::ETAG, format!("\"{digest}\""));
        // A long one is in memory until the client has taken it; no fetch has to wait for that.
        drop(place);
        let body = if len > SMALL_BYTES {
            Body::new(PlacedBody::new(bytes, self.download_place().await?))
        } else {
            Body::from(bytes)
        };
        Ok(answer.body(&media_type, body, len))
    }

    /// Passes a blob on: from `left`, an answer of the upstream that nobody has a use for, or from another one.
    pub(super) async fn pass_blob(
        &self,
        wanted: &Wanted,
        digest: Digest,
        left: Option<Received>,
    ) -> Result<Response> {
        let place = self.download_place().await?;
        let answer = match left {
            Some(answer) => answer,
            None => wanted.remote.blob(Method::GET, &wanted.name, &digest.to_string()).await?,
        };
        let len = content_length(&answer.headers);
        let mut passing = Passing {
            body: answer.body,
            digest,
            hasher: Some(Hasher::new(digest.algorithm())),
            held_back: None,
            part_time: self.limits.batch_time,
            upstreams: Arc::clone(&self.upstreams),
        };
        passing.begin().await.map_err(|error| blame(&wanted.remote, error))?;
        self.upstreams.count(Outcome::Passed);
        Ok(end_blob(blob_head(&digest), Body::new(PartsBody::new(passing, len, place)), len))
    }
}
