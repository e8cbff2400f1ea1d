//! Opening a data directory: what survived, put together from the state, the log and `vote.lock`.

use std::sync::Arc;

use crate::disk::Dir;
use crate::error::{Result, StoreError};
use crate::index::{CommitFit, Index};
use crate::init;
use crate::keyfile::KeyFile;
use crate::log::{Log, Placed};
use crate::meta::{Meta, Row};
use crate::options::Options;
use crate::payload::Payload;
use crate::record::Header;
use crate::recover::{self, Scanned};
use crate::segment::Segments;
use crate::signer::{Found, Mark, VoteLock};
use crate::state::{STATE_FILE, State};
use crate::store::{SignerNow, Store};
use crate::types::{LostReason, Recovered, Signer, Tail};

impl<D: Dir> Store<D> {
    /// Opens the data directory of the chain whose genesis hash is `chain`, and says what survived. Everything it
    /// reports is durable.
    ///
    /// # Errors
    /// [`StoreError::NotInitialised`], [`StoreError::HalfInitialised`], [`StoreError::InUse`],
    /// [`StoreError::OtherChain`], [`StoreError::NewerFormat`], [`StoreError::DamagedMiddle`],
    /// [`StoreError::MissingSegment`], [`StoreError::StateDamaged`], [`StoreError::BadOption`]; and the operating
    /// system's.
    pub fn open(dir: D, opts: Options, chain: [u8; 32]) -> Result<(Self, Recovered)> {
        opts.check()?;
        init::check_finished(&dir)?;
        let lock = init::lock(&dir)?;
        init::settle_names(&dir)?;
        let dir = Arc::new(dir);
        let (state, meta) = State::open(&dir, opts.redb_cache_bytes)?;
        if meta.chain != chain {
            let path = dir.describe(STATE_FILE);
            return Err(StoreError::OtherChain { path, found: meta.chain, expected: chain });
        }
        let (mut vote_lock, found) = VoteLock::open(Arc::clone(&dir), chain)?;

        let mut segments = Segments::load(Arc::clone(&dir), opts.segment_bytes, opts.max_spares)?;
        recover::settle(&segments, meta.floor.pos.segment)?;
        let mut index = Index::new(meta.height);
        let scanned = recover::scan(dir.as_ref(), &segments, &meta, |header, payload, at| {
            replay(&mut index, Some(&state), header, payload, at)
        })?;
        let end = scanned.end;
        let is_short = scanned.was_cut(&segments) || acknowledged(&meta, &scanned, &found) > end.before.seq;
        if scanned.misfit || is_short {
            let (segment, offset) = (end.pos.segment, u64::from(end.pos.offset));
            return Err(StoreError::DamagedMiddle { segment, offset, height: scanned.height });
        }

        let verdict = judge(&meta, &scanned, found);
        if let Some(sign) = &verdict.rewrite {
            vote_lock.write(verdict.now.seq, end.before.seq, sign)?;
        }
        let bytes = recover::cut(&segments, &scanned.torn)?;
        segments.free(meta.first_segment, end.pos.segment)?;
        // Only now that the log was read with the state's key.
        let key_file = KeyFile { chain, key: meta.key };
        if KeyFile::read(dir.as_ref()) != Some((key_file, true)) {
            key_file.write(dir.as_ref())?;
        }
        let log = Log::resume(segments, meta.key, end.pos, end.before, opts.background_spare)?;
        let recovered = Recovered {
            signer: verdict.signer,
            state_height: meta.height,
            last_commit_height: index.last_commit(),
            tail: if bytes == 0 { Tail::Clean } else { Tail::TornTail { bytes } },
            undecided: index.undecided(),
        };
        Ok((Self::assemble(state, log, vote_lock, index, meta, verdict.now, lock), recovered))
    }
}

