//! `state.redb` as redb's storage: every page that is read is checked against `state.sum`, see [`crate::sums`].

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::disk::{Dir, Disk};
use crate::record::PAGE_BYTES;
use crate::sums::{BadSums, Sum, Sums, sum};

const PAGE: u64 = PAGE_BYTES as u64;

/// A page is not what was written to it, or is not there.
pub(crate) fn damaged_page() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a page fails its checksum")
}

struct Inner<D: Dir> {
    file: D::File,
    sums: Sums<D>,
    /// Page 0 as redb sees it: it reaches the file in a flush only, when its checksum is durable.
    first: Vec<u8>,
    /// Checksum of page 0 in the file.
    first_before: Sum,
}

/// The file of the state database with its checksums.
pub(crate) struct Checked<D: Dir> {
    inner: Mutex<Inner<D>>,
    len: Arc<AtomicU64>,
}

impl<D: Dir> fmt::Debug for Checked<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked")
    }
}

impl<D: Dir> Checked<D> {
    /// Starts an empty database file.
    pub(crate) fn create(dir: Arc<D>, name: &str) -> io::Result<Self> {
        let file = dir.open(name, true)?;
        file.set_len(0)?;
        let first = vec![0; PAGE_BYTES];
        let first_before = sum(0, &first);
        let inner = Inner { file, sums: Sums::create(dir)?, first, first_before };
        Ok(Self { inner: Mutex::new(inner), len: Arc::default() })
    }

    /// Opens the database file. Reads come from the medium.
    pub(crate) fn open(dir: Arc<D>, name: &str) -> Result<Self, BadSums> {
        let file = dir.open(name, false)?;
        file.sync()?;
        file.forget_cached()?;
        let len = file.len()?;
        let pages = u32::try_from(len / PAGE).map_err(|_| BadSums::Damaged)?;
        let mut first = vec![0; PAGE_BYTES];
        file.read_at(&mut first, 0)?;
        let first_before = sum(0, &first);
        let (sums, expected) = Sums::open(dir, pages)?;
        if !len.is_multiple_of(PAGE) || !expected.contains(&first_before) {
            return Err(BadSums::Damaged);
        }
        let inner = Inner { file, sums, first, first_before };
        Ok(Self { inner: Mutex::new(inner), len: Arc::new(AtomicU64::new(len)) })
    }

    /// The length of the file in bytes, as it changes.
    pub(crate) fn shared_len(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.len)
    }

    fn inner(&self) -> MutexGuard<'_, Inner<D>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Dir> StorageBackend for Checked<D> {
    fn len(&self) -> io::Result<u64> {
        self.inner().file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let inner = self.inner();
        let end = offset + out.len() as u64;
        let (from, to) = (offset / PAGE, end.div_ceil(PAGE));
        let mut pages = vec![0; ((to - from) * PAGE) as usize];
        inner.file.read_at(&mut pages, from * PAGE)?;
        for (number, page) in (from as u32..).zip(pages.chunks_mut(PAGE_BYTES)) {
            if number == 0 {
                page.copy_from_slice(&inner.first);
            } else if !inner.sums.fits(number, page) {
                return Err(damaged_page());
            }
        }
        let start = (offset - from * PAGE) as usize;
        out.copy_from_slice(&pages[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.file.set_len(len)?;
        inner.sums.set_pages((len / PAGE) as u32);
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.inner();
        let (first, before) = (inner.first.clone(), inner.first_before);
        let now = sum(0, &first);
        if now != before {
            inner.sums.note(0, &first);
        }
        inner.sums.flush(before)?;
        if now != before {
            inner.file.write_at(&first, 0)?;
            inner.first_before = now;
        }
        inner.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let in_first = (PAGE.saturating_sub(offset) as usize).min(data.len());
        if in_first > 0 {
            let start = offset as usize;
            inner.first[start..start + in_first].copy_from_slice(&data[..in_first]);
        }
        let (offset, data) = (offset + in_first as u64, &data[in_first..]);
        if data.is_empty() {
            return Ok(());
        }
        if !offset.is_multiple_of(PAGE) || !data.len().is_multiple_of(PAGE_BYTES) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "part of a page was to be written"));
        }
        inner.file.write_at(data, offset)?;
        for (number, page) in ((offset / PAGE) as u32..).zip(data.chunks(PAGE_BYTES)) {
            inner.sums.note(number, page);
        }
        Ok(())
    }
}
