//! Who may stay connected: one place a peer, and limits for those that are not reserved.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::PeerId;
use crate::manager::Message;
use crate::peer::Closer;
use crate::reach::{Reach, reach, subnet, wide_subnet};
use crate::shared::Shared;
use crate::transport::CloseCode;

/// When both sides of a pair dial, both connections come up within the time for a handshake. Later than
/// this a second connection means that the peer has lost the first.
const SIMULTANEOUS: Duration = Duration::from_secs(10);
/// Why this node does not want a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Own,
    Banned,
    Duplicate,
    Full,
    Stopping,
}

impl Refusal {
    pub(crate) fn code(self) -> CloseCode {
        match self {
            Self::Own => CloseCode::Own,
            Self::Banned => CloseCode::Banned,
            Self::Duplicate => CloseCode::Duplicate,
            Self::Full => CloseCode::Full,
            Self::Stopping => CloseCode::Shutdown,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Own => "this node dialled itself",
            Self::Banned => "the peer is banned",
            Self::Duplicate => "another connection with the peer is kept",
            Self::Full => "no place is free",
            Self::Stopping => "this node stops",
        }
    }
}

/// A connection's place among the peers. Dropping it frees the place.
pub(crate) struct Admission {
    shared: Arc<Shared>,
    id: PeerId,
    serial: u64,
    since: Instant,
    /// Ends when the connection that this one replaces has given its last event.
    predecessor: Option<oneshot::Receiver<()>>,
    /// Dropped with the admission: the successor waits for it.
    _gone: oneshot::Sender<()>,
}

impl Admission {
    /// Waits until the connection that this one replaces has given its last event.
    pub(crate) async fn predecessor_is_gone(&mut self) {
        if let Some(predecessor) = self.predecessor.take() {
            // Nothing is ever sent: the end of the channel is the news.
            let _ = predecessor.await;
        }
    }

    pub(crate) fn since(&self) -> Instant {
        self.since
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.tell_hub(Message::Closed { id: self.id, serial: self.serial });
    }
}

/// An admitted connection, as the hub sees it.
struct Place {
    serial: u64,
    closer: Arc<Closer>,
    outbound: bool,
    since: Instant,
    ip: IpAddr,
    /// Whether it came while another connection with the peer was there.
    replaces: bool,
    gone: oneshot::Receiver<()>,
}

/// The places that are taken.
#[derive(Default)]
pub(crate) struct Places {
    taken: BTreeMap<PeerId, Place>,
    serial: u64,
}

impl Places {
    /// Gives a place to a greeted connection, or says why not. A connection that it replaces is closed.
    pub(crate) fn admit(
        &mut self,
        shared: &Arc<Shared>,
        id: PeerId,
        closer: Arc<Closer>,
        outbound: bool,
        now: Instant,
    ) -> Result<Admission, Refusal> {
        if shared.is_banned(&id) {
            return Err(Refusal::Banned);
        }
        let ip = closer.link().remote_addr().ip();
        let mut predecessor = None;
        if let Some(place) = self.taken.get(&id) {
            // The lower id's dial wins, on both sides alike. A second dial by the same side means that this
            // side has lost the first connection.
            let wanted_is_outbound = shared.own_id < id;
            let simultaneous =
                place.outbound != outbound && now.saturating_duration_since(place.since) < SIMULTANEOUS;
            // One connection may wait for the end of another, but not a chain of them.
            let still_waits = place.replaces && !place.closer.is_in_service();
            if (simultaneous && place.outbound == wanted_is_outbound) || still_waits {
                return Err(Refusal::Duplicate);
            }
        } else if !outbound && !shared.is_reserved(&id) && self.is_full(shared, ip) {
            return Err(Refusal::Full);
        }
        if let Some(place) = self.taken.remove(&id) {
            place.closer.close(CloseCode::Duplicate, Refusal::Duplicate.reason());
            predecessor = Some(place.gone);
        }
        self.serial += 1;
        let serial = self.serial;
        let (gone, is_gone) = oneshot::channel();
        let replaces = predecessor.is_some();
        self.taken.insert(id, Place { serial, closer, outbound, since: now, ip, replaces, gone: is_gone });
        Ok(Admission { shared: shared.clone(), id, serial, since: now, predecessor, _gone: gone })
    }

    /// Whether an inbound connection from `ip` finds no place.
    fn is_full(&self, shared: &Shared, ip: IpAddr) -> bool {
        let limits = &shared.limits;
        let strangers = || self.taken.iter().filter(|(id, p)| !p.outbound && !shared.is_reserved(id));
        let from = |same: &dyn Fn(IpAddr) -> bool| strangers().filter(|(_, place)| same(place.ip)).count();
        strangers().count() >= limits.inbound
            || (reach(ip) == Reach::Public
                && (from(&|other| other == ip) >= limits.inbound_per_ip
                    || from(&|other| subnet(other) == subnet(ip)) >= limits.inbound_per_subnet))
    }

    /// Free places for outbound connections to peers that are not reserved.
    pub(crate) fn free_outbound(&self, shared: &Shared) -> usize {
        let taken = self.taken.iter().filter(|(id, p)| p.outbound && !shared.is_reserved(id)).count();
        shared.limits.outbound.saturating_sub(taken)
    }

    /// Frees a place, unless a later connection has it. Says from where the connection came.
    pub(crate) fn free(&mut self, id: &PeerId, serial: u64) -> Option<IpAddr> {
        if self.taken.get(id)?.serial != serial {
            return None;
        }
        self.taken.remove(id).map(|place| place.ip)
    }

    pub(crate) fn contains(&self, id: &PeerId) -> bool {
        self.taken.contains_key(id)
    }

    /// The connected peers, in order of their ids.
    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.taken.keys().copied().collect()
    }

    /// The public networks to which this node has dialled.
    pub(crate) fn outbound_networks(&self) -> Vec<IpAddr> {
        let public = self.taken.values().filter(|place| place.outbound && reach(place.ip) == Reach::Public);
        public.map(|place| wide_subnet(place.ip)).collect()
    }

    /// Forgets every place, without closing the connections.
    pub(crate) fn clear(&mut self) {
        self.taken.clear();
    }
}
