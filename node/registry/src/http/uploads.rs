//! Uploads: started, continued, ended, asked for, cancelled; and blobs mounted from another repository.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

use super::chunk::{Chunk, content_length};
use super::handler::Registry;
use super::query::Query;
use super::receive::{Sink, Terms, drain, receive};
use super::respond::{Answer, UPLOAD_UUID, refusal};
use super::visit::Visit;
use crate::access::Action;
use crate::digest::{Algorithm, Digest};
use crate::error::{RegistryError, Result};
use crate::files::FileHandle;
use crate::ingest::Ingest;
use crate::limits::SMALL_BYTES;
use crate::name::RepoName;
use crate::policy::quota::Room;
use crate::policy::reserve::Reserved;
use crate::store::Store;
use crate::upload_id::UploadId;
use crate::uploads::{Growing, Session};

/// How often a request looks whether the one before it has let the upload go.
const TAKEOVER_POLL: Duration = Duration::from_millis(20);

/// An upload that a request holds.
struct Held {
    store: Arc<Store>,
    session: Arc<Session>,
    growing: OwnedMutexGuard<Growing>,
}

impl Sink for Held {
    fn append(&mut self, batch: &[u8]) -> Result<()> {
        self.store.check_floor(batch.len() as u64)?;
        let ingest = self.store.uploads.wake(self.session.id, &mut self.growing)?;
        let result = ingest.append(batch);
        self.session.used(ingest.len(), self.store.now_ms());
        result
    }
}

/// A file of one request only; it goes when the request fails or its client goes away.
pub(super) struct Scratch {
    store: Arc<Store>,
    id: UploadId,
    ingest: Option<Ingest>,
    is_placed: bool,
}

impl Scratch {
    pub(super) fn new(store: &Arc<Store>, algorithm: Algorithm) -> Result<Self> {
        let id = new_id()?;
        let ingest = Some(store.uploads.scratch(id, algorithm)?);
        Ok(Self { store: Arc::clone(store), id, ingest, is_placed: false })
    }

    /// The same for what room is reserved for.
    pub(super) fn within(mut self, reserved: Arc<Reserved>) -> Self {
        if let Some(ingest) = &mut self.ingest {
            ingest.reserved = Some(reserved);
        }
        self
    }

    /// Opens what arrives a second time, to be read while it does.
    pub(super) fn reader(&self) -> Result<Box<dyn FileHandle>> {
        self.store.uploads.open_scratch(self.id)
    }

    /// Lets `push` make what has arrived something that stays.
    pub(super) fn end<T>(mut self, push: impl FnOnce(Ingest) -> Result<T>) -> Result<T> {
        let pushed = push(self.ingest.take().ok_or(RegistryError::Interrupted)?)?;
        self.is_placed = true;
        Ok(pushed)
    }
}

impl Sink for Scratch {
    fn append(&mut self, batch: &[u8]) -> Result<()> {
        let ingest = self.ingest.as_mut().ok_or(RegistryError::Interrupted)?;
        self.store.check_part(ingest.reserved.as_deref(), batch.len() as u64)?;
        ingest.append(batch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.is_placed {
            return;
        }
        let (store, id) = (Arc::clone(&self.store), self.id);
        // To remove a long file takes a while, and other requests must not wait for it.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || store.uploads.remove_files(id))),
            Err(_) => store.uploads.remove_files(id),
        }
    }
}

fn new_id() -> Result<UploadId> {
    UploadId::random().map_err(|e| RegistryError::io("draw", "random bytes", e))
}

fn blob_path(repo: &RepoName, digest: &Digest) -> String {
    format!("/v2/{repo}/blobs/{digest}")
}

fn created(repo: &RepoName, digest: &Digest) -> Response {
    Answer::new(StatusCode::CREATED).location(blob_path(repo, digest)).digest(digest).empty()
}

/// An answer that tells where an upload stands. The specification's way to say "nothing yet" is `0-0`.
fn progress(status: StatusCode, repo: &RepoName, id: UploadId, offset: u64) -> Answer {
    Answer::new(status)
        .location(format!("/v2/{repo}/blobs/uploads/{id}"))
        .header(header::RANGE, format!("0-{}", offset.saturating_sub(1)))
        .header(UPLOAD_UUID, id.to_string())
}

