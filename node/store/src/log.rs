//! The append-only log: where the next record goes, and how one is read back.

use crate::disk::{Dir, Disk};
use crate::error::{Result, StoreError};
use crate::payload::Payload;
use crate::record::{
    self, Draft, HEADER_BYTES, Header, Kind, Link, LogKey, MAX_RECORD_BYTES, PAGE_BYTES, padded_bytes,
};
use crate::segment::Segments;

/// The buffer in which a record is built keeps at most this much memory between records, in bytes.
const KEPT_BUFFER_BYTES: usize = 256 * 1024;

/// Length of the record at the end of a segment that leads to the next one, in bytes.
pub(crate) const ROLL_BYTES: u64 = PAGE_BYTES as u64;

/// A place in the log: the start of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Pos {
    /// Number of the segment.
    pub(crate) segment: u64,
    /// Offset in it, in bytes.
    pub(crate) offset: u32,
}

/// A record's place, and what it follows: enough to start reading the chain there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Placed {
    pub(crate) pos: Pos,
    pub(crate) before: Link,
}

/// A new record, less what the log itself knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRecord {
    pub(crate) kind: Kind,
    pub(crate) height: u64,
    pub(crate) seq: u64,
    /// Seq of the newest flushed signer record.
    pub(crate) signer: u64,
}

/// A record read back whole and checked.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) header: Header,
    /// Header and payload.
    bytes: Vec<u8>,
}

impl Sealed {
    /// What it holds; `None` if a later version wrote it.
    pub(crate) fn payload(&self) -> Option<Payload<'_>> {
        Payload::parse(&self.header, &self.bytes[HEADER_BYTES..])
    }
}

/// The log, open for appending.
pub(crate) struct Log<D: Dir> {
    pub(crate) segments: Segments<D>,
    pub(crate) key: LogKey,
    active: D::File,
    end: Pos,
    link: Link,
    /// Seq of the last flushed record.
    durable: u64,
    dirty: bool,
    broken: bool,
    background_spare: bool,
    buffer: Vec<u8>,
}

impl<D: Dir> Log<D> {
    /// Continues the log at `end`, after the record that `link` names. Everything up to there is durable.
    pub(crate) fn resume(
        segments: Segments<D>,
        key: LogKey,
        end: Pos,
        link: Link,
        background_spare: bool,
    ) -> Result<Self> {
        let active = segments.open(end.segment)?;
        let durable = link.seq;
        let (dirty, broken, buffer) = (false, false, Vec::new());
        Ok(Self { segments, key, active, end, link, durable, dirty, broken, background_spare, buffer })
    }

    /// Whether a write or a flush failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether something was appended since the last flush.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Seq of the last record that a crash cannot take away.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Where the next record would go, and what it would follow.
    pub(crate) fn end(&self) -> Placed {
        Placed { pos: self.end, before: self.link }
    }

    /// Appends a record of the signer record `sign` (empty but in a vote) and `parts`; it is durable after `sync`. Also
    /// gives its seq: the one asked for, or a higher one if the log had to go on in another segment.
    ///
    /// A full disk (no room for another segment) and a record that is too large leave the log as it was. Any other
    /// error breaks it.
    pub(crate) fn append(&mut self, new: &NewRecord, sign: &[u8], parts: &[&[u8]]) -> Result<(Placed, u64)> {
        let need = self.check_size(new.kind, sign, parts)?;
        let mut new = *new;
        if u64::from(self.end.offset) + need + ROLL_BYTES > self.room() {
            self.roll(&new, need)?;
            new.seq += 1;
        }
        let placed = self.write(&new, sign, parts)?;
        if self.background_spare && u64::from(self.end.offset) > self.room() / 2 {
            self.segments.prepare_in_background(self.end.segment);
        }
        Ok((placed, new.seq))
    }

    /// Length of the segment that is written to, in bytes.
    fn room(&self) -> u64 {
        self.segments.len(self.end.segment).unwrap_or(0)
    }

