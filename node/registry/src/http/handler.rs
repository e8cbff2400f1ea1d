//! One request: what it asks for, who does it, what the client is told.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::door::{Asked, arrive};
use super::peer::Places;
use super::query::Query;
use super::receive::drain;
use super::respond::{API_VERSION, Answer, OCI_NAMESPACE, refusal};
use super::route::Route;
use super::visit::Visit;
use crate::access::{Caller, Gate};
use crate::acme::{self, Challenges};
use crate::error::{RegistryError, Result};
use crate::limits::Limits;
use crate::logs::AccessLog;
use crate::settings::LiveSettings;
use crate::store::Store;
use crate::upstream::Upstreams;

const JSON: &str = "application/json";

/// The registry as a web service.
pub struct Registry {
    pub(super) store: Arc<Store>,
    pub(super) limits: Limits,
    pub(super) settings: Arc<LiveSettings>,
    pub(super) gate: Gate,
    pub(super) upstreams: Arc<Upstreams>,
    /// The machine's host name.
    pub(super) host: String,
    challenges: Option<Arc<Challenges>>,
    pub(super) log: Option<Arc<AccessLog>>,
    uploads: Arc<Semaphore>,
    /// One at a time: what hashes a whole file keeps a thread for as long as that takes, and there are few.
    pub(super) long_hashes: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    connections: Places,
}

/// What a registry may have beside its store.
pub struct Extras {
    /// Who may do what, and what may be stored.
    pub settings: Arc<LiveSettings>,
    /// Registries that it keeps copies of.
    pub upstreams: Arc<Upstreams>,
    /// Answers to the challenges of a public certificate authority.
    pub challenges: Option<Arc<Challenges>>,
    /// The machine's host name: beside `localhost` and addresses what an open registry answers to.
    pub host: String,
    /// Where requests are written down.
    pub log: Option<Arc<AccessLog>>,
}

impl Default for Extras {
    /// Everybody may do everything, and there is nothing else.
    fn default() -> Self {
        let (settings, upstreams) = (LiveSettings::open(), Arc::default());
        Self { settings, upstreams, challenges: None, host: "localhost".to_owned(), log: None }
    }
}

impl Registry {
    /// Serves `store` within `limits` to everybody, who may do everything: for a registry that only its own machine
    /// reaches.
    pub fn new(store: Arc<Store>, limits: Limits) -> Arc<Self> {
        Self::with(store, limits, Extras::default())
    }

    /// Serves `store` within `limits`, with what else it has: its settings and upstreams govern the store from now on.
    pub fn with(store: Arc<Store>, limits: Limits, extras: Extras) -> Arc<Self> {
        let Extras { settings, upstreams, challenges, host, log } = extras;
        store.govern(Arc::clone(&settings));
        store.keep_copies(upstreams.keeping());
        let places = |count: usize| Arc::new(Semaphore::new(count.max(1)));
        let (uploads, downloads) = (places(limits.max_uploads), places(limits.max_downloads));
        let connections = Places::new(limits.max_connections, limits.max_connections_per_address);
        let (gate, long_hashes) = (Gate::new(), places(1));
        Arc::new(Self {
            store,
            limits,
            settings,
            gate,
            upstreams,
            host,
            challenges,
            log,
            uploads,
            long_hashes,
            downloads,
            connections,
        })
    }

