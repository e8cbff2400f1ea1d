//! Pulls from upstreams: what is not here is fetched, verified, kept and sent; what is here is sent at once.
//!
//! A blob goes to its client while it arrives. A manifest is short, and what it means depends on all of it, so it is
//! kept first. What cannot be fetched and is here is sent all the same: an old tag with a warning.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::blobs::{FOR_EVER, OCTETS};
use super::growing::GrowingBody;
use super::handler::Registry;
use super::receive::{Sink, Terms, receive};
use super::respond::{Answer, CONTENT_DIGEST};
use super::uploads::Scratch;
use crate::client::Received;
use crate::digest::{Algorithm, Digest};
use crate::error::{RegistryError, Result};
use crate::limits::{MAX_MANIFEST_BYTES, SMALL_BYTES};
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::name::{Reference, RepoName, Tag};
use crate::upstream::{
    Outcome, Progress, Remote, Source, Transfer, UpstreamError, blob_flight, manifest_flight,
};

/// RFC 7234, section 5.5.1.
const STALE: HeaderValue = HeaderValue::from_static("110 trustnet-registry \"Response is Stale\"");

/// Something of an upstream: which one, and what that calls the repository.
#[derive(Clone)]
struct Wanted {
    remote: Arc<Remote>,
    name: String,
    repo: RepoName,
}

/// A blob on its way into a file, and to those who watch it.
struct Watched {
    scratch: Scratch,
    transfer: Arc<Transfer>,
    len: u64,
}

impl Sink for Watched {
    fn append(&mut self, batch: &[Bytes]) -> Result<()> {
        self.scratch.append(batch)?;
        self.len += batch.iter().map(|part| part.len() as u64).sum::<u64>();
        self.transfer.grown(self.len);
        Ok(())
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Which of the media types of manifests an upstream says it is; others, such as plain JSON, say nothing.
fn manifest_type(headers: &HeaderMap) -> Option<&'static str> {
    let said = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].into_iter().find(|kind| *kind == said)
}

fn said_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// What is the upstream's fault is not told as the client's.
fn blame(remote: &Remote, error: RegistryError) -> RegistryError {
    RegistryError::Upstream(match error {
        RegistryError::TooSlow => UpstreamError::Timeout { host: remote.host() },
        RegistryError::BodyBroken => remote.wrong("it broke off"),
        RegistryError::SizeInvalid
        | RegistryError::DigestMismatch(_)
        | RegistryError::ManifestInvalid(_)
        | RegistryError::ManifestTooLarge
        | RegistryError::BlobTooLarge(_) => remote.wrong(error.to_string()),
        error => return error,
    })
}

fn is_unknown(error: &RegistryError) -> bool {
    match error {
        RegistryError::Upstream(UpstreamError::Unknown) => true,
        RegistryError::Shared(error) => is_unknown(error),
        _ => false,
    }
}

impl Registry {
    fn wanted(&self, repo: &RepoName) -> Option<Wanted> {
        let (remote, name) = self.upstreams.find(repo)?;
        Some(Wanted { remote, name, repo: repo.clone() })
    }

    /// Waits for a place among those that fetch.
    async fn fetch_place(&self) -> Result<Option<OwnedSemaphorePermit>> {
        match &self.upstreams.places {
            Some(places) => self.place(places, "fetches from upstream").await.map(Some),
            None => Ok(None),
        }
    }

