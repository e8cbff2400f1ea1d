//! A whole registry, started and stopped: store, care, the port, the administration's socket, the metrics.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::acme::{Acme, AcmeError, Challenges, Pace, serve_challenges};
use crate::admin::AdminServer;
use crate::care::{Care, Plan};
use crate::error::{RegistryError, Result};
use crate::files::OsFiles;
use crate::http::{Extras, Registry, serve_metrics, serve_tls_until, serve_until};
use crate::limits::Limits;
use crate::logs::AccessLog;
use crate::settings::{LiveSettings, Settings, SettingsError};
use crate::store::{Options, Store};
use crate::tls::{Certificates, Keeper, TlsError, TlsSettings, now_seconds};
use crate::upstream::{UpstreamSettingsError, Upstreams};

/// How long what still works on the store, when all else has stopped, has to end: most often it writes a part of a file.
/// With the grace of requests it stays below the 20 seconds after which the service's supervisor kills.
const CLOSE_TIME: Duration = Duration::from_secs(8);

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Everybody may do everything: for a registry that only its own machine reaches.
    Open,
    /// Everybody may pull; whoever has a token that one of these keys signed may do what the token says.
    Keys(Vec<[u8; 32]>),
    /// What the file says, as it is changed.
    File(PathBuf),
}

/// A machine's host name and its addresses, as they are when it is asked.
pub type Machine = fn() -> (String, Vec<IpAddr>);

/// What a registry is started with.
#[derive(Clone)]
pub struct Setup {
    /// Where its files are.
    pub directory: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it listens for TLS; `None`: where its settings say, else nowhere.
    pub tls: Option<SocketAddr>,
    /// What certificates are for, and what an open registry answers to.
    pub machine: Machine,
    /// Where its metrics are told; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Who may do what.
    pub rules: Rules,
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
            tls: None,
            machine: || ("localhost".to_owned(), Vec::new()),
            metrics: None,
            rules: Rules::Open,
            options: Options::default(),
            plan: Plan::default(),
            grace: Duration::from_secs(10),
        }
    }
}

/// Why a registry does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory or a port.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Its settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What it wants of a public authority.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// A registry that it should keep copies of.
    #[error(transparent)]
    Upstream(#[from] UpstreamSettingsError),
}

/// A registry that runs. When this is dropped it stops as [`Running::stop`] does, but nobody waits for that.
pub struct Running {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    metrics_address: Option<SocketAddr>,
    store: Arc<Store>,
    upstreams: Arc<Upstreams>,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
    /// What goes on beside: metrics, certificates.
    beside: Vec<Aborted>,
    admin: Option<AdminServer>,
    care: Care,
    log: Option<Arc<AccessLog>>,
}

/// A task that ends when this is dropped.
struct Aborted(JoinHandle<()>);

