//! Pulls from upstreams: what is not here is fetched, verified, kept and sent; what is here is sent at once.
//!
//! A blob goes to its client while it arrives. A manifest is short, and what it means depends on all of it, so it is
//! kept first. What cannot be fetched and is here is sent all the same: an old tag with a warning. What cannot be kept is
//! passed on.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::blobs::{FOR_EVER, OCTETS};
use super::fetch::content_length;
use super::growing::Growing;
use super::handler::Registry;
use super::parts::PartsBody;
use super::respond::Answer;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::limits::SMALL_BYTES;
use crate::name::{Reference, RepoName};
use crate::upstream::{Outcome, Progress, Remote, UpstreamError, blob_flight, manifest_flight};

/// RFC 7234, section 5.5.1.
const STALE: HeaderValue = HeaderValue::from_static("110 trustnet-registry \"Response is Stale\"");

/// Something of an upstream: which one, and what that calls the repository.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) remote: Arc<Remote>,
    pub(super) name: String,
    pub(super) repo: RepoName,
}

fn is_unknown(error: &RegistryError) -> bool {
    match error {
        RegistryError::Upstream(UpstreamError::Unknown) => true,
        RegistryError::Shared(error) => is_unknown(error),
        _ => false,
    }
}

/// Begins an answer with a blob.
pub(super) fn blob_head(digest: &Digest) -> Answer {
    Answer::new(StatusCode::OK)
        .digest(digest)
        .header(header::ETAG, format!("\"{digest}\""))
        .header(header::CACHE_CONTROL, FOR_EVER)
}

/// Ends it with a body of `len` bytes, if that is known.
pub(super) fn end_blob(answer: Answer, body: Body, len: Option<u64>) -> Response {
    match len {
        Some(len) => answer.body(OCTETS, body, len),
        None => answer.header(header::CONTENT_TYPE, OCTETS).streamed(body),
    }
}

impl Registry {
    fn wanted(&self, repo: &RepoName) -> Option<Wanted> {
        let (remote, name) = self.upstreams.find(repo)?;
        Some(Wanted { remote, name, repo: repo.clone() })
    }

    /// Sends a manifest, of an upstream's repository or of one of ours.
    pub(super) async fn serve_manifest(
        self: &Arc<Self>,
        parts: &Parts,
        repo: RepoName,
        reference: Reference,
    ) -> Result<Response> {
        let Some(wanted) = self.wanted(&repo) else { return self.get_manifest(parts, repo, reference).await };
        let is_stale = match self.pull_manifest(wanted.clone(), &reference).await {
            Err(error) if error.is_no_room() => {
                self.tell_no_room(&error);
                match self.pass_manifest(&wanted, &reference).await {
                    Err(error) if is_unknown(&error) => {
                        self.upstreams.count(Outcome::Failed);
                        return Err(RegistryError::ManifestUnknown(reference));
                    }
                    Err(error) => return self.serve_old(parts, (repo, reference), error).await,
                    passed => return passed,
                }
            }
            pulled => pulled.inspect_err(|_| self.upstreams.count(Outcome::Failed))?,
        };
        let mut response = self.get_manifest(parts, repo, reference).await?;
        if is_stale {
            response.headers_mut().insert(header::WARNING, STALE);
        }
        Ok(response)
    }

    /// Sends what is here of a manifest that could not be passed on; if that is nothing, why not.
    async fn serve_old(
        self: &Arc<Self>,
        parts: &Parts,
        (repo, reference): (RepoName, Reference),
        error: RegistryError,
    ) -> Result<Response> {
        let Ok(mut response) = self.get_manifest(parts, repo, reference).await else {
            self.upstreams.count(Outcome::Failed);
            return Err(error);
        };
        tracing::warn!(%error, "an old tag is served: its upstream cannot be asked");
        self.upstreams.count(Outcome::Stale);
        response.headers_mut().insert(header::WARNING, STALE);
        Ok(response)
    }