    /// All of it as one service, to be put behind a listener.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(arrive).with_state(Arc::clone(self))
    }

    /// Carries out work that blocks on the disk.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.store);
        spawn_blocking(move || work(&store)).await.map_err(|_| RegistryError::Interrupted)?
    }

    pub(super) fn places(&self) -> Places {
        self.connections.clone()
    }

    /// Waits for a place among the uploads.
    pub(super) async fn upload_place(&self) -> Result<OwnedSemaphorePermit> {
        self.place(&self.uploads, "uploads").await
    }

    /// Waits for a place among the downloads.
    pub(super) async fn download_place(&self) -> Result<OwnedSemaphorePermit> {
        self.place(&self.downloads, "downloads").await
    }

    pub(super) async fn place(
        &self,
        places: &Arc<Semaphore>,
        what: &'static str,
    ) -> Result<OwnedSemaphorePermit> {
        let place = timeout(self.limits.place_wait, Arc::clone(places).acquire_owned()).await;
        place.map_err(|_| RegistryError::TooMany(what))?.map_err(|_| RegistryError::Interrupted)
    }

    /// What is kept of an upstream is changed by that alone; it may be deleted.
    fn check_writable(&self, route: &Route, method: &Method) -> Result<()> {
        let is_write = ![Method::GET, Method::HEAD, Method::DELETE].contains(method);
        match route.repository() {
            Some(repo) if is_write => self.store.check_own(repo),
            _ => Ok(()),
        }
    }

    /// Carries out a request. `who` sends it, once that is known.
    async fn answer(
        self: &Arc<Self>,
        parts: &Parts,
        body: &mut Body,
        who: &mut Option<Caller>,
    ) -> Result<Response> {
        let Asked { route, query, is_scoped } = self.admit(parts)?;
        let mut response = self.carry_out(parts, body, (route, &query), who).await?;
        let namespace = query.get("ns").filter(|_| is_scoped);
        let namespace = namespace.and_then(|name| HeaderValue::from_str(name).ok());
        if let Some(namespace) = namespace {
            response.headers_mut().insert(OCI_NAMESPACE, namespace);
        }
        Ok(response)
    }

    async fn carry_out(
        self: &Arc<Self>,
        parts: &Parts,
        body: &mut Body,
        (route, query): (Route, &Query),
        who: &mut Option<Caller>,
    ) -> Result<Response> {
        if route == Route::Health {
            return self.health().await;
        }
        let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
        // Refused at the door already.
        let unknown = Err(RegistryError::Unsupported { allow: route.methods() });
        let visit = Arc::new(Visit::begin(self, parts, &route).await?);
        *who = Some(visit.caller().clone());
        self.check_writable(&route, &parts.method)?;
        match (route, &parts.method) {
            (Route::Token, &Method::GET) => self.give_token(parts, &visit, query),
            (Route::Base, _) if is_read => Ok(Answer::new(StatusCode::OK).text(JSON, "{}".to_owned())),
            (Route::Blob(repo, digest), _) if is_read => self.serve_blob(parts, repo, digest).await,
            (Route::Blob(repo, digest), &Method::DELETE) => self.delete_blob(repo, digest).await,
            (Route::Start(repo), &Method::POST) => self.start_upload(parts, body, &visit, repo, query).await,
            (Route::Upload(repo, id), _) if is_read => self.upload_status(&visit, &repo, id),
            (Route::Upload(repo, id), &Method::PATCH) => {
                self.patch_upload(parts, body, &visit, repo, id).await
            }
            (Route::Upload(repo, id), &Method::PUT) => {
                self.end_upload(parts, body, &visit, (repo, id), query).await
            }
            (Route::Upload(repo, id), &Method::DELETE) => self.cancel_upload(&visit, repo, id).await,
            (Route::Manifest(repo, reference), _) if is_read => {
                self.serve_manifest(parts, repo, reference).await
            }
            (Route::Manifest(repo, reference), &Method::PUT) => {
                self.put_manifest(parts, body, repo, reference, query).await
            }
            (Route::Manifest(repo, reference), &Method::DELETE) => {
                self.delete_manifest(repo, reference).await
            }
            (Route::Tags(repo), _) if is_read => self.list_tags(repo, query).await,
            (Route::Referrers(repo, digest), _) if is_read => self.list_referrers(repo, digest, query).await,
            _ => unknown,
        }
    }

    async fn health(&self) -> Result<Response> {
        let damaged = self.blocking(|store| store.check_health().and_then(|()| store.damaged())).await?.len();
        let text = serde_json::json!({ "status": "ok", "damaged": damaged }).to_string();
        Ok(Answer::new(StatusCode::OK).text(JSON, text))
    }
}

pub(super) async fn handle(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let challenges = registry.challenges.as_ref();
    if let Some(answer) = challenges.and_then(|all| acme::respond(all, &parts.method, parts.uri.path())) {
        return answer;
    }
    let mut who = None;
    let mut response = match registry.answer(&parts, &mut body, &mut who).await {
        Ok(response) => response,
        Err(error) => {
            if error.status().is_server_error() {
                tracing::error!(%error, method = %parts.method, path = parts.uri.path(), "a request failed");
            }
            drain(&parts.headers, &mut body).await;
            refusal(&error)
        }
    };
    let version = HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert(API_VERSION, version);
    if let Some(who) = who {
        // For whoever writes of it.
        response.extensions_mut().insert(who);
    }
    if parts.method == Method::HEAD {
        // The length stays in the headers.
        *response.body_mut() = Body::empty();
    }
    response
}