impl Aborted {
    /// Ends it, and waits until what it had is let go.
    async fn end(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

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

async fn listen_if(address: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>> {
    match address {
        Some(address) => listen(address).await.map(Some),
        None => Ok(None),
    }
}

/// Settings that are looked at once, and those that are followed.
fn read_rules(rules: &Rules) -> Result<(Settings, Arc<LiveSettings>), StartError> {
    match rules {
        Rules::Open => Ok((Settings::default(), LiveSettings::open())),
        Rules::Keys(keys) => {
            let settings = Settings::trusting(keys)?;
            let live = LiveSettings::fixed(settings.compiled()?);
            Ok((settings, live))
        }
        Rules::File(path) => Ok((Settings::read(path)?, LiveSettings::follow(path)?)),
    }
}

/// Certificates, and what keeps them.
struct Certified {
    certificates: Arc<Certificates>,
    challenges: Option<Arc<Challenges>>,
    keeping: Vec<Aborted>,
}

fn certify(setup: &Setup, settings: &TlsSettings) -> Result<Certified, StartError> {
    let machine = setup.machine;
    let own = settings.clone();
    let names = move || {
        let (host, addresses) = machine();
        own.names(&host, &addresses)
    };
    let keeper = Keeper::open(&setup.directory, &names()?, now_seconds())?;
    let certificates = keeper.certificates();
    let acme = match &settings.acme {
        Some(acme) => Some(Acme::open(&setup.directory, acme, Arc::clone(&certificates), Pace::default())?),
        None => None,
    };
    let challenges = acme.as_ref().map(Acme::challenges);
    let mut keeping = vec![Aborted(tokio::spawn(keeper.run(names)))];
    keeping.extend(acme.map(|acme| Aborted(tokio::spawn(acme.run()))));
    Ok(Certified { certificates, challenges, keeping })
}

fn tell<T, E: Error>(what: &'static str, result: Result<T, E>) {
    if let Err(error) = result {
        tracing::error!(%error, "{what}");
    }
}

/// Starts a registry. Needs a runtime; blocks it while the store is opened.
///
/// # Errors
/// [`StartError`].
pub async fn start(setup: Setup) -> Result<Running, StartError> {
    let (settings, live) = read_rules(&setup.rules)?;
    let upstreams = Arc::new(Upstreams::open(&settings.upstream)?);
    let (listener, address) = listen(setup.listen).await?;
    let tls_listener = listen_if(setup.tls.or(settings.tls.listen)).await?;
    let metrics_listener = listen_if(setup.metrics).await?;
    // Port 80 is not everyone's to have; the registry's own port answers challenges, too.
    let acme_listener = listen_if(settings.tls.acme.as_ref().and_then(|acme| acme.listen))
        .await
        .inspect_err(|error| tracing::error!(%error, "challenges of the public authority are answered on the registry's own port only"))
        .unwrap_or_default();
    let store = Arc::new(Store::open(OsFiles::new(&setup.directory), &setup.options)?);
    let mut certified = match &tls_listener {
        Some(_) => Some(certify(&setup, &settings.tls)?),
        None => None,
    };
    let no_thread = |error| RegistryError::io("start", "a thread", error);
    let care = Care::start(Arc::clone(&store), setup.plan).map_err(no_thread)?;
    let limits = live.now().limits.apply(&Limits::default());
    let challenges = certified.as_ref().and_then(|certified| certified.challenges.clone());
    let log = settings.log.access.then(|| AccessLog::start(&store)).transpose().map_err(no_thread)?;
    let (host, _) = (setup.machine)();
    let extras = Extras {
        settings: live,
        upstreams: Arc::clone(&upstreams),
        challenges: challenges.clone(),
        host,
        log: log.clone(),
    };
    let registry = Registry::with(Arc::clone(&store), limits.clone(), extras);
    // Not before the store is governed. Without it everything but the operator's commands works.
    let admin = AdminServer::start(&store, &setup.directory)
        .inspect_err(|error| tracing::warn!(%error, "commands cannot reach this registry while it serves"))
        .ok();
    let (tls_address, metrics_address) = (
        tls_listener.as_ref().map(|(_, address)| *address),
        metrics_listener.as_ref().map(|(_, address)| *address),
    );
    let mut beside: Vec<Aborted> =
        certified.as_mut().map(|certified| std::mem::take(&mut certified.keeping)).unwrap_or_default();
    if let Some((listener, _)) = metrics_listener {
        let (store, upstreams) = (Arc::clone(&store), Arc::clone(&upstreams));
        beside.push(Aborted(tokio::spawn(async move {
            tell("the metrics are no longer told", serve_metrics(listener, store, upstreams).await);
        })));
    }
    if let (Some((listener, _)), Some(challenges)) = (acme_listener, challenges) {
        beside.push(Aborted(tokio::spawn(async move {
            let served = serve_challenges(listener, challenges, &limits).await;
            tell("challenges of the public authority are no longer answered", served);
        })));
    }
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        drop(stopped.wait_for(|is_stopped| *is_stopped).await);
    };
    let (plain, until_plain) = (Arc::clone(&registry), until(stopped.clone()));
    let mut serving = vec![tokio::spawn(async move {
        let served = serve_until(listener, plain, until_plain, setup.grace).await;
        tell("the registry no longer serves", served);
    })];
    if let (Some((listener, _)), Some(Certified { certificates, .. })) = (tls_listener, certified) {
        let until_tls = until(stopped);
        serving.push(tokio::spawn(async move {
            let served = serve_tls_until(listener, registry, &certificates, until_tls, setup.grace).await;
            tell("the registry no longer serves TLS", served);
        }));
    }
    Ok(Running {
        address,
        tls_address,
        metrics_address,
        store,
        upstreams,
        stop,
        serving,
        beside,
        admin,
        care,
        log,
    })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for TLS.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Where its metrics are told.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Its content.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Takes no more connections, lets requests that run end within their grace, breaks off what is fetched from upstreams,
    /// and closes the store. It is closed when this returns, unless somebody else has it or the disk hangs.
    pub async fn stop(self) {
        let Self { stop, serving, beside, admin, care, log, store, upstreams, .. } = self;
        for task in beside {
            task.end().await;
        }
        // It has ended by itself if nobody listens.
        let _ = stop.send(true);
        for serving in serving {
            let _ = serving.await;
        }
        if let Some(admin) = admin {
            admin.stop().await;
        }
        // Nobody is left who could begin another one.
        upstreams.stop().await;
        let closed = store.closed();
        // Joins threads that may be in the middle of a file.
        let ended = tokio::task::spawn_blocking(move || {
            drop(care);
            // Requests that did not end in time may hold it yet.
            if let Some(log) = log {
                log.stop();
            }
            drop(store);
        });
        let _ = ended.await;
        if tokio::time::timeout(CLOSE_TIME, closed).await.is_err() {
            tracing::warn!("the registry has stopped, but its store is still in use");
        }
    }
}
