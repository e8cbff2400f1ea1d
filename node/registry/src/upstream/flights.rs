//! What is on its way from upstreams: each thing once, however many clients want it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::client::Received;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::files::FileHandle;
use crate::name::RepoName;

/// Manifests on their way at once, and as many blobs. What is beyond is refused: a fetch goes on when its client goes
/// away, so the places of clients bound it not at all.
const MAX_FLIGHTS: usize = 64;

fn too_many() -> RegistryError {
    RegistryError::TooMany("fetches from upstream")
}

/// How far a blob has come.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// The upstream has not answered.
    Asking,
    /// So many bytes are in the file.
    Growing(u64),
    /// All of it is here, verified and kept.
    Kept,
    /// It will not come.
    Failed(Arc<RegistryError>),
}

/// What is known of a blob once the upstream has answered.
pub(crate) struct Source {
    pub(crate) file: Arc<dyn FileHandle>,
    /// Its length in bytes, if the upstream said so.
    pub(crate) len: Option<u64>,
}

/// A blob on its way.
pub(crate) struct Transfer {
    source: OnceLock<Source>,
    /// An answer of the upstream that there was no room for.
    left: Mutex<Option<Received>>,
    progress: watch::Sender<Progress>,
}

impl Transfer {
    fn new(progress: Progress) -> Self {
        Self { source: OnceLock::new(), left: Mutex::default(), progress: watch::Sender::new(progress) }
    }

    /// Says where the bytes go.
    pub(crate) fn begin(&self, source: Source) {
        let _ = self.source.set(source);
        self.progress.send_replace(Progress::Growing(0));
    }

    /// Says how many bytes are there.
    pub(crate) fn grown(&self, len: u64) {
        self.progress.send_replace(Progress::Growing(len));
    }

    /// Leaves an answer that cannot be kept to one of those who wait for it.
    pub(crate) fn leave(&self, answer: Received) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// Takes what was left. Whoever comes too late asks the upstream.
    pub(crate) fn take_left(&self) -> Option<Received> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn end(&self, result: Result<(), Arc<RegistryError>>) {
        self.progress.send_replace(match result {
            Ok(()) => Progress::Kept,
            Err(error) => Progress::Failed(error),
        });
    }

    pub(crate) fn source(&self) -> Option<&Source> {
        self.source.get()
    }

