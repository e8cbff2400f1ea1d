//! The files of the log: numbered segments of fixed length, zero-filled and flushed before the first record goes in.
//!
//! Only blocks that were already written can be flushed without touching the file system's journal: one device flush
//! a step instead of two, and 20 KB less written each time. So a segment is filled with zeros ahead of use, or taken
//! over from a pruned one by renaming it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::disk::{Dir, Disk};
use crate::error::{Result, StoreError};
use crate::record::PAGE_BYTES;

/// The folder of the segments.
pub(crate) const LOG_FOLDER: &str = "log";
const SUFFIX: &str = ".seg";
const UNFINISHED: &str = "log/spare.tmp";
/// Zeros are written and flushed in steps of this many bytes, so that a vote never waits behind a whole segment.
const FILL_STEP_BYTES: usize = 1024 * 1024;

/// Name of a segment, relative to the data directory.
pub(crate) fn name(number: u64) -> String {
    format!("{LOG_FOLDER}/{number:06}{SUFFIX}")
}

fn number(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(SUFFIX)?;
    (digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Creates a segment: under another name first, so that one with this name is always whole.
pub(crate) fn create<D: Dir>(dir: &D, segment: u64, bytes: u64) -> Result<()> {
    let filled = fill(dir, bytes);
    if filled.is_err() {
        // Gives the room back; the next start removes it if this cannot.
        let _ = dir.remove(UNFINISHED);
    }
    filled?;
    let to = name(segment);
    dir.rename(UNFINISHED, &to).map_err(|e| StoreError::io("create", dir.describe(&to), e))?;
    sync_folder(dir)
}

fn fill<D: Dir>(dir: &D, bytes: u64) -> Result<()> {
    let failed = |e| StoreError::io("fill", dir.describe(UNFINISHED), e);
    let file = dir.open(UNFINISHED, true).map_err(failed)?;
    // A remainder of an earlier attempt may hold anything.
    file.set_len(0).map_err(failed)?;
    let zeros = vec![0; FILL_STEP_BYTES.min(bytes as usize)];
    let mut at = 0;
    while at < bytes {
        let step = zeros.len().min((bytes - at) as usize);
        file.write_at(&zeros[..step], at).map_err(failed)?;
        file.sync().map_err(failed)?;
        at += step as u64;
    }
    Ok(())
}

/// Makes the names of the log's files durable.
pub(crate) fn sync_folder<D: Dir>(dir: &D) -> Result<()> {
    dir.sync_dir(LOG_FOLDER).map_err(|e| StoreError::io("flush", dir.describe(LOG_FOLDER), e))
}

/// All segments of a data directory.
pub(crate) struct Segments<D: Dir> {
    dir: Arc<D>,
    /// Number and length in bytes.
    bytes: BTreeMap<u64, u64>,
    /// Length of new ones.
    new_bytes: u64,
    max_spares: usize,
    /// A thread that makes the segment of this number.
    making: Option<(u64, JoinHandle<Result<()>>)>,
}

impl<D: Dir> Segments<D> {
    /// Lists the segments and removes what an interrupted creation left.
    pub(crate) fn load(dir: Arc<D>, new_bytes: u64, max_spares: usize) -> Result<Self> {
        let failed = |e| StoreError::io("list", dir.describe(LOG_FOLDER), e);
        let mut bytes = BTreeMap::new();
        let files = match dir.list(LOG_FOLDER) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(failed)?,
        };
        for file in files {
            let Some(number) = number(&file) else { continue };
            let path = name(number);
            let opened = dir.open(&path, false).and_then(|file| file.len());
            let len = opened.map_err(|e| StoreError::io("open", dir.describe(&path), e))?;
            bytes.insert(number, len / PAGE_BYTES as u64 * PAGE_BYTES as u64);
        }
        if dir.exists(UNFINISHED).map_err(failed)? {
            dir.remove(UNFINISHED).map_err(|e| StoreError::io("remove", dir.describe(UNFINISHED), e))?;
        }
        Ok(Self { dir, bytes, new_bytes, max_spares, making: None })
    }

    /// Length of a new segment in bytes.
    pub(crate) fn new_len(&self) -> u64 {
        self.new_bytes
    }

    /// Opens a segment.
    pub(crate) fn open(&self, segment: u64) -> Result<D::File> {
        let path = name(segment);
        let opened = self.dir.open(&path, false);
        opened.map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => StoreError::MissingSegment { segment },
            _ => StoreError::io("open", self.dir.describe(&path), e),
        })
    }

    /// Wraps an error of a segment's file.
    pub(crate) fn failed(&self, action: &'static str, segment: u64, error: std::io::Error) -> StoreError {
        StoreError::io(action, self.dir.describe(&name(segment)), error)
    }

    /// Length of a segment in bytes; `None` if there is none of this number.
    pub(crate) fn len(&self, segment: u64) -> Option<u64> {
        self.bytes.get(&segment).copied()
    }

    /// Numbers of the segments from `first` on, rising.
    pub(crate) fn from(&self, first: u64) -> impl Iterator<Item = u64> {
        self.bytes.range(first..).map(|(number, _)| *number)
    }

    /// Length of all segments together, in bytes, and their number.
    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.bytes.values().sum(), self.bytes.len() as u64)
    }

    /// Starts to make the segment after `active` in a thread, unless it is there or on its way.
    pub(crate) fn prepare_in_background(&mut self, active: u64) {
        let next = active + 1;
        if self.bytes.contains_key(&next) || self.making.is_some() {
            return;
        }
        let (dir, bytes) = (Arc::clone(&self.dir), self.new_bytes);
        let thread = std::thread::Builder::new().name("log-spare".into());
        match thread.spawn(move || create(dir.as_ref(), next, bytes)) {
            Ok(handle) => self.making = Some((next, handle)),
            // It is made when it is needed instead.
            Err(error) => tracing::warn!(%error, "cannot start the thread that prepares a log segment"),
        }
    }

    /// Makes sure that the segment after `active` is there and takes a record of `need` bytes.
    pub(crate) fn prepare(&mut self, active: u64, need: u64) -> Result<()> {
        self.join();
        let next = active + 1;
        match self.len(next) {
            Some(len) if len >= need => return Ok(()),
            // Made when segments were shorter: nothing is in it.
            Some(_) => self.delete(next)?,
            None => {}
        }
        create(self.dir.as_ref(), next, self.new_bytes)?;
        self.bytes.insert(next, self.new_bytes);
        Ok(())
    }

    /// Waits for the thread. If it failed, `prepare` tries again and reports.
    fn join(&mut self) {
        let Some((number, handle)) = self.making.take() else { return };
        match handle.join() {
            Ok(Ok(())) => {
                self.bytes.insert(number, self.new_bytes);
            }
            Ok(Err(error)) => tracing::warn!(%error, "preparing a log segment failed"),
            Err(_) => tracing::warn!("the thread that prepares a log segment panicked"),
        }
    }

    fn delete(&mut self, segment: u64) -> Result<()> {
        let path = name(segment);
        self.dir.remove(&path).map_err(|e| StoreError::io("remove", self.dir.describe(&path), e))?;
        self.bytes.remove(&segment);
        sync_folder(self.dir.as_ref())
    }

    /// Frees the segments below `first`: up to the limit of spare ones they are renamed to follow the last segment,
    /// the others are deleted. Also deletes whatever lies beyond a gap in the numbers after `active`. Returns how many
    /// were renamed and how many deleted.
    pub(crate) fn free(&mut self, first: u64, active: u64) -> Result<(u64, u64)> {
        self.join();
        let (mut recycled, mut deleted) = (0, 0);
        let mut next = active + 1;
        while self.bytes.contains_key(&next) {
            next += 1;
        }
        let stray = self.from(next).collect::<Vec<_>>();
        for segment in stray {
            self.delete(segment)?;
            deleted += 1;
        }
        let old = self.bytes.range(..first).map(|(number, len)| (*number, *len)).collect::<Vec<_>>();
        for (segment, len) in old {
            let spares = next - active - 1;
            if len != self.new_bytes || spares >= self.max_spares as u64 {
                self.delete(segment)?;
                deleted += 1;
                continue;
            }
            let (from, to) = (name(segment), name(next));
            self.dir.rename(&from, &to).map_err(|e| StoreError::io("rename", self.dir.describe(&from), e))?;
            sync_folder(self.dir.as_ref())?;
            self.bytes.remove(&segment);
            self.bytes.insert(next, len);
            next += 1;
            recycled += 1;
        }
        Ok((recycled, deleted))
    }
}

