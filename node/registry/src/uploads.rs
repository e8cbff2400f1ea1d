//! Uploads: sessions that clients fill, in one request or in many, before and after a restart.
//!
//! What there is to know of one stands in two files: what has arrived, and for which repository and whom. Neither is
//! flushed before the upload ends: a client whose upload a power cut took starts a new one, and what a power cut garbled
//! fails the digest at the end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::access::ANONYMOUS;
use crate::blobs::ignore_missing;
use crate::digest::Algorithm;
use crate::error::{RegistryError, Result};
use crate::files::{FileHandle, Files};
use crate::ingest::Ingest;
use crate::layout;
use crate::name::RepoName;
use crate::upload_id::UploadId;

/// Longest file that says which repository an upload is for, in bytes.
const MAX_NOTE_BYTES: u64 = 1024;
/// When there is no room for a new upload, those that rested this long make way, in milliseconds.
const CROWDED_REST_MS: u64 = 60 * 60 * 1000;

/// What is kept of a session beside its bytes.
#[derive(Serialize, Deserialize)]
struct Note {
    repository: String,
    /// Nobody in particular, in those of earlier versions.
    #[serde(default)]
    owner: String,
    algorithm: String,
}

/// The file of an upload.
pub(crate) enum Growing {
    /// From before a restart; its bytes have to be hashed again.
    Asleep(Algorithm),
    /// Takes bytes.
    Awake(Box<Ingest>),
    /// Ended.
    Gone,
}

/// An upload.
pub(crate) struct Session {
    pub(crate) id: UploadId,
    pub(crate) repo: RepoName,
    /// Who started it: nobody else goes on with it, or learns that it is there.
    owner: String,
    /// Held by the one request that sends.
    pub(crate) growing: Arc<tokio::sync::Mutex<Growing>>,
    /// Tells the request that sends that another one wants to: its client has come back.
    pub(crate) takeover: Notify,
    /// Bytes received, as the last write left it.
    offset: AtomicU64,
    /// When it was last used, in milliseconds of registry time.
    used_ms: AtomicU64,
}

impl Session {
    fn new(
        id: UploadId,
        (repo, owner): (RepoName, String),
        growing: Growing,
        offset: u64,
        now_ms: u64,
    ) -> Arc<Self> {
        let growing = Arc::new(tokio::sync::Mutex::new(growing));
        let (offset, used_ms) = (AtomicU64::new(offset), AtomicU64::new(now_ms));
        Arc::new(Self { id, repo, owner, growing, takeover: Notify::new(), offset, used_ms })
    }

    /// Bytes received.
    pub(crate) fn offset(&self) -> u64 {
        self.offset.load(Ordering::SeqCst)
    }

    /// Notes that bytes arrived.
    pub(crate) fn used(&self, offset: u64, now_ms: u64) {
        self.offset.store(offset, Ordering::SeqCst);
        self.used_ms.fetch_max(now_ms, Ordering::SeqCst);
    }

    fn rested_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.used_ms.load(Ordering::SeqCst))
    }
}

/// All uploads.
pub(crate) struct Uploads {
    files: Arc<dyn Files>,
    sessions: Mutex<HashMap<UploadId, Arc<Session>>>,
    max: usize,
    rest_ms: u64,
}

