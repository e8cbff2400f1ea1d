//! One upstream: asked for manifests and blobs, with the tokens it wants, through the redirects it gives.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use tokio::time::timeout;

use super::challenge::{Challenge, choose};
use super::error::UpstreamError;
use super::settings::{UpstreamSettings, UpstreamSettingsError};
use super::tokens::{self, Tokens};
use crate::client::{ClientError, Dialer, Reach, Received, Send, Target, collect};
use crate::evict::Keeping;
use crate::http::encode;
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::name::RepoName;

/// Redirects that are followed for one answer.
const MAX_REDIRECTS: usize = 5;
/// How long all of them together may take, with the tokens, to the head of the answer.
const ASK_TIME: Duration = Duration::from_secs(60);
/// How long an upstream that could not be reached is left alone: clients of a registry that is cut off get what is here
/// at once.
const OFFLINE_PAUSE: Duration = Duration::from_secs(10);
/// How long one that said "too often" is left alone, if it does not say, in seconds.
const BUSY_SECONDS: u64 = 60;
/// Longest time that it may say, in seconds.
const MAX_BUSY_SECONDS: u64 = 60 * 60;
/// Longest answer of a token server, in bytes.
const MAX_TOKEN_ANSWER_BYTES: usize = 64 * 1024;
/// How long a password that was accepted is sent without being asked for.
const BASIC_LIFE: Duration = Duration::from_mins(10);
/// What Docker Hub is called, whose images without a folder are in the folder `library`.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// An upstream.
pub(crate) struct Remote {
    pub(crate) prefix: RepoName,
    pub(super) namespaces: Vec<String>,
    pub(super) refresh: Duration,
    pub(super) keeping: Keeping,
    base: Target,
    dialer: Dialer,
    /// User and password as the header has them.
    basic: Option<String>,
    tokens: Tokens,
    /// Until when it is left alone, and why.
    pause: Mutex<Option<(Instant, UpstreamError)>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Remote {
    pub(super) fn open(settings: &UpstreamSettings) -> Result<Self, UpstreamSettingsError> {
        let prefix = settings.prefix()?;
        let base = Target::parse(&settings.url).map_err(|error| settings.refused(error.to_string()))?;
        if base.path != "/" {
            return Err(settings.refused("the url is the registry's alone, without a path"));
        }
        settings.check_refresh()?;
        let basic = settings.credentials()?.map(|(user, password)| {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        });
        let dialer =
            Dialer::new(settings.ca.as_deref()).map_err(|error| settings.refused(error.to_string()))?;
        let namespaces = match settings.namespaces.as_slice() {
            [] => vec![settings.prefix.clone()],
            given => given.to_vec(),
        };
        Ok(Self {
            prefix,
            namespaces,
            refresh: Duration::from_secs(settings.refresh_seconds),
            keeping: settings.keeping()?,
            base,
            dialer,
            basic,
            tokens: Tokens::default(),
            pause: Mutex::new(None),
        })
    }

    /// What the upstream calls a repository that clients call `name`.
    pub(super) fn canonical(&self, name: &str) -> String {
        if self.base.host == DOCKER_HUB && !name.contains('/') {
            return format!("library/{name}");
        }
        name.to_owned()
    }

    /// Where it is, for messages.
    pub(crate) fn host(&self) -> String {
        self.base.authority()
    }

    /// What the upstream did is wrong.
    pub(crate) fn wrong(&self, why: impl Into<String>) -> UpstreamError {
        UpstreamError::Wrong { host: self.host(), why: why.into() }
    }

    /// Asks for a manifest, by a tag or digest.
    pub(crate) async fn manifest(
        &self,
        method: Method,
        name: &str,
        reference: &str,
    ) -> Result<Received, UpstreamError> {
        let accept = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");
        self.ask(method, name, format!("/v2/{name}/manifests/{reference}"), &accept).await
    }

    /// Asks for a blob.
    pub(crate) async fn blob(
        &self,
        method: Method,
        name: &str,
        digest: &str,
    ) -> Result<Received, UpstreamError> {
        self.ask(method, name, format!("/v2/{name}/blobs/{digest}"), "*/*").await
    }

    async fn ask(
        &self,
        method: Method,
        name: &str,
        path: String,
        accept: &str,
    ) -> Result<Received, UpstreamError> {
        if let Some((until, error)) = &*self.pause.lock().unwrap_or_else(PoisonError::into_inner) {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Err(match error {
                    UpstreamError::Busy { host, .. } => {
                        UpstreamError::Busy { host: host.clone(), seconds: left.as_secs() + 1 }
                    }
                    error => error.clone(),
                });
            }
        }
        let asked = timeout(ASK_TIME, Box::pin(self.follow(method, name, path, accept))).await;
        let result = asked.unwrap_or_else(|_| Err(UpstreamError::Timeout { host: self.host() }));
        let pause = match &result {
            Err(UpstreamError::Unreachable(_) | UpstreamError::Timeout { .. }) => Some(OFFLINE_PAUSE),
            Err(UpstreamError::Busy { seconds, .. }) => Some(Duration::from_secs(*seconds)),
            _ => None,
        };
        if let (Some(pause), Err(error)) = (pause, &result) {
            let until = Instant::now() + pause;
            *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, error.clone()));
        }
        result
    }

    fn failed(&self, error: ClientError) -> UpstreamError {
        match error {
            ClientError::Unreachable { .. } => UpstreamError::Unreachable(error.to_string()),
            ClientError::Timeout { host } => UpstreamError::Timeout { host },
            ClientError::Target(_) | ClientError::Forbidden { .. } | ClientError::Answer { .. } => {
                self.wrong(error.to_string())
            }
        }
    }

    /// What to make of a status that is no success.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, name: &str) -> UpstreamError {
        match status {
            StatusCode::NOT_FOUND => UpstreamError::Unknown,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                UpstreamError::Denied { host: self.host(), name: name.to_owned() }
            }
            StatusCode::TOO_MANY_REQUESTS => {
                UpstreamError::Busy { host: self.host(), seconds: retry_after(headers) }
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => {
                UpstreamError::Timeout { host: self.host() }
            }
            status => self.wrong(format!("status {}", status.as_u16())),
        }
    }

    async fn follow(
        &self,
        method: Method,
        name: &str,
        path: String,
        accept: &str,
    ) -> Result<Received, UpstreamError> {
        let mut target = self.base.with_path(path);
        let mut authorization = self.tokens.get(name, Instant::now());
        let (mut reach, mut is_authorized, mut redirects) = (Reach::Configured, false, 0);
        // Where the upstream itself is: what its answers may lead to depends on that.
        let mut origin: Option<IpAddr> = None;
        loop {
            let is_own = target.is_same_server(&self.base);
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value(accept));
            headers.insert(header::ACCEPT_ENCODING, value("identity"));
            // Nobody but the upstream itself may see what it gave us.
            if let (true, Some(authorization)) = (is_own, &authorization) {
                let mut secret = value(authorization);
                secret.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, secret);
            }
            let send = Send { method: method.clone(), target: &target, reach, headers, body: Bytes::new() };
            let answer = self.dialer.send(send).await.map_err(|error| self.failed(error))?;
            let origin = *origin.get_or_insert(answer.from);
            match answer.status {
                StatusCode::OK => return Ok(answer),
                StatusCode::UNAUTHORIZED if is_own && !is_authorized => {
                    is_authorized = true;
                    self.tokens.forget(name);
                    authorization = Some(self.authorize(&answer.headers, name, origin).await?);
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    redirects += 1;
                    if redirects > MAX_REDIRECTS {
                        return Err(self.wrong(format!("more than {MAX_REDIRECTS} redirects")));
                    }
                    let location = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
                    let location = location.ok_or_else(|| self.wrong("a redirect to nowhere"))?;
                    target = target.join(location).map_err(|error| self.failed(error))?;
                    self.check_scheme(&target)?;
                    reach = self.reach(&target, origin);
                }
                _ => return Err(self.refusal(answer.status, &answer.headers, name)),
            }
        }
    }

    /// From a registry with TLS nothing leads to one without.
    fn check_scheme(&self, target: &Target) -> Result<(), UpstreamError> {
        if self.base.is_https && !target.is_https {
            return Err(self.wrong(format!("it leads to {target}, which is not https")));
        }
        Ok(())
    }

    /// Where an answer may lead that came from `origin`. The path is the answer's, so that the name is the one that a
    /// person said is not enough: whoever has the name may let it mean another address each time.
    fn reach(&self, target: &Target, origin: IpAddr) -> Reach {
        if target.is_same_server(&self.base) { Reach::Back(origin) } else { Reach::led_from(origin) }
    }

    /// Gets what the upstream wants to see: the value of the `Authorization` header.
    async fn authorize(
        &self,
        headers: &HeaderMap,
        name: &str,
        origin: IpAddr,
    ) -> Result<String, UpstreamError> {
        let denied = || UpstreamError::Denied { host: self.host(), name: name.to_owned() };
        let (header, life) = match choose(headers) {
            None => return Err(denied()),
            Some(Challenge::Basic) => (self.basic.clone().ok_or_else(denied)?, BASIC_LIFE),
            Some(Challenge::Bearer { realm, service }) => {
                let mut realm = Target::parse(&realm).map_err(|error| self.failed(error))?;
                self.check_scheme(&realm)?;
                // Our own words, not the challenge's: a token for this repository, to pull, is all we want.
                let scope = encode(&format!("repository:{name}:pull"));
                let joint = if realm.path.contains('?') { '&' } else { '?' };
                realm.path = match service {
                    Some(service) => {
                        format!("{}{joint}service={}&scope={scope}", realm.path, encode(&service))
                    }
                    None => format!("{}{joint}scope={scope}", realm.path),
                };
                let mut headers = HeaderMap::new();
                if let Some(basic) = &self.basic {
                    let mut secret = value(basic);
                    secret.set_sensitive(true);
                    headers.insert(header::AUTHORIZATION, secret);
                }
                let reach = self.reach(&realm, origin);
                let send = Send { method: Method::GET, target: &realm, reach, headers, body: Bytes::new() };
                let answer = self.dialer.send(send).await.map_err(|error| self.failed(error))?;
                if answer.status != StatusCode::OK {
                    return Err(match self.refusal(answer.status, &answer.headers, name) {
                        UpstreamError::Unknown => self.wrong("its token server is not there"),
                        error => error,
                    });
                }
                let host = realm.authority();
                let body = collect(answer.body, MAX_TOKEN_ANSWER_BYTES, &host).await;
                let body = body.map_err(|error| self.failed(error))?;
                let given =
                    tokens::read(&body).ok_or_else(|| self.wrong("its token server gave no token"))?;
                (format!("Bearer {}", given.0), given.1)
            }
        };
        self.tokens.put(name, header.clone(), life, Instant::now());
        Ok(header)
    }
}

/// A header's value of what passed our grammars; nothing if it cannot be one.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// How long an upstream wants to be left alone, in seconds. A date, which nobody sends here, is taken for no answer.
fn retry_after(headers: &HeaderMap) -> u64 {
    let text = headers.get(header::RETRY_AFTER).and_then(|text| text.to_str().ok());
    let seconds = text.and_then(|text| text.trim().parse().ok()).unwrap_or(BUSY_SECONDS);
    seconds.clamp(1, MAX_BUSY_SECONDS)
}
