//! A peer that is no validator, listens to all nodes, and keeps every signature that passes by.
//!
//! A node broadcasts its own proposals and votes to all peers, so this one gets them first hand. What a node sent
//! before its connection with this peer was up, the other nodes hold, and give it to whoever says that he lacks it:
//! so this peer says several times a second that it holds nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};
use trustnet_engine::block::MAX_VALIDATORS;
use trustnet_engine::message::{Holding, Message};
use trustnet_ledger::Genesis;
use trustnet_ledger::crypto::SecretKey;
use trustnet_net::{Class, Config, Event, Network, PeerId};

use crate::slots::Slots;

/// How often the nodes are asked for what they hold.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Rounds of a height that are asked for, the latest ones.
const ROUNDS_ASKED: u32 = 4;

/// The peer; it leaves when this is dropped.
pub struct Recorder {
    runtime: Option<Runtime>,
    address: String,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    messages: AtomicUsize,
    fault: Mutex<Option<String>>,
}

impl Recorder {
    /// Listens at `listen` as a peer of the chain of `genesis`.
    pub fn start(listen: SocketAddr, genesis: &Genesis, slots: Arc<Mutex<Slots>>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let secret = SecretKey::from_seed(&[77; 32]);
        let config = Config::new(secret, listen, genesis.hash(), genesis.chain_id.clone());
        let (network, events) = runtime.block_on(Network::start(config)).unwrap();
        let address = format!("{}@{}", network.id(), network.local_addr());
        let heard = Arc::<Heard>::default();
        let names = genesis.validators.iter().map(|v| (PeerId(v.node_key), v.name.clone())).collect();
        runtime.spawn(
            Listener { network, names, slots, heard: heard.clone(), rounds: BTreeMap::new() }.run(events),
        );
        Self { runtime: Some(runtime), address, heard }
    }

    /// What nodes write into their settings to reach it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many messages came.
    pub fn messages(&self) -> usize {
        self.heard.messages.load(Ordering::Relaxed)
    }

    /// The first message that no honest node sends, if one came.
    pub fn fault(&self) -> Option<String> {
        self.heard.fault.lock().unwrap().clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Listener {
    network: Network,
    names: BTreeMap<PeerId, String>,
    slots: Arc<Mutex<Slots>>,
    heard: Arc<Heard>,
    /// The latest height and round that each connected node has shown.
    rounds: BTreeMap<PeerId, (u64, u32)>,
}

impl Listener {
    async fn run(mut self, mut events: Receiver<Event>) {
        let mut next = Instant::now() + ASK_EVERY;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Up { peer, .. }) => drop(self.rounds.insert(peer, (1, 0))),
                    Some(Event::Down { peer, .. }) => drop(self.rounds.remove(&peer)),
                    Some(Event::Frame { peer, bytes, .. }) => self.on_frame(peer, &bytes),
                    // A request for blocks is refused by dropping it.
                    Some(Event::Request { .. } | Event::Response { .. }) => {}
                    None => return,
                },
                () = sleep_until(next) => {
                    self.ask();
                    next = Instant::now() + ASK_EVERY;
                }
            }
        }
    }

    fn on_frame(&mut self, peer: PeerId, bytes: &[u8]) {
        self.heard.messages.fetch_add(1, Ordering::Relaxed);
        let source = self.names.get(&peer).map_or("a stranger", String::as_str);
        let noted =
            Message::decode(bytes).map_err(|error| format!("{source} sent a malformed message: {error}"));
        let noted = noted.and_then(|message| {
            let shown = match &message {
                Message::Status(status) => (status.height + 1, status.round.unwrap_or(0)),
                Message::Vote(vote) => (vote.height, vote.round),
                Message::Proposal(proposal) => (proposal.header.height, proposal.round),
                _ => (0, 0),
            };
            if let Some(latest) = self.rounds.get_mut(&peer) {
                *latest = (*latest).max(shown);
            }
            self.slots.lock().unwrap().note_message(&message, source)
        });
        if let Err(fault) = noted {
            self.heard.fault.lock().unwrap().get_or_insert(fault);
        }
    }

    fn ask(&self) {
        for (peer, &(height, latest)) in &self.rounds {
            for round in latest.saturating_sub(ROUNDS_ASKED - 1)..=latest {
                let nothing = [0; MAX_VALIDATORS / 64];
                let holding =
                    Holding { height, round, proposal: false, prevotes: nothing, precommits: nothing };
                self.network.send(peer, Class::Consensus, Message::Holding(holding).encode());
            }
        }
    }
}
