//! A directory whose changes stay in memory: what is done to it is seen through it and never reaches the disk. And a
//! page that the device cannot read is seen as zeros, and remembered.
//!
//! So a damaged directory can be opened, examined and repaired to see what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Dir, Disk, LockError};
use crate::record::PAGE_BYTES;

const PAGE: u64 = PAGE_BYTES as u64;

/// Error numbers of Linux that say that the medium, not the program or its rights, is at fault: EIO, EBADMSG, EUCLEAN.
const MEDIUM_ERRORS: [i32; 3] = [5, 74, 117];

struct FileState<F> {
    /// The file below with its length, unless it was made here.
    base: Option<(F, u64)>,
    name: String,
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

type Shared<F> = Arc<Mutex<FileState<F>>>;

struct Inner<F> {
    /// What was opened, made, renamed or (`None`) removed here.
    names: BTreeMap<String, Option<Shared<F>>>,
    folders: BTreeSet<String>,
    unreadable: BTreeSet<(String, u64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory over another, which stays as it is. Clones share it.
pub struct Overlay<D: Dir> {
    base: Arc<D>,
    inner: Arc<Mutex<Inner<D::File>>>,
}

impl<D: Dir> Clone for Overlay<D> {
    fn clone(&self) -> Self {
        Self { base: Arc::clone(&self.base), inner: Arc::clone(&self.inner) }
    }
}

impl<D: Dir> Overlay<D> {
    /// Lays an overlay over `base`.
    pub fn new(base: D) -> Self {
        let inner = Inner { names: BTreeMap::new(), folders: BTreeSet::new(), unreadable: BTreeSet::new() };
        Self { base: Arc::new(base), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Files and offsets of pages that could not be read so far.
    pub(crate) fn unreadable(&self) -> BTreeSet<(String, u64)> {
        lock(&self.inner).unreadable.clone()
    }

    fn file(&self, name: &str) -> io::Result<Option<Shared<D::File>>> {
        if let Some(entry) = lock(&self.inner).names.get(name) {
            return Ok(entry.clone());
        }
        match self.base.open(name, false) {
            Ok(base) => {
                // What is on the medium counts, not what an earlier failed flush left in memory.
                let _ = base.sync().and_then(|()| base.forget_cached());
                let len = base.len()?;
                let (base, name) = (Some((base, len)), name.to_owned());
                let file = FileState { base, name: name.clone(), len, pages: BTreeMap::new() };
                let file = Arc::new(Mutex::new(file));
                lock(&self.inner).names.insert(name, Some(Arc::clone(&file)));
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A file of an [`Overlay`].
pub struct OverlayFile<D: Dir> {
    dir: Overlay<D>,
    file: Shared<D::File>,
}

impl<D: Dir> OverlayFile<D> {
    /// Fills `page` with page `number`, whose rest beyond the file's end is zero.
    fn page(&self, file: &FileState<D::File>, number: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; PAGE_BYTES];
        if let Some(held) = file.pages.get(&number) {
            page.copy_from_slice(held);
        } else if let Some((base, base_len)) = &file.base {
            let off = number * PAGE;
            let len = base_len.saturating_sub(off).min(PAGE) as usize;
            match base.read_at(&mut page[..len], off) {
                Err(error) if error.raw_os_error().is_some_and(|code| MEDIUM_ERRORS.contains(&code)) => {
                    page.fill(0);
                    lock(&self.dir.inner).unreadable.insert((file.name.clone(), off));
                }
                read => read?,
            }
        }
        Ok(page)
    }

    fn put(file: &mut FileState<D::File>, number: u64, page: Vec<u8>) {
        let is_beyond_base = file.base.as_ref().is_none_or(|(_, len)| number * PAGE >= *len);
        if is_beyond_base && page.iter().all(|byte| *byte == 0) {
            file.pages.remove(&number);
        } else {
            file.pages.insert(number, page);
        }
    }
}

impl<D: Dir> Disk for OverlayFile<D> {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.file).len)
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        let file = lock(&self.file);
        if off + buf.len() as u64 > file.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        // Mostly the file below has it all.
        let end = off + buf.len() as u64;
        if let Some((base, _)) = file.base.as_ref().filter(|(_, base_len)| end <= *base_len)
            && file.pages.range(off / PAGE..end.div_ceil(PAGE)).next().is_none()
            && base.read_at(buf, off).is_ok()
        {
            return Ok(());
        }
        let mut done = 0;
        while done < buf.len() {
            let at = off + done as u64;
            let (number, start) = (at / PAGE, (at % PAGE) as usize);
            let len = (PAGE_BYTES - start).min(buf.len() - done);
            buf[done..done + len].copy_from_slice(&self.page(&file, number)?[start..start + len]);
            done += len;
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()> {
        let mut file = lock(&self.file);
        let mut done = 0;
        while done < buf.len() {
            let at = off + done as u64;
            let (number, start) = (at / PAGE, (at % PAGE) as usize);
            let len = (PAGE_BYTES - start).min(buf.len() - done);
            let mut page = if len == PAGE_BYTES { vec![0; PAGE_BYTES] } else { self.page(&file, number)? };
            page[start..start + len].copy_from_slice(&buf[done..done + len]);
            Self::put(&mut file, number, page);
            done += len;
        }
        file.len = file.len.max(off + buf.len() as u64);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut file = lock(&self.file);
        if len < file.len {
            let mut last = self.page(&file, len / PAGE)?;
            last[(len % PAGE) as usize..].fill(0);
            file.pages.retain(|number, _| number * PAGE < len);
            if let Some((_, base_len)) = &mut file.base {
                *base_len = (*base_len).min(len);
            }
            Self::put(&mut file, len / PAGE, last);
        }
        file.len = len;
        Ok(())
    }
}

impl<D: Dir> Dir for Overlay<D> {
    type File = OverlayFile<D>;
    type Lock = D::Lock;

    fn open(&self, name: &str, create: bool) -> io::Result<OverlayFile<D>> {
        let file = match self.file(name)? {
            Some(file) => file,
            None if create => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                if !folder.is_empty() && !self.exists(folder)? {
                    return Err(io::Error::from(io::ErrorKind::NotFound));
                }
                let file = FileState { base: None, name: name.to_owned(), len: 0, pages: BTreeMap::new() };
                let file = Arc::new(Mutex::new(file));
                lock(&self.inner).names.insert(name.to_owned(), Some(Arc::clone(&file)));
                file
            }
            None => return Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Ok(OverlayFile { dir: self.clone(), file })
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        lock(&self.inner).folders.insert(name.to_owned());
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = match self.base.list(folder) {
            Ok(names) => names.into_iter().collect::<BTreeSet<_>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.exists(folder)? => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        for (name, file) in &lock(&self.inner).names {
            let (in_folder, file_name) = name.rsplit_once('/').unwrap_or(("", name));
            if in_folder == folder && file.is_some() {
                names.insert(file_name.to_owned());
            } else if in_folder == folder {
                names.remove(file_name);
            }
        }
        Ok(names.into_iter().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.open(name, false)?;
        lock(&self.inner).names.insert(name.to_owned(), None);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.open(from, false)?.file;
        let mut inner = lock(&self.inner);
        inner.names.insert(from.to_owned(), None);
        inner.names.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn sync_dir(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let inner = lock(&self.inner);
        match inner.names.get(name) {
            Some(file) => Ok(file.is_some()),
            None => Ok(inner.folders.contains(name) || self.base.exists(name)?),
        }
    }

    fn try_lock(&self, name: &str) -> Result<D::Lock, LockError> {
        self.base.try_lock(name)
    }

    fn describe(&self, name: &str) -> String {
        self.base.describe(name)
    }
}
