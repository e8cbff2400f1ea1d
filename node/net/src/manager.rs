//! The hub: whom to dial, whom to ask for others, when to write the book.
//!
//! One task, driven by messages and by one deadline: with nothing to do it sleeps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use crate::admission::{Admission, Places, Refusal};
use crate::dial::DialTable;
use crate::event::Class;
use crate::frame::Kind;
use crate::inbox::Item;
use crate::lock::{lock, read, write};
use crate::peer::Closer;
use crate::pex::{PEX_FIRST, PEX_INTERVAL, PEX_MAX_INTERVAL};
use crate::reach::{Reach, reach, wide_subnet};
use crate::shared::Shared;
use crate::transport::CloseCode;
use crate::{PeerId, StaticPeer, accept, book, session};

/// The book is written at most this often.
const SAVE_INTERVAL: Duration = Duration::from_hours(1);
/// The first change after start is written after this long.
const FIRST_SAVE: Duration = Duration::from_mins(1);
/// Shutdown: time to deliver what is queued, and then to say good-bye.
const DRAIN_TIME: Duration = Duration::from_secs(1);
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// And to hand the last events to the application.
const LAST_EVENTS_TIME: Duration = Duration::from_millis(250);

/// What the hub is told.
pub(crate) enum Message {
    /// A greeted connection asks to stay.
    Admit {
        id: PeerId,
        closer: Arc<Closer>,
        outbound: bool,
        reply: oneshot::Sender<Result<Admission, Refusal>>,
    },
    /// A connection is in service.
    Up { id: PeerId },
    /// An admission has ended.
    Closed { id: PeerId, serial: u64 },
    /// A dial came to nothing.
    DialFailed { id: PeerId, loopback: bool },
    /// The book has learned of these peers.
    Heard(Vec<PeerId>),
    /// A peer to keep a connection with.
    AddStatic(StaticPeer),
    /// The reserved peers have changed.
    ReservedChanged,
    /// Stop, and say when it is done.
    Shutdown(Option<oneshot::Sender<()>>),
}

/// The hub's state.
pub(crate) struct Manager {
    shared: Arc<Shared>,
    messages: mpsc::UnboundedReceiver<Message>,
    places: Places,
    dials: DialTable,
    /// When to ask a new peer for others.
    exchanges: BTreeMap<PeerId, Instant>,
    /// When to ask some peer again, and after what pause the time after.
    next_exchange: Option<Instant>,
    exchange_pause: Duration,
    asked: BTreeMap<PeerId, Instant>,
    book_path: Option<PathBuf>,
    next_save: Option<Instant>,
    last_save: Option<Instant>,
    /// Held by every session; its end says that all have ended.
    alive: Option<mpsc::Sender<()>>,
    all_gone: mpsc::Receiver<()>,
    acceptor: JoinHandle<()>,
    pump: JoinHandle<()>,
}

