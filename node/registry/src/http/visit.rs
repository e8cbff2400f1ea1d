//! A request's way past the gate: who makes it, whether that is too often, and whether the rules allow it.
//!
//! How a client is asked to log in depends on what clients do with the answer to `GET /v2/`, which most ask once:
//!
//! - Docker's daemon logs in with what that answer asks for, and never again: after a 200 it sends no password, not even
//!   to a 401 of a push (moby #12972). After a 401 that asks for `Basic` it refuses to pull without a password.
//! - Skopeo, podman and buildah send what that answer asks for with every request, also without a login: then neither
//!   name nor password, but a header.
//! - containerd and oras look at each answer by itself.
//!
//! So where nobody may do anything without a login, everything asks for `Basic`. Where one may pull without, but more
//! with a login, `/v2/` asks for `Bearer`: clients then get a token at `/token`, with a password or without one, and
//! both work with all of them. Where a login would change nothing, `/v2/` says 200.

use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;

use super::handler::Registry;
use super::peer::{Peer, network_of};
use super::query::Query;
use super::respond::Answer;
use super::route::Route;
use crate::access::{
    Access, Action, Actions, Caller, Gate, MAX_SCOPES, Means, RepoPattern, SESSION_SECONDS, Scope, Verdict,
    is_host,
};
use crate::error::{RegistryError, Result};
use crate::name::RepoName;
use crate::upstream::Upstreams;

const BASIC: &str = "Basic realm=\"trustnet-registry\"";
const SERVICE: &str = "trustnet-registry";
/// For how long clients may use a token that they had before, in seconds: as short as they take. It is looked at anew each
/// time, and ends when it ends.
const KEEPER_SECONDS: u64 = 60;

/// A request whose sender is known.
pub(super) struct Visit {
    access: Arc<Access>,
    caller: Caller,
}

/// What a request wants of a repository.
fn wanted<'a>(route: &'a Route, method: &Method) -> Option<(&'a RepoName, Action)> {
    let is_read = *method == Method::GET || *method == Method::HEAD;
    match route {
        Route::Health | Route::Base | Route::Token => None,
        Route::Start(repo) | Route::Upload(repo, _) => Some((repo, Action::Push)),
        Route::Blob(repo, _) | Route::Manifest(repo, _) | Route::Tags(repo) | Route::Referrers(repo, _) => {
            let action = match *method {
                _ if is_read => Action::Pull,
                Method::DELETE => Action::Delete,
                _ => Action::Push,
            };
            Some((repo, action))
        }
    }
}

/// Where clients reach the registry, as far as the request tells.
fn base_url(access: &Access, parts: &Parts) -> Option<String> {
    if let Some(url) = access.url() {
        return Some(url.to_owned());
    }
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host))?;
    let is_tls = parts.extensions.get::<Peer>().is_some_and(|peer| peer.is_tls);
    Some(format!("{}://{host}", if is_tls { "https" } else { "http" }))
}

/// What a client is asked for, so that it may do what it wants.
fn challenge(access: &Access, parts: &Parts, wanted: &[(&RepoName, Action)], error: Option<&str>) -> String {
    let is_bearer = access.has_logins() && access.lets_anonymous_in();
    let Some(base) = base_url(access, parts).filter(|_| is_bearer) else { return BASIC.to_owned() };
    let scope = |(repo, action): &(&RepoName, Action)| {
        // Whoever pushes also asks what is there.
        let actions = if *action == Action::Push { "pull,push" } else { action.name() };
        format!("repository:{repo}:{actions}")
    };
    let scopes = wanted.iter().map(scope).collect::<Vec<_>>().join(" ");
    let scopes = if scopes.is_empty() { scopes } else { format!(",scope=\"{scopes}\"") };
    let error = error.map(|error| format!(",error=\"{error}\"")).unwrap_or_default();
    format!("Bearer realm=\"{base}/token\",service=\"{SERVICE}\"{scopes}{error}")
}

fn authorization(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(AUTHORIZATION) { Err(unreadable()) } else { Ok(None) };
    };
    value.to_str().map(Some).map_err(|_| unreadable())
}

fn unreadable() -> RegistryError {
    let reason = "the Authorization header cannot be read".to_owned();
    RegistryError::Unauthorized { reason, challenge: String::new() }
}

