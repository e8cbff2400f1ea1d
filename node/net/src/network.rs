//! The handle to a running network.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::bulk::Ask;
use crate::config::{
    MAX_BULK_REQUEST_BYTES, MAX_BULK_RESPONSE_BYTES, MAX_CHAIN_ID_BYTES, MAX_HELLO_APP_BYTES,
};
use crate::dial::DialTable;
use crate::frame::Kind;
use crate::inbox;
use crate::jitter::Jitter;
use crate::lock::{lock, read, write};
use crate::manager::{Manager, Message};
use crate::peer::Peer;
use crate::queue::Pushed;
use crate::reader::Fault;
use crate::record::OwnRecord;
use crate::shared::{Parts, Reserved, Shared, unix_seconds};
use crate::transport::{CloseCode, Endpoint};
use crate::{
    Class, Config, Event, MAX_PEER_ADDRS, NetError, NetStats, PeerId, PeerInfo, RequestError, RequestToken,
    SendOutcome, StaticPeer, book,
};

/// A running network. Cloning gives another handle to the same network, which stops with the last handle.
/// No method but [`Network::shutdown`] waits for anything.
#[derive(Clone, Debug)]
pub struct Network {
    handle: Arc<Handle>,
}

/// Stops the network when the last handle is gone.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.tell_hub(Message::Shutdown(None));
    }
}

impl Network {
    /// Starts listening and dialling. Must be called within a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// [`NetError`] when the port is taken, the configuration is out of bounds, or the system gives no
    /// random bytes. An address book that cannot be read is no error: it is reported and begun afresh.
    pub async fn start(config: Config) -> Result<(Self, mpsc::Receiver<Event>), NetError> {
        check(&config)?;
        let own_id = PeerId(config.secret.public());
        let static_peers = static_peers(&config.static_peers)?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(NetError::Random)?;
        let seed = u64::from_le_bytes(seed);
        let endpoint = Endpoint::bind(&config)?;

        let book = open_book(&config, own_id).await;
        let mut advertised = config.advertise;
        let local = endpoint.local_addr();
        if advertised.is_empty() && !local.ip().is_unspecified() {
            advertised.push(local);
        }
        let mut dials = DialTable::new(own_id, Jitter::new(seed.rotate_left(32)));
        let mut reserved = Reserved { named: config.reserved, ..Reserved::default() };
        for peer in static_peers {
            reserved.configured.insert(peer.id);
            dials.add_static(peer.id, peer.host, Instant::now());
        }
        let (inbox, pump, events) = inbox::channel();
        let (hub, messages) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(Parts {
            own_id,
            own: OwnRecord::new(config.secret, config.chain_id.clone(), &advertised, unix_seconds()),
            chain_id: config.chain_id,
            limits: config.limits,
            endpoint,
            reserved,
            book,
            hello_app: config.hello_app,
            seed,
            inbox,
            hub,
        }));
        let pump = tokio::spawn(pump.run());
        let manager = Manager::new(shared.clone(), messages, dials, config.address_book, pump);
        tokio::spawn(manager.run());
        tracing::info!(id = %own_id, addr = %local, "network is listening");
        Ok((Self { handle: Arc::new(Handle { shared }) }, events))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// The address on which this node listens, with the port that was really taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared().endpoint.local_addr()
    }

    /// This node's identity.
    pub fn id(&self) -> PeerId {
        self.shared().own_id
    }

    /// Queues a frame for a peer. Frames of one class arrive in the order in which they were queued, or,
    /// when the connection ends, not at all.
    pub fn send(&self, to: &PeerId, class: Class, frame: Bytes) -> SendOutcome {
        if frame.len() > class.max_frame_bytes() {
            return SendOutcome::TooLong;
        }
        match self.shared().peer(to) {
            Some(peer) => self.queue(&peer, class, frame),
            None => SendOutcome::NotConnected,
        }
    }

    /// Queues a frame for every connected peer but `except`. A frame that is too long is not sent to anyone.
    #[allow(clippy::needless_pass_by_value)] // The signature is relied on; a clone of `Bytes` shares its memory.
    pub fn broadcast(&self, class: Class, frame: Bytes, except: Option<&PeerId>) {
        if frame.len() > class.max_frame_bytes() {
            tracing::error!(
                ?class,
                bytes = frame.len(),
                "a frame is too long to be sent; this is a fault of the program"
            );
            return;
        }
        let peers: Vec<Arc<Peer>> = read(&self.shared().peers).values().cloned().collect();
        for peer in peers.iter().filter(|peer| Some(&peer.id) != except) {
            self.queue(peer, class, frame.clone());
        }
    }

    fn queue(&self, peer: &Peer, class: Class, frame: Bytes) -> SendOutcome {
        let outbox = peer.outbox(class);
        if outbox.is_closing() {
            return SendOutcome::NotConnected;
        }
        match outbox.push(Kind::from(class), frame) {
            Pushed::Queued => SendOutcome::Queued,
            Pushed::DroppedOldest(frames) => {
                let dropped = &self.shared().counters.gossip_dropped;
                dropped.fetch_add(frames, std::sync::atomic::Ordering::Relaxed);
                SendOutcome::QueuedOldestDropped
            }
            Pushed::Full => {
                peer.fault(self.shared(), &Fault::Slow);
                SendOutcome::SlowPeer
            }
        }
    }

    /// Asks a peer for something. Exactly one [`Event::Response`] with the same tag follows: the answer, or
    /// why there is none.
    pub fn request(&self, to: &PeerId, request: Bytes, tag: u64) {
        let error = if request.len() > MAX_BULK_REQUEST_BYTES {
            RequestError::TooLong
        } else {
            match self.shared().peer(to).map(|peer| peer.asks.try_send(Ask { request, tag })) {
                Some(Ok(())) => return,
                Some(Err(TrySendError::Full(_))) => RequestError::TooMany,
                Some(Err(TrySendError::Closed(_))) | None => RequestError::NotConnected,
            }
        };
        let event = Event::Response { peer: *to, tag, result: Err(error) };
        if let Err(TrySendError::Full(item)) = self.shared().inbox.try_send(event.into()) {
            let shared = self.shared().clone();
            self.shared().runtime.spawn(async move { shared.emit(item).await });
        }
    }

    /// Answers a request. A response longer than [`MAX_BULK_RESPONSE_BYTES`] refuses it instead, and so does
    /// a lack of room while many slow peers are being answered.
    pub fn respond(&self, token: RequestToken, response: Bytes) {
        if response.len() > MAX_BULK_RESPONSE_BYTES {
            tracing::error!(
                bytes = response.len(),
                "a response is too long to be sent; this is a fault of the program"
            );
            return;
        }
        // Whoever asked may be gone.
        let _ = token.reply.send(response);
    }

    /// Adds `points` to a peer's score, negative for misbehaviour: -100 for a false signature, -1 for
    /// something stale, +1 for something useful. Scores decay to 0 in ten minutes. At -100 the peer is
    /// disconnected and banned for ten minutes, each further time twice as long, up to a day; reserved peers
    /// for one minute.
    pub fn punish(&self, peer: &PeerId, points: i32, reason: &'static str) {
        self.shared().punish(peer, points, reason);
    }

    /// Closes the connection with a peer. It may come back.
    pub fn disconnect(&self, peer: &PeerId, reason: &str) {
        if let Some(peer) = self.shared().peer(peer) {
            peer.closer.close(CloseCode::Application, reason);
        }
    }

    /// Replaces the reserved peers (validators). Static peers stay reserved in any case.
    pub fn set_reserved(&self, reserved: HashSet<PeerId>) {
        write(&self.shared().reserved).named = reserved;
        self.shared().tell_hub(Message::ReservedChanged);
    }

    /// Adds a static peer, `<64 hex>@host:port`; a text that cannot be read is logged and ignored. To tell
    /// the user, parse it as a [`StaticPeer`] first.
    #[allow(clippy::needless_pass_by_value)] // The signature is relied on.
    pub fn add_static(&self, peer: String) {
        match peer.parse::<StaticPeer>() {
            Ok(peer) => self.shared().tell_hub(Message::AddStatic(peer)),
            Err(error) => tracing::warn!(peer, %error, "static peer ignored"),
        }
    }

    /// Replaces what this node says in greetings from here on (at most [`MAX_HELLO_APP_BYTES`]; a longer one
    /// is logged and ignored).
    pub fn set_hello_app(&self, app: Bytes) {
        if app.len() > MAX_HELLO_APP_BYTES {
            tracing::error!(
                bytes = app.len(),
                "the application's part of the greeting is too long; this is a fault of the program"
            );
            return;
        }
        *write(&self.shared().hello_app) = app;
    }

    /// The connected peers, ordered by id.
    pub fn peers(&self) -> Vec<PeerInfo> {
        let peers: Vec<Arc<Peer>> = read(&self.shared().peers).values().cloned().collect();
        let now = Instant::now();
        let standing = lock(&self.shared().standing);
        peers.iter().map(|peer| peer.info(standing.score(&peer.id, now))).collect()
    }

    /// Counters since start.
    pub fn stats(&self) -> NetStats {
        self.shared().stats()
    }

    /// Delivers what is queued, closes every connection, saves the address book and ends the channel of
    /// events; takes at most about 2.5 s. The port is free then, unless a peer is so far away (round trips of
    /// some 300 ms) that QUIC still waits for its last datagrams. Further calls, and calls on other handles, return at once.
    pub async fn shutdown(&self) {
        let (done, is_done) = oneshot::channel();
        self.shared().tell_hub(Message::Shutdown(Some(done)));
        // An error means that the network has stopped already.
        let _ = is_done.await;
    }
}

