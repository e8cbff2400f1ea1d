//! Reading blocks and transactions back. Every record's hash is checked on every read.

use crate::disk::Dir;
use crate::error::{Result, StoreError};
use crate::log::Pos;
use crate::meta::Row;
use crate::payload::Payload;
use crate::store::Store;
use crate::types::StoredBlock;

impl<D: Dir> Store<D> {
    /// Whether a block is stored, committed or not. It may still turn out to be damaged when it is read.
    pub fn has_block(&self, height: u64, hash: [u8; 32]) -> bool {
        if self.check().is_err() {
            return false;
        }
        // If the index cannot be read the block is as good as missing: it is fetched and appended again.
        self.index.block(height, hash).is_some()
            || self.row(height).is_ok_and(|row| row.is_some_and(|row| row.hash == hash))
    }

    /// The committed block of a height, with its certificate. `None` if the height is not committed or was pruned.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if its checksum fails: fetch it from a peer, then call `append_block` and
    /// `append_commit` again. [`StoreError::Poisoned`], [`StoreError::State`] and the operating system's.
    pub fn block(&self, height: u64) -> Result<Option<StoredBlock>> {
        self.check()?;
        let Some(row) = self.row(height)? else { return Ok(None) };
        let (hash, damaged) = (row.hash, |pos| damaged(height, pos));
        let block = self.read_block(row.block, hash)?.ok_or_else(|| damaged(row.block))?;
        let certificate = self.read_commit(row.commit, hash)?.ok_or_else(|| damaged(row.commit))?;
        Ok(Some(StoredBlock { hash, block, certificate }))
    }

    /// A stored block, committed or not. `None` if it is not stored.
    ///
    /// # Errors
    /// As [`Store::block`].
    pub fn candidate(&self, height: u64, hash: [u8; 32]) -> Result<Option<Vec<u8>>> {
        self.check()?;
        let pos = match self.index.block(height, hash) {
            Some(placed) => Some(placed.pos),
            None => self.row(height)?.filter(|row| row.hash == hash).map(|row| row.block),
        };
        let Some(pos) = pos else { return Ok(None) };
        Ok(Some(self.read_block(pos, hash)?.ok_or_else(|| damaged(height, pos))?))
    }

    /// Height of the committed block with this hash. `None` if there is none, or it was pruned.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::State`] and the operating system's.
    pub fn block_height_by_hash(&self, hash: [u8; 32]) -> Result<Option<u64>> {
        self.check()?;
        if let Some(height) = self.index.height_of(&hash) {
            return Ok(Some(height));
        }
        for height in self.state.heights_like(&hash)? {
            if self.state.row(height)?.is_some_and(|row| row.hash == hash) {
                return Ok(Some(height));
            }
        }
        Ok(None)
    }

    /// Shows every leaf of the last checkpoint to `f`, in the order of the keys.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::State`] and the operating system's.
    pub fn load_leaves(&self, f: impl FnMut(&[u8], &[u8])) -> Result<()> {
        self.check()?;
        self.state.load_leaves(f)
    }

    /// Places (height, index) of the transactions whose id begins with `prefix`, rising. The caller compares the
    /// whole id. Pruned blocks are left out.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::State`] and the operating system's.
    pub fn find_tx(&self, prefix: [u8; 8]) -> Result<Vec<(u64, u32)>> {
        self.check()?;
        let mut found = match self.state.first_height()? {
            Some(first) => self.state.find_tx(prefix, first, self.state_height())?,
            None => Vec::new(),
        };
        found.extend(self.index.find_tx(prefix));
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The lowest height whose block is stored with its certificate; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::State`] and the operating system's.
    pub fn first_height(&self) -> Result<Option<u64>> {
        self.check()?;
        Ok(self.state.first_height()?.or(self.index.first_committed()))
    }

    /// Where the committed block of a height lies.
    pub(crate) fn row(&self, height: u64) -> Result<Option<Row>> {
        if let Some(committed) = self.index.committed(height) {
            return Ok(Some(committed.row()));
        }
        match self.index.repaired(height) {
            Some(row) => Ok(Some(row)),
            None if height <= self.state_height() => self.state.row(height),
            None => Ok(None),
        }
    }

    /// Whether the record at `pos` can be read and holds the block `hash`.
    pub(crate) fn holds_block(&self, pos: Pos, hash: [u8; 32]) -> Result<bool> {
        Ok(self.read_block(pos, hash)?.is_some())
    }

    /// Whether the record at `pos` can be read and holds the certificate of `hash`.
    pub(crate) fn holds_commit(&self, pos: Pos, hash: [u8; 32]) -> Result<bool> {
        Ok(self.read_commit(pos, hash)?.is_some())
    }

    fn read_block(&self, pos: Pos, hash: [u8; 32]) -> Result<Option<Vec<u8>>> {
        self.read_part(pos, |payload| {
            payload.block().filter(|part| part.hash == hash).map(|part| part.bytes.to_vec())
        })
    }

    fn read_commit(&self, pos: Pos, hash: [u8; 32]) -> Result<Option<Vec<u8>>> {
        self.read_part(pos, |payload| match payload {
            Payload::Commit(part) if part.hash == hash => Some(part.bytes.to_vec()),
            _ => None,
        })
    }

    fn read_part(
        &self,
        pos: Pos,
        part: impl FnOnce(Payload<'_>) -> Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>> {
        let Some(sealed) = self.log.read(pos)? else { return Ok(None) };
        Ok(sealed.payload().and_then(part))
    }
}

fn damaged(height: u64, pos: Pos) -> StoreError {
    StoreError::Damaged { height, segment: pos.segment, offset: u64::from(pos.offset) }
}