/// Enters a record of the chain into the index. False for a record that was never written like this: a certificate
/// follows its block, and heights follow each other. Without a state there are no rows below the checkpoint.
pub(crate) fn replay(
    index: &mut Index,
    state: Option<&State>,
    header: &Header,
    payload: &Payload<'_>,
    at: Placed,
) -> Result<bool> {
    let height = header.height;
    if let Some(block) = payload.block() {
        if height > index.state_height() {
            index.add_block(height, block.hash, at);
        } else {
            repoint(index, state, height, block.hash, |row| row.block = at.pos)?;
        }
    }
    let Payload::Commit(commit) = payload else { return Ok(true) };
    Ok(match index.fit(height) {
        CommitFit::Next => index.add_commit(height, commit.hash, at),
        CommitFit::Again(hash) => hash == commit.hash && index.add_commit(height, hash, at),
        CommitFit::Old => {
            repoint(index, state, height, commit.hash, |row| row.commit = at.pos)?;
            true
        }
        CommitFit::Gap => false,
    })
}

/// Notes a later copy of a block or certificate at or below the checkpoint: the one in the row was damaged.
fn repoint(
    index: &mut Index,
    state: Option<&State>,
    height: u64,
    hash: [u8; 32],
    change: impl FnOnce(&mut Row),
) -> Result<()> {
    let Some(state) = state else { return Ok(()) };
    if let Some(known) = known_row(index, state, height)?.filter(|row| row.hash == hash) {
        let mut row = known;
        change(&mut row);
        if row != known {
            index.repair(height, row);
        }
    }
    Ok(())
}

fn known_row(index: &Index, state: &State, height: u64) -> Result<Option<Row>> {
    match index.repaired(height) {
        Some(row) => Ok(Some(row)),
        None => state.row(height),
    }
}

/// Highest seq of a log record of which anything says that it was flushed.
pub(crate) fn acknowledged(meta: &Meta, scanned: &Scanned, found: &Found) -> u64 {
    let slots = match found {
        Found::Slots { log_durable, .. } => *log_durable,
        Found::Missing | Found::Damaged => 0,
    };
    meta.durable.max(scanned.durable).max(slots)
}

/// What `judge` decided.
pub(crate) struct Verdict {
    pub(crate) signer: Signer,
    now: SignerNow,
    /// To be written over the older slot, under the seq of `now`, before anything is cut off: the newest record is
    /// only beyond the log's end, or a slot or a copy in the newest is bad.
    rewrite: Option<Vec<u8>>,
}

/// The newest signer record of all, or why none can be trusted.
pub(crate) fn judge(meta: &Meta, scanned: &Scanned, found: Found) -> Verdict {
    // Seq of the newest record known to have been flushed.
    let flushed = meta.signer.max(scanned.signer);
    let seq = scanned.seq.max(meta.durable).max(flushed);
    let lost = |reason, seq| Verdict {
        signer: Signer::Lost(reason),
        now: SignerNow { seq, mark: flushed, only_in_log: None, write_both: true },
        rewrite: None,
    };
    let (slot, whole) = match found {
        Found::Missing => return lost(LostReason::Missing, seq),
        Found::Damaged => return lost(LostReason::Damaged, seq),
        Found::Slots { newest, whole, .. } => (newest, whole),
    };
    let seq = seq.max(slot.seq);
    let votes = scanned.vote.iter().chain(&scanned.vote_beyond);
    let vote = votes.max_by_key(|vote| vote.seq).filter(|vote| vote.seq > slot.seq);
    let newest = vote.map_or(slot.seq, |vote| vote.seq);
    if newest < flushed {
        return lost(LostReason::Outdated, seq);
    }
    let sign = match (vote, slot.mark) {
        (Some(vote), _) => vote.sign.clone(),
        (None, Mark::Signed) => slot.sign,
        (None, mark) => {
            let signer = match mark {
                Mark::Lost => Signer::Lost(LostReason::NewDirectory),
                Mark::Fresh | Mark::Signed => Signer::Fresh,
            };
            let now = SignerNow { seq, mark: newest, only_in_log: None, write_both: true };
            return Verdict { signer, now, rewrite: None };
        }
    };
    let signer = Signer::Known(sign.clone());
    if !whole || (vote.is_some() && vote == scanned.vote_beyond.as_ref()) {
        let now = SignerNow { seq: seq + 1, mark: seq + 1, only_in_log: None, write_both: false };
        return Verdict { signer, now, rewrite: Some(sign) };
    }
    let only_in_log = vote.map(|vote| vote.sign.clone());
    Verdict { signer, now: SignerNow { seq, mark: newest, only_in_log, write_both: false }, rewrite: None }
}
