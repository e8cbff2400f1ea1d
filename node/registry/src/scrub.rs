//! The scrub: every file is read again, slowly, and compared with what it should be.
//!
//! The pieces' BLAKE3 values are looked at in every round, since they say which piece is damaged; the digest itself, which
//! costs more and says less, when the list of pieces is missing or a deep round is asked for. Damaged files are taken out
//! of service and reported; the same content pushed again, or fetched from a peer, heals them.

use crate::digest::{Digest, Hasher};
use crate::error::Result;
use crate::files::FileHandle;
use crate::ingest::for_each_part_while;
use crate::meta::blobs;
use crate::meta::database::Durable;
use crate::meta::tables::{BLOBS, STATE, View, number, put, remove, split_digest};
use crate::pieces::PieceHasher;
use crate::store::Store;

/// The last file looked at in a round that has not ended.
const CURSOR: &[u8] = b"scrub";
/// How many rounds have ended, and when the last one did.
const ROUNDS: &[u8] = b"scrub rounds";

/// How closely files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Pieces where there is a list of them, else the digest.
    Pieces,
    /// The digest of every file.
    Digest,
}

/// What was found of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrubbed {
    /// Which file.
    pub digest: Digest,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Whether it is damaged, and out of service now.
    pub is_damaged: bool,
}

/// What reading a file showed.
enum Verdict {
    Sound,
    Damaged(Vec<u32>),
    /// Nothing: it was not read to its end.
    Interrupted,
}

/// How many rounds have ended, and when the last one did, in milliseconds.
fn rounds(view: &impl View) -> Result<Option<(u64, u64)>> {
    let Some(row) = view.get(STATE, ROUNDS)? else { return Ok(None) };
    let (rounds, ended_ms) = row.split_at_checked(8).unwrap_or_default();
    Ok(Some((number(rounds)?, number(ended_ms)?)))
}

