//! One replica as a state machine: inputs in, outputs out.
//!
//! No socket, file, clock or thread is touched here. The tokio shell and the simulator run this same
//! code; a run is a function of its inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_ledger::crypto::{Hash32, PublicKey};
use trustnet_ledger::ledger::Ledger;

use crate::block::{Block, Commit, MAX_VALIDATORS};
use crate::candidates::{Candidates, Stage};
use crate::chain::{Chain, ChainError, InvalidBlock, Tip};
use crate::config::{Config, SignerState};
use crate::evidence::Evidence;
use crate::io::{Input, Now, Output, TimerId};
use crate::jobs::Jobs;
use crate::mempool::Mempool;
use crate::message::{Message, Status};
use crate::peers::Peers;
use crate::signer::{SignRecord, Signer};
use crate::silence::Silence;
use crate::sync::Sync;
use crate::uptime::Uptime;
use crate::verified::VerifiedCache;

/// What a node starts from: the state of its last checkpoint and what the log holds beyond it.
pub struct Recovered {
    /// Leaves of the last checkpoint; empty for a new node.
    pub leaves: Vec<(Vec<u8>, Vec<u8>)>,
    /// The signer record.
    pub signer: SignerState,
}

/// Counters for people and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Transactions committed since the start of the process.
    pub txs_committed: u64,
    /// Blocks committed since the start of the process.
    pub blocks_committed: u64,
    /// Milliseconds between the last two commits, by the monotonic clock.
    pub last_block_interval_ms: u64,
    /// Highest round that any height of this process needed.
    pub highest_round: u32,
    /// Signatures that were refused by the signing room; should stay 0.
    pub refused_signatures: u64,
}

/// One replica.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) chain: Chain,
    pub(crate) core: Box<bft::Core<MAX_VALIDATORS>>,
    pub(crate) started: bool,
    pub(crate) begin_after_listening: bool,
    pub(crate) value_wanted: Option<u32>,
    pub(crate) signer: Option<Signer>,
    pub(crate) silence: Silence,
    pub(crate) candidates: Candidates,
    pub(crate) pool: Mempool,
    pub(crate) verified: VerifiedCache,
    pub(crate) jobs: Jobs,
    pub(crate) peers: Peers,
    pub(crate) seen_votes: BTreeMap<PublicKey, (u64, u32)>,
    pub(crate) evidence: BTreeMap<PublicKey, Evidence>,
    pub(crate) sync: Sync,
    pub(crate) uptime: Uptime,
    pub(crate) fresh_txs: Vec<Bytes>,
    pub(crate) stored_candidate: Option<Hash32>,
    pub(crate) last_commit_mono_ms: u64,
    pub(crate) height_since_unix_ms: u64,
    pub(crate) stats: EngineStats,
    pub(crate) halted: bool,
    pub(crate) persisted_record: Option<Vec<u8>>,
    pub(crate) actions: Box<bft::Actions>,
    pub(crate) now: Now,
    pub(crate) out: Vec<Output>,
}

impl Engine {
    /// An engine as the last checkpoint left it. Feed it the blocks that the log holds beyond
    /// ([`Engine::replay`]), then [`Engine::start`] it.
    ///
    /// # Errors
    /// [`ChainError`] when the stored state or the genesis does not hold.
    pub fn new(config: Config, recovered: Recovered) -> Result<Self, ChainError> {
        let chain = Chain::load(&config.genesis, recovered.leaves, Arc::clone(&config.verifier))?;
        let record = match &recovered.signer {
            SignerState::Known(bytes) => SignRecord::decode(bytes).ok(),
            SignerState::Fresh | SignerState::Lost => None,
        };
        let unreadable = matches!(recovered.signer, SignerState::Known(_)) && record.is_none();
        let lost = unreadable || recovered.signer == SignerState::Lost;
        let signer = config.validator_key.clone().map(|key| Signer::new(key, chain.chain_id(), record));
        let uptime = Uptime::new(config.genesis.params.epoch_ms, config.genesis.params.heartbeat_ms);
        let core = Box::new(bft::Core::new(chain.next_height(), chain.set().clone(), None));
        let mut silence = Silence::default();
        if lost && signer.is_some() {
            silence.lose_record();
        }
        Ok(Self {
            config,
            chain,
            core,
            started: false,
            begin_after_listening: false,
            value_wanted: None,
            signer,
            silence,
            candidates: Candidates::default(),
            pool: Mempool::default(),
            verified: VerifiedCache::default(),
            jobs: Jobs::default(),
            peers: Peers::new(),
            seen_votes: BTreeMap::new(),
            evidence: BTreeMap::new(),
            sync: Sync::default(),
            uptime,
            fresh_txs: Vec::new(),
            stored_candidate: None,
            last_commit_mono_ms: 0,
            height_since_unix_ms: 0,
            stats: EngineStats::default(),
            halted: false,
            persisted_record: None,
            actions: Box::default(),
            now: Now { mono_ms: 0, unix_ms: 0 },
            out: Vec::new(),
        })
    }

    /// Appends a block that this node's own log holds as committed. Its signatures were checked before
    /// it was written; its execution is checked again.
    ///
    /// # Errors
    /// [`InvalidBlock`] when the log contradicts the state: the data directory is damaged.
    pub fn replay(&mut self, block: &Block, commit: &Commit) -> Result<crate::io::Leaves, InvalidBlock> {
        self.chain.check_commit(commit, block.header.id())?;
        let execution = self.chain.validate(block)?;
        Ok(self.chain.append(block, commit, execution))
    }

