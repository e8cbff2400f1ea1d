//! One machine: a replica, its disk, its clocks and timers. Boots and dies as a real node does
//! (`node/trustnet/src/node/open.rs`), on the real store over a disk in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use trustnet_engine::block::{Block, Commit, MAX_COMMIT_BYTES};
use trustnet_engine::io::{Final, Persist};
use trustnet_engine::message::{MAX_SYNC_BYTES, SyncRequest, SyncResponse};
use trustnet_engine::verifier::Verifier;
use trustnet_engine::{Config, Engine, Now, Output, Recovered, SignerState, TimerId, Timing};
use trustnet_ledger::codec;
use trustnet_ledger::genesis::Genesis;
use trustnet_store::{MemDir, Options, Signer, Store, StoreError};

use crate::seats::{START_UNIX_MS, Seat};

/// Small, so that a run crosses segments.
const SEGMENT_BYTES: u64 = 128 * 1024;

/// What a machine needs to boot.
#[derive(Clone)]
pub struct Settings {
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// Judges signatures for all machines.
    pub verifier: Arc<dyn Verifier>,
    /// Durations of consensus.
    pub timing: Timing,
    /// Blocks between checkpoints.
    pub checkpoint_blocks: u64,
}

/// A process on a machine.
pub struct Running {
    /// The replica.
    pub engine: Engine,
    /// Its disk.
    pub store: Store<MemDir>,
    /// Timers, by the machine's own monotonic clock.
    pub timers: BTreeMap<TimerId, u64>,
    /// When it began, virtual milliseconds.
    pub booted_ms: u64,
    /// Why it was silent when last looked at.
    pub silent: Option<&'static str>,
    leaves: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    blocks: u64,
}

/// What a boot found.
#[expect(clippy::struct_excessive_bools, reason = "independent findings")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The height that the disk holds.
    pub height: u64,
    /// The signer record is lost.
    pub lost: bool,
    /// A torn tail was cut.
    pub torn: bool,
    /// Blocks of the log were replayed.
    pub replayed: bool,
    /// A block that was voted for was found again.
    pub candidate: bool,
}

/// A machine.
#[expect(clippy::struct_excessive_bools, reason = "independent conditions")]
pub struct Machine {
    /// Whose keys it holds.
    pub seat: usize,
    /// Its disk.
    pub dir: MemDir,
    /// The process, while it runs.
    pub running: Option<Running>,
    /// How often it has booted.
    pub boots: u32,
    /// How far its wall clock is off, milliseconds.
    pub skew_ms: i64,
    /// Its wall clock starts at 1970.
    pub no_clock: bool,
    /// Time that it takes for each input, milliseconds.
    pub slow_ms: u64,
    /// Until when it is busy, virtual milliseconds.
    pub busy_until_ms: u64,
    /// Its disk had a data directory once.
    pub initialised: bool,
    /// The disk may have lost or gained what the store cannot answer for.
    pub rotten: bool,
    /// A boot is on its way.
    pub booting: bool,
}

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        redb_cache_bytes: 256 * 1024,
        background_spare: false,
        log_key: Some([5; 32]),
        ..Options::default()
    }
}

/// The signer record that a start from this disk would find; empty if nothing was signed, `None` if the disk is refused or
/// known to have lost it.
pub fn signed_on(dir: &MemDir, chain: [u8; 32]) -> Option<Vec<u8>> {
    match Store::open(dir.duplicate(), options(), chain).ok()?.1.signer {
        Signer::Known(record) => Some(record),
        Signer::Fresh => Some(Vec::new()),
        Signer::Lost(_) => None,
    }
}

impl Machine {
    /// A machine with an empty disk.
    pub fn new(seat: usize, skew_ms: i64) -> Self {
        Self {
            seat,
            dir: MemDir::new(),
            running: None,
            boots: 0,
            skew_ms,
            no_clock: false,
            slow_ms: 0,
            busy_until_ms: 0,
            initialised: false,
            rotten: false,
            booting: false,
        }
    }

    /// Its clocks at virtual time `world_ms`.
    pub fn now(&self, world_ms: u64) -> Now {
        let mono_ms = self.running.as_ref().map_or(0, |running| world_ms - running.booted_ms);
        let base = if self.no_clock { mono_ms } else { START_UNIX_MS + world_ms };
        Now { mono_ms, unix_ms: base.saturating_add_signed(self.skew_ms) }
    }

