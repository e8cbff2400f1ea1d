//! The life of one connection: handshake, greeting, admission by the hub, service, end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admission::{Admission, Refusal};
use crate::bulk::BULK_STREAM;
use crate::dial::Due;
use crate::event::{Class, Event};
use crate::frame::Kind;
use crate::hello::{Hello, HelloError};
use crate::inbox::Room;
use crate::lock::{lock, read, write};
use crate::manager::Message;
use crate::outbox::pieces;
use crate::peer::{self, Closer, Peer, Streams};
use crate::reach::{Reach, dial_order, is_dialable, reach};
use crate::reader::FrameReader;
use crate::shared::{Shared, count, unix_seconds};
use crate::transport::{CloseCode, Link, Receiver, Sender, Stranger};
use crate::{MAX_PEER_ADDRS, PeerId};

/// The next address is tried after this long (happy eyeballs), so that a dead one costs little.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// Time for DNS, so that a dead resolver does not hold up the addresses that are known.
const RESOLVE_TIME: Duration = Duration::from_secs(5);
/// A bulk answer must not delay a vote, nor gossip a status.
const PRIORITIES: [i32; 3] = [10, 0, 5];
/// What may come on each long-lived stream after the greeting.
const ALLOWED: [&[Kind]; 3] =
    [&[Kind::Consensus], &[Kind::Gossip], &[Kind::Control, Kind::PexRequest, Kind::PexResponse]];

/// A connection between the first datagram and the end of the greeting, counted.
pub(crate) struct HalfOpen(Arc<Shared>);

