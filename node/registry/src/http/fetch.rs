//! Fetches from upstreams: what arrives is verified, and kept.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header};
use tokio::sync::OwnedSemaphorePermit;

use super::handler::Registry;
use super::pull::Wanted;
use super::receive::{Sink, Terms, receive};
use super::respond::CONTENT_DIGEST;
use super::uploads::Scratch;
use crate::client::Received;
use crate::digest::{Algorithm, Digest};
use crate::error::{RegistryError, Result};
use crate::files::FileHandle;
use crate::limits::{MAX_MANIFEST_BYTES, SMALL_BYTES};
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::name::{Reference, RepoName, Tag};
use crate::policy::quota::Room;
use crate::policy::reserve::Reserved;
use crate::store::Store;
use crate::upstream::{Outcome, Remote, Source, Transfer, UpstreamError, Upstreams};

/// A blob on its way into a file, and to those who watch it.
struct Watched {
    scratch: Scratch,
    transfer: Arc<Transfer>,
    len: u64,
}

impl Sink for Watched {
    fn append(&mut self, batch: &[u8]) -> Result<()> {
        self.scratch.append(batch)?;
        self.len += batch.len() as u64;
        self.transfer.grown(self.len);
        Ok(())
    }
}

/// Counts what an upstream sends.
pub(super) struct Counted<S> {
    pub(super) sink: S,
    upstreams: Arc<Upstreams>,
}

impl<S: Sink> Sink for Counted<S> {
    fn append(&mut self, batch: &[u8]) -> Result<()> {
        self.upstreams.received(batch.len() as u64);
        self.sink.append(batch)
    }
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Which of the media types of manifests an upstream says it is; others, such as plain JSON, say nothing.
pub(super) fn manifest_type(headers: &HeaderMap) -> Option<&'static str> {
    let said = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].into_iter().find(|kind| *kind == said)
}

pub(super) fn said_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// What is the upstream's fault is not told as the client's.
pub(super) fn blame(remote: &Remote, error: RegistryError) -> RegistryError {
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

impl Registry {
    /// Waits for a place among those that fetch.
    pub(super) async fn fetch_place(&self) -> Result<Option<OwnedSemaphorePermit>> {
        match &self.upstreams.places {
            Some(places) => self.place(places, "fetches from upstream").await.map(Some),
            None => Ok(None),
        }
    }

    /// Carries out what takes `bytes` more for a copy in `repo`. If there is no room for them, other copies make way, for
    /// one fetch at a time.
    async fn with_room<T: Send + 'static>(
        &self,
        repo: &RepoName,
        bytes: u64,
        work: impl Fn(&Store) -> Result<T> + Clone + Send + 'static,
    ) -> Result<T> {
        match self.blocking(work.clone()).await {
            Err(error) if error.is_no_room() => {}
            result => return result,
        }
        let _turn = self.upstreams.turn.lock().await;
        let repo = repo.clone();
        self.blocking(move |store| store.with_room(&repo, bytes, || work(store))).await
    }

    /// Reserves `bytes` for a copy in `repo`; gives also how much it may take.
    async fn reserve(&self, repo: &RepoName, bytes: u64) -> Result<(Arc<Reserved>, Room)> {
        let of = repo.clone();
        self.with_room(repo, bytes, move |store| store.reserve(&of, bytes)).await
    }

    /// Begins the file of a copy, and opens it for those who watch it.
    async fn begin_copy(
        &self,
        digest: Digest,
        reserved: Arc<Reserved>,
    ) -> Result<(Scratch, Box<dyn FileHandle>)> {
        let store = Arc::clone(&self.store);
        self.blocking(move |_| {
            let scratch = Scratch::new(&store, digest.algorithm())?.within(reserved);
            let file = scratch.reader()?;
            Ok((scratch, file))
        })
        .await
    }

    pub(super) fn counted<S: Sink>(&self, sink: S) -> Counted<S> {
        Counted { sink, upstreams: Arc::clone(&self.upstreams) }
    }

    /// Fetches a manifest; `here` is what a tag means here so far.
    pub(super) async fn fetch_manifest(
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
        // Upstreams count these questions: none is asked whose answer could not be kept.
        drop(self.reserve(&wanted.repo, SMALL_BYTES).await?);
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
        let scratch = receive(&mut body, self.counted(scratch), terms).await?.sink;
        let repo = wanted.repo.clone();
        self.blocking(move |store| {
            scratch.end(|ingest| store.keep_manifest(&repo, ingest, (expected, tag.as_ref()), kind))
        })
        .await
    }

    pub(super) fn fetch_terms(
        &self,
        max_bytes: u64,
        too_long: RegistryError,
        exact: Option<u64>,
    ) -> Terms<'static> {
        Terms { max_bytes, too_long, exact, batch_time: self.limits.batch_time, takeover: None }
    }

    /// Fetches a blob, for those who watch `transfer`.
    pub(super) async fn fetch_blob(
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
            let head = remote.blob(Method::HEAD, &wanted.name, &text).await?;
            let (repo, bytes) = (wanted.repo.clone(), content_length(&head.headers).unwrap_or(1));
            let mount = move |store: &Store| store.mount_blob(&repo, &digest, None, &|_| true);
            if self.with_room(&wanted.repo, bytes, mount).await? {
                return Ok(());
            }
        }
        let answer = remote.blob(Method::GET, &wanted.name, &text).await?;
        let (len, max_bytes) = (content_length(&answer.headers), self.limits.max_blob_bytes);
        if len.is_some_and(|len| len > max_bytes) {
            return Err(RegistryError::BlobTooLarge(max_bytes));
        }
        let begun = match self.reserve(&wanted.repo, len.unwrap_or(1)).await {
            Ok((reserved, room)) => self.begin_copy(digest, reserved).await.map(|begun| (begun, room)),
            Err(error) => Err(error),
        };
        let ((scratch, file), room) = match begun {
            Err(error) if error.is_no_room() => {
                transfer.leave(answer);
                return Err(error);
            }
            begun => begun?,
        };
        transfer.begin(Source { file: file.into(), len });
        let terms = self.terms(len, 0, None, &room);
        let watched = Watched { scratch, transfer: Arc::clone(transfer), len: 0 };
        let mut body = answer.body;
        let watched = receive(&mut body, self.counted(watched), terms).await?.sink;
        let repo = wanted.repo.clone();
        self.blocking(move |store| watched.scratch.end(|ingest| store.push_blob(&repo, ingest, digest))).await
    }
}
