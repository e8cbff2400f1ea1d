//! The thread that owns the engine and the disk: takes inputs, carries outputs out in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, watch};
use trustnet_engine::block::CommittedBlock;
use trustnet_engine::io::{Final, Persist};
use trustnet_engine::message::{Class, MAX_SYNC_BYTES, Message, SyncRequest, SyncResponse};
use trustnet_engine::{Engine, Input, Now, Output};
use trustnet_ledger::codec;
use trustnet_ledger::crypto::Hash32;
use trustnet_net::{Event, Network, PeerId, RequestToken};
use trustnet_store::{Dir, OsDir, Store, StoreError};

use super::checkpoint::{Changes, Pending};
use super::crypto_pool::{CryptoPool, Verdict};
use super::handle::{Command, NodeInfo, NodeView, SubmitReply};
use super::timers::Timers;

/// Inputs that are taken in before what was gathered from them is sent.
const MAX_INPUTS_PER_TURN: usize = 256;
/// Longest sleep without a timer: a turn that finds nothing costs nothing worth saving.
const MAX_SLEEP_MS: u64 = 3_600_000;

/// Everything that the engine's thread owns.
pub(super) struct EngineThread {
    pub engine: Engine,
    pub store: Store<OsDir>,
    pub pending: Pending,
    pub net: Network,
    pub info: NodeInfo,
    pub crypto: CryptoPool,
    pub verdicts: mpsc::UnboundedReceiver<Verdict>,
    pub events: mpsc::Receiver<Event>,
    pub commands: mpsc::Receiver<Command>,
    pub committed: broadcast::Sender<Arc<CommittedBlock>>,
    pub stop: watch::Receiver<bool>,
    pub clock: Clock,
    pub timers: Timers,
    pub replies: HashMap<u64, SubmitReply>,
    pub next_token: u64,
    pub tokens: HashMap<u64, RequestToken>,
}

/// Why the thread ended.
pub(super) enum Ended {
    /// It was asked to stop.
    Stopped,
    /// The engine stopped for good.
    Halted(String),
    /// The disk failed.
    Disk(StoreError),
}

/// Both clocks of this machine.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Makes a block's transactions findable before the next checkpoint writes their index.
pub(super) fn note_txs<D: Dir>(store: &mut Store<D>, height: u64, tx_ids: &[Hash32]) {
    let prefixes: Vec<[u8; 8]> = tx_ids.iter().map(trustnet_engine::mempool::short_id).collect();
    store.note_txs(height, &prefixes);
}

impl EngineThread {
    /// Runs until told to stop. Writes a last checkpoint.
    pub async fn run(mut self, first: Vec<Output>) -> Ended {
        let ended = match self.carry_out(first) {
            Ok(()) => self.turns().await,
            Err(ended) => ended,
        };
        match ended {
            Ended::Disk(_) => ended,
            Ended::Stopped | Ended::Halted(_) => self.checkpoint().err().map_or(ended, Ended::Disk),
        }
    }