    /// Whether the signer record names a value of the current height whose block must be handed to
    /// [`Engine::start`], if the log holds it.
    pub fn wanted_candidates(&self) -> Vec<Hash32> {
        let Some(record) = self.signer.as_ref().and_then(Signer::record) else { return Vec::new() };
        if record.height != self.chain.next_height() {
            return Vec::new();
        }
        let mut wanted: Vec<Hash32> =
            [record.locked, record.valid].into_iter().flatten().map(|(_, id)| id).collect();
        wanted.extend(record.proposed.map(|(id, _)| id));
        wanted.sort();
        wanted.dedup();
        wanted
    }

    /// Begins to take part, with the blocks of [`Engine::wanted_candidates`] that the log held.
    pub fn start(&mut self, now: Now, candidates: Vec<Block>) -> Vec<Output> {
        self.now = now;
        self.last_commit_mono_ms = now.mono_ms.saturating_sub(self.config.timing.pace_ms);
        self.enter_height();
        for block in candidates {
            let id = block.header.id();
            if block.header.height != self.chain.next_height() {
                continue;
            }
            if let Ok(execution) = self.chain.validate(&block) {
                let bytes = block.encode();
                self.candidates.insert(id, Stage::Valid { block: block.into(), bytes, execution });
                self.stored_candidate = Some(id);
            }
        }
        self.set_timer(TimerId::Heartbeat, 0);
        self.set_timer(TimerId::Attest, 0);
        self.set_timer(TimerId::Regossip, self.config.timing.regossip_ms);
        self.announce_validators();
        self.listen_first();
        if self.must_resume() {
            self.begin_height();
        }
        self.advance();
        std::mem::take(&mut self.out)
    }

    /// Takes one input and says what to do.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        self.now = now;
        if self.halted {
            return Vec::new();
        }
        match input {
            Input::PeerUp(peer) => self.on_peer_up(peer),
            Input::PeerDown(peer) => self.on_peer_down(&peer),
            Input::Message { peer, bytes } => self.on_message(peer, &bytes),
            Input::SyncRequest { peer, bytes, token } => self.on_sync_request(peer, &bytes, token),
            Input::SyncResponse { peer, tag, bytes } => self.on_sync_response(peer, tag, bytes),
            Input::Timer(id) => self.on_timer(id),
            Input::Submit { token, bytes } => self.on_submit(token, &bytes),
            Input::Verified { job, results } => self.on_verified(job, &results),
            Input::Flush => self.flush_gathered(),
        }
        self.advance();
        std::mem::take(&mut self.out)
    }

    fn on_timer(&mut self, id: TimerId) {
        match id {
            TimerId::Consensus { height, round, step } => self.on_consensus_timer(height, round, step),
            TimerId::Pace => {}
            TimerId::Repair => self.on_repair_timer(),
            TimerId::Sync => self.on_sync_timer(),
            TimerId::Heartbeat => self.on_heartbeat_timer(),
            TimerId::Attest => self.on_attest_timer(),
            TimerId::Regossip => self.on_regossip_timer(),
            TimerId::Listen => self.on_listen_timer(),
        }
    }

    fn on_peer_up(&mut self, peer: PublicKey) {
        self.peers.entry(peer).or_default();
        let status = self.status_for(&peer);
        self.send(peer, Message::Status(status));
        self.send_heartbeat_to(peer);
    }

    fn on_peer_down(&mut self, peer: &PublicKey) {
        self.peers.remove(peer);
        self.sync.peer_gone(peer);
    }

    /// The status as `peer` should see it.
    pub(crate) fn status_for(&self, peer: &PublicKey) -> Status {
        let validator = self.chain.ledger().validators().iter().find(|v| v.node_key == *peer);
        Status {
            height: self.chain.tip().height(),
            block: self.chain.tip().id,
            earliest: 1,
            round: self.started.then(|| self.core.round()),
            your_vote: validator.and_then(|v| self.seen_votes.get(&v.validator_key).copied()),
        }
    }

    pub(crate) fn send(&mut self, peer: PublicKey, message: Message) {
        self.out.push(Output::Send(peer, message));
    }

    pub(crate) fn broadcast(&mut self, message: Message) {
        self.out.push(Output::Broadcast(message, None));
    }

    pub(crate) fn set_timer(&mut self, id: TimerId, after_ms: u64) {
        self.out.push(Output::SetTimer(id, self.now.mono_ms.saturating_add(after_ms)));
    }

    pub(crate) fn halt(&mut self, why: String) {
        self.halted = true;
        self.out.push(Output::Halt(why));
    }

    pub(crate) fn announce_validators(&mut self) {
        let keys = self.chain.ledger().validators().iter().map(|v| v.node_key).collect();
        self.out.push(Output::Validators(keys));
    }

    /// This node's position among the deciders of the current height.
    pub(crate) fn position(&self) -> Option<u16> {
        self.chain.position(&self.signer.as_ref()?.public())
    }

    /// The ledger at the last committed block.
    pub fn ledger(&self) -> &Ledger {
        self.chain.ledger()
    }

    /// The last committed block, without its transactions.
    pub fn tip(&self) -> &Tip {
        self.chain.tip()
    }

    /// Keys and powers of the validators that decide the next height.
    pub fn deciders(&self) -> &[(PublicKey, u64)] {
        self.chain.deciders()
    }

    /// The waiting transactions.
    pub fn pool(&self) -> &Mempool {
        &self.pool
    }

    /// Whether this node is fetching blocks that others have already committed.
    pub fn catching_up(&self) -> bool {
        self.sync.is_behind()
    }

    /// Why this validator does not vote, if it does not.
    pub fn silent_reason(&self) -> Option<&'static str> {
        self.silence.reason()
    }

    /// Counters.
    pub fn stats(&self) -> EngineStats {
        self.stats
    }

    /// Whether this engine has stopped for good.
    pub fn is_halted(&self) -> bool {
        self.halted
    }
}