    /// Follows it.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}

type Outcome = Option<Result<(), Arc<RegistryError>>>;
type Manifests = HashMap<(RepoName, String), watch::Receiver<Outcome>>;
type Blobs = HashMap<(RepoName, Digest), Arc<Transfer>>;

/// Everything on its way.
#[derive(Default)]
pub(crate) struct Flights {
    manifests: Mutex<Manifests>,
    blobs: Mutex<Blobs>,
}

impl Flights {
    fn manifests(&self) -> std::sync::MutexGuard<'_, Manifests> {
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blobs(&self) -> std::sync::MutexGuard<'_, Blobs> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out `fetch` for a manifest, unless somebody does already, and waits for the end of that.
///
/// It goes on when this client goes away: others may wait for it, and the next one will ask for it.
pub(crate) async fn manifest(
    upstreams: &Arc<super::Upstreams>,
    key: (RepoName, String),
    fetch: impl Future<Output = Result<()>> + Send + 'static,
) -> Result<()> {
    let mut outcome = {
        let mut manifests = upstreams.flights.manifests();
        if let Some(outcome) = manifests.get(&key) {
            outcome.clone()
        } else if manifests.len() >= MAX_FLIGHTS {
            return Err(too_many());
        } else {
            let (sender, outcome) = watch::channel(None);
            manifests.insert(key.clone(), outcome.clone());
            let upstreams = Arc::clone(upstreams);
            tokio::spawn(async move {
                // On a task of its own, so that the table is tidied even if it panics.
                let result = tokio::spawn(fetch).await.unwrap_or(Err(RegistryError::Interrupted));
                upstreams.flights.manifests().remove(&key);
                sender.send_replace(Some(result.map_err(Arc::new)));
            });
            outcome
        }
    };
    let ended = outcome.wait_for(Option::is_some).await.map_err(|_| RegistryError::Interrupted)?;
    match &*ended {
        Some(Err(error)) => Err(RegistryError::Shared(Arc::clone(error))),
        Some(Ok(())) => Ok(()),
        None => Err(RegistryError::Interrupted),
    }
}

/// A blob on its way: the one that is, or one that `fetch` starts. It has failed already if there are too many.
pub(crate) fn blob<F: Future<Output = Result<()>> + Send + 'static>(
    upstreams: &Arc<super::Upstreams>,
    key: (RepoName, Digest),
    fetch: impl FnOnce(Arc<Transfer>) -> F,
) -> Arc<Transfer> {
    let mut blobs = upstreams.flights.blobs();
    if let Some(transfer) = blobs.get(&key) {
        return Arc::clone(transfer);
    }
    if blobs.len() >= MAX_FLIGHTS {
        return Arc::new(Transfer::new(Progress::Failed(Arc::new(too_many()))));
    }
    let transfer = Arc::new(Transfer::new(Progress::Asking));
    blobs.insert(key.clone(), Arc::clone(&transfer));
    let (upstreams, own) = (Arc::clone(upstreams), Arc::clone(&transfer));
    let fetch = fetch(Arc::clone(&transfer));
    tokio::spawn(async move {
        let result = tokio::spawn(fetch).await.unwrap_or(Err(RegistryError::Interrupted));
        upstreams.flights.blobs().remove(&key);
        own.end(result.map_err(Arc::new));
    });
    transfer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::digest::Algorithm;
    use crate::upstream::Upstreams;

    fn is_too_many(error: &RegistryError) -> bool {
        matches!(error.innermost(), RegistryError::TooMany(_))
    }

    #[tokio::test]
    async fn what_is_on_its_way_is_bounded() {
        let upstreams = Arc::new(Upstreams::default());
        let (repo, gate) = ("a/b".parse::<RepoName>().unwrap(), Arc::new(Semaphore::new(0)));
        let fetch = |gate: &Arc<Semaphore>| {
            let gate = Arc::clone(gate);
            async move { gate.acquire().await.map(drop).map_err(|_| RegistryError::Interrupted) }
        };
        let manifest = |name: String| {
            let (upstreams, key, fetch) = (Arc::clone(&upstreams), (repo.clone(), name), fetch(&gate));
            tokio::spawn(async move { manifest(&upstreams, key, fetch).await })
        };
        let blob = |number: usize| {
            let digest = Digest::of(Algorithm::Sha256, &number.to_le_bytes());
            blob(&upstreams, (repo.clone(), digest), |_| fetch(&gate)).watch()
        };
        for number in 0..MAX_FLIGHTS {
            // Its client goes away.
            let asking = manifest(number.to_string());
            while upstreams.flights.manifests().len() <= number {
                tokio::task::yield_now().await;
            }
            asking.abort();
            assert!(matches!(*blob(number).borrow(), Progress::Asking));
        }
        let refused = manifest("other".to_owned()).await.unwrap().unwrap_err();
        assert!(is_too_many(&refused), "{refused}");
        assert!(matches!(&*blob(MAX_FLIGHTS).borrow(), Progress::Failed(error) if is_too_many(error)));
        assert_eq!(upstreams.flights.manifests().len(), MAX_FLIGHTS);
        // Those that are on their way may be waited for all the same.
        let (joined, mut followed) = (manifest("0".to_owned()), blob(0));
        assert!(matches!(*followed.borrow(), Progress::Asking));
        gate.add_permits(1);
        joined.await.unwrap().unwrap();
        followed.wait_for(|progress| matches!(progress, Progress::Kept)).await.unwrap();
        // The end of each makes room.
        manifest("other".to_owned()).await.unwrap().unwrap();
        let mut other = blob(MAX_FLIGHTS);
        assert!(other.wait_for(|progress| matches!(progress, Progress::Kept)).await.is_ok());
    }
}