    async fn turns(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.turn().await {
                return ended;
            }
        }
    }

    /// Waits for something to happen, takes in all that has, and sends what came of it.
    async fn turn(&mut self) -> Result<(), Ended> {
        let now_ms = self.clock.now().mono_ms;
        let next_ms = [self.timers.next_ms(), self.pending.due_ms()].into_iter().flatten().min();
        let sleep_ms = next_ms.map_or(MAX_SLEEP_MS, |next| next.saturating_sub(now_ms).min(MAX_SLEEP_MS));
        tokio::select! {
            biased;
            _ = self.stop.changed() => return Err(Ended::Stopped),
            Some((job, results)) = self.verdicts.recv() => self.step(Input::Verified { job, results })?,
            Some(event) = self.events.recv() => self.on_event(event)?,
            Some(command) = self.commands.recv() => self.on_command(command)?,
            () = tokio::time::sleep(Duration::from_millis(sleep_ms)) => {}
        }
        for _ in 0..MAX_INPUTS_PER_TURN {
            if let Ok((job, results)) = self.verdicts.try_recv() {
                self.step(Input::Verified { job, results })?;
            } else if let Ok(event) = self.events.try_recv() {
                self.on_event(event)?;
            } else if let Ok(command) = self.commands.try_recv() {
                self.on_command(command)?;
            } else {
                break;
            }
        }
        while let Some(id) = self.timers.pop_due(self.clock.now().mono_ms) {
            self.step(Input::Timer(id))?;
        }
        self.step(Input::Flush)?;
        if self.pending.is_due(self.clock.now().mono_ms) {
            self.checkpoint().map_err(Ended::Disk)?;
        }
        Ok(())
    }

    fn step(&mut self, input: Input) -> Result<(), Ended> {
        let outputs = self.engine.step(self.clock.now(), input);
        self.carry_out(outputs)
    }

    fn on_event(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Up { peer, addr, outbound, .. } => {
                tracing::debug!(%peer, %addr, outbound, "peer connected");
                self.step(Input::PeerUp(peer.0))
            }
            Event::Down { peer, reason } => {
                tracing::debug!(%peer, reason, "peer disconnected");
                self.step(Input::PeerDown(peer.0))
            }
            Event::Frame { peer, bytes, .. } => self.step(Input::Message { peer: peer.0, bytes }),
            Event::Request { peer, bytes, token } => {
                let name = self.next_token;
                self.next_token += 1;
                self.tokens.insert(name, token);
                self.step(Input::SyncRequest { peer: peer.0, bytes, token: name })?;
                // A request that the engine did not answer is refused by dropping its token.
                self.tokens.remove(&name);
                Ok(())
            }
            Event::Response { peer, tag, result } => {
                self.step(Input::SyncResponse { peer: peer.0, tag, bytes: result.ok() })
            }
        }
    }

    fn on_command(&mut self, command: Command) -> Result<(), Ended> {
        match command {
            Command::Read(read) => {
                read(&NodeView {
                    engine: &self.engine,
                    store: &self.store,
                    net: &self.net,
                    info: &self.info,
                });
                Ok(())
            }
            Command::Submit(bytes, reply) => {
                let token = self.next_token;
                self.next_token += 1;
                self.replies.insert(token, reply);
                self.step(Input::Submit { token, bytes })
            }
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), Ended> {
        for output in outputs {
            match output {
                Output::Persist(persist) => self.persist(persist).map_err(Ended::Disk)?,
                Output::Send(peer, message) => {
                    self.net.send(&PeerId(peer), class(&message), message.encode());
                }
                Output::Broadcast(message, except) => {
                    let except = except.map(PeerId);
                    self.net.broadcast(class(&message), message.encode(), except.as_ref());
                }
                Output::Request { peer, request, tag } => {
                    self.net.request(&PeerId(peer), request.encode(), tag);
                }
                Output::ServeBlocks { token, request } => self.serve_blocks(token, request)?,
                Output::SetTimer(id, at_mono_ms) => self.timers.set(id, at_mono_ms),
                Output::Verify { job, checks } => self.crypto.check(job, checks),
                Output::Final(block) => self.on_final(*block).map_err(Ended::Disk)?,
                Output::Submitted { token, result } => {
                    if let Some(reply) = self.replies.remove(&token) {
                        // A client that no longer waits is no fault.
                        let _ = reply.send(result);
                    }
                }
                Output::Punish { peer, points, reason } => self.net.punish(&PeerId(peer), -points, reason),
                Output::Validators(keys) => {
                    self.net.set_reserved(keys.into_iter().map(PeerId).collect());
                }
                Output::Halt(why) => return Err(Ended::Halted(why)),
            }
        }
        Ok(())
    }

    fn persist(&mut self, persist: Persist) -> Result<(), StoreError> {
        match persist {
            Persist::Signer(record) => self.store.persist_signer(&record),
            Persist::SignerWithBlock { record, height, id, block } => {
                self.store.persist_signer_with_block(height, &record, id.0, &block)
            }
        }
    }

    fn on_final(&mut self, done: Final) -> Result<(), StoreError> {
        let height = done.committed.block.header.height;
        let id = done.committed.id.0;
        if !done.stored {
            self.store.append_block(height, id, &done.bytes)?;
        }
        self.store.append_commit(height, id, &codec::encode(&done.committed.commit))?;
        note_txs(&mut self.store, height, &done.tx_ids);
        self.pending.add(height, done.leaves, &done.tx_ids, self.clock.now().mono_ms);
        self.timers.forget_below(height + 1);
        tracing::debug!(height, txs = done.tx_ids.len(), "block committed");
        // Nobody listening is no fault.
        let _ = self.committed.send(done.committed);
        Ok(())
    }

    fn serve_blocks(&mut self, token: u64, request: SyncRequest) -> Result<(), Ended> {
        let Some(token) = self.tokens.remove(&token) else { return Ok(()) };
        let mut blocks: Vec<(Bytes, Bytes)> = Vec::new();
        let mut bytes = 0;
        for height in (request.from..).take(request.count as usize) {
            match self.store.block(height) {
                Ok(Some(stored)) => {
                    bytes += stored.block.len() + stored.certificate.len();
                    if !blocks.is_empty() && bytes > MAX_SYNC_BYTES {
                        break;
                    }
                    blocks.push((stored.block.into(), stored.certificate.into()));
                }
                Ok(None) => break,
                // One damaged block is the reader's loss, not the end of this node.
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::error!(%error, "a stored block is damaged");
                    break;
                }
                Err(error) => return Err(Ended::Disk(error)),
            }
        }
        self.net.respond(token, SyncResponse { blocks }.encode());
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let Changes { height, leaves, txs } = self.pending.take();
        self.store.checkpoint(height, leaves.into_iter(), &txs)?;
        tracing::debug!(height, "checkpoint written");
        Ok(())
    }
}

fn class(message: &Message) -> trustnet_net::Class {
    match message.class() {
        Class::Consensus => trustnet_net::Class::Consensus,
        Class::Gossip => trustnet_net::Class::Gossip,
        Class::Control => trustnet_net::Class::Control,
    }
}