impl Registry {
    pub(super) async fn start_upload(
        &self,
        parts: &Parts,
        body: &mut Body,
        visit: &Arc<Visit>,
        repo: RepoName,
        query: &Query,
    ) -> Result<Response> {
        if let Some(digest) = query.get("mount") {
            let digest: Digest = digest.parse()?;
            let from =
                query.get("from").filter(|from| !from.is_empty()).map(str::parse::<RepoName>).transpose()?;
            if let Some(from) = &from {
                visit.check_source(parts, &repo, from)?;
            }
            let (to, visit) = (repo.clone(), Arc::clone(visit));
            let mount = move |store: &Store| {
                store.mount_blob(&to, &digest, from.as_ref(), &|from| visit.may(from, Action::Pull))
            };
            if self.blocking(mount).await? {
                return Ok(created(&repo, &digest));
            }
        }
        let algorithm = query.get("digest-algorithm").map(str::parse::<Algorithm>).transpose()?;
        if let Some(digest) = query.get("digest") {
            let digest: Digest = digest.parse()?;
            return self.push_at_once(parts, body, repo, digest).await;
        }
        let (id, to, owner) = (new_id()?, repo.clone(), visit.owner());
        let algorithm = algorithm.unwrap_or(Algorithm::Sha256);
        self.blocking(move |store| {
            store.check_floor(0)?;
            // One byte at least: a client that can push nothing should not begin.
            store.upload_room(&to, None)?.check(1)?;
            store.uploads.start(id, (&to, &owner), algorithm, store.now_ms())
        })
        .await?;
        Ok(progress(StatusCode::ACCEPTED, &repo, id, 0).empty())
    }

    /// A blob in a single request.
    async fn push_at_once(
        &self,
        parts: &Parts,
        body: &mut Body,
        repo: RepoName,
        digest: Digest,
    ) -> Result<Response> {
        let len = content_length(&parts.headers)?;
        let max_bytes = self.limits.max_blob_bytes;
        if len.is_some_and(|len| len > max_bytes) {
            return Err(RegistryError::BlobTooLarge(max_bytes));
        }
        let _place =
            if len.is_some_and(|len| len <= SMALL_BYTES) { None } else { Some(self.upload_place().await?) };
        let (shared, to) = (Arc::clone(&self.store), repo.clone());
        let begin = move |store: &Store| {
            let room = store.upload_room(&to, None)?;
            room.check(len.unwrap_or(0))?;
            store.check_floor(len.unwrap_or(0))?;
            Ok((Scratch::new(&shared, digest.algorithm())?, room))
        };
        let (scratch, room) = self.blocking(begin).await?;
        let scratch = receive(body, scratch, self.terms(len, 0, None, &room)).await?;
        let to = repo.clone();
        self.blocking(move |store| scratch.end(|ingest| store.push_blob(&to, ingest, digest))).await?;
        Ok(created(&repo, &digest))
    }

