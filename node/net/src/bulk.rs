//! Requests and their answers, each on a short-lived stream of the lowest priority.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::event::{Event, RequestError, RequestToken};
use crate::frame::{HEADER_BYTES, Kind};
use crate::inbox::Item;
use crate::limits::{TokenBucket, rate_for};
use crate::lock::lock;
use crate::outbox::pieces;
use crate::peer::Peer;
use crate::reader::{Fault, Frame, FrameReader};
use crate::shared::Shared;
use crate::transport::{LinkError, Receiver, Sender};

/// First byte of a bulk stream; 1 to 3 are the classes.
pub(crate) const BULK_STREAM: u8 = 4;
/// Below every class.
const BULK_PRIORITY: i32 = -10;
/// Requests of one peer that are answered at the same time.
const ANSWERS_AT_ONCE: usize = 8;
/// Answers to one peer that are written at the same time: with more, they would fill the connection's
/// window and votes would wait for them.
const WRITES_AT_ONCE: usize = 2;

/// A request waiting for its turn.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: Bytes,
    pub(crate) tag: u64,
}

/// What answering one peer may cost.
struct Output {
    /// Answers that are written now.
    turns: Semaphore,
    /// Bytes of answers: requests are small and cheap, what they make this node read and send is not.
    bytes: Mutex<TokenBucket>,
}