impl Manager {
    pub(crate) fn new(
        shared: Arc<Shared>,
        messages: mpsc::UnboundedReceiver<Message>,
        dials: DialTable,
        book_path: Option<PathBuf>,
        pump: JoinHandle<()>,
    ) -> Self {
        let (alive, all_gone) = mpsc::channel(1);
        let acceptor = tokio::spawn(accept::accept_all(shared.clone(), alive.clone()));
        Self {
            shared,
            messages,
            places: Places::default(),
            dials,
            exchanges: BTreeMap::new(),
            next_exchange: None,
            exchange_pause: PEX_INTERVAL,
            asked: BTreeMap::new(),
            book_path,
            next_save: None,
            last_save: None,
            alive: Some(alive),
            all_gone,
            acceptor,
            pump,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) {
        self.learn_book(&[]);
        loop {
            let now = Instant::now();
            self.dial(now);
            self.exchange(now);
            self.save_if_due(now);
            let deadline = self.next_deadline();
            let message = tokio::select! {
                message = self.messages.recv() => message,
                () = async { sleep_until(deadline.unwrap_or(now).into()).await }, if deadline.is_some() => continue,
            };
            match message {
                Some(Message::Shutdown(done)) => return self.shutdown(done).await,
                Some(message) => self.handle(message, Instant::now()),
                None => return self.shutdown(None).await,
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let exchange = self.exchanges.values().copied().min();
        let times = [
            self.dials.next_deadline(self.places.free_outbound(&self.shared)),
            exchange,
            self.next_exchange,
            self.next_save,
        ];
        times.into_iter().flatten().min()
    }

    fn handle(&mut self, message: Message, now: Instant) {
        match message {
            Message::Admit { id, closer, outbound, reply } => {
                let result = self.places.admit(&self.shared, id, closer, outbound, now);
                if result.is_ok() {
                    self.dials.connected(id, now);
                }
                // A session that has given up meanwhile drops the admission, which tells this hub.
                let _ = reply.send(result);
            }
            Message::Up { id } => {
                self.exchanges.insert(id, now + PEX_FIRST);
                // A peer that dialled this node may be dialled by it after a loss.
                self.learn_book(&[]);
                self.dials.connected(id, now);
                self.plan_save(now);
            }
            Message::Closed { id, serial } => {
                if let Some(ip) = self.places.free(&id, serial) {
                    self.exchanges.remove(&id);
                    self.dials.disconnected(id, reach(ip) == Reach::Loopback, now);
                }
            }
            Message::DialFailed { id, loopback } => {
                let was_met = lock(&self.shared.book).get(&id).is_some_and(|entry| entry.met > 0);
                if self.dials.failed(id, loopback, was_met, now) {
                    lock(&self.shared.book).forget(&id);
                    self.plan_save(now);
                }
            }
            Message::Heard(ids) => {
                self.exchange_pause = PEX_INTERVAL;
                self.learn_book(&ids);
                self.plan_save(now);
            }
            Message::AddStatic(peer) => {
                write(&self.shared.reserved).configured.insert(peer.id);
                self.dials.add_static(peer.id, peer.host, now);
                if self.places.contains(&peer.id) {
                    self.dials.connected(peer.id, now);
                }
                self.mark_reserved();
            }
            Message::ReservedChanged => {
                self.mark_reserved();
                self.learn_book(&[]);
                self.exchange_pause = PEX_INTERVAL;
            }
            Message::Shutdown(_) => {}
        }
    }

    fn mark_reserved(&self) {
        for (id, peer) in read(&self.shared.peers).iter() {
            peer.reserved.store(self.shared.is_reserved(id), Ordering::Relaxed);
        }
    }

    /// Makes every peer in the book a candidate; about those in `news` there is something new.
    fn learn_book(&mut self, news: &[PeerId]) {
        let now = Instant::now();
        let ids: Vec<PeerId> = lock(&self.shared.book).ids().collect();
        for id in ids {
            let reserved = self.shared.is_reserved(&id);
            self.dials.learn(id, reserved, news.contains(&id), now);
            if self.places.contains(&id) {
                self.dials.connected(id, now);
            }
        }
    }

    fn dial(&mut self, now: Instant) {
        let free = self.places.free_outbound(&self.shared);
        if self.dials.next_deadline(free).is_none_or(|next| next > now) {
            return;
        }
        // One provider must not hold all of this node's outbound connections.
        let networks = self.places.outbound_networks();
        let shared = self.shared.clone();
        let same_network = |id: &PeerId| {
            let book = lock(&shared.book);
            let first = book.get(id).and_then(|entry| entry.addrs().first().copied());
            first.is_some_and(|addr| {
                reach(addr.ip()) == Reach::Public && networks.contains(&wide_subnet(addr.ip()))
            })
        };
        for due in self.dials.take_due(free, now, same_network) {
            let (session, alive) = (session::outbound(self.shared.clone(), due), self.alive.clone());
            tokio::spawn(async move {
                session.await;
                drop(alive);
            });
        }
    }

    /// Asks new peers once; later, while some peer is wanted, one peer at a time in growing intervals.
    fn exchange(&mut self, now: Instant) {
        let due: Vec<PeerId> =
            self.exchanges.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.exchanges.remove(&id);
            self.ask(id, now);
        }
        if self.next_exchange.is_some_and(|at| at <= now) {
            self.next_exchange = None;
            self.exchange_pause = (2 * self.exchange_pause).min(PEX_MAX_INTERVAL);
            let peers = self.places.ids();
            if !peers.is_empty() {
                let index = lock(&self.shared.jitter).between(0, peers.len() as u64 - 1);
                self.ask(peers[usize::try_from(index).unwrap_or(0)], now);
            }
        }
        let is_missing = |id: &PeerId| *id != self.shared.own_id && !self.places.contains(id);
        let wanted = !self.places.ids().is_empty()
            && (self.dials.is_hungry(self.places.free_outbound(&self.shared))
                || read(&self.shared.reserved).named.iter().any(is_missing));
        if wanted {
            self.next_exchange.get_or_insert(now + self.exchange_pause);
        } else {
            self.next_exchange = None;
        }
    }

    fn ask(&mut self, id: PeerId, now: Instant) {
        self.asked.retain(|_, at| now.saturating_duration_since(*at) < PEX_INTERVAL);
        let Some(peer) = self.shared.peer(&id) else { return };
        if self.asked.contains_key(&id) || peer.exchange_awaited.swap(true, Ordering::AcqRel) {
            return;
        }
        self.asked.insert(id, now);
        peer.outbox(Class::Control).push(Kind::PexRequest, Bytes::new());
    }

    fn plan_save(&mut self, now: Instant) {
        if self.book_path.is_some() && self.next_save.is_none() && lock(&self.shared.book).has_changed() {
            let earliest = self.last_save.map_or(now + FIRST_SAVE, |last| last + SAVE_INTERVAL);
            self.next_save = Some(earliest.max(now));
        }
    }

    fn save_if_due(&mut self, now: Instant) {
        if self.next_save.is_some_and(|at| at <= now) {
            self.next_save = None;
            self.last_save = Some(now);
            // The result is logged by the task; the next change plans the next attempt.
            drop(self.save());
        }
    }

    fn save(&self) -> Option<JoinHandle<()>> {
        let path = self.book_path.clone()?;
        let bytes = {
            let mut book = lock(&self.shared.book);
            if !book.has_changed() {
                return None;
            }
            book.take_bytes()
        };
        Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = book::save(&path, &bytes) {
                tracing::warn!(path = %path.display(), %error, "the address book cannot be written; check that the directory exists and has room");
            }
        }))
    }

    /// Delivers what is queued, closes every connection, saves the book.
    async fn shutdown(mut self, done: Option<oneshot::Sender<()>>) {
        self.acceptor.abort();
        // Whoever asks from here on is told that the node stops.
        self.messages.close();
        while self.messages.try_recv().is_ok() {}
        for peer in read(&self.shared.peers).values() {
            peer.drain();
        }
        self.alive = None;
        if timeout(DRAIN_TIME, self.all_gone.recv()).await.is_err() {
            tracing::debug!("some peers did not take everything that was queued for them");
        }
        self.places.clear();
        let goodbye = self.shared.endpoint.close(CloseCode::Shutdown, Refusal::Stopping.reason());
        if timeout(GOODBYE_TIME, goodbye).await.is_err() {
            tracing::debug!("some connections did not end in time");
        }
        if let Some(saving) = self.save() {
            // It logs its own failure.
            let _ = saving.await;
        }
        // The application's channel ends with the last event, unless the application has stopped reading.
        let end = async {
            self.shared.emit(Item::end()).await;
            let _ = (&mut self.pump).await;
        };
        if timeout(LAST_EVENTS_TIME, end).await.is_err() {
            self.pump.abort();
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}
