//! Opening a home: genesis, keys, disk, and an engine that stands where the disk left off.

use std::path::Path;
use std::sync::Arc;

use trustnet_engine::block::{Block, Commit, MAX_COMMIT_BYTES};
use trustnet_engine::verifier::Ed25519;
use trustnet_engine::{Config as EngineConfig, Engine, Recovered, SignerState, Timing};
use trustnet_ledger::codec;
use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::genesis::Genesis;
use trustnet_store::{Dir, Options, OsDir, Signer, Store, StoreError};

use super::RunError;
use super::checkpoint::Pending;
use crate::config::Config;
use crate::home::Home;
use crate::keys::Role;

/// A home, opened.
pub(super) struct Opened {
    pub genesis: Arc<Genesis>,
    pub node_key: SecretKey,
    pub validator_key: Option<SecretKey>,
    pub engine: Engine,
    pub store: Store<OsDir>,
    pub pending: Pending,
    /// Blocks that the signer record names and the log holds.
    pub candidates: Vec<Block>,
    pub seed: [u8; 32],
}

/// Reads and checks a genesis file.
///
/// # Errors
/// [`RunError`] names the file and the place in it.
pub fn read_genesis(home: &Home) -> Result<Genesis, RunError> {
    let path = home.genesis_file();
    let text =
        std::fs::read_to_string(&path).map_err(|error| RunError::NoGenesis { path: path.clone(), error })?;
    Genesis::from_json(&text).map_err(|error| RunError::Genesis { path, error })
}

/// Opens a home.
///
/// # Errors
/// [`RunError`] says what is wrong with which part of it.
pub(super) fn open(home: &Home, config: &Config) -> Result<Opened, RunError> {
    let genesis = Arc::new(read_genesis(home)?);
    let node_key = home.key(Role::Node)?;
    let validator_key =
        if home.key_file(Role::Validator).exists() { Some(home.key(Role::Validator)?) } else { None };
    let chain = genesis.hash().0;
    let data = home.data_dir();
    let dir = OsDir::new(&data);
    let (mut store, found) = match Store::open(dir.clone(), Options::default(), chain) {
        Err(StoreError::NotInitialised { .. } | StoreError::HalfInitialised { .. }) => {
            // The keys are older than the data: this validator may have signed before.
            tracing::warn!(data = %data.display(), "no data directory; fetching the chain from peers");
            trustnet_store::initialise_lost(&dir, Options::default(), chain)?;
            Store::open(dir, Options::default(), chain)?
        }
        other => other?,
    };
    let signer = match found.signer {
        Signer::Fresh => SignerState::Fresh,
        Signer::Known(record) => SignerState::Known(record),
        Signer::Lost(reason) => {
            if validator_key.is_some() {
                tracing::warn!(%reason, "the signer record is lost; silent until other validators tell where we were");
            }
            SignerState::Lost
        }
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| RunError::System { what: "random bytes", error: error.to_string() })?;
    let defaults = Timing::default();
    let engine_config = EngineConfig {
        genesis: Arc::clone(&genesis),
        node_key: node_key.clone(),
        validator_key: validator_key.clone(),
        timing: Timing {
            propose_ms: config.consensus.propose_ms,
            vote_ms: config.consensus.vote_ms,
            delta_ms: config.consensus.delta_ms,
            ..defaults
        },
        verifier: Arc::new(Ed25519::new(seed)),
        seed,
    };
    let (engine, pending) = replay(engine_config, signer, &mut store, &data, &mut |_, _| {})?;
    let next = engine.tip().height() + 1;
    let mut candidates = Vec::new();
    for id in engine.wanted_candidates() {
        if let Some(block) = store.candidate(next, id.0)?.and_then(|bytes| Block::decode(&bytes).ok()) {
            candidates.push(block);
        }
    }
    Ok(Opened { genesis, node_key, validator_key, engine, store, pending, candidates, seed })
}

/// An engine that stands where the store ends: the stored state, and every later block of the log executed and compared
/// with its header and certificate. `progress` hears of the height reached and the last one.
pub(super) fn replay<D: Dir>(
    config: EngineConfig,
    signer: SignerState,
    store: &mut Store<D>,
    data: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Engine, Pending), RunError> {
    let mut leaves = Vec::new();
    store.load_leaves(|key, value| leaves.push((key.to_vec(), value.to_vec())))?;
    let mut engine = Engine::new(config, Recovered { leaves, signer })?;
    let mut pending = Pending::default();
    let last = store.last_commit_height();
    for height in store.state_height() + 1..=last {
        progress(height, last);
        let unreadable = || RunError::Unreadable { height, data: data.to_owned() };
        let stored = store.block(height)?.ok_or_else(unreadable)?;
        let block = Block::decode(&stored.block).map_err(|_| unreadable())?;
        let commit: Commit =
            codec::decode(&stored.certificate, MAX_COMMIT_BYTES).map_err(|_| unreadable())?;
        let leaves = engine.replay(&block, &commit).map_err(|error| RunError::Replay {
            height,
            error,
            data: data.to_owned(),
        })?;
        let tx_ids: Vec<_> = block.txs.iter().map(|tx| trustnet_engine::mempool::tx_id(tx)).collect();
        super::engine_thread::note_txs(store, height, &tx_ids);
        pending.add(height, leaves, &tx_ids, 0);
    }
    Ok((engine, pending))
}