impl HalfOpen {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.half_open.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.half_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that has been greeted and admitted.
struct Opened {
    id: PeerId,
    closer: Arc<Closer>,
    streams: Streams,
    hello: Hello,
    admission: Admission,
    /// The address that was dialled.
    proved: Option<SocketAddr>,
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
enum NoSession {
    /// Handshake or greeting failed, or took too long.
    #[error("{0}")]
    Failed(String),
    /// This node does not want it.
    #[error("{}", .0.reason())]
    Refused(Refusal),
}

impl From<Refusal> for NoSession {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn failed(what: impl Into<String>) -> NoSession {
    NoSession::Failed(what.into())
}

/// Serves a stranger that the gate let in.
pub(crate) async fn inbound(shared: Arc<Shared>, stranger: Stranger, half_open: HalfOpen) {
    let addr = stranger.addr();
    let opened = timeout(shared.limits.handshake_time, open_inbound(&shared, stranger)).await;
    drop(half_open);
    let counters = &shared.counters;
    let why = match opened {
        Ok(Ok(opened)) => return serve(&shared, opened, false).await,
        Ok(Err(why)) => why,
        Err(_) => failed("the handshake took too long"),
    };
    count(match why {
        NoSession::Failed(_) => &counters.refused_handshake,
        NoSession::Refused(Refusal::Own) => &counters.refused_own,
        NoSession::Refused(Refusal::Banned) => &counters.refused_banned,
        NoSession::Refused(Refusal::Duplicate) => &counters.refused_duplicate,
        NoSession::Refused(Refusal::Full | Refusal::Stopping) => &counters.refused_full,
    });
    tracing::debug!(%addr, %why, "incoming connection refused");
}

async fn open_inbound(shared: &Arc<Shared>, stranger: Stranger) -> Result<Opened, NoSession> {
    let link = stranger.accept().await.map_err(NoSession::Failed)?;
    let id = who_answers(shared, &link)?;
    let [mut consensus, mut gossip, mut control] = [None, None, None];
    for _ in Class::ALL {
        let (sender, mut receiver) = link.accept().await.map_err(|_| failed("no streams were opened"))?;
        let first = receiver.read(1).await.ok().flatten();
        let place = match first.as_deref() {
            Some([1]) => &mut consensus,
            Some([2]) => &mut gossip,
            Some([3]) => &mut control,
            _ => return Err(protocol_error(&link, "a stream of unknown purpose")),
        };
        if place.replace((sender, receiver)).is_some() {
            return Err(protocol_error(&link, "two streams of one class"));
        }
    }
    let (Some(consensus), Some(gossip), Some(control)) = (consensus, gossip, control) else {
        return Err(protocol_error(&link, "a class has no stream"));
    };
    let [consensus, gossip, mut control] = [consensus, gossip, control].map(|s| class_stream(shared, s));
    let hello = read_hello(shared, &link, id, &mut control.1).await?;
    // This side's greeting says that the connection is wanted: the dialler counts on it once it has it.
    let closer = Arc::new(Closer::new(link));
    let admission = ask_hub(shared, id, &closer, false).await?;
    write_hello(shared, closer.link(), &mut control.0, &[]).await?;
    let streams = streams([consensus, gossip, control]);
    Ok(Opened { id, closer, streams, hello, admission, proved: None })
}

/// Dials a peer, and serves the connection if it comes about.
pub(crate) async fn outbound(shared: Arc<Shared>, due: Due) {
    let id = due.id;
    let addrs = addresses(&shared, due).await;
    let loopback = !addrs.is_empty() && addrs.iter().all(|addr| reach(addr.ip()) == Reach::Loopback);
    let steps = NEXT_ADDRESS * u32::try_from(addrs.len()).unwrap_or(1);
    let why = if addrs.is_empty() {
        failed("no address is known for the peer, or its name does not resolve")
    } else {
        match timeout(shared.limits.handshake_time + steps, open_outbound(&shared, id, addrs)).await {
            Ok(Ok(opened)) => return serve(&shared, opened, true).await,
            Ok(Err(why)) => why,
            Err(_) => failed("the peer does not answer"),
        }
    };
    count(&shared.counters.dial_failed);
    tracing::debug!(peer = %id, %why, "dial failed");
    shared.tell_hub(Message::DialFailed { id, loopback });
}

/// Where the peer may answer: addresses proved before, what its configured names resolve to, its record.
async fn addresses(shared: &Shared, due: Due) -> Vec<SocketAddr> {
    let mut addrs = Vec::new();
    for host in due.hosts {
        if let Ok(Ok(found)) = timeout(RESOLVE_TIME, tokio::net::lookup_host(host.as_str())).await {
            addrs.extend(found.take(MAX_PEER_ADDRS));
        }
    }
    if let Some(entry) = lock(&shared.book).get(&due.id) {
        addrs.extend(entry.addrs());
    }
    let ipv4_only = shared.endpoint.local_addr().is_ipv4();
    addrs.retain(|addr| is_dialable(*addr) && !(ipv4_only && addr.is_ipv6()));
    addrs.sort_by_key(dial_order);
    let mut seen = std::collections::HashSet::new();
    addrs.retain(|addr| seen.insert(*addr));
    addrs.truncate(MAX_PEER_ADDRS);
    addrs
}

async fn open_outbound(
    shared: &Arc<Shared>,
    id: PeerId,
    addrs: Vec<SocketAddr>,
) -> Result<Opened, NoSession> {
    if shared.is_banned(&id) {
        return Err(Refusal::Banned.into());
    }
    let (link, addr) = race(shared, id, addrs).await?;
    if who_answers(shared, &link)? != id {
        return Err(failed("another key answered than the one that was dialled"));
    }
    let mut opened = Vec::with_capacity(3);
    for class in Class::ALL {
        let (mut sender, receiver) = link.open().await.map_err(|_| closed_early())?;
        let first = [class.index() as u8 + 1];
        if class == Class::Control {
            write_hello(shared, &link, &mut sender, &first).await?;
        } else {
            let mut first = [Bytes::copy_from_slice(&first)];
            sender.write_all(&mut first, shared.limits.handshake_time).await.map_err(|_| closed_early())?;
        }
        opened.push(class_stream(shared, (sender, receiver)));
    }
    let Ok([consensus, gossip, mut control]) = <[_; 3]>::try_from(opened) else { return Err(closed_early()) };
    let hello = read_hello(shared, &link, id, &mut control.1).await?;
    let closer = Arc::new(Closer::new(link));
    let admission = ask_hub(shared, id, &closer, true).await?;
    let streams = streams([consensus, gossip, control]);
    Ok(Opened { id, closer, streams, hello, admission, proved: Some(addr) })
}

fn closed_early() -> NoSession {
    failed("the peer closed the connection during the greeting")
}

/// Tries the addresses one after the other without waiting for a dead one; the first that answers wins.
async fn race(
    shared: &Arc<Shared>,
    id: PeerId,
    addrs: Vec<SocketAddr>,
) -> Result<(Link, SocketAddr), NoSession> {
    let mut running = JoinSet::new();
    let mut rest = addrs.into_iter();
    let mut last = "no address to dial".to_owned();
    loop {
        let next = rest.next();
        let more = next.is_some();
        if let Some(addr) = next {
            let endpoint = shared.endpoint.clone();
            running.spawn(async move { (endpoint.connect(id, addr).await, addr) });
        }
        tokio::select! {
            end = running.join_next() => match end {
                Some(Ok((Ok(link), addr))) => return Ok((link, addr)),
                Some(Ok((Err(error), addr))) => last = format!("{addr}: {error}"),
                Some(Err(error)) => last = error.to_string(),
                None => return Err(failed(last)),
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if more => {}
        }
    }
}

/// Who is on the other side, if this node talks to it at all.
fn who_answers(shared: &Shared, link: &Link) -> Result<PeerId, NoSession> {
    let Some(id) = link.peer() else { return Err(protocol_error(link, "no identity")) };
    let refusal = if id == shared.own_id {
        Refusal::Own
    } else if shared.is_banned(&id) {
        Refusal::Banned
    } else {
        return Ok(id);
    };
    link.close(refusal.code(), refusal.reason());
    Err(refusal.into())
}

fn protocol_error(link: &Link, what: &str) -> NoSession {
    link.close(CloseCode::Protocol, what);
    failed(what)
}

fn class_stream(shared: &Shared, (sender, receiver): (Sender, Receiver)) -> (Sender, FrameReader) {
    (sender, FrameReader::new(receiver, &[Kind::Hello], shared.limits.stall_time))
}

fn streams(streams: [(Sender, FrameReader); 3]) -> Streams {
    let mut priorities = PRIORITIES.into_iter();
    let mut allowed = ALLOWED.into_iter();
    let [a, b, c] = streams.map(|(sender, mut reader)| {
        sender.set_priority(priorities.next().unwrap_or(0));
        reader.allow(allowed.next().unwrap_or(&[]));
        (sender, reader)
    });
    Streams { senders: [a.0, b.0, c.0], readers: [a.1, b.1, c.1] }
}

async fn read_hello(
    shared: &Shared,
    link: &Link,
    id: PeerId,
    control: &mut FrameReader,
) -> Result<Hello, NoSession> {
    // A greeting is small: it needs no room.
    let frame = match control.next(&Room::new(0), None).await {
        Ok(Some(frame)) => frame,
        Ok(None) | Err(crate::reader::Fault::Lost) => {
            return Err(failed(link.closed_reason().unwrap_or_default()));
        }
        Err(_) => return Err(protocol_error(link, "no greeting")),
    };
    Hello::decode(&frame.payload, &shared.chain_id, id).map_err(|error| {
        let code = if error == HelloError::OtherChain { CloseCode::OtherChain } else { CloseCode::Protocol };
        link.close(code, &error.to_string());
        failed(error.to_string())
    })
}

async fn write_hello(
    shared: &Shared,
    link: &Link,
    control: &mut Sender,
    first: &[u8],
) -> Result<(), NoSession> {
    let record = {
        let mut own = lock(&shared.own);
        if let Some(ip) = link.local_ip() {
            own.note(SocketAddr::new(ip, shared.endpoint.local_addr().port()));
        }
        own.record_for(reach(link.remote_addr().ip()))
    };
    let app = read(&shared.hello_app).to_vec();
    let hello = Hello::new(shared.chain_id.clone(), record, app).encode();
    let mut wire = vec![Bytes::copy_from_slice(first)];
    wire.extend(pieces(vec![(Kind::Hello, hello.into())]));
    control.write_all(&mut wire, shared.limits.handshake_time).await.map_err(|_| closed_early())
}

async fn ask_hub(
    shared: &Arc<Shared>,
    id: PeerId,
    closer: &Arc<Closer>,
    outbound: bool,
) -> Result<Admission, NoSession> {
    let (reply, answer) = oneshot::channel();
    shared.tell_hub(Message::Admit { id, closer: closer.clone(), outbound, reply });
    match answer.await.unwrap_or(Err(Refusal::Stopping)) {
        Ok(admission) => Ok(admission),
        Err(refusal) => {
            closer.close(refusal.code(), refusal.reason());
            Err(refusal.into())
        }
    }
}

/// From the first event of a connection to its last.
async fn serve(shared: &Arc<Shared>, opened: Opened, outbound: bool) {
    let Opened { id, closer, streams, hello, mut admission, proved } = opened;
    // The events of two connections with one peer must not mix.
    admission.predecessor_is_gone().await;
    closer.enter_service();
    let addr = closer.link().remote_addr();
    let reserved = shared.is_reserved(&id);
    let (peer, waiting) = Peer::new(id, addr, outbound, reserved, closer, &shared.limits);
    let peer = Arc::new(peer);

    if !hello.record.addrs.is_empty() || proved.is_some() {
        lock(&shared.book).meet(hello.record, proved, unix_seconds(), |id| shared.is_reserved(id));
    }
    if reserved {
        lock(&shared.gate).trust(addr.ip());
    }
    write(&shared.peers).insert(id, peer.clone());
    // A ban pronounced before the peer could be found must hold all the same.
    if shared.is_banned(&id) {
        peer.closer.close(CloseCode::Banned, "banned");
    }
    count(&shared.counters.connected);
    tracing::info!(peer = %id, %addr, outbound, "peer up");
    shared.emit(Event::Up { peer: id, addr, outbound, app: hello.app.into() }).await;
    shared.tell_hub(Message::Up { id });

    let reason = peer::run(shared, &peer, streams, waiting).await;

    let lasted = Instant::now().saturating_duration_since(admission.since());
    tracing::info!(peer = %id, reason, ?lasted, "peer down");
    write(&shared.peers).remove(&id);
    shared.emit(Event::Down { peer: id, reason }).await;
    drop(admission);
}

const _: () = assert!(BULK_STREAM as usize == Class::ALL.len() + 1, "bulk streams come after the classes");