impl<D: Dir> Drop for Segments<D> {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::memdir::MemDir;

    const BYTES: u64 = 4 * PAGE_BYTES as u64;

    fn with(numbers: &[u64]) -> (MemDir, Segments<MemDir>) {
        let dir = MemDir::new();
        dir.make_dir(LOG_FOLDER).unwrap();
        dir.sync_dir("").unwrap();
        for number in numbers {
            create(&dir, *number, BYTES).unwrap();
        }
        let segments = Segments::load(Arc::new(dir.clone()), BYTES, 2).unwrap();
        (dir, segments)
    }

    #[test]
    fn only_names_of_ours_count_as_segments() {
        assert_eq!(number("000000.seg"), Some(0));
        assert_eq!(number("1234567.seg"), Some(1_234_567));
        assert_eq!(number("12.seg"), None);
        assert_eq!(number("00000x.seg"), None);
        assert_eq!(number("+00001.seg"), None);
        assert_eq!(number("99999999999999999999999.seg"), None);
        assert_eq!(name(7), "log/000007.seg");
    }

    #[test]
    fn a_created_segment_is_whole_after_a_power_cut() {
        let (dir, _) = with(&[0]);
        dir.crash(0);
        assert!(dir.bytes(&name(0)).unwrap() == vec![0; BYTES as usize]);
    }

