//! Reading the parts of a damaged directory: the signer record, the state, the log, the blocks.

use std::sync::Arc;

use super::Progress;
use super::finding::Finding;
use crate::disk::Dir;
use crate::error::{Result, StoreError};
use crate::index::Index;
use crate::log::{Pos, Sealed, read_sealed};
use crate::meta::Meta;
use crate::open::{acknowledged, replay};
use crate::options::Options;
use crate::overlay::Overlay;
use crate::record::{LogKey, PAGE_BYTES};
use crate::recover::{self, Scanned};
use crate::segment::{self, Segments, name};
use crate::signer::{Found, Mark, VOTE_LOCK, VoteLock};
use crate::state::State;

/// What is said of the signer record.
pub(super) struct SignerFile {
    pub(super) found: Found,
    /// It cannot be trusted whatever it says.
    pub(super) bad: Option<Finding>,
    /// A slot or a copy is bad, so that a newer record may have been there.
    pub(super) is_partly_bad: bool,
}

impl SignerFile {
    pub(super) fn look<D: Dir>(over: &Arc<Overlay<D>>, chain: [u8; 32]) -> Result<Self> {
        match VoteLock::open(Arc::clone(over), chain) {
            Ok((_, found)) => {
                let unreadable = over.unreadable().iter().any(|(name, _)| name == VOTE_LOCK);
                let is_partly_bad = matches!(found, Found::Slots { whole: false, .. });
                Ok(Self { found, bad: unreadable.then_some(Finding::SignerUnreadable), is_partly_bad })
            }
            Err(StoreError::OtherChain { found, .. }) => {
                let bad = Some(Finding::SignerForeign { chain: found });
                Ok(Self { found: Found::Damaged, bad, is_partly_bad: true })
            }
            Err(error) => Err(error),
        }
    }

    /// The genesis hash that it names.
    pub(super) fn chain(&self, expected: [u8; 32]) -> Option<[u8; 32]> {
        match (&self.found, &self.bad) {
            (_, Some(Finding::SignerForeign { chain })) => Some(*chain),
            (Found::Slots { .. }, _) => Some(expected),
            _ => None,
        }
    }

    /// The highest number in it.
    pub(super) fn seq(&self) -> u64 {
        match &self.found {
            Found::Slots { newest, .. } => newest.seq,
            Found::Missing | Found::Damaged => 0,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.bad.is_none() && matches!(&self.found, Found::Slots { newest, .. } if newest.mark == Mark::Lost)
    }
}

/// The log as far as it can be read.
pub(super) struct LogFile {
    pub(super) scanned: Scanned,
    pub(super) index: Index,
    pub(super) damage: Option<Finding>,
    /// Pages beyond the end that cannot be read: segment and offset.
    pub(super) unreadable: Vec<(u64, u64)>,
    pub(super) is_missing: bool,
}

/// Opens the state and reads it through. The inner error says why it cannot be used.
pub(super) fn look_at_state<D: Dir>(
    over: &Arc<Overlay<D>>,
    opts: Options,
) -> Result<Result<(State, Meta), String>> {
    let opened = State::open(over, opts.redb_cache_bytes);
    let read = opened.and_then(|(state, meta)| state.read_through().map(|()| (state, meta)));
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(StoreError::StateDamaged { what, .. }) => Ok(Err(what.to_owned())),
        Err(StoreError::State { source, .. }) => Ok(Err(source.to_string())),
        Err(error) => Err(error),
    }
}