    /// Starts the process from the disk.
    ///
    /// # Errors
    /// Why the node refuses to start.
    pub fn boot(
        &mut self,
        settings: &Settings,
        seat: &Seat,
        world_ms: u64,
    ) -> Result<(Vec<Output>, Found), String> {
        let chain = settings.genesis.hash().0;
        let (store, found) = match Store::open(self.dir.clone(), options(), chain) {
            Err(StoreError::NotInitialised { .. } | StoreError::HalfInitialised { .. }) => {
                let made = if self.initialised {
                    trustnet_store::initialise_lost(&self.dir, options(), chain)
                } else {
                    trustnet_store::initialise(&self.dir, options(), chain)
                };
                made.map_err(|error| error.to_string())?;
                self.initialised = true;
                Store::open(self.dir.clone(), options(), chain)
            }
            opened => opened,
        }
        .map_err(|error| error.to_string())?;
        let lost = matches!(found.signer, Signer::Lost(_));
        let signer = match found.signer {
            Signer::Fresh => SignerState::Fresh,
            Signer::Known(record) => SignerState::Known(record),
            Signer::Lost(_) => SignerState::Lost,
        };
        let mut leaves = Vec::new();
        let loaded = store.load_leaves(|key, value| leaves.push((key.to_vec(), value.to_vec())));
        loaded.map_err(|error| error.to_string())?;
        let config = Config {
            genesis: Arc::clone(&settings.genesis),
            node_key: seat.node.clone(),
            validator_key: Some(seat.validator.clone()),
            timing: settings.timing,
            verifier: Arc::clone(&settings.verifier),
            seed: [self.seat as u8; 32],
        };
        let engine = Engine::new(config, Recovered { leaves, signer }).map_err(|error| error.to_string())?;
        let mut running = Running {
            engine,
            store,
            timers: BTreeMap::new(),
            booted_ms: world_ms,
            silent: None,
            leaves: BTreeMap::new(),
            blocks: 0,
        };
        for height in found.state_height + 1..=found.last_commit_height {
            running.replay(height)?;
        }
        let next = running.engine.tip().height() + 1;
        let wanted = running.engine.wanted_candidates();
        let mut candidates = Vec::new();
        for id in wanted {
            let bytes = running.store.candidate(next, id.0).map_err(|error| error.to_string())?;
            candidates.extend(bytes.and_then(|bytes| Block::decode(&bytes).ok()));
        }
        let found = Found {
            height: next - 1,
            lost,
            torn: !matches!(found.tail, trustnet_store::Tail::Clean),
            replayed: found.last_commit_height > found.state_height,
            candidate: !candidates.is_empty(),
        };
        self.boots += 1;
        self.running = Some(running);
        let now = self.now(world_ms);
        let running = self.running.as_mut().ok_or("just set")?;
        Ok((running.engine.start(now, candidates), found))
    }

    /// Power is gone. `seed` decides what unflushed writes become.
    pub fn kill(&mut self, seed: u64) {
        self.running = None;
        self.dir.crash(seed);
    }
}

impl Running {
    fn replay(&mut self, height: u64) -> Result<(), String> {
        let unreadable = || format!("block {height} of the log is unreadable");
        let stored = self.store.block(height).map_err(|error| error.to_string())?.ok_or_else(unreadable)?;
        let block = Block::decode(&stored.block).map_err(|_| unreadable())?;
        let commit: Commit =
            codec::decode(&stored.certificate, MAX_COMMIT_BYTES).map_err(|_| unreadable())?;
        let leaves = self.engine.replay(&block, &commit).map_err(|error| error.to_string())?;
        self.leaves.extend(leaves);
        self.blocks += 1;
        Ok(())
    }

    /// Makes durable.
    ///
    /// # Errors
    /// Those of the store.
    pub fn persist(&mut self, persist: Persist) -> Result<(), StoreError> {
        match persist {
            Persist::Signer(record) => self.store.persist_signer(&record),
            Persist::SignerWithBlock { record, height, id, block } => {
                self.store.persist_signer_with_block(height, &record, id.0, &block)
            }
        }
    }

    /// Appends a decided block, and writes a checkpoint when it is due.
    ///
    /// # Errors
    /// Those of the store.
    pub fn finish(&mut self, done: Final, checkpoint_blocks: u64) -> Result<(), StoreError> {
        let (height, id) = (done.committed.block.header.height, done.committed.id.0);
        if !done.stored {
            self.store.append_block(height, id, &done.bytes)?;
        }
        self.store.append_commit(height, id, &codec::encode(&done.committed.commit))?;
        self.leaves.extend(done.leaves);
        self.blocks += 1;
        if self.blocks >= checkpoint_blocks {
            self.blocks = 0;
            self.store.checkpoint(height, std::mem::take(&mut self.leaves).into_iter(), &[])?;
        }
        self.timers.retain(|id, _| !matches!(id, TimerId::Consensus { height: of, .. } if *of <= height));
        Ok(())
    }

    /// Committed blocks for a peer.
    pub fn serve(&self, request: SyncRequest) -> SyncResponse {
        let mut blocks = Vec::new();
        let mut bytes = 0;
        for height in (request.from..).take(request.count as usize) {
            let Ok(Some(stored)) = self.store.block(height) else { break };
            bytes += stored.block.len() + stored.certificate.len();
            if !blocks.is_empty() && bytes > MAX_SYNC_BYTES {
                break;
            }
            blocks.push((stored.block.into(), stored.certificate.into()));
        }
        SyncResponse { blocks }
    }
}
