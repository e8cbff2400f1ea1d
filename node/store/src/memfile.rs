//! An open file of a [`MemDir`].

use std::io;

use crate::disk::Disk;
use crate::fault::{Fault, device_error, no_space};
use crate::memdir::{Inner, MemDir};

/// An open file of a [`MemDir`].
#[derive(Debug)]
pub struct MemFile {
    dir: MemDir,
    file: u64,
    generation: u64,
}

impl MemFile {
    pub(crate) fn new(dir: MemDir, file: u64, generation: u64) -> Self {
        Self { dir, file, generation }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner, u64) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.dir.inner();
        inner.alive(self.generation)?;
        act(&mut inner, self.file)
    }
}

fn write(inner: &mut Inner, file: u64, buf: &[u8], off: usize) -> io::Result<()> {
    let end = off + buf.len();
    if end > inner.content(file).live().len() {
        inner.check_room(file, end)?;
    }
    let sector_bytes = inner.sector_bytes;
    inner.content(file).write(off, buf, sector_bytes);
    inner.written += buf.len() as u64;
    Ok(())
}

impl Disk for MemFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|inner, file| Ok(inner.content(file).live().len() as u64))
    }

    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        self.with(|inner, file| {
            inner.count_read()?;
            let (start, sector_bytes) = (off as usize, inner.sector_bytes);
            let content = inner.content(file);
            let bytes = content.live().get(start..).and_then(|rest| rest.get(..buf.len()));
            let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            if !content.is_readable(start, start + buf.len(), sector_bytes) {
                return Err(device_error());
            }
            buf.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()> {
        self.with(|inner, file| {
            let (off, half) = (off as usize, buf.len() / 2);
            match inner.count_change()? {
                Some(Fault::Error) => Err(device_error()),
                Some(Fault::Torn) => write(inner, file, &buf[..half], off).and(Err(device_error())),
                Some(Fault::Full) => write(inner, file, &buf[..half], off).and(Err(no_space())),
                _ => write(inner, file, buf, off),
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|inner, file| {
            match inner.count_sync()? {
                Some(Fault::Error | Fault::Full) => {
                    inner.content(file).forsake();
                    return Err(device_error());
                }
                Some(Fault::LostWrite) => inner.content(file).forsake(),
                Some(Fault::Lie) => {}
                Some(Fault::PowerCut | Fault::Torn) | None => inner.content(file).flush(),
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|inner, file| {
            match inner.count_change()? {
                Some(Fault::Error) => return Err(device_error()),
                Some(Fault::Full) => return Err(no_space()),
                _ => {}
            }
            let len = len as usize;
            if len > inner.content(file).live().len() {
                inner.check_room(file, len)?;
            }
            let sector_bytes = inner.sector_bytes;
            inner.content(file).set_len(len, sector_bytes);
            Ok(())
        })
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.with(|inner, file| {
            let sector_bytes = inner.sector_bytes;
            inner.content(file).forget_cached(sector_bytes);
            Ok(())
        })
    }
}