    /// Writes a record at the end, for which there is room.
    fn write(&mut self, new: &NewRecord, sign: &[u8], parts: &[&[u8]]) -> Result<Placed> {
        let draft = Draft {
            kind: new.kind,
            height: new.height,
            seq: new.seq,
            durable: self.durable,
            signer: new.signer,
            prev: self.link.hash,
        };
        let header = record::seal(&mut self.buffer, &self.key, &draft, sign, parts);
        let written = self.active.write_at(&self.buffer, u64::from(self.end.offset));
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BUFFER_BYTES);
        self.dirty = true;
        if let Err(error) = written {
            self.broken = true;
            return Err(self.segments.failed("write to", self.end.segment, error));
        }
        let placed = self.end();
        self.end.offset += header.padded() as u32;
        self.link = header.link();
        Ok(placed)
    }

    /// Length on disk of a record, in bytes; refuses one that is too large.
    pub(crate) fn check_size(&self, kind: Kind, sign: &[u8], parts: &[&[u8]]) -> Result<u64> {
        let payload = sign.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let need = padded_bytes(payload, (kind == Kind::Vote).then_some(sign.len()));
        let room = self.segments.new_len() - ROLL_BYTES;
        let limit = (MAX_RECORD_BYTES as u64).min(room);
        if (HEADER_BYTES + payload) as u64 > limit || need > room {
            let limit = limit - HEADER_BYTES as u64;
            return Err(StoreError::TooLarge { what: "a record", bytes: payload as u64, limit });
        }
        Ok(need)
    }

    /// Goes on in the next segment, in which there is room for `new` of `need` bytes. Uses the seq of `new`.
    fn roll(&mut self, new: &NewRecord, need: u64) -> Result<()> {
        let prepared = self.prepare_spare(need + ROLL_BYTES);
        self.broken |= prepared.as_ref().is_err_and(|error| !matches!(error, StoreError::DiskFull { .. }));
        prepared?;
        let next = self.end.segment + 1;
        let bytes = self.segments.len(next).unwrap_or(0).to_le_bytes();
        self.write(&NewRecord { kind: Kind::Roll, ..*new }, &[], &[&bytes])?;
        // A later flush reaches the new file only.
        self.sync()?;
        self.active = self.segments.open(next).inspect_err(|_| self.broken = true)?;
        self.end = Pos { segment: next, offset: 0 };
        Ok(())
    }

    /// Makes sure that the next segment is there and takes a record of `need` bytes.
    pub(crate) fn prepare_spare(&mut self, need: u64) -> Result<()> {
        self.segments.prepare(self.end.segment, need)
    }

    /// Makes everything appended durable: one fdatasync, none if nothing was appended.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if !self.dirty {
            return Ok(());
        }
        if let Err(error) = self.active.sync() {
            self.broken = true;
            return Err(self.segments.failed("flush", self.end.segment, error));
        }
        self.dirty = false;
        self.durable = self.link.seq;
        Ok(())
    }

    /// Reads the record at `pos`. `None` if there is no record with a good seal there, or the medium cannot read it.
    pub(crate) fn read(&self, pos: Pos) -> Result<Option<Sealed>> {
        let Some(len) = self.segments.len(pos.segment) else {
            tracing::warn!(segment = pos.segment, "a segment of the log is missing");
            return Ok(None);
        };
        let file = self.segments.open(pos.segment)?;
        let read = read_sealed(&file, len, u64::from(pos.offset), &self.key);
        Ok(read.unwrap_or_else(|error| {
            tracing::warn!(%error, segment = pos.segment, offset = pos.offset, "cannot read a record of the log");
            None
        }))
    }

    /// Frees the segments below `first`. Returns how many were kept to be written again and how many deleted.
    pub(crate) fn free(&mut self, first: u64) -> Result<(u64, u64)> {
        self.segments.free(first, self.end.segment)
    }
}

/// Reads the record at `offset` of a file of `len` bytes. `None` if there is none with a good seal.
pub(crate) fn read_sealed<F: Disk>(
    file: &F,
    len: u64,
    offset: u64,
    key: &LogKey,
) -> std::io::Result<Option<Sealed>> {
    let page = PAGE_BYTES as u64;
    if !offset.is_multiple_of(page) || offset + page > len {
        return Ok(None);
    }
    let mut bytes = vec![0; PAGE_BYTES];
    file.read_at(&mut bytes, offset)?;
    let Some(header) = Header::parse(&bytes) else { return Ok(None) };
    if offset + header.padded() > len {
        return Ok(None);
    }
    let total = header.total();
    bytes.resize(total, 0);
    if total > PAGE_BYTES {
        file.read_at(&mut bytes[PAGE_BYTES..], offset + page)?;
    }
    Ok(header.is_sealed(key, &bytes).then_some(Sealed { header, bytes }))
}
