//! One connected peer: what others see of it, and the tasks that serve its connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::PeerId;
use crate::bulk::{self, Ask};
use crate::config::Limits;
use crate::event::{Class, Event, PeerInfo};
use crate::exchange::Exchange;
use crate::frame::{HEADER_BYTES, Kind};
use crate::inbox::Item;
use crate::lock::lock;
use crate::outbox::{Outbox, pieces};
use crate::reader::{Fault, FrameReader, Pace};
use crate::shared::{Shared, count};
use crate::transport::{CloseCode, Link, Sender};

/// Points for breaking the protocol, besides the disconnection: the fourth time within minutes is a ban.
const PROTOCOL_POINTS: i32 = -30;
/// A peer that has ended a class stream is about to close the connection; it has this long.
const FINISH_TIME: Duration = Duration::from_secs(5);

/// The right to end a connection, with a reason that the application will see.
#[derive(Debug)]
pub(crate) struct Closer {
    link: Link,
    reason: Mutex<Option<String>>,
    in_service: AtomicBool,
}

impl Closer {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, reason: Mutex::new(None), in_service: AtomicBool::new(false) }
    }

    /// Notes that the connection no longer waits for the one that it replaces.
    pub(crate) fn enter_service(&self) {
        self.in_service.store(true, Ordering::Release);
    }

    pub(crate) fn is_in_service(&self) -> bool {
        self.in_service.load(Ordering::Acquire)
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Ends the connection; the first reason stays. Says whether this was the first.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> bool {
        let first = {
            let mut known = lock(&self.reason);
            let first = known.is_none();
            known.get_or_insert_with(|| reason.to_owned());
            first
        };
        self.link.close(code, reason);
        first
    }

    /// Why this node ended the connection, if it did.
    fn reason(&self) -> Option<String> {
        lock(&self.reason).clone()
    }
}

/// What went through a connection.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    sent_frames: AtomicU64,
    received_frames: AtomicU64,
}

impl Traffic {
    pub(crate) fn sent(&self, frames: usize, bytes: usize) {
        self.sent_frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received_frames.fetch_add(1, Ordering::Relaxed);
        self.received_bytes.fetch_add((bytes + HEADER_BYTES) as u64, Ordering::Relaxed);
    }
}

/// A peer that is up.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) addr: SocketAddr,
    pub(crate) outbound: bool,
    since: Instant,
    pub(crate) closer: Arc<Closer>,
    pub(crate) reserved: AtomicBool,
    outboxes: [Outbox; 3],
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) traffic: Traffic,
    /// Whether a question for other peers is open.
    pub(crate) exchange_awaited: AtomicBool,
}

impl Peer {
    /// The peer, and the requests that others will put to it.
    pub(crate) fn new(
        id: PeerId,
        addr: SocketAddr,
        outbound: bool,
        reserved: bool,
        closer: Arc<Closer>,
        limits: &Limits,
    ) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, waiting) = mpsc::channel(limits.requests_waiting.max(1));
        let outboxes = [
            Outbox::new(Class::Consensus, limits.consensus_queue),
            Outbox::new(Class::Gossip, limits.gossip_queue),
            Outbox::new(Class::Control, limits.control_queue),
        ];
        let peer = Self {
            id,
            addr,
            outbound,
            since: Instant::now(),
            closer,
            reserved: AtomicBool::new(reserved),
            outboxes,
            asks,
            traffic: Traffic::default(),
            exchange_awaited: AtomicBool::new(false),
        };
        (peer, waiting)
    }

    pub(crate) fn outbox(&self, class: Class) -> &Outbox {
        &self.outboxes[class.index()]
    }

    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Lets the connection end once everything queued has been delivered.
    pub(crate) fn drain(&self) {
        for outbox in &self.outboxes {
            outbox.close();
        }
    }

    pub(crate) fn info(&self, score: i32) -> PeerInfo {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PeerInfo {
            id: self.id,
            addr: self.addr,
            outbound: self.outbound,
            reserved: self.is_reserved(),
            since: self.since,
            rtt: self.closer.link().rtt(),
            sent_bytes: get(&self.traffic.sent_bytes),
            received_bytes: get(&self.traffic.received_bytes),
            sent_frames: get(&self.traffic.sent_frames),
            received_frames: get(&self.traffic.received_frames),
            score,
            queues: Class::ALL.map(|class| self.outbox(class).info()),
        }
    }

    /// Ends the connection for a fault of the peer.
    pub(crate) fn fault(&self, shared: &Shared, fault: &Fault) {
        match fault {
            Fault::Lost => {}
            Fault::Slow => {
                if self.closer.close(CloseCode::Slow, "the peer is too slow") {
                    count(&shared.counters.slow_peers);
                }
            }
            Fault::Protocol(what) => {
                if self.closer.close(CloseCode::Protocol, what) {
                    count(&shared.counters.protocol_errors);
                    shared.punish(&self.id, PROTOCOL_POINTS, "it broke the protocol");
                }
            }
        }
    }
}

