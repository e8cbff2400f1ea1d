//! The store: one data directory, written by one thread.
//!
//! What is durable when: `persist_signer`, `persist_signer_with_block`, `sync` and `checkpoint` return after a flush
//! that covers everything appended before them. `append_block` and `append_commit` return before: a crash may take
//! back what they wrote since the last of those four, and the peers send it again.

use crate::disk::Dir;
use crate::error::{Result, StoreError};
use crate::index::{CommitFit, Index};
use crate::log::{Log, NewRecord, Placed};
use crate::meta::{Meta, Row};
use crate::record::{Kind, MAX_SIGN_BYTES};
use crate::signer::VoteLock;
use crate::state::{Checkpoint, State};
use crate::types::{PruneReport, Usage};

/// Where the signer record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignerNow {
    /// The counter that log records and slots share: the last number given out.
    pub(crate) seq: u64,
    /// Seq of the newest flushed signer record.
    pub(crate) mark: u64,
    /// The newest record, while it is in the log and in no slot.
    pub(crate) only_in_log: Option<Vec<u8>>,
    /// The next record goes into both slots: nothing was signed yet, or the slots cannot be trusted.
    pub(crate) write_both: bool,
}

/// One data directory, held by this process.
pub struct Store<D: Dir> {
    pub(crate) state: State,
    pub(crate) log: Log<D>,
    vote_lock: VoteLock<D>,
    pub(crate) index: Index,
    meta: Meta,
    signer: SignerNow,
    poisoned: bool,
    // The last field: dropped after the files.
    _lock: D::Lock,
}

impl<D: Dir> std::fmt::Debug for Store<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("state_height", &self.state_height())
            .field("last_commit_height", &self.last_commit_height())
            .finish_non_exhaustive()
    }
}

impl<D: Dir> Store<D> {
    pub(crate) fn assemble(
        state: State,
        log: Log<D>,
        vote_lock: VoteLock<D>,
        index: Index,
        meta: Meta,
        signer: SignerNow,
        lock: D::Lock,
    ) -> Self {
        Self { state, log, vote_lock, index, meta, signer, poisoned: false, _lock: lock }
    }

