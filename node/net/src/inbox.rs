//! From the connections to the application, with a bound on the bytes in between.
//!
//! A channel bounds the number of events, not their size: two hundred proposals of 2 MiB would not fit a
//! small board. So each large frame holds room from before its memory is taken until the application has
//! received it. The application's channel cannot say when that is, so one task stands between: as the only
//! sender it knows which events are still in the channel.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Event;

/// Events between the connections and the pump.
const INBOX_EVENTS: usize = 256;
/// Events in the application's channel.
const APPLICATION_EVENTS: usize = 256;
/// Events moved at a time.
const BATCH: usize = 64;
/// Frames up to this size hold no room: the number of events bounds them well enough (8 MiB in all).
pub(crate) const SMALL_FRAME_BYTES: usize = 16 << 10;

/// Bytes that may be taken up, by whoever shares this room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    total: usize,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    fn amount(&self, bytes: usize) -> u32 {
        // More than everything is never free: a single frame may always pass, alone.
        u32::try_from(bytes.min(self.total)).unwrap_or(u32::MAX)
    }

    /// Waits for room; it is free again when the permit is dropped.
    pub(crate) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_many_owned(self.amount(bytes)).await.ok()
    }

    /// Takes room if it is free.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_many_owned(self.amount(bytes)).ok()
    }
}

/// An event and the room it takes up.
#[derive(Debug)]
pub(crate) struct Item {
    /// `None` ends the pump.
    event: Option<Event>,
    room: Option<OwnedSemaphorePermit>,
}

impl Item {
    pub(crate) fn new(event: Event, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { event: Some(event), room }
    }

    /// The last item: the application's channel ends after it.
    pub(crate) fn end() -> Self {
        Self { event: None, room: None }
    }
}

impl From<Event> for Item {
    fn from(event: Event) -> Self {
        Self::new(event, None)
    }
}

/// Where connections put events, the pump to run, and where the application takes them.
pub(crate) fn channel() -> (mpsc::Sender<Item>, Pump, mpsc::Receiver<Event>) {
    let (inbox, items) = mpsc::channel(INBOX_EVENTS);
    let (application, events) = mpsc::channel(APPLICATION_EVENTS);
    (inbox, Pump { items, application, held: VecDeque::new() }, events)
}

/// The task between the two channels.
pub(crate) struct Pump {
    items: mpsc::Receiver<Item>,
    application: mpsc::Sender<Event>,
    /// One entry for each event in the application's channel, oldest first; empty while none holds room.
    held: VecDeque<Option<OwnedSemaphorePermit>>,
}

impl Pump {
    /// Moves events until either side is gone, or the last item.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if self.held.is_empty() {
                if self.items.recv_many(&mut batch, BATCH).await == 0 {
                    return;
                }
            } else {
                tokio::select! {
                    count = self.items.recv_many(&mut batch, BATCH) => if count == 0 { return },
                    // The application has received everything when the whole channel can be reserved.
                    drained = self.application.reserve_many(APPLICATION_EVENTS) => match drained {
                        Ok(_) => self.held.clear(),
                        Err(_) => return,
                    },
                }
            }
            for item in batch.drain(..) {
                let Some(event) = item.event else { return };
                let Ok(permit) = self.application.reserve().await else { return };
                permit.send(event);
                if item.room.is_some() || !self.held.is_empty() {
                    self.held.push_back(item.room);
                    Self::release_received(&self.application, &mut self.held);
                }
            }
        }
    }

    /// Gives back the room of events that have left the application's channel.
    fn release_received(
        application: &mpsc::Sender<Event>,
        held: &mut VecDeque<Option<OwnedSemaphorePermit>>,
    ) {
        let waiting = APPLICATION_EVENTS - application.capacity();
        while held.len() > waiting {
            held.pop_front();
        }
        if held.iter().all(Option::is_none) {
            held.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use trustnet_ledger::crypto::PublicKey;

    use super::*;
    use crate::{Class, PeerId};

    fn frame(byte: u8) -> Event {
        let peer = PeerId(PublicKey([0; 32]));
        Event::Frame { peer, class: Class::Gossip, bytes: Bytes::copy_from_slice(&[byte]) }
    }

    #[tokio::test]
    async fn room_is_held_until_the_application_has_received_the_event() {
        let room = Room::new(100);
        let (inbox, pump, mut events) = channel();
        let pump = tokio::spawn(pump.run());
        for byte in 0..2 {
            inbox.send(Item::new(frame(byte), room.take(50).await)).await.unwrap();
        }
        inbox.send(frame(2).into()).await.unwrap();
        while events.len() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(room.try_take(1).is_none(), "both large events are still in the channel");
        for _ in 0..3 {
            events.recv().await.unwrap();
        }
        assert!(room.take(100).await.is_some());
        drop(inbox);
        pump.await.unwrap();
    }

    #[tokio::test]
    async fn order_is_kept_and_a_slow_application_holds_the_senders_back() {
        let (inbox, pump, mut events) = channel();
        tokio::spawn(pump.run());
        let sender = tokio::spawn(async move {
            for n in 0..5000u32 {
                let event = Event::Frame {
                    peer: PeerId(PublicKey([0; 32])),
                    class: Class::Gossip,
                    bytes: Bytes::copy_from_slice(&n.to_le_bytes()),
                };
                inbox.send(event.into()).await.unwrap();
            }
        });
        for n in 0..5000u32 {
            let Some(Event::Frame { bytes, .. }) = events.recv().await else { panic!("an event is missing") };
            assert_eq!(*bytes, n.to_le_bytes());
        }
        sender.await.unwrap();
    }

    #[tokio::test]
    async fn a_frame_larger_than_all_the_room_passes_alone() {
        let room = Room::new(10);
        let all = room.take(1000).await;
        assert!(all.is_some());
        assert!(room.try_take(1).is_none());
        drop(all);
        assert!(room.try_take(1).is_some());
    }
}
