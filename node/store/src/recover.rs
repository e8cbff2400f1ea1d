//! Reading the log after a start: the chain of records, and what lies beyond its end.
//!
//! The chain ends at the first place where no record with a good seal follows the last one. That is normal (the end
//! of what was written), or the write in flight when the power went, or damage. What lies beyond decides:
//! * nothing that is newer than the last record: a clean end, or one torn record;
//! * newer records that do not vouch for the missing ones (their `durable` is not above the last good seq): the rest
//!   of one batch that was never flushed, so never acknowledged. It is cut off as well;
//! * newer records, or `vote.lock`, or the state's meta row, that say a missing record was flushed: damage in the
//!   middle. The store refuses, because cutting would lose what was acknowledged.
//!
//! Votes found beyond the end still count as signed: assuming too much is safe, forgetting is not.

use crate::disk::{Dir, Disk};
use crate::echo::Echo;
use crate::error::{Result, StoreError};
use crate::log::{Placed, Pos, Sealed, read_sealed};
use crate::meta::Meta;
use crate::payload::Payload;
use crate::record::{Header, Link, LogKey, PAGE_BYTES, VERSION};
use crate::segment::{Segments, name};

/// Pages are looked through in steps of this many bytes.
const SEARCH_STEP_BYTES: u64 = 256 * 1024;

/// A signer record found in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedVote {
    pub(crate) seq: u64,
    pub(crate) sign: Vec<u8>,
}

/// What reading the log found.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Where the chain ends.
    pub(crate) end: Placed,
    /// Height of the last good record.
    pub(crate) height: u64,
    /// Highest seq of a log record that a log record says was flushed.
    pub(crate) durable: u64,
    /// Highest seq of a signer record that a log record says was flushed.
    pub(crate) signer: u64,
    /// Highest seq seen, beyond the end too.
    pub(crate) seq: u64,
    /// The newest vote of the chain.
    pub(crate) vote: Option<LoggedVote>,
    /// The newest vote beyond the end.
    pub(crate) vote_beyond: Option<LoggedVote>,
    /// Length in bytes that the segment had in which the chain ends.
    pub(crate) end_bytes: u64,
    /// Whether the chain ends because the next record, though whole, cannot be meant.
    pub(crate) misfit: bool,
    /// What to cut off, a page at each place, and how many bytes to count for it.
    pub(crate) torn: Vec<(Pos, u64)>,
}

impl Scanned {
    /// Whether the segment in which the chain ends was cut: what it held is gone.
    pub(crate) fn was_cut<D: Dir>(&self, segments: &Segments<D>) -> bool {
        segments.len(self.end.pos.segment).is_none_or(|len| len < self.end_bytes)
    }

    fn note(&mut self, header: &Header) {
        self.durable = self.durable.max(header.durable);
        self.signer = self.signer.max(header.signer);
        self.seq = self.seq.max(header.seq);
    }

    /// Notes a vote beyond the end.
    fn note_beyond(&mut self, seq: u64, sign: &[u8]) {
        self.seq = self.seq.max(seq);
        if self.vote_beyond.as_ref().is_none_or(|vote| vote.seq < seq) {
            self.vote_beyond = Some(LoggedVote { seq, sign: sign.to_vec() });
        }
    }
}

/// Flushes the segments from `first` on and makes the reads that follow come from the medium: otherwise bytes that an
/// earlier failed flush left in memory would pass for durable.
pub(crate) fn settle<D: Dir>(segments: &Segments<D>, first: u64) -> Result<()> {
    for segment in segments.from(first) {
        let file = segments.open(segment)?;
        file.sync().map_err(|e| segments.failed("flush", segment, e))?;
        file.forget_cached().map_err(|e| segments.failed("read", segment, e))?;
    }
    Ok(())
}