impl Uploads {
    /// Finds the uploads from before this start, and removes what belongs to none.
    pub(crate) fn open(files: Arc<dyn Files>, max: usize, rest_ms: u64, now_ms: u64) -> Result<Self> {
        let failed = |error| RegistryError::io("look through", &files.describe(layout::UPLOADS), error);
        let mut sessions = HashMap::new();
        for entry in files.list(layout::UPLOADS).map_err(failed)? {
            let id = entry.name.strip_suffix(layout::SESSION_SUFFIX).unwrap_or(&entry.name).parse();
            let session = id.ok().and_then(|id| find(&*files, id, now_ms));
            match session {
                Some(session) => {
                    sessions.insert(session.id, session);
                }
                None if entry.is_dir => {}
                None => files.remove(&format!("{}/{}", layout::UPLOADS, entry.name)).map_err(failed)?,
            }
        }
        Ok(Self { files, sessions: Mutex::new(sessions), max, rest_ms })
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an upload.
    pub(crate) fn start(
        &self,
        id: UploadId,
        (repo, owner): (&RepoName, &str),
        algorithm: Algorithm,
        now_ms: u64,
    ) -> Result<Arc<Session>> {
        // One of many must not take the place of all. Whoever says nothing of themselves may be many.
        let is_theirs = |session: &&Arc<Session>| session.owner == owner;
        if owner != ANONYMOUS && self.sessions().values().filter(is_theirs).count() >= self.max.div_ceil(2) {
            return Err(RegistryError::TooMany("open uploads of yours"));
        }
        if self.sessions().len() >= self.max {
            self.expire_after(CROWDED_REST_MS.min(self.rest_ms), now_ms);
            if self.sessions().len() >= self.max {
                return Err(RegistryError::TooMany("open uploads"));
            }
        }
        let ingest = self.scratch(id, algorithm)?;
        let (repository, algorithm) = (repo.to_string(), algorithm.name().to_owned());
        let note = Note { repository, owner: owner.to_owned(), algorithm };
        let name = layout::session(id);
        let written = serde_json::to_vec(&note)
            .map_err(std::io::Error::other)
            .and_then(|note| self.files.create(&name)?.write_at(&note, 0));
        if let Err(error) = written {
            self.remove_files(id);
            return Err(RegistryError::io("write", &self.files.describe(&name), error));
        }
        let session =
            Session::new(id, (repo.clone(), owner.to_owned()), Growing::Awake(Box::new(ingest)), 0, now_ms);
        self.sessions().insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// Starts a file that no later request can name.
    pub(crate) fn scratch(&self, id: UploadId, algorithm: Algorithm) -> Result<Ingest> {
        Ingest::create(&self.files, layout::upload(id), algorithm)
    }

    /// Opens such a file a second time.
    pub(crate) fn open_scratch(&self, id: UploadId) -> Result<Box<dyn FileHandle>> {
        let name = layout::upload(id);
        self.files.open(&name, false).map_err(|e| RegistryError::io("open", &self.files.describe(&name), e))
    }

    /// An upload that `owner` opened in `repo`.
    pub(crate) fn get(&self, (repo, owner): (&RepoName, &str), id: UploadId) -> Result<Arc<Session>> {
        let sessions = self.sessions();
        let is_theirs = |session: &&Arc<Session>| session.repo == *repo && session.owner == owner;
        let session = sessions.get(&id).filter(is_theirs).map(Arc::clone);
        session.ok_or(RegistryError::UploadUnknown)
    }

    /// Makes a file ready to take bytes.
    pub(crate) fn wake<'a>(&self, id: UploadId, growing: &'a mut Growing) -> Result<&'a mut Ingest> {
        if let Growing::Asleep(algorithm) = growing {
            let resumed = Ingest::resume(&self.files, layout::upload(id), *algorithm);
            *growing = match resumed {
                Ok(ingest) => Growing::Awake(Box::new(ingest)),
                Err(RegistryError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    // It has its digest's name already: the disk failed after that.
                    self.end(id);
                    Growing::Gone
                }
                Err(error) => return Err(error),
            };
        }
        match growing {
            Growing::Awake(ingest) => Ok(ingest),
            Growing::Asleep(_) | Growing::Gone => Err(RegistryError::UploadUnknown),
        }
    }

    /// How many uploads are open, and the bytes that have arrived of them.
    pub(crate) fn open_bytes(&self) -> (u64, u64) {
        let sessions = self.sessions();
        (sessions.len() as u64, sessions.values().map(|session| session.offset()).sum())
    }

    /// The bytes that have arrived of those open uploads that are meant.
    pub(crate) fn open_bytes_of(&self, is_meant: impl Fn(&Session) -> bool) -> u64 {
        self.sessions().values().filter(|session| is_meant(session)).map(|session| session.offset()).sum()
    }

    /// Forgets an upload, with its files.
    pub(crate) fn end(&self, id: UploadId) {
        self.sessions().remove(&id);
        self.remove_files(id);
    }

    /// Removes the files of an upload. What cannot be removed is, at the next start.
    pub(crate) fn remove_files(&self, id: UploadId) {
        for name in [layout::upload(id), layout::session(id)] {
            if let Err(error) = self.files.remove(&name).or_else(ignore_missing) {
                tracing::warn!(path = self.files.describe(&name), %error, "cannot remove the file of an upload");
            }
        }
    }

    /// Ends the uploads that rested too long; gives how many.
    pub(crate) fn expire(&self, now_ms: u64) -> u64 {
        self.expire_after(self.rest_ms, now_ms)
    }

    fn expire_after(&self, rest_ms: u64, now_ms: u64) -> u64 {
        let mut ended = Vec::new();
        self.sessions().retain(|id, session| {
            let stays = session.rested_ms(now_ms) <= rest_ms;
            // One that a request holds is not at rest.
            let Ok(mut growing) = session.growing.try_lock() else { return true };
            if !stays {
                *growing = Growing::Gone;
                ended.push(*id);
            }
            stays
        });
        for id in &ended {
            self.remove_files(*id);
        }
        ended.len() as u64
    }
}

/// An upload from before this start, if both of its files are there.
fn find(files: &dyn Files, id: UploadId, now_ms: u64) -> Option<Arc<Session>> {
    let offset = files.open(&layout::upload(id), false).ok()?.len().ok()?;
    let file = files.open(&layout::session(id), false).ok()?;
    let len = file.len().ok().filter(|len| *len <= MAX_NOTE_BYTES)?;
    let mut note = vec![0; usize::try_from(len).ok()?];
    file.read_at(&mut note, 0).ok()?;
    let note: Note = serde_json::from_slice(&note).ok()?;
    let (repo, algorithm) = (note.repository.parse().ok()?, note.algorithm.parse().ok()?);
    Some(Session::new(id, (repo, note.owner), Growing::Asleep(algorithm), offset, now_ms))
}