    #[test]
    fn a_half_filled_segment_never_bears_a_segments_name() {
        for cut in 1..=2 {
            let (dir, _) = with(&[]);
            dir.fail_at_sync(cut);
            assert!(create(&dir, 0, BYTES).is_err());
            dir.crash(1);
            let segments = Segments::load(Arc::new(dir.clone()), BYTES, 2).unwrap();
            assert!(segments.len(0).is_none_or(|len| len == BYTES), "cut {cut}");
            assert!(!dir.exists(UNFINISHED).unwrap());
        }
    }

    #[test]
    fn a_full_disk_leaves_no_unfinished_segment_behind() {
        let (dir, mut segments) = with(&[0]);
        dir.set_capacity(Some(BYTES + 100));
        let error = segments.prepare(0, 1).unwrap_err();
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        assert!(!dir.exists(UNFINISHED).unwrap());
    }

    #[test]
    fn freed_segments_are_renamed_up_to_the_limit_and_deleted_beyond() {
        let (dir, mut segments) = with(&[0, 1, 2, 3, 4]);
        assert_eq!(segments.free(4, 4).unwrap(), (2, 2));
        assert_eq!(segments.from(0).collect::<Vec<_>>(), [4, 5, 6]);
        dir.crash(0);
        let segments = Segments::load(Arc::new(dir), BYTES, 2).unwrap();
        assert_eq!(segments.from(0).collect::<Vec<_>>(), [4, 5, 6]);
    }

    #[test]
    fn a_renamed_segment_keeps_its_name_through_a_power_cut() {
        let (dir, mut segments) = with(&[0, 1]);
        assert_eq!(segments.free(1, 1).unwrap(), (1, 0));
        dir.crash(0);
        let segments = Segments::load(Arc::new(dir), BYTES, 2).unwrap();
        assert_eq!(segments.from(0).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn segments_beyond_a_gap_are_deleted() {
        let (_, mut segments) = with(&[0, 1, 3]);
        assert_eq!(segments.free(0, 0).unwrap(), (0, 1));
        assert_eq!(segments.from(0).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn the_background_thread_makes_what_prepare_then_finds() {
        let (dir, mut segments) = with(&[0]);
        segments.prepare_in_background(0);
        segments.prepare(0, BYTES).unwrap();
        assert_eq!(segments.len(1), Some(BYTES));
        assert_eq!(dir.bytes(&name(1)).unwrap().len() as u64, BYTES);
    }

    #[test]
    fn a_spare_from_a_time_of_shorter_segments_is_replaced() {
        let (dir, _) = with(&[0, 1]);
        let mut segments = Segments::load(Arc::new(dir), 2 * BYTES, 2).unwrap();
        segments.prepare(0, BYTES + 1).unwrap();
        assert_eq!(segments.len(1), Some(2 * BYTES));
    }
}