/// Reads the chain from where `meta` says and looks through what lies beyond it. `visit` sees every record of the chain
/// in order, and says whether it can be meant.
pub(crate) fn scan<D: Dir>(
    dir: &D,
    segments: &Segments<D>,
    meta: &Meta,
    mut visit: impl FnMut(&Header, &Payload<'_>, Placed) -> Result<bool>,
) -> Result<Scanned> {
    let (key, start, height) = (&meta.key, meta.floor, meta.floor_height);
    let seq = start.before.seq;
    let mut scanned = Scanned {
        end: start,
        height,
        durable: 0,
        signer: 0,
        seq,
        vote: None,
        vote_beyond: None,
        end_bytes: meta.floor_bytes,
        misfit: false,
        torn: Vec::new(),
    };
    let mut file = segments.open(start.pos.segment)?;
    let mut after = start.pos;
    while let Some(sealed) = follower(segments, &file, key, after, &scanned.end.before)? {
        let header = sealed.header;
        let Some(payload) = sealed.payload().filter(|_| header.version == VERSION) else {
            let path = dir.describe(&name(after.segment));
            return Err(StoreError::NewerFormat { path, version: header.version });
        };
        let placed = Placed { pos: after, before: scanned.end.before };
        if !visit(&header, &payload, placed)? {
            (scanned.end, scanned.misfit) = (placed, true);
            break;
        }
        if let Payload::Vote { sign, .. } = payload {
            scanned.vote = Some(LoggedVote { seq: header.seq, sign: sign.to_vec() });
        }
        scanned.note(&header);
        scanned.height = header.height;
        after.offset += header.padded() as u32;
        if let Payload::Roll(bytes) = payload {
            after = Pos { segment: after.segment + 1, offset: 0 };
            file = segments.open(after.segment)?;
            scanned.end_bytes = bytes;
        }
        scanned.end = Placed { pos: after, before: header.link() };
    }
    search_beyond(segments, key, &mut scanned)?;
    Ok(scanned)
}

fn follower<D: Dir>(
    segments: &Segments<D>,
    file: &D::File,
    key: &LogKey,
    pos: Pos,
    link: &Link,
) -> Result<Option<Sealed>> {
    let len = segments.len(pos.segment).unwrap_or(0);
    let sealed = read_sealed(file, len, u64::from(pos.offset), key);
    let sealed = sealed.map_err(|e| segments.failed("read", pos.segment, e))?;
    Ok(sealed.filter(|sealed| sealed.header.follows(link)))
}

/// Looks at every page beyond the end for records newer than the last one.
fn search_beyond<D: Dir>(segments: &Segments<D>, key: &LogKey, scanned: &mut Scanned) -> Result<()> {
    let end = scanned.end;
    let mut buffer = Vec::new();
    for segment in segments.from(end.pos.segment) {
        let len = segments.len(segment).unwrap_or(0);
        let file = segments.open(segment)?;
        let first = if segment == end.pos.segment { u64::from(end.pos.offset) } else { 0 };
        let mut at = first;
        while at < len {
            buffer.resize(SEARCH_STEP_BYTES.min(len - at) as usize, 0);
            file.read_at(&mut buffer, at).map_err(|e| segments.failed("read", segment, e))?;
            for (index, page) in buffer.chunks(PAGE_BYTES).enumerate() {
                let offset = at + (index * PAGE_BYTES) as u64;
                let pos = Pos { segment, offset: offset as u32 };
                look_at(segments, &file, key, (pos, len), page, offset == first, scanned)?;
            }
            at += buffer.len() as u64;
        }
    }
    Ok(())
}

fn look_at<D: Dir>(
    segments: &Segments<D>,
    file: &D::File,
    key: &LogKey,
    (pos, len): (Pos, u64),
    page: &[u8],
    may_be_torn: bool,
    scanned: &mut Scanned,
) -> Result<()> {
    let end = scanned.end.before.seq;
    let parsed = Header::parse(page);
    // Below that it is stale: from before the segment was recycled.
    if Header::has_magic(page) && parsed.is_none_or(|header| header.seq > end) {
        let sealed = read_sealed(file, len, u64::from(pos.offset), key);
        let sealed = sealed.map_err(|e| segments.failed("read", pos.segment, e))?;
        if let Some(sealed) = sealed {
            let header = sealed.header;
            scanned.note(&header);
            scanned.torn.push((pos, header.padded()));
            if let Some(Payload::Vote { sign, .. }) = sealed.payload() {
                scanned.note_beyond(header.seq, sign);
            }
        } else if may_be_torn {
            // Elsewhere such a page may be part of a stale block; here it can only be the write that was cut short.
            scanned.torn.push((pos, parsed.map_or(PAGE_BYTES as u64, |header| header.padded())));
        }
    }
    if let Some(echo) = Echo::parse(key, page).filter(|echo| echo.seq > end) {
        scanned.note_beyond(echo.seq, echo.sign);
        let before = scanned.torn.last().filter(|(torn, len)| {
            torn.segment == pos.segment && u64::from(torn.offset) + len > u64::from(pos.offset)
        });
        match before {
            Some((torn, _)) if *torn == pos => {}
            // Its record is counted already.
            Some(_) => scanned.torn.push((pos, 0)),
            None => scanned.torn.push((pos, PAGE_BYTES as u64)),
        }
    }
    Ok(())
}

/// Wipes the first page of each record beyond the end, and each echo, so that none of them can ever come back. Returns
/// the length of what was cut off in bytes.
pub(crate) fn cut<D: Dir>(segments: &Segments<D>, torn: &[(Pos, u64)]) -> Result<u64> {
    let zeros = vec![0; PAGE_BYTES];
    let mut bytes = 0;
    for (pos, len) in torn {
        let file = segments.open(pos.segment)?;
        let written = file.write_at(&zeros, u64::from(pos.offset));
        written.map_err(|e| segments.failed("write to", pos.segment, e))?;
        file.sync().map_err(|e| segments.failed("flush", pos.segment, e))?;
        bytes += len;
    }
    Ok(bytes)
}
