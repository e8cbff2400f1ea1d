//! What is on its way from upstreams: each thing once, however many clients want it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

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

    fn end(&self, result: Ended) {
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

type Ended = Result<(), Arc<RegistryError>>;
type Outcome = Option<Ended>;
type Manifests = HashMap<(RepoName, String), watch::Receiver<Outcome>>;
type Blobs = HashMap<(RepoName, Digest), Arc<Transfer>>;

/// Everything on its way.
#[derive(Default)]
pub(crate) struct Flights {
    manifests: Mutex<Manifests>,
    blobs: Mutex<Blobs>,
    tasks: Mutex<JoinSet<()>>,
}

/// Says what became of a fetch when it is dropped: also when the fetch panics or is stopped.
struct Landing<L: FnOnce(Ended)> {
    result: Result<()>,
    land: Option<L>,
}

impl<L: FnOnce(Ended)> Landing<L> {
    async fn after(mut self, fetch: impl Future<Output = Result<()>>) {
        self.result = fetch.await;
    }
}

impl<L: FnOnce(Ended)> Drop for Landing<L> {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Ok(()));
        if let Some(land) = self.land.take() {
            land(result.map_err(Arc::new));
        }
    }
}

impl Flights {
    fn manifests(&self) -> std::sync::MutexGuard<'_, Manifests> {
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blobs(&self) -> std::sync::MutexGuard<'_, Blobs> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a fetch, and tells `land` what became of it; at once where nothing is carried out any more.
    fn start(
        &self,
        fetch: impl Future<Output = Result<()>> + Send + 'static,
        land: impl FnOnce(Ended) + Send + 'static,
    ) {
        let landing = Landing { result: Err(RegistryError::Interrupted), land: Some(land) };
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(landing.after(fetch));
    }

    /// Ends whatever is on its way, and waits until what it had is let go. For when nobody asks for more.
    pub(super) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
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
            // It may land at once, and then has to be taken out.
            drop(manifests);
            let own = Arc::clone(upstreams);
            upstreams.flights.start(fetch, move |ended| {
                own.flights.manifests().remove(&key);
                sender.send_replace(Some(ended));
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
    drop(blobs);
    let (of, own) = (Arc::clone(upstreams), Arc::clone(&transfer));
    upstreams.flights.start(fetch(Arc::clone(&transfer)), move |ended| {
        of.flights.blobs().remove(&key);
        own.end(ended);
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

    fn panics() -> Result<()> {
        panic!("as a fetch must not")
    }

    fn is_interrupted(error: &RegistryError) -> bool {
        matches!(error.innermost(), RegistryError::Interrupted)
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

    #[tokio::test]
    async fn nothing_is_on_its_way_after_a_stop_nor_after_a_panic() {
        let upstreams = Arc::new(Upstreams::default());
        let (repo, held) = ("a/b".parse::<RepoName>().unwrap(), Arc::new(()));
        let never = |held: &Arc<()>| {
            let held = Arc::clone(held);
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok(())
            }
        };
        let key = (repo.clone(), Digest::of(Algorithm::Sha256, b"x"));
        let transfer = blob(&upstreams, key.clone(), |_| never(&held));
        let (of, fetch) = (Arc::clone(&upstreams), never(&held));
        let waiting = tokio::spawn(async move { manifest(&of, (repo, "v1".to_owned()), fetch).await });
        while upstreams.flights.manifests().is_empty() {
            tokio::task::yield_now().await;
        }
        upstreams.stop().await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(matches!(waiting.await.unwrap(), Err(error) if is_interrupted(&error)));
        assert!(matches!(&*transfer.watch().borrow(), Progress::Failed(error) if is_interrupted(error)));
        let mut panicking = blob(&upstreams, key, |_| async { panics() }).watch();
        let failed = panicking.wait_for(|progress| matches!(progress, Progress::Failed(_))).await.unwrap();
        assert!(matches!(&*failed, Progress::Failed(error) if is_interrupted(error)));
        assert!(upstreams.flights.manifests().is_empty() && upstreams.flights.blobs().is_empty());
    }
}
