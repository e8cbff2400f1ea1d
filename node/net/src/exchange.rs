//! The two sides of a peer exchange on one connection.

use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use crate::event::Class;
use crate::frame::Kind;
use crate::lock::lock;
use crate::manager::Message;
use crate::peer::Peer;
use crate::pex::{self, PEX_INTERVAL, PEX_SLACK};
use crate::queue::Pushed;
use crate::reach::{Reach, reach};
use crate::reader::Fault;
use crate::shared::Shared;

/// Points for asking too often, and for a record with a false signature.
const TOO_OFTEN_POINTS: i32 = -10;
const FALSE_RECORD_POINTS: i32 = -100;

/// What a connection remembers of the exchange.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    asked: Option<Instant>,
}

impl Exchange {
    /// Answers a peer's question, unless it asks too often.
    pub(crate) fn answer(&mut self, shared: &Shared, peer: &Peer) {
        let now = Instant::now();
        let too_soon = |asked: Instant| now.saturating_duration_since(asked) + PEX_SLACK < PEX_INTERVAL;
        if self.asked.is_some_and(too_soon) {
            shared.punish(&peer.id, TOO_OFTEN_POINTS, "it asked for peers too often");
            return;
        }
        self.asked = Some(now);
        let records = {
            let mut jitter = lock(&shared.jitter);
            lock(&shared.book).tell(peer.id, reach(peer.addr.ip()), &mut jitter)
        };
        let answer = Bytes::from(pex::encode(records));
        if peer.outbox(Class::Control).push(Kind::PexResponse, answer) == Pushed::Full {
            peer.fault(shared, &Fault::Slow);
        }
    }

    /// Takes a peer's answer: only one that was asked for, and of its records only those that are new, that
    /// their subjects signed, and that could be reached from here.
    pub(crate) fn learn(shared: &Shared, peer: &Peer, payload: &[u8]) -> Result<(), Fault> {
        if !peer.exchange_awaited.swap(false, Ordering::AcqRel) {
            return Err(Fault::Protocol("the peer tells of others without being asked".into()));
        }
        let records = pex::decode(payload)
            .map_err(|error| Fault::Protocol(format!("the answer about other peers: {error}")))?;
        let teller = reach(peer.addr.ip());
        let mut heard = Vec::new();
        for mut record in records {
            if record.id == shared.own_id || !lock(&shared.book).is_news(&record) {
                continue;
            }
            if !record.is_valid(&shared.chain_id) {
                shared.punish(&peer.id, FALSE_RECORD_POINTS, "it told of a peer with a false signature");
                break;
            }
            // Somebody elsewhere cannot know what listens on this machine.
            if teller > Reach::Loopback && record.addrs.iter().all(|addr| reach(addr.ip()) == Reach::Loopback)
            {
                continue;
            }
            record.addrs.shrink_to_fit();
            let id = record.id;
            if lock(&shared.book).hear(record, |id| shared.is_reserved(id)) {
                heard.push(id);
            }
        }
        if !heard.is_empty() {
            tracing::debug!(peer = %peer.id, count = heard.len(), "heard of other peers");
            shared.tell_hub(Message::Heard(heard));
        }
        Ok(())
    }
}