    /// Refuses after an earlier failure.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_poisoned() { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    /// Whether an earlier failure stopped the store.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned || self.log.is_broken()
    }

    /// Stops the store if `result` is an error: what the disk holds is undefined.
    fn fatal<T>(&mut self, result: Result<T>) -> Result<T> {
        self.poisoned |= result.is_err();
        result
    }

    /// Height of the last checkpoint.
    pub fn state_height(&self) -> u64 {
        self.index.state_height()
    }

    /// The last committed height: every block from the checkpoint up to it is stored with its certificate.
    pub fn last_commit_height(&self) -> u64 {
        self.index.last_commit()
    }

    /// Makes a signer record durable. One fdatasync: of `vote.lock`, or of the log if something was appended to it,
    /// which is made durable as well. (The very first record of a directory goes into both slots: two.)
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above [`MAX_SIGN_BYTES`]; [`StoreError::Poisoned`]; the operating system's, which
    /// poison the store: the record may or may not be on disk, and nothing may be sent that rests on it.
    pub fn persist_signer(&mut self, sign: &[u8]) -> Result<()> {
        self.check()?;
        check_sign(sign)?;
        if !self.signer.write_both && self.log.is_dirty() {
            match self.log_vote(self.index.last_commit(), sign, &[]) {
                // No room for another segment; the slots need none.
                Err(StoreError::DiskFull { .. }) if !self.log.is_broken() => {}
                logged => return logged.map(drop),
            }
        }
        self.slot_vote(sign)
    }

    /// Makes a signer record and the block it votes for durable, as one log record: one fdatasync. If the block is
    /// in the log already, as [`Store::persist_signer`].
    ///
    /// # Errors
    /// As [`Store::persist_signer`]; also [`StoreError::TooLarge`] and [`StoreError::DiskFull`], after which the
    /// store goes on and the record is not stored.
    pub fn persist_signer_with_block(
        &mut self,
        height: u64,
        sign: &[u8],
        hash: [u8; 32],
        block: &[u8],
    ) -> Result<()> {
        self.check()?;
        check_sign(sign)?;
        if let Some(placed) = self.index.block(height, hash)
            && self.holds_block(placed.pos, hash)?
        {
            return self.persist_signer(sign);
        }
        self.log.check_size(Kind::Vote, sign, &[&hash, block])?;
        if self.signer.write_both {
            // The block first: a record of a vote for a block that is nowhere would bind this validator for ever.
            self.append_block(height, hash, block)?;
            return self.slot_vote(sign);
        }
        let placed = self.log_vote(height, sign, &[&hash, block])?;
        if height > self.index.state_height() {
            self.index.add_block(height, hash, placed);
        }
        Ok(())
    }

    fn slot_vote(&mut self, sign: &[u8]) -> Result<()> {
        self.log.sync()?;
        let (seq, durable) = (self.signer.seq + 1, self.log.durable());
        let written = if self.signer.write_both {
            self.vote_lock.write_both(seq, durable, sign)
        } else {
            self.vote_lock.write(seq, durable, sign)
        };
        self.fatal(written)?;
        self.signer = SignerNow { seq, mark: seq, only_in_log: None, write_both: false };
        Ok(())
    }

    fn log_vote(&mut self, height: u64, sign: &[u8], block: &[&[u8]]) -> Result<Placed> {
        let placed = self.append(Kind::Vote, height, sign, block)?;
        self.log.sync()?;
        self.signer.mark = self.signer.seq;
        self.signer.only_in_log = Some(sign.to_vec());
        Ok(placed)
    }

    fn append(&mut self, kind: Kind, height: u64, sign: &[u8], parts: &[&[u8]]) -> Result<Placed> {
        let seq = self.signer.seq + 1;
        let new = NewRecord { kind, height, seq, signer: self.signer.mark };
        let (placed, seq) = self.log.append(&new, sign, parts)?;
        self.signer.seq = seq;
        Ok(placed)
    }

    /// Appends a block that is not in the log: fetched from a peer, or decided without this node's vote. Does nothing
    /// if it is there and readable; a committed block that is damaged is replaced.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] for a block below the checkpoint that is not the committed one;
    /// [`StoreError::TooLarge`], [`StoreError::DiskFull`]; [`StoreError::Poisoned`] and the operating system's.
    pub fn append_block(&mut self, height: u64, hash: [u8; 32], block: &[u8]) -> Result<()> {
        self.check()?;
        if height > self.index.state_height() {
            let known = self.index.block(height, hash);
            if known.map_or(Ok(false), |placed| self.holds_block(placed.pos, hash))? {
                return Ok(());
            }
            let placed = self.append(Kind::Block, height, &[], &[&hash, block])?;
            self.index.add_block(height, hash, placed);
            return Ok(());
        }
        let expected = self.index.state_height() + 1;
        let row = self.row(height)?.filter(|row| row.hash == hash);
        let row = row.ok_or(StoreError::OutOfOrder { height, expected })?;
        if !self.holds_block(row.block, hash)? {
            let placed = self.append(Kind::Block, height, &[], &[&hash, block])?;
            self.index.repair(height, Row { block: placed.pos, ..row });
        }
        Ok(())
    }

    /// Appends the certificate of a stored block: it is final. Does nothing if that is known; a certificate that is
    /// damaged is replaced.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] unless it is the next height, [`StoreError::NoBlock`] if the block is not stored,
    /// [`StoreError::Conflict`] if another block is committed there; [`StoreError::TooLarge`],
    /// [`StoreError::DiskFull`]; [`StoreError::Poisoned`] and the operating system's.
    pub fn append_commit(&mut self, height: u64, hash: [u8; 32], certificate: &[u8]) -> Result<()> {
        self.check()?;
        let expected = self.index.last_commit() + 1;
        match self.index.fit(height) {
            CommitFit::Gap => return Err(StoreError::OutOfOrder { height, expected }),
            CommitFit::Next if self.index.block(height, hash).is_none() => {
                return Err(StoreError::NoBlock { height, hash });
            }
            CommitFit::Next => {}
            CommitFit::Again(_) | CommitFit::Old => {
                let row = self.row(height)?.ok_or(StoreError::OutOfOrder { height, expected })?;
                if row.hash != hash {
                    return Err(StoreError::Conflict { height, stored: row.hash, refused: hash });
                }
                if self.holds_commit(row.commit, hash)? {
                    return Ok(());
                }
                let placed = self.append(Kind::Commit, height, &[], &[&hash, certificate])?;
                if height <= self.index.state_height() {
                    self.index.repair(height, Row { commit: placed.pos, ..row });
                } else {
                    self.index.add_commit(height, hash, placed);
                }
                return Ok(());
            }
        }
        let placed = self.append(Kind::Commit, height, &[], &[&hash, certificate])?;
        let known = self.index.add_commit(height, hash, placed);
        debug_assert!(known, "looked up above");
        Ok(())
    }

    /// Makes everything appended durable: one fdatasync, none if nothing was appended.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] and the operating system's.
    pub fn sync(&mut self) -> Result<()> {
        self.check()?;
        self.log.sync()
    }

    /// Registers the transactions of a block, in their order, so that `find_tx` knows them before the next
    /// checkpoint, which stores them. `prefixes` are the first 8 bytes of their ids.
    pub fn note_txs(&mut self, height: u64, prefixes: &[[u8; 8]]) {
        for (index, prefix) in (0..).zip(prefixes) {
            self.index.note_tx((*prefix, height, index));
        }
    }

    /// Stores the state as of `height` in one transaction: changed leaves (`None` deletes one), the places of the
    /// blocks up to `height`, noted transactions and `tx_ids`. Everything appended becomes durable first. Blocks up
    /// to `height` that were not committed are forgotten. A height above the last commit is allowed: the state came
    /// from a peer, and the log goes on from there.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] below the last checkpoint; [`StoreError::Poisoned`], [`StoreError::State`],
    /// [`StoreError::DiskFull`] and the operating system's, all of which poison the store.
    pub fn checkpoint(
        &mut self,
        height: u64,
        leaves: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        tx_ids: &[([u8; 8], u64, u32)],
    ) -> Result<()> {
        self.check()?;
        if height < self.state_height() {
            return Err(StoreError::OutOfOrder { height, expected: self.state_height() });
        }
        self.log.sync()?;
        // A start reads the log from the checkpoint on only, so a signer record before it has to be in a slot.
        if let Some(sign) = self.signer.only_in_log.take() {
            let written = self.vote_lock.write(self.signer.mark, self.log.durable(), &sign);
            self.fatal(written)?;
        }
        let floor = self.index.floor_after(height).unwrap_or(self.log.end());
        let meta = Meta {
            height,
            floor,
            floor_bytes: self.log.segments.len(floor.pos.segment).unwrap_or(0),
            floor_height: height,
            durable: self.log.durable(),
            signer: self.signer.mark,
            ..self.meta
        };
        let rows = self.index.rows_to(height);
        let stored = {
            let mut txs = self.index.txs_to(height).chain(tx_ids.iter().copied());
            self.state.checkpoint(Checkpoint { meta, rows: &rows, txs: &mut txs }, leaves)
        };
        self.fatal(stored)?;
        self.meta = meta;
        self.index.checkpointed(height);
        Ok(())
    }

    /// Frees whole log segments in which nothing is needed: no block from `keep_from_height` on, and nothing from the
    /// last checkpoint on. Some are kept to be written again, the others are deleted.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::State`] and the operating system's.
    pub fn prune(&mut self, keep_from_height: u64) -> Result<PruneReport> {
        self.check()?;
        let floor = self.meta.floor.pos.segment;
        let needed = self.state.first_segment(keep_from_height)?.unwrap_or(floor);
        let first_segment = needed.min(floor);
        let mut report = PruneReport::default();
        if first_segment > self.meta.first_segment {
            let meta = Meta { first_segment, ..self.meta };
            // First forgotten, then overwritten: never the other way round.
            let pruned = self.state.prune(&meta);
            self.fatal(pruned)?;
            self.meta = meta;
            self.index.pruned(first_segment);
            let freed = self.log.free(first_segment);
            (report.recycled, report.deleted) = self.fatal(freed)?;
        }
        report.first_height = self.first_height()?.unwrap_or(0);
        Ok(report)
    }

    /// Makes the next log segment now, if it is not there, instead of when it is needed.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::DiskFull`] (the store goes on) and the operating system's.
    pub fn prepare_spare(&mut self) -> Result<()> {
        self.check()?;
        self.log.prepare_spare(0)
    }

    /// Room taken on disk.
    pub fn usage(&self) -> Usage {
        let (log_bytes, segments) = self.log.segments.usage();
        Usage { log_bytes, state_bytes: self.state.bytes(), segments }
    }
}

fn check_sign(sign: &[u8]) -> Result<()> {
    if sign.len() > MAX_SIGN_BYTES {
        let (bytes, limit) = (sign.len() as u64, MAX_SIGN_BYTES as u64);
        return Err(StoreError::TooLarge { what: "a signer record", bytes, limit });
    }
    Ok(())
}
