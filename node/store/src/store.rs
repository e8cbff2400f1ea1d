//! The store: one data directory, used by one thread.

use crate::disk::Dir;
use crate::error::{Result, StoreError};
use crate::options::Options;
use crate::types::{PruneReport, Recovered, StoredBlock, Usage};

/// Makes a new data directory for a key that has never signed anything.
///
/// # Errors
/// See [`StoreError`].
pub fn initialise(_dir: &impl Dir, opts: Options, _chain: [u8; 32]) -> Result<()> {
    opts.check()
}

/// Makes a new data directory for a key that may have signed before: its signer record is `Lost`.
///
/// # Errors
/// See [`StoreError`].
pub fn initialise_lost(_dir: &impl Dir, opts: Options, _chain: [u8; 32]) -> Result<()> {
    opts.check()
}

/// One data directory.
pub struct Store<D: Dir> {
    _dir: D,
}

#[expect(clippy::unused_self, clippy::missing_errors_doc, missing_docs, clippy::needless_pass_by_value)]
impl<D: Dir> Store<D> {
    pub fn open(_dir: D, opts: Options, _chain: [u8; 32]) -> Result<(Self, Recovered)> {
        opts.check()?;
        Err(StoreError::Poisoned)
    }
    pub fn persist_signer(&mut self, _sign: &[u8]) -> Result<()> {
        Err(StoreError::Poisoned)
    }
    pub fn persist_signer_with_block(
        &mut self,
        _height: u64,
        _sign: &[u8],
        _hash: [u8; 32],
        _block: &[u8],
    ) -> Result<()> {
        Err(StoreError::Poisoned)
    }
    pub fn append_commit(&mut self, _height: u64, _hash: [u8; 32], _certificate: &[u8]) -> Result<()> {
        Err(StoreError::Poisoned)
    }
    pub fn append_block(&mut self, _height: u64, _hash: [u8; 32], _block: &[u8]) -> Result<()> {
        Err(StoreError::Poisoned)
    }
    pub fn sync(&mut self) -> Result<()> {
        Err(StoreError::Poisoned)
    }
    pub fn has_block(&self, _height: u64, _hash: [u8; 32]) -> bool {
        false
    }
    pub fn block(&self, _height: u64) -> Result<Option<StoredBlock>> {
        Err(StoreError::Poisoned)
    }
    pub fn candidate(&self, _height: u64, _hash: [u8; 32]) -> Result<Option<Vec<u8>>> {
        Err(StoreError::Poisoned)
    }
    pub fn block_height_by_hash(&self, _hash: [u8; 32]) -> Result<Option<u64>> {
        Err(StoreError::Poisoned)
    }
    pub fn checkpoint(
        &mut self,
        _height: u64,
        _leaves: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        _tx_ids: &[([u8; 8], u64, u32)],
    ) -> Result<()> {
        Err(StoreError::Poisoned)
    }
    pub fn load_leaves(&self, _f: impl FnMut(&[u8], &[u8])) -> Result<()> {
        Err(StoreError::Poisoned)
    }
    pub fn note_txs(&mut self, _height: u64, _prefixes: &[[u8; 8]]) {}
    pub fn find_tx(&self, _prefix: [u8; 8]) -> Result<Vec<(u64, u32)>> {
        Err(StoreError::Poisoned)
    }
    pub fn prune(&mut self, _keep_from_height: u64) -> Result<PruneReport> {
        Err(StoreError::Poisoned)
    }
    pub fn prepare_spare(&mut self) -> Result<()> {
        Err(StoreError::Poisoned)
    }
    pub fn usage(&self) -> Result<Usage> {
        Err(StoreError::Poisoned)
    }
    pub fn state_height(&self) -> u64 {
        0
    }
    pub fn last_commit_height(&self) -> u64 {
        0
    }
}