fn check(config: &Config) -> Result<(), NetError> {
    let bound = |setting, found, max| {
        if found > max { Err(NetError::TooLong { setting, found, max }) } else { Ok(()) }
    };
    bound("the length of the chain id in bytes", config.chain_id.len(), MAX_CHAIN_ID_BYTES)?;
    bound("the length of the application's greeting in bytes", config.hello_app.len(), MAX_HELLO_APP_BYTES)?;
    bound("the number of advertised addresses", config.advertise.len(), MAX_PEER_ADDRS)
}

fn static_peers(texts: &[String]) -> Result<Vec<StaticPeer>, NetError> {
    texts
        .iter()
        .map(|text| text.parse().map_err(|source| NetError::StaticPeer { text: text.clone(), source }))
        .collect()
}

async fn open_book(config: &Config, own: PeerId) -> book::Book {
    let Some(path) = config.address_book.clone() else { return book::Book::default() };
    let chain_id = config.chain_id.clone();
    let shown = path.display().to_string();
    let loading = tokio::task::spawn_blocking(move || book::load(&path, &chain_id, own));
    match loading.await {
        Ok(Ok(book)) => book,
        Ok(Err(error)) => {
            tracing::warn!(path = shown, %error, "the address book cannot be read and is begun afresh; peers will be found again");
            book::Book::default()
        }
        Err(error) => {
            tracing::error!(path = shown, %error, "reading the address book failed; this is a fault of the program");
            book::Book::default()
        }
    }
}