/// Reads the log from where `meta` says that a start has to.
pub(super) fn look_at_log<D: Dir>(
    over: &Arc<Overlay<D>>,
    opts: Options,
    meta: &Meta,
    state: Option<&State>,
    signer: &SignerFile,
) -> Result<LogFile> {
    let load = || Segments::load(Arc::clone(over), opts.segment_bytes, opts.max_spares);
    let (mut segments, mut missing) = (load()?, None);
    let (index, scanned) = loop {
        let mut index = Index::new(meta.height);
        let scanned = recover::scan(over.as_ref(), &segments, meta, |header, payload, at| {
            replay(&mut index, state, header, payload, at)
        });
        match scanned {
            // As the repair will: the log ends where it would have to go on.
            Err(StoreError::MissingSegment { segment }) if missing != Some(segment) => {
                segment::create(over.as_ref(), segment, opts.segment_bytes)?;
                (segments, missing) = (load()?, Some(segment));
            }
            scanned => break (index, scanned?),
        }
    };
    let end = scanned.end.pos;
    let torn = scanned.torn.iter().find(|(pos, _)| *pos == end).map_or(PAGE_BYTES as u64, |(_, len)| *len);
    let last_record = u64::from(end.offset)..u64::from(end.offset) + torn;
    let unreadable = over.unreadable();
    let numbered = segments.from(end.segment).map(|number| (number, name(number)));
    let beyond = numbered.flat_map(|(number, name)| {
        let pages = unreadable.iter().filter(move |(file, _)| *file == name);
        pages.map(move |(_, offset)| (number, *offset))
    });
    let beyond =
        beyond.filter(|(number, at)| *number > end.segment || *at >= last_record.start).collect::<Vec<_>>();
    let lost_page = beyond.iter().any(|(number, at)| *number == end.segment && last_record.contains(at));
    let acknowledged = acknowledged(meta, &scanned, &signer.found) > scanned.end.before.seq;
    let (segment, offset, height) = (end.segment, u64::from(end.offset), scanned.height);
    let damage = if let Some(segment) = missing {
        Some(Finding::SegmentMissing { segment })
    } else if scanned.misfit || acknowledged || lost_page || scanned.was_cut(&segments) {
        Some(Finding::LogDamaged { segment, offset, height })
    } else {
        None
    };
    Ok(LogFile { scanned, index, damage, unreadable: beyond, is_missing: missing.is_some() })
}

/// Whether this key opens a record at the start of any segment.
pub(super) fn opens_any<D: Dir>(over: &Arc<Overlay<D>>, opts: Options, key: &LogKey) -> Result<bool> {
    let segments = Segments::load(Arc::clone(over), opts.segment_bytes, opts.max_spares)?;
    for number in segments.from(0) {
        let len = segments.len(number).unwrap_or(0);
        let sealed = read_sealed(&segments.open(number)?, len, 0, key);
        if sealed.map_err(|e| segments.failed("read", number, e))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads every block below the checkpoint.
pub(super) fn damaged_blocks<D: Dir>(
    over: &Arc<Overlay<D>>,
    opts: Options,
    meta: &Meta,
    state: &State,
    log: &LogFile,
    progress: &mut Progress<'_>,
) -> Result<Option<Finding>> {
    let segments = Segments::load(Arc::clone(over), opts.segment_bytes, opts.max_spares)?;
    let is_cut = |pos: Pos| log.damage.is_some() && pos >= log.scanned.end.pos;
    let is_good = |pos: Pos, hash: [u8; 32], is_block: bool| {
        let Some(len) = segments.len(pos.segment).filter(|_| !is_cut(pos)) else { return Ok(false) };
        let sealed = read_sealed(&segments.open(pos.segment)?, len, u64::from(pos.offset), &meta.key);
        let sealed = sealed.map_err(|e| segments.failed("read", pos.segment, e))?;
        let payload = sealed.as_ref().and_then(Sealed::payload);
        Ok(payload.is_some_and(|payload| payload.part(is_block).is_some_and(|part| part.hash == hash)))
    };
    let (mut damaged, mut at) = (Vec::new(), state.first_height()?);
    while let Some(height) = at.filter(|height| *height <= meta.height) {
        progress("reading blocks", height, meta.height);
        // A later copy of a damaged record counts.
        let row = match log.index.repaired(height) {
            Some(row) => Some(row),
            None => state.row(height)?,
        };
        if let Some(row) = row
            && !(is_good(row.block, row.hash, true)? && is_good(row.commit, row.hash, false)?)
        {
            damaged.push(height);
        }
        at = height.checked_add(1);
    }
    let (first, last, count) = (damaged.first(), damaged.last(), damaged.len() as u64);
    Ok(first.zip(last).map(|(first, last)| Finding::BlocksDamaged { first: *first, last: *last, count }))
}