/// The long-lived streams of a connection, after the greeting, in the order of [`Class::ALL`].
pub(crate) struct Streams {
    pub(crate) senders: [Sender; 3],
    pub(crate) readers: [FrameReader; 3],
}

/// Serves a connection until it ends, and says why it ended.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    streams: Streams,
    waiting: mpsc::Receiver<Ask>,
) -> String {
    let mut readers = JoinSet::new();
    let mut writers = JoinSet::new();
    let mut servers = JoinSet::new();
    for (class, reader) in Class::ALL.into_iter().zip(streams.readers) {
        readers.spawn(read_class(shared.clone(), peer.clone(), class, reader));
    }
    for (class, sender) in Class::ALL.into_iter().zip(streams.senders) {
        writers.spawn(write_class(shared.clone(), peer.clone(), class, sender));
    }
    servers.spawn(bulk::serve(shared.clone(), peer.clone()));
    let asking = tokio::spawn(bulk::ask_all(shared.clone(), peer.clone(), waiting));

    let closed = peer.closer.link().closed();
    tokio::pin!(closed);
    let mut finish: Option<tokio::time::Instant> = None;
    let ended_by_link = loop {
        let finish_at = finish;
        tokio::select! {
            reason = &mut closed => break reason,
            Some(end) = readers.join_next() => {
                if matches!(end, Ok(Ok(()))) && finish.is_none() {
                    finish = Some(tokio::time::Instant::now() + FINISH_TIME);
                }
                end_of_task(shared, peer, end);
            }
            Some(end) = writers.join_next() => {
                end_of_task(shared, peer, end);
                if writers.is_empty() && peer.outbox(Class::Consensus).is_closing() {
                    peer.closer.close(CloseCode::Shutdown, "this node stops");
                }
            }
            Some(end) = servers.join_next() => end_of_task(shared, peer, end),
            () = async { tokio::time::sleep_until(finish_at.unwrap_or_else(tokio::time::Instant::now)).await },
                if finish_at.is_some() =>
            {
                peer.closer.close(CloseCode::Protocol, "the peer ended a stream and kept the connection");
            }
        }
    };
    servers.shutdown().await;
    writers.shutdown().await;
    let own_reason = peer.closer.reason();
    if own_reason.is_some() {
        readers.shutdown().await;
    }
    // What arrived before the peer closed is still read: its last vote may be among it.
    while readers.join_next().await.is_some() {}
    if asking.await.is_err() {
        tracing::error!(peer = %peer.id, "the task for requests failed; this is a fault of the program");
    }
    own_reason.unwrap_or(ended_by_link)
}

fn end_of_task(shared: &Shared, peer: &Peer, end: Result<Result<(), Fault>, JoinError>) {
    match end {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => peer.fault(shared, &fault),
        Err(error) => {
            tracing::error!(peer = %peer.id, %error, "a task of a connection failed; this is a fault of the program");
            peer.closer.close(CloseCode::Protocol, "internal error");
        }
    }
}

async fn read_class(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    class: Class,
    mut reader: FrameReader,
) -> Result<(), Fault> {
    let mut pace = Pace::new(&shared.limits, peer.is_reserved());
    let mut exchange = Exchange::default();
    loop {
        let room = shared.inbound_room.of(peer.is_reserved());
        let Some(frame) = reader.next(room, Some(&mut pace)).await? else { return Ok(()) };
        peer.traffic.received(frame.payload.len());
        match frame.kind {
            Kind::PexRequest => exchange.answer(&shared, &peer),
            Kind::PexResponse => Exchange::learn(&shared, &peer, &frame.payload)?,
            _ => {
                let event = Event::Frame { peer: peer.id, class, bytes: frame.payload };
                shared.emit(Item::new(event, frame.room)).await;
            }
        }
    }
}

async fn write_class(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    class: Class,
    mut sender: Sender,
) -> Result<(), Fault> {
    while let Some(frames) = peer.outbox(class).next().await {
        let count = frames.len();
        let mut pieces = pieces(frames);
        let bytes = pieces.iter().map(bytes::Bytes::len).sum();
        sender.write_all(&mut pieces, shared.limits.stall_time).await?;
        peer.traffic.sent(count, bytes);
    }
    sender.finish();
    sender.delivered().await;
    Ok(())
}
