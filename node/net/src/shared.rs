//! What the handle, the hub and the connections share. Locks are held for a few instructions only.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::book::Book;
use crate::config::Limits;
use crate::inbox::{Item, Room};
use crate::jitter::Jitter;
use crate::limits::Gate;
use crate::lock::{lock, read};
use crate::manager::Message;
use crate::peer::Peer;
use crate::record::OwnRecord;
use crate::standing::Standing;
use crate::transport::{CloseCode, Endpoint};
use crate::{NetStats, PeerId, RefusedStats};

/// Counters since start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connected: AtomicU64,
    pub(crate) dial_failed: AtomicU64,
    pub(crate) refused_half_open: AtomicU64,
    pub(crate) refused_rate: AtomicU64,
    pub(crate) refused_handshake: AtomicU64,
    pub(crate) refused_banned: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) refused_own: AtomicU64,
    pub(crate) refused_duplicate: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) bans: AtomicU64,
    pub(crate) slow_peers: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    pub(crate) gossip_dropped: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Peers to which connection limits do not apply.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    /// Named by the application.
    pub(crate) named: HashSet<PeerId>,
    /// Configured with an address.
    pub(crate) configured: HashSet<PeerId>,
}

impl Reserved {
    pub(crate) fn contains(&self, id: &PeerId) -> bool {
        self.named.contains(id) || self.configured.contains(id)
    }
}

/// Room for bytes, once for reserved peers together and once for all others together: strangers cannot
/// take what validators need.
#[derive(Debug)]
pub(crate) struct Rooms {
    reserved: Room,
    others: Room,
}

impl Rooms {
    fn new(bytes: usize) -> Self {
        Self { reserved: Room::new(bytes), others: Room::new(bytes) }
    }

    pub(crate) fn of(&self, reserved: bool) -> &Room {
        if reserved { &self.reserved } else { &self.others }
    }
}

/// The network's common state.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) own_id: PeerId,
    pub(crate) chain_id: String,
    pub(crate) limits: Limits,
    pub(crate) endpoint: Endpoint,
    pub(crate) runtime: tokio::runtime::Handle,
    /// Peers that are up.
    pub(crate) peers: RwLock<BTreeMap<PeerId, Arc<Peer>>>,
    pub(crate) reserved: RwLock<Reserved>,
    pub(crate) standing: Mutex<Standing>,
    pub(crate) gate: Mutex<Gate>,
    pub(crate) book: Mutex<Book>,
    pub(crate) own: Mutex<OwnRecord>,
    pub(crate) jitter: Mutex<Jitter>,
    pub(crate) hello_app: RwLock<Bytes>,
    pub(crate) counters: Counters,
    pub(crate) half_open: AtomicUsize,
    pub(crate) inbound_room: Rooms,
    pub(crate) response_room: Rooms,
    pub(crate) inbox: mpsc::Sender<Item>,
    /// Unbounded, but every message stands for a connection, a dial or a call of the application, each of
    /// which is bounded.
    pub(crate) hub: mpsc::UnboundedSender<Message>,
}

/// The parts of [`Shared`] that start differs in.
pub(crate) struct Parts {
    pub(crate) own_id: PeerId,
    pub(crate) chain_id: String,
    pub(crate) limits: Limits,
    pub(crate) endpoint: Endpoint,
    pub(crate) reserved: Reserved,
    pub(crate) book: Book,
    pub(crate) own: OwnRecord,
    pub(crate) hello_app: Bytes,
    pub(crate) seed: u64,
    pub(crate) inbox: mpsc::Sender<Item>,
    pub(crate) hub: mpsc::UnboundedSender<Message>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = parts.limits;
        Self {
            own_id: parts.own_id,
            chain_id: parts.chain_id,
            endpoint: parts.endpoint,
            runtime: tokio::runtime::Handle::current(),
            peers: RwLock::default(),
            reserved: RwLock::new(parts.reserved),
            standing: Mutex::default(),
            gate: Mutex::new(Gate::new(limits.clone(), Instant::now())),
            book: Mutex::new(parts.book),
            own: Mutex::new(parts.own),
            jitter: Mutex::new(Jitter::new(parts.seed)),
            hello_app: RwLock::new(parts.hello_app),
            counters: Counters::default(),
            half_open: AtomicUsize::new(0),
            inbound_room: Rooms::new(limits.inbound_bytes),
            response_room: Rooms::new(limits.response_bytes),
            inbox: parts.inbox,
            hub: parts.hub,
            limits,
        }
    }

    pub(crate) fn is_reserved(&self, id: &PeerId) -> bool {
        read(&self.reserved).contains(id)
    }

    pub(crate) fn peer(&self, id: &PeerId) -> Option<Arc<Peer>> {
        read(&self.peers).get(id).cloned()
    }

    pub(crate) fn is_banned(&self, id: &PeerId) -> bool {
        lock(&self.standing).is_banned(id, Instant::now())
    }

    /// Tells the hub; once the hub has ended, nobody needs to know.
    pub(crate) fn tell_hub(&self, message: Message) {
        let _ = self.hub.send(message);
    }

    /// Gives the application an event, waiting for room; once the application has gone, nobody needs it.
    pub(crate) async fn emit(&self, item: impl Into<Item>) {
        let _ = self.inbox.send(item.into()).await;
    }

    /// Adds points to a peer's score; at -100 the peer is banned and disconnected.
    pub(crate) fn punish(&self, id: &PeerId, points: i32, reason: &str) {
        let reserved = self.is_reserved(id);
        let banned = lock(&self.standing).add(*id, points, reserved, Instant::now());
        if points < 0 {
            tracing::debug!(peer = %id, points, reason, "peer punished");
        }
        if banned {
            count(&self.counters.bans);
            tracing::warn!(peer = %id, reason, "peer banned");
            if let Some(peer) = self.peer(id) {
                peer.closer.close(CloseCode::Banned, &format!("banned: {reason}"));
            }
        }
    }

    pub(crate) fn stats(&self) -> NetStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        NetStats {
            peers: read(&self.peers).len(),
            connected: get(&c.connected),
            dial_failed: get(&c.dial_failed),
            refused: RefusedStats {
                half_open: get(&c.refused_half_open),
                rate: get(&c.refused_rate),
                handshake: get(&c.refused_handshake),
                banned: get(&c.refused_banned),
                full: get(&c.refused_full),
                own: get(&c.refused_own),
                duplicate: get(&c.refused_duplicate),
            },
            retries: get(&c.retries),
            bans: get(&c.bans),
            banned_now: lock(&self.standing).banned(Instant::now()),
            slow_peers: get(&c.slow_peers),
            protocol_errors: get(&c.protocol_errors),
            gossip_dropped: get(&c.gossip_dropped),
            known_peers: lock(&self.book).len(),
        }
    }
}

/// Seconds since 1970 by the system's clock, which on a board may be wrong: good for order, not for safety.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
