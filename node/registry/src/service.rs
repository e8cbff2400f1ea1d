//! A whole registry, started and stopped: store, care, the port, the administration's socket, the metrics.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::admin::AdminServer;
use crate::care::{Care, Plan};
use crate::error::{RegistryError, Result};
use crate::files::OsFiles;
use crate::http::{Registry, serve_metrics, serve_until};
use crate::limits::Limits;
use crate::store::{Options, Store};

/// What a registry is started with.
#[derive(Clone)]
pub struct Setup {
    /// Where its files are.
    pub directory: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where its metrics are told; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// How much it takes.
    pub limits: Limits,
    /// How its store is opened.
    pub options: Options,
    /// How it is cared for.
    pub plan: Plan,
    /// How long requests that run have to end when it is stopped.
    pub grace: Duration,
}

impl Setup {
    /// A registry in `directory` that listens at `listen`, and all else as usual.
    pub fn new(directory: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            directory: directory.into(),
            listen,
            metrics: None,
            limits: Limits::default(),
            options: Options::default(),
            plan: Plan::default(),
            grace: Duration::from_secs(10),
        }
    }
}

/// A registry that runs. When this is dropped it stops as [`Running::stop`] does, but nobody waits for that.
pub struct Running {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    store: Arc<Store>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    metrics: Option<Aborted>,
    admin: Option<AdminServer>,
    care: Care,
}

/// A task that ends when this is dropped.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |error| RegistryError::io("listen on", &address.to_string(), error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Starts a registry. Needs a runtime; blocks it while the store is opened.
///
/// # Errors
/// When the directory is in use or cannot be written, or a port is taken.
pub async fn start(setup: Setup) -> Result<Running> {
    let (listener, address) = listen(setup.listen).await?;
    let metrics_listener = match setup.metrics {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let store = Arc::new(Store::open(OsFiles::new(&setup.directory), &setup.options)?);
    // Without it everything but the operator's commands works.
    let admin = AdminServer::start(&store, &setup.directory)
        .inspect_err(|error| tracing::warn!(%error, "commands cannot reach this registry while it serves"))
        .ok();
    let care = Care::start(Arc::clone(&store), setup.plan)
        .map_err(|error| RegistryError::io("start", "a thread", error))?;
    let registry = Registry::new(Arc::clone(&store), setup.limits);
    let metrics_address = metrics_listener.as_ref().map(|(_, address)| *address);
    let metrics = metrics_listener.map(|(listener, _)| {
        let store = Arc::clone(&store);
        Aborted(tokio::spawn(async move {
            if let Err(error) = serve_metrics(listener, store).await {
                tracing::error!(%error, "the metrics are no longer told");
            }
        }))
    });
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        if let Err(error) = serve_until(listener, registry, stopped, setup.grace).await {
            tracing::error!(%error, "the registry no longer serves");
        }
    });
    Ok(Running { address, metrics_address, store, stop, serving, metrics, admin, care })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are told.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Its content.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Takes no more connections, lets requests that run end within their grace, and closes the store.
    pub async fn stop(self) {
        let Self { stop, serving, metrics, admin, care, store, .. } = self;
        drop(metrics);
        // It has ended by itself if nobody listens.
        let _ = stop.send(());
        let _ = serving.await;
        if let Some(admin) = admin {
            admin.stop().await;
        }
        // Joins a thread that may be in the middle of a file.
        let closed = tokio::task::spawn_blocking(move || {
            drop(care);
            drop(store);
        });
        let _ = closed.await;
    }
}