    pub(super) fn terms<'a>(
        &self,
        exact: Option<u64>,
        offset: u64,
        session: Option<&'a Session>,
        room: &Room,
    ) -> Terms<'a> {
        let max_bytes = self.limits.max_blob_bytes;
        let is_roomy = room.bytes >= max_bytes;
        Terms {
            max_bytes: max_bytes.min(room.bytes).saturating_sub(offset),
            too_long: if is_roomy { RegistryError::BlobTooLarge(max_bytes) } else { room.refusal() },
            exact,
            batch_time: self.limits.batch_time,
            takeover: session.map(|session| &session.takeover),
        }
    }

    /// Holds an upload. Whoever holds it is told to let go: a client that comes back has lost its last connection.
    async fn hold(&self, visit: &Visit, repo: &RepoName, id: UploadId) -> Result<Held> {
        let session = self.store.uploads.get((repo, &visit.owner()), id)?;
        let until = Instant::now() + self.limits.takeover_time;
        loop {
            if let Ok(growing) = Arc::clone(&session.growing).try_lock_owned() {
                return Ok(Held { store: Arc::clone(&self.store), session, growing });
            }
            if Instant::now() >= until {
                return Err(RegistryError::TooMany("requests on this upload"));
            }
            session.takeover.notify_waiters();
            sleep(TAKEOVER_POLL).await;
        }
    }

    /// Receives the body of a request on an upload.
    async fn continue_upload(&self, parts: &Parts, body: &mut Body, held: Held) -> Result<Held> {
        let chunk = Chunk::read(&parts.headers)?;
        let is_asleep = matches!(*held.growing, Growing::Asleep(_));
        let long = if is_asleep {
            Some(self.place(&self.long_hashes, "uploads taken up again").await?)
        } else {
            None
        };
        // Before the body is read: what does not fit must not be sent first.
        let (mut held, room) = self
            .blocking(move |store| {
                let mut held = held;
                let offset = store.uploads.wake(held.session.id, &mut held.growing)?.len();
                held.session.used(offset, store.now_ms());
                let room = store.upload_room(&held.session.repo, Some(held.session.id))?;
                Ok((held, room))
            })
            .await?;
        drop(long);
        let session = Arc::clone(&held.session);
        let offset = session.offset();
        chunk.check_start(offset)?;
        let _place = if chunk.len.is_some_and(|len| len <= SMALL_BYTES) {
            None
        } else {
            Some(self.upload_place().await?)
        };
        let terms = self.terms(chunk.len, offset, Some(&session), &room);
        if chunk.len.is_some_and(|len| len > terms.max_bytes) {
            return Err(terms.too_long);
        }
        held = receive(body, held, terms).await?;
        Ok(held)
    }

    pub(super) async fn patch_upload(
        &self,
        parts: &Parts,
        body: &mut Body,
        visit: &Visit,
        repo: RepoName,
        id: UploadId,
    ) -> Result<Response> {
        let held = self.hold(visit, &repo, id).await?;
        match self.continue_upload(parts, body, held).await {
            Ok(held) => Ok(progress(StatusCode::ACCEPTED, &repo, id, held.session.offset()).empty()),
            Err(error) => self.misplaced(parts, body, &repo, id, error).await,
        }
    }

    /// The answer to a chunk that does not continue the upload says where it stands.
    async fn misplaced(
        &self,
        parts: &Parts,
        body: &mut Body,
        repo: &RepoName,
        id: UploadId,
        error: RegistryError,
    ) -> Result<Response> {
        let RegistryError::OutOfOrder { offset } = error else { return Err(error) };
        drain(&parts.headers, body).await;
        let mut response = refusal(&error);
        let headers = progress(error.status(), repo, id, offset).empty();
        response.headers_mut().extend(headers.headers().clone());
        Ok(response)
    }

    pub(super) async fn end_upload(
        &self,
        parts: &Parts,
        body: &mut Body,
        visit: &Visit,
        (repo, id): (RepoName, UploadId),
        query: &Query,
    ) -> Result<Response> {
        let digest = query.get("digest").ok_or(RegistryError::BadParameter("the digest is missing"))?;
        let digest: Digest = digest.parse()?;
        let held = self.hold(visit, &repo, id).await?;
        let held = match self.continue_upload(parts, body, held).await {
            Ok(held) => held,
            Err(error) => return self.misplaced(parts, body, &repo, id, error).await,
        };
        let is_hashed =
            matches!(&*held.growing, Growing::Awake(ingest) if ingest.algorithm() == digest.algorithm());
        let _long = if is_hashed {
            None
        } else {
            Some(self.place(&self.long_hashes, "hashes of another kind").await?)
        };
        let to = repo.clone();
        self.blocking(move |store| {
            let mut held = held;
            let Growing::Awake(ingest) = std::mem::replace(&mut *held.growing, Growing::Gone) else {
                return Err(RegistryError::UploadUnknown);
            };
            let algorithm = ingest.algorithm();
            let result = store.push_blob(&to, *ingest, digest);
            match &result {
                // Its bytes will never have that digest.
                Ok(()) | Err(RegistryError::DigestMismatch(_)) => store.uploads.end(id),
                // The disk failed: the client may try again.
                Err(_) => *held.growing = Growing::Asleep(algorithm),
            }
            result
        })
        .await?;
        Ok(created(&repo, &digest))
    }

    pub(super) fn upload_status(&self, visit: &Visit, repo: &RepoName, id: UploadId) -> Result<Response> {
        let session = self.store.uploads.get((repo, &visit.owner()), id)?;
        Ok(progress(StatusCode::NO_CONTENT, repo, id, session.offset()).empty())
    }

    pub(super) async fn cancel_upload(
        &self,
        visit: &Visit,
        repo: RepoName,
        id: UploadId,
    ) -> Result<Response> {
        let mut held = self.hold(visit, &repo, id).await?;
        self.blocking(move |store| {
            *held.growing = Growing::Gone;
            store.uploads.end(id);
            Ok(())
        })
        .await?;
        Ok(Answer::new(StatusCode::NO_CONTENT).empty())
    }
}