impl Store {
    /// How many rounds of the scrub have ended, over all starts, and when the next one is due, in milliseconds of registry
    /// time, if `rest_ms` lie between two. One that was interrupted is due at once.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn scrub_due(&self, rest_ms: u64) -> Result<(u64, u64)> {
        self.meta.read(|view| {
            let (rounds, ended_ms) = rounds(view)?.unwrap_or_default();
            let is_interrupted = view.get(STATE, CURSOR)?.is_some();
            Ok((rounds, if is_interrupted { 0 } else { ended_ms.saturating_add(rest_ms) }))
        })
    }

    /// Looks at the next file of the round; `None` at the end of it, and the next call begins another one. A restart goes
    /// on where the last one stopped, more or less.
    ///
    /// `pace` is told after each part of the file how many bytes were read; it may sleep, and says whether to go on. Without
    /// that the file comes again with the next call, and `None` is given.
    ///
    /// # Errors
    /// When the metadata fails, or a damaged file cannot be moved.
    pub fn scrub_next(&self, depth: Depth, pace: &mut dyn FnMut(u64) -> bool) -> Result<Option<Scrubbed>> {
        let next = self.meta.read(|view| {
            let after = view.get(STATE, CURSOR)?;
            let keys = view.keys(BLOBS, &[], after.as_deref(), 1)?;
            let Some(key) = keys.first() else { return Ok(None) };
            let (digest, _) = split_digest(key)?;
            Ok(blobs::size(view, &digest)?.map(|len| (digest, len)))
        })?;
        let Some((digest, len)) = next else {
            self.meta.write(Durable::Now, |txn| {
                let (rounds, _) = rounds(txn)?.unwrap_or_default();
                let ended = [(rounds + 1).to_le_bytes(), self.now_ms().to_le_bytes()].concat();
                put(txn, STATE, ROUNDS, &ended)?;
                remove(txn, STATE, CURSOR).map(drop)
            })?;
            return Ok(None);
        };
        let Some(is_damaged) = self.scrub_file(&digest, len, depth, pace)? else { return Ok(None) };
        self.meta.write(Durable::Later, |txn| put(txn, STATE, CURSOR, &digest.key()))?;
        Ok(Some(Scrubbed { digest, bytes: len, is_damaged }))
    }

    /// Looks at the file after `after`, or the first; `None` after the last. Apart from the rounds: for a person who wants
    /// to know now.
    ///
    /// # Errors
    /// As [`Store::scrub_next`].
    pub fn scrub_after(
        &self,
        after: Option<&Digest>,
        depth: Depth,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Scrubbed>> {
        let mut after = after.map(Digest::key);
        loop {
            let key =
                self.meta.read(|view| Ok(view.keys(BLOBS, &[], after.as_deref(), 1)?.into_iter().next()))?;
            let Some(key) = key else { return Ok(None) };
            let (digest, _) = split_digest(&key)?;
            if let Some(bytes) = self.meta.read(|view| blobs::size(view, &digest))? {
                let Some(is_damaged) = self.scrub_file(&digest, bytes, depth, pace)? else { return Ok(None) };
                return Ok(Some(Scrubbed { digest, bytes, is_damaged }));
            }
            after = Some(key);
        }
    }

    /// Looks at one file, and takes it out of service if it is damaged; `None` if it was not read to its end.
    fn scrub_file(
        &self,
        digest: &Digest,
        len: u64,
        depth: Depth,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<bool>> {
        let Some(is_damaged) = self.examine_file(digest, len, depth, pace)? else { return Ok(None) };
        self.metrics.scrubbed_files.add(1);
        self.metrics.scrubbed_bytes.add(len);
        self.metrics.scrubbed_damaged.add(u64::from(is_damaged));
        Ok(Some(is_damaged))
    }

    fn examine_file(
        &self,
        digest: &Digest,
        len: u64,
        depth: Depth,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<bool>> {
        let placed = self.placed.load(std::sync::atomic::Ordering::SeqCst);
        let Some((file, _)) = self.open_content(digest, len)? else { return Ok(Some(true)) };
        match self.examine(digest, &*file, len, depth, pace) {
            Verdict::Sound => Ok(Some(false)),
            Verdict::Interrupted => Ok(None),
            // If something was pushed meanwhile it may have been this; the next round will tell.
            Verdict::Damaged(pieces) => self.report_damage(digest, pieces, placed).map(Some),
        }
    }

    fn examine(
        &self,
        digest: &Digest,
        file: &dyn FileHandle,
        len: u64,
        depth: Depth,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Verdict {
        let list = self.blobs.pieces(digest, len);
        let mut hasher = (depth == Depth::Digest || list.is_none()).then(|| Hasher::new(digest.algorithm()));
        let mut pieces = PieceHasher::default();
        file.forget_cached();
        let mut goes_on = true;
        let read = for_each_part_while(file, "a file", |part| {
            if let Some(hasher) = &mut hasher {
                hasher.update(part);
            }
            pieces.update(part);
            goes_on = pace(part.len() as u64);
            goes_on
        });
        // What a scrub has read nobody may want; it must not push out what somebody does.
        file.forget_cached();
        let found = pieces.finish();
        let differing = list.as_ref().zip(found.as_ref()).map(|(list, found)| list.difference(found));
        let differing = differing.unwrap_or_default();
        match read {
            // A sector that cannot be read is damage as well.
            Err(_) => Verdict::Damaged(Vec::new()),
            Ok(read) if !goes_on && read < len => Verdict::Interrupted,
            Ok(_) => match hasher.map(Hasher::finish) {
                Some(actual) if actual == *digest => {
                    // The list is missing, or is what is damaged.
                    if let Some(found) = found.filter(|_| list.is_none() || !differing.is_empty()) {
                        self.blobs.write_pieces(digest, &found);
                    }
                    Verdict::Sound
                }
                None if differing.is_empty() => Verdict::Sound,
                _ => Verdict::Damaged(differing),
            },
        }
    }
}