    /// Sees to it that a manifest is here; says whether it may have changed since.
    async fn pull_manifest(self: &Arc<Self>, wanted: Wanted, reference: &Reference) -> Result<bool> {
        let (repo, sought) = (wanted.repo.clone(), reference.clone());
        let here = self.blocking(move |store| store.find_manifest(&repo, &sought)).await;
        let here = match here {
            Ok(found) => Some(found.digest),
            Err(RegistryError::ManifestUnknown(_)) => None,
            Err(error) => return Err(error),
        };
        let is_fresh = match reference {
            Reference::Digest(_) => true,
            // One that never changes need not be asked for.
            Reference::Tag(tag) => {
                self.store.rules().is_immutable(&wanted.repo, tag)
                    || self.upstreams.is_fresh(&wanted.remote, &wanted.repo, tag)
            }
        };
        if here.is_some() && is_fresh {
            self.upstreams.count(Outcome::Hit);
            return Ok(false);
        }
        let key = (wanted.repo.clone(), reference.to_string());
        let (registry, of, sought) = (Arc::clone(self), wanted.clone(), reference.clone());
        let fetch = Box::pin(async move { registry.fetch_manifest(&of, sought, here).await });
        match manifest_flight(&self.upstreams, key, fetch).await {
            Ok(()) => Ok(false),
            Err(error) if is_unknown(&error) => Err(RegistryError::ManifestUnknown(reference.clone())),
            Err(error) if here.is_some() && !error.is_no_room() => {
                tracing::warn!(%error, repository = %wanted.repo, %reference, "an old tag is served: its upstream cannot be asked");
                self.upstreams.count(Outcome::Stale);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a blob, of an upstream's repository or of one of ours.
    pub(super) async fn serve_blob(
        self: &Arc<Self>,
        parts: &Parts,
        repo: RepoName,
        digest: Digest,
    ) -> Result<Response> {
        let here = self.get_blob(parts, repo.clone(), digest).await;
        let Some(wanted) = self.wanted(&repo) else { return here };
        if !matches!(here, Err(RegistryError::BlobUnknown(_))) {
            self.upstreams.count(if here.is_ok() { Outcome::Hit } else { Outcome::Failed });
            return here;
        }
        let pulled = self.pull_blob(parts, wanted, digest).await;
        pulled.map_err(|error| {
            self.upstreams.count(Outcome::Failed);
            if is_unknown(&error) { RegistryError::BlobUnknown(digest) } else { error }
        })
    }

    async fn pull_blob(self: &Arc<Self>, parts: &Parts, wanted: Wanted, digest: Digest) -> Result<Response> {
        let repo = wanted.repo.clone();
        let answer = blob_head(&digest);
        if parts.method == Method::HEAD {
            let head = wanted.remote.blob(Method::HEAD, &wanted.name, &digest.to_string()).await?;
            return Ok(end_blob(answer, Body::empty(), content_length(&head.headers)));
        }
        let transfer = blob_flight(&self.upstreams, (repo.clone(), digest), |transfer| {
            Arc::clone(self).fetch_blob(wanted.clone(), digest, transfer)
        });
        let mut progress = transfer.watch();
        // Not before there is something to send: most of what goes wrong does so at once, and can then be told.
        let begun = |progress: &Progress| !matches!(progress, Progress::Asking | Progress::Growing(0));
        let is_coming = !matches!(
            *progress.wait_for(begun).await.map_err(|_| RegistryError::Interrupted)?,
            Progress::Failed(_)
        );
        let source = transfer.source().filter(|_| is_coming);
        let is_streamed = !parts.headers.contains_key(header::RANGE)
            && source.is_some_and(|source| source.len.is_none_or(|len| len > SMALL_BYTES));
        if let (true, Some(source)) = (is_streamed, source) {
            let place = self.download_place().await?;
            let growing = Growing::new(Arc::clone(&source.file), progress);
            let body = Body::new(PartsBody::new(growing, source.len, place));
            return Ok(end_blob(answer, body, source.len));
        }
        // A part of it could not be told from a part of something wrong, and a short one is soon here.
        let ended = |progress: &Progress| matches!(progress, Progress::Kept | Progress::Failed(_));
        let outcome = progress.wait_for(ended).await.map_err(|_| RegistryError::Interrupted)?.clone();
        match outcome {
            Progress::Failed(error) if error.is_no_room() => {
                self.tell_no_room(&error);
                self.pass_blob(&wanted, digest, transfer.take_left()).await
            }
            Progress::Failed(error) => Err(RegistryError::Shared(error)),
            _ => self.get_blob(parts, repo, digest).await,
        }
    }
}