    /// Sends a manifest, of an upstream's repository or of one of ours.
    pub(super) async fn serve_manifest(
        self: &Arc<Self>,
        parts: &Parts,
        repo: RepoName,
        reference: Reference,
    ) -> Result<Response> {
        let Some(wanted) = self.wanted(&repo) else { return self.get_manifest(parts, repo, reference).await };
        let is_stale = self.pull_manifest(wanted, &reference).await.inspect_err(|_| {
            self.upstreams.count(Outcome::Failed);
        })?;
        let mut response = self.get_manifest(parts, repo, reference).await?;
        if is_stale {
            response.headers_mut().insert(header::WARNING, STALE);
        }
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
            Err(error) if here.is_some() => {
                tracing::warn!(%error, repository = %wanted.repo, %reference, "an old tag is served: its upstream cannot be asked");
                self.upstreams.count(Outcome::Stale);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches a manifest; `here` is what a tag means here so far.
    async fn fetch_manifest(
        self: Arc<Self>,
        wanted: &Wanted,
        reference: Reference,
        here: Option<Digest>,
    ) -> Result<()> {
        let _place = self.fetch_place().await?;
        let remote = &wanted.remote;
        if let (Reference::Tag(tag), Some(here)) = (&reference, here) {
            // A question without content: upstreams count those less, and mostly nothing has changed.
            let asked = remote.manifest(Method::HEAD, &wanted.name, tag.as_str()).await;
            let said = match asked {
                Ok(answer) => said_digest(&answer.headers),
                // One that does not know the question may know the manifest.
                Err(UpstreamError::Wrong { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(now) = said
                && (now == here || self.move_tag(wanted, tag, now).await?)
            {
                self.upstreams.refreshed(&wanted.repo, tag);
                return Ok(());
            }
        }
        let answer = remote.manifest(Method::GET, &wanted.name, &reference.to_string()).await?;
        let (expected, tag) = match reference {
            Reference::Digest(digest) => (Some(digest), None),
            Reference::Tag(tag) => (said_digest(&answer.headers), Some(tag)),
        };
        self.keep_manifest(wanted, answer, expected, tag.clone()).await.map_err(|e| blame(remote, e))?;
        if let Some(tag) = &tag {
            self.upstreams.refreshed(&wanted.repo, tag);
        }
        self.upstreams.count(Outcome::Fetched);
        Ok(())
    }

    /// Makes a tag mean a manifest that is here; says whether it is.
    async fn move_tag(&self, wanted: &Wanted, tag: &Tag, digest: Digest) -> Result<bool> {
        let (repo, tag) = (wanted.repo.clone(), tag.clone());
        self.blocking(move |store| store.move_tag(&repo, &tag, &digest)).await
    }

    async fn keep_manifest(
        &self,
        wanted: &Wanted,
        answer: Received,
        expected: Option<Digest>,
        tag: Option<Tag>,
    ) -> Result<()> {
        let exact = content_length(&answer.headers);
        if exact.is_some_and(|len| len > MAX_MANIFEST_BYTES) {
            return Err(RegistryError::ManifestTooLarge);
        }
        let store = Arc::clone(&self.store);
        let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let scratch = self.blocking(move |_| Scratch::new(&store, algorithm)).await?;
        let terms = self.fetch_terms(MAX_MANIFEST_BYTES, RegistryError::ManifestTooLarge, exact);
        let kind = manifest_type(&answer.headers);
        let mut body = answer.body;
        let scratch = receive(&mut body, scratch, terms).await?;
        let repo = wanted.repo.clone();
        self.blocking(move |store| {
            scratch.end(|ingest| store.keep_manifest(&repo, ingest, (expected, tag.as_ref()), kind))
        })
        .await
    }

    fn fetch_terms(&self, max_bytes: u64, too_long: RegistryError, exact: Option<u64>) -> Terms<'static> {
        Terms { max_bytes, too_long, exact, batch_time: self.limits.batch_time, takeover: None }
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
        match here {
            Err(RegistryError::BlobUnknown(_)) => {}
            here => {
                self.upstreams.count(Outcome::Hit);
                return here;
            }
        }
        let pulled = self.pull_blob(parts, wanted, digest).await;
        pulled.map_err(|error| {
            self.upstreams.count(Outcome::Failed);
            if is_unknown(&error) { RegistryError::BlobUnknown(digest) } else { error }
        })
    }

    async fn pull_blob(self: &Arc<Self>, parts: &Parts, wanted: Wanted, digest: Digest) -> Result<Response> {
        let repo = wanted.repo.clone();
        let answer = Answer::new(StatusCode::OK)
            .digest(&digest)
            .header(header::ETAG, format!("\"{digest}\""))
            .header(header::CACHE_CONTROL, FOR_EVER);
        if parts.method == Method::HEAD {
            let head = wanted.remote.blob(Method::HEAD, &wanted.name, &digest.to_string()).await?;
            return Ok(match content_length(&head.headers) {
                Some(len) => answer.body(OCTETS, Body::empty(), len),
                None => answer.header(header::CONTENT_TYPE, OCTETS).empty(),
            });
        }
        let transfer = blob_flight(&self.upstreams, (repo.clone(), digest), |transfer| {
            Arc::clone(self).fetch_blob(wanted, digest, transfer)
        });
        let mut progress = transfer.watch();
        // Not before there is something to send: most of what goes wrong does so at once, and can then be told.
        let begun = |progress: &Progress| !matches!(progress, Progress::Asking | Progress::Growing(0));
        progress.wait_for(begun).await.map_err(|_| RegistryError::Interrupted)?;
        let source = transfer.source();
        let is_streamed = !parts.headers.contains_key(header::RANGE)
            && source.is_some_and(|source| source.len.is_none_or(|len| len > SMALL_BYTES));
        if let (true, Some(source)) = (is_streamed, source) {
            let place = self.download_place().await?;
            let body = GrowingBody::new(Arc::clone(&source.file), source.len, progress, place);
            return Ok(match source.len {
                Some(len) => answer.body(OCTETS, Body::new(body), len),
                None => answer.header(header::CONTENT_TYPE, OCTETS).streamed(Body::new(body)),
            });
        }
        // A part of it could not be told from a part of something wrong, and a short one is soon here.
        let ended = |progress: &Progress| matches!(progress, Progress::Kept | Progress::Failed(_));
        let outcome = progress.wait_for(ended).await.map_err(|_| RegistryError::Interrupted)?.clone();
        match outcome {
            Progress::Failed(error) => Err(RegistryError::Shared(error)),
            _ => self.get_blob(parts, repo, digest).await,
        }
    }

    async fn fetch_blob(
        self: Arc<Self>,
        wanted: Wanted,
        digest: Digest,
        transfer: Arc<Transfer>,
    ) -> Result<()> {
        let _place = self.fetch_place().await?;
        let result = self.transfer_blob(&wanted, digest, &transfer).await;
        if result.is_ok() {
            self.upstreams.count(Outcome::Fetched);
        }
        result.map_err(|error| blame(&wanted.remote, error))
    }

    async fn transfer_blob(&self, wanted: &Wanted, digest: Digest, transfer: &Arc<Transfer>) -> Result<()> {
        let (remote, text) = (&wanted.remote, digest.to_string());
        if self.blocking(move |store| store.is_anywhere(&digest)).await? {
            // Another repository has it. That the upstream has it, too, it must say: what is here is not everyone's.
            remote.blob(Method::HEAD, &wanted.name, &text).await?;
            let repo = wanted.repo.clone();
            if self.blocking(move |store| store.mount_blob(&repo, &digest, None, &|_| true)).await? {
                return Ok(());
            }
        }
        let answer = remote.blob(Method::GET, &wanted.name, &text).await?;
        let (len, max_bytes) = (content_length(&answer.headers), self.limits.max_blob_bytes);
        if len.is_some_and(|len| len > max_bytes) {
            return Err(RegistryError::BlobTooLarge(max_bytes));
        }
        let (shared, to) = (Arc::clone(&self.store), wanted.repo.clone());
        let (scratch, file, room) = self
            .blocking(move |store| {
                let room = store.upload_room(&to, None)?;
                room.check(len.unwrap_or(1))?;
                store.check_floor(len.unwrap_or(0))?;
                let scratch = Scratch::new(&shared, digest.algorithm())?;
                let file = scratch.reader()?;
                Ok((scratch, file, room))
            })
            .await?;
        transfer.begin(Source { file: file.into(), len });
        let terms = self.terms(len, 0, None, &room);
        let watched = Watched { scratch, transfer: Arc::clone(transfer), len: 0 };
        let mut body = answer.body;
        let watched = receive(&mut body, watched, terms).await?;
        let repo = wanted.repo.clone();
        self.blocking(move |store| watched.scratch.end(|ingest| store.push_blob(&repo, ingest, digest))).await
    }
}