/// Puts the requests that `waiting` gives to the peer, several at once; every one gets exactly one answer,
/// also when the connection ends.
pub(crate) async fn ask_all(shared: Arc<Shared>, peer: Arc<Peer>, mut waiting: mpsc::Receiver<Ask>) {
    let at_once = shared.limits.requests_at_once.max(1);
    let mut running = JoinSet::new();
    let closed = peer.closer.link().closed();
    tokio::pin!(closed);
    loop {
        tokio::select! {
            _ = &mut closed => break,
            Some(ask) = waiting.recv(), if running.len() < at_once => {
                running.spawn(ask_one(shared.clone(), peer.clone(), ask));
            }
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }
    waiting.close();
    while let Some(ask) = waiting.recv().await {
        let result = Err(RequestError::Disconnected);
        shared.emit(Event::Response { peer: peer.id, tag: ask.tag, result }).await;
    }
    while running.join_next().await.is_some() {}
}

async fn ask_one(shared: Arc<Shared>, peer: Arc<Peer>, ask: Ask) {
    let (result, room) =
        match timeout(shared.limits.request_time, exchange(&shared, &peer, ask.request)).await {
            Ok(Ok(frame)) => (Ok(frame.payload), frame.room),
            Ok(Err(error)) => (Err(error), None),
            Err(_) => (Err(RequestError::TimedOut), None),
        };
    shared.emit(Item::new(Event::Response { peer: peer.id, tag: ask.tag, result }, room)).await;
}

async fn exchange(shared: &Shared, peer: &Peer, request: Bytes) -> Result<Frame, RequestError> {
    let lost = |error: LinkError| match error {
        LinkError::Closed => RequestError::Disconnected,
        LinkError::Reset => RequestError::Refused,
        LinkError::Stalled => RequestError::TimedOut,
    };
    let (mut sender, receiver) = peer.closer.link().open().await.map_err(lost)?;
    sender.set_priority(BULK_PRIORITY);
    let mut wire = vec![Bytes::from_static(&[BULK_STREAM])];
    let len = request.len();
    wire.extend(pieces(vec![(Kind::BulkRequest, request)]));
    sender.write_all(&mut wire, shared.limits.request_time).await.map_err(lost)?;
    sender.finish();
    peer.traffic.sent(1, len + HEADER_BYTES + 1);

    let mut reader = FrameReader::new(receiver, &[Kind::BulkResponse], shared.limits.request_time);
    let room = shared.inbound_room.of(peer.is_reserved());
    match reader.next(room, None).await {
        Ok(Some(frame)) => {
            peer.traffic.received(frame.payload.len());
            Ok(frame)
        }
        Err(Fault::Lost) => Err(RequestError::Disconnected),
        Err(Fault::Slow) => Err(RequestError::TimedOut),
        Err(fault @ Fault::Protocol(_)) if !reader.was_reset() => {
            peer.fault(shared, &fault);
            Err(RequestError::Refused)
        }
        // A reset is how a peer refuses; on a lasting stream it would be a fault.
        Ok(None) | Err(Fault::Protocol(_)) => Err(RequestError::Refused),
    }
}

/// Answers the peer's requests, at the pace that it may have. Ends with the connection, or with a fault.
pub(crate) async fn serve(shared: Arc<Shared>, peer: Arc<Peer>) -> Result<(), Fault> {
    let reserved = peer.is_reserved();
    let now = Instant::now();
    let mut requests = TokenBucket::new(rate_for(shared.limits.requests_from_peer, reserved), now);
    let answers = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
    let output = Arc::new(Output {
        turns: Semaphore::new(WRITES_AT_ONCE),
        bytes: Mutex::new(TokenBucket::new(rate_for(shared.limits.bytes_from_peer, reserved), now)),
    });
    let mut running: JoinSet<Result<(), Fault>> = JoinSet::new();
    loop {
        // Places are never closed, so waiting for one cannot fail.
        let Ok(place) = answers.clone().acquire_owned().await else { return Ok(()) };
        while let Some(end) = running.try_join_next() {
            end.map_err(|_| Fault::Protocol("internal error".into()))??;
        }
        let now = Instant::now();
        let wait = requests.take(1, now).max(lock(&output.bytes).take(0, now));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let accepted = tokio::select! {
            accepted = peer.closer.link().accept() => accepted,
            Some(end) = running.join_next(), if !running.is_empty() => {
                end.map_err(|_| Fault::Protocol("internal error".into()))??;
                // This place was not used, nor was the request paid for.
                requests.give_back(1);
                continue;
            }
        };
        let (sender, receiver) = accepted?;
        let (shared, peer, output) = (shared.clone(), peer.clone(), output.clone());
        running.spawn(async move {
            let _place = place;
            answer(&shared, &peer, &output, sender, receiver).await
        });
    }
}

/// Answers one request, or refuses it by resetting the stream. Only bytes that are no request are a fault.
async fn answer(
    shared: &Shared,
    peer: &Peer,
    output: &Output,
    mut sender: Sender,
    mut receiver: Receiver,
) -> Result<(), Fault> {
    sender.set_priority(BULK_PRIORITY);
    let answering = async {
        match receiver.read(1).await {
            Ok(Some(first)) if *first == [BULK_STREAM] => {}
            Ok(Some(_)) => return Err(Fault::Protocol("a stream of unknown purpose".into())),
            Ok(None) | Err(_) => return Ok(false),
        }
        let mut reader = FrameReader::new(receiver, &[Kind::BulkRequest], shared.limits.request_time);
        let request = match reader.next(shared.inbound_room.of(peer.is_reserved()), None).await {
            Ok(Some(frame)) => frame,
            Err(fault @ Fault::Protocol(_)) if !reader.was_reset() => return Err(fault),
            Ok(None) | Err(_) => return Ok(false),
        };
        peer.traffic.received(request.payload.len());
        let (reply, response) = oneshot::channel();
        let event = Event::Request { peer: peer.id, bytes: request.payload, token: RequestToken { reply } };
        shared.emit(Item::new(event, request.room)).await;
        let Ok(response) = response.await else { return Ok(false) };
        let Some(_room) = shared.response_room.of(peer.is_reserved()).try_take(response.len()) else {
            return Ok(false);
        };
        let Ok(_turn) = output.turns.acquire().await else { return Ok(false) };
        let len = response.len();
        lock(&output.bytes).take(len, Instant::now());
        let mut wire = pieces(vec![(Kind::BulkResponse, response)]);
        if sender.write_all(&mut wire, shared.limits.request_time).await.is_err() {
            return Ok(false);
        }
        sender.finish();
        // The room is taken up until the peer has everything.
        sender.delivered().await;
        peer.traffic.sent(1, len + HEADER_BYTES);
        Ok(true)
    };
    let outcome = timeout(shared.limits.request_time, answering).await.unwrap_or(Ok(false));
    if !matches!(outcome, Ok(true)) {
        sender.reset();
    }
    outcome.map(|_| ())
}