impl Visit {
    /// Lets a request in, if its sender is who it says it is, may ask that often, and may do what it wants.
    pub(super) async fn begin(registry: &Registry, parts: &Parts, route: &Route) -> Result<Self> {
        let settings = registry.settings.now();
        let (access, rate) = (Arc::clone(&settings.access), settings.limits.rate());
        let network = network_of(parts);
        let wanted = wanted(route, &parts.method);
        let identified = match authorization(&parts.headers) {
            Ok(header) => registry.gate.identify(&access, header, network).await.map_err(RegistryError::from),
            Err(error) => Err(error),
        };
        registry.gate.admit(identified.as_ref().ok(), network, rate)?;
        let caller = identified.map_err(|error| match error {
            RegistryError::Unauthorized { reason, .. } => {
                let challenge = match route {
                    Route::Token => BASIC.to_owned(),
                    _ => challenge(&access, parts, wanted.as_slice(), Some("invalid_token")),
                };
                RegistryError::Unauthorized { reason, challenge }
            }
            error => error,
        })?;
        let log_in = |reason: String, error| {
            let challenge = challenge(&access, parts, wanted.as_slice(), error);
            Err(RegistryError::Unauthorized { reason, challenge })
        };
        match wanted {
            Some((repo, action)) => match access.judge(&caller, repo, action) {
                Verdict::Allowed => {}
                Verdict::LogIn => return log_in(format!("log in to {action} here"), None),
                Verdict::OutOfScope if caller.means == Means::Session => {
                    return log_in(format!("the token is not for {action} here"), Some("insufficient_scope"));
                }
                Verdict::OutOfScope => {
                    return Err(RegistryError::Denied(format!(
                        "the token does not cover {action} on {repo}"
                    )));
                }
                Verdict::Denied => {
                    return Err(RegistryError::Denied(format!("{caller} may not {action} {repo}")));
                }
            },
            // See above: this answer decides whether clients ever send what they have.
            None if *route == Route::Base
                && caller.means == Means::Nothing
                && (access.has_logins() || !access.lets_anonymous_in()) =>
            {
                return log_in("log in, or go on without if that is enough".to_owned(), None);
            }
            None => {}
        }
        Ok(Self { access, caller })
    }

    /// Whether the sender may do something else, too.
    pub(super) fn may(&self, repo: &RepoName, action: Action) -> bool {
        self.access.allows(&self.caller, repo, action)
    }

    /// Asks for another token if the caller may pull from `from`, but with this token only push to `to`. Clients know that
    /// from other registries; without it they would upload what they could mount.
    pub(super) fn check_source(&self, parts: &Parts, to: &RepoName, from: &RepoName) -> Result<()> {
        let verdict = self.access.judge(&self.caller, from, Action::Pull);
        if verdict != Verdict::OutOfScope || self.caller.means != Means::Session {
            return Ok(());
        }
        let wanted = [(to, Action::Push), (from, Action::Pull)];
        let challenge = challenge(&self.access, parts, &wanted, Some("insufficient_scope"));
        let reason = format!("the token is not for pull from {from}");
        Err(RegistryError::Unauthorized { reason, challenge })
    }

    /// Whom uploads belong to that the request starts.
    pub(super) fn owner(&self) -> String {
        self.caller.to_string()
    }

    /// Who sends the request.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// What a client asks a token for: `repository:<name>:<actions>`. Other kinds of scopes, of which we have none, are left
/// out, as the protocol has it.
fn scopes(upstreams: &Upstreams, query: &Query) -> Result<Vec<Scope>> {
    let mut scopes = Vec::new();
    for text in query.all("scope").flat_map(|scope| scope.split(' ')) {
        let Some((name, actions)) = text.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':'))
        else {
            continue;
        };
        let Ok(repo) = name.parse::<RepoName>() else { continue };
        // As the routes have it: requests are judged by the name under which it is kept.
        let repo = upstreams.scoped(&repo, None).ok().flatten().map_or(repo, |(own, _)| own);
        let actions = actions.split(',').fold(Actions::NONE, |all, action| match action {
            "pull" => all.with(Action::Pull.into()),
            "push" => all.with(Action::Push.into()),
            "delete" => all.with(Action::Delete.into()),
            // How skopeo asks for the right to delete.
            "*" => Actions::ALL,
            _ => all,
        });
        if scopes.len() == MAX_SCOPES {
            return Err(RegistryError::BadParameter("a token for more scopes than one token has"));
        }
        scopes.push(Scope { repositories: RepoPattern::exactly(&repo), actions });
    }
    Ok(scopes)
}

impl Registry {
    /// A token for whoever asks. What it is good for is decided by the rules at each request.
    pub(super) fn give_token(&self, parts: &Parts, visit: &Visit, query: &Query) -> Result<Response> {
        let (access, caller) = (&visit.access, &visit.caller);
        let scopes = scopes(&self.upstreams, query)?;
        let (token, seconds) = match caller.means {
            Means::Nothing if !access.lets_anonymous_in() => {
                let (reason, challenge) = ("log in to get a token".to_owned(), BASIC.to_owned());
                return Err(RegistryError::Unauthorized { reason, challenge });
            }
            Means::Nothing | Means::Password => (self.gate.begin(access, caller, scopes)?, SESSION_SECONDS),
            // Whoever has a token goes on with that.
            Means::Keeper | Means::Session => {
                (Gate::shown_token(authorization(&parts.headers)?)?, KEEPER_SECONDS)
            }
        };
        let text =
            serde_json::json!({ "token": token, "access_token": token, "expires_in": seconds }).to_string();
        let answer = Answer::new(StatusCode::OK).header(axum::http::header::CACHE_CONTROL, "no-store");
        Ok(answer.text("application/json", text))
    }
}

#[cfg(test)]
#[path = "visit_tests.rs"]
mod tests;
