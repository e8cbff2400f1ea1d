//! What is wrong with a home's data directory, and what a repair makes of it.
//!
//! The store trusts what its checksums vouch for. Here the chain that a repair would leave is also opened as a node
//! opens it: every block above the checkpoint is executed and compared with its header and certificate. That happens
//! in an overlay, so nothing on disk changes. What does not hold is distrusted: first the state, then everything.

use std::path::Path;
use std::sync::Arc;

use trustnet_engine::verifier::Ed25519;
use trustnet_engine::{Config as EngineConfig, SignerState, Timing};
use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::genesis::Genesis;
use trustnet_store::{
    Dir, Distrust, Finding, LostReason, Options, OsDir, Progress, Repair, Signer, Store, StoreError,
};

use super::RunError;
use super::open::{read_genesis, replay};
use crate::home::Home;

/// What an examination found.
#[derive(Debug)]
pub struct Examination {
    /// What is damaged, and what a repair does about it.
    pub repair: Repair,
    /// How the node would stand after it; `None` if the directory was only half made, which a start deals with.
    pub outcome: Option<Outcome>,
    distrust: Distrust,
}

impl Examination {
    /// Whether a start refuses.
    pub fn is_damaged(&self) -> bool {
        self.repair.findings.iter().any(Finding::is_damage)
    }
}

/// How a node stands after a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Its last block.
    pub height: u64,
    /// Why its signer record does not count, if it does not: a validator is silent then.
    pub signer_lost: Option<LostReason>,
    /// How many validators the chain has at that block.
    pub validators: usize,
}

/// Examines the data directory of a home. Changes nothing. What a repair sets aside would go into the folder `aside`.
///
/// # Errors
/// As a start's, but for the damage that a repair can mend.
pub fn examine(home: &Home, aside: &str, progress: &mut Progress<'_>) -> Result<Examination, RunError> {
    let genesis = Arc::new(read_genesis(home)?);
    let data = home.data_dir();
    let (dir, chain) = (OsDir::new(&data), genesis.hash().0);
    let mut distrust = Distrust::Nothing;
    loop {
        let rehearsed = trustnet_store::rehearse(&dir, Options::default(), chain, aside, &distrust, progress);
        let (repair, shown) = rehearsed?;
        if repair.findings.contains(&Finding::HalfInitialised) {
            return Ok(Examination { repair, outcome: None, distrust });
        }
        match outcome(shown, &genesis, &data, progress) {
            Ok(outcome) => return Ok(Examination { repair, outcome: Some(outcome), distrust }),
            Err(error) => distrust = distrusted(&distrust, error)?,
        }
    }
}

/// Carries out what `examination` has shown.
///
/// # Errors
/// As [`examine`]; a repair that was cut short can be done again.
pub fn apply(
    home: &Home,
    examination: &Examination,
    aside: &str,
    progress: &mut Progress<'_>,
) -> Result<Repair, RunError> {
    let (dir, chain) = (OsDir::new(home.data_dir()), read_genesis(home)?.hash().0);
    let done =
        trustnet_store::repair(&dir, Options::default(), chain, aside, &examination.distrust, progress)?;
    Ok(done)
}

/// Opens a directory as a node does, less the network and the keys.
fn outcome<D: Dir>(
    dir: D,
    genesis: &Arc<Genesis>,
    data: &Path,
    progress: &mut Progress<'_>,
) -> Result<Outcome, RunError> {
    let (mut store, found) = Store::open(dir, Options::default(), genesis.hash().0)?;
    let config = EngineConfig {
        genesis: Arc::clone(genesis),
        // Nothing is signed and nobody is asked.
        node_key: SecretKey::from_seed(&[0; 32]),
        validator_key: None,
        timing: Timing::default(),
        verifier: Arc::new(Ed25519::new([0; 32])),
        seed: [0; 32],
    };
    let mut told = |height, last| progress("executing blocks", height, last);
    let (engine, _) = replay(config, SignerState::Lost, &mut store, data, &mut told)?;
    let signer_lost = match found.signer {
        Signer::Lost(reason) => Some(reason),
        Signer::Fresh | Signer::Known(_) => None,
    };
    let validators = engine.ledger().validators().len();
    Ok(Outcome { height: engine.tip().height(), signer_lost, validators })
}

/// What to distrust next, after what was left did not hold.
fn distrusted(before: &Distrust, error: RunError) -> Result<Distrust, RunError> {
    let why = match &error {
        RunError::Replay { height, error, .. } => {
            format!("block {height} of the log does not fit the state: {error}")
        }
        RunError::Unreadable { height, .. } | RunError::Store(StoreError::Damaged { height, .. }) => {
            format!("block {height} of the log cannot be read")
        }
        // The rest of the message names the way out, which is this.
        RunError::Chain(chain) if error.is_repairable() => {
            chain.to_string().split(';').next().unwrap_or_default().to_owned()
        }
        _ => return Err(error),
    };
    match before {
        Distrust::Nothing => Ok(Distrust::State { why }),
        Distrust::State { .. } => Ok(Distrust::Everything { why }),
        Distrust::Everything { .. } => Err(error),
    }
}
