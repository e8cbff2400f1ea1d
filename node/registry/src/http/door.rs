//! What is seen of a request before anybody is asked who they are: where it comes from, what it asks for, and whether
//! anybody may ask that.
//!
//! What is refused here counts as a request of its network all the same: to answer nonsense is work, too.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::HeaderName;
use axum::http::request::Parts;
use axum::response::Response;

use super::handler::Registry;
use super::observe::observe;
use super::pages::refuse_pages;
use super::peer::{Peer, network_of};
use super::query::Query;
use super::route::Route;
use crate::access::Access;
use crate::error::{RegistryError, Result};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a request asks for.
pub(super) struct Asked {
    pub(super) route: Route,
    pub(super) query: Query,
    /// Whether it asked in another registry's name.
    pub(super) is_scoped: bool,
}

/// Answers a request; one that comes through a proxy of the settings as its client's.
pub(super) async fn arrive(State(registry): State<Arc<Registry>>, mut request: Request) -> Response {
    if let Some(peer) = request.extensions().get::<Peer>().copied() {
        let values = request.headers().get_all(FORWARDED_FOR).iter().rev();
        // Each entry by itself: bytes that the client wrote must not spoil what a proxy wrote after them.
        let entries = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        let entries = entries.map(|entry| std::str::from_utf8(entry).unwrap_or_default());
        let address = registry.settings.now().access.proxies().client(peer.address.ip(), entries);
        if address != peer.address.ip() {
            // Its port is not known.
            request.extensions_mut().insert(Peer { address: SocketAddr::new(address, 0), ..peer });
        }
    }
    observe(State(registry), request).await
}

impl Registry {
    /// Reads what a request asks for, and refuses what nobody may ask. What is not refused here is counted once it is
    /// known whose it is; but nobody says who they are who looks whether the registry lives.
    pub(super) fn admit(&self, parts: &Parts) -> Result<Asked> {
        let (settings, network) = (self.settings.now(), network_of(parts));
        let asked = self.read(&settings.access, parts);
        match &asked {
            Ok(asked) if asked.route == Route::Health => {
                self.gate.admit_look(network, settings.limits.look_rate())?;
            }
            Ok(_) => {}
            Err(_) => self.gate.admit(None, network, settings.limits.rate())?,
        }
        asked
    }

    fn read(&self, access: &Access, parts: &Parts) -> Result<Asked> {
        let query = Query::parse(parts.uri.query())?;
        let (route, is_scoped) = self.scope(Route::parse(parts.uri.path())?, query.get("ns"))?;
        // Whether it lives is no secret, and monitors may know it by any name.
        if access.is_open() && route != Route::Health {
            refuse_pages(&parts.headers, &self.host)?;
        }
        if !route.knows(&parts.method) {
            return Err(RegistryError::Unsupported { allow: route.methods() });
        }
        Ok(Asked { route, query, is_scoped })
    }

    /// The route that a request means: what a client asks for in another registry's name is kept under ours. Says
    /// whether it is.
    fn scope(&self, route: Route, namespace: Option<&str>) -> Result<(Route, bool)> {
        let Some(repo) = route.repository() else { return Ok((route, false)) };
        let Some((own, is_scoped)) = self.upstreams.scoped(repo, namespace)? else {
            return Ok((route, false));
        };
        Ok((route.in_repository(own), is_scoped))
    }
}
