//! What can be made to go wrong in a [`MemDir`](crate::MemDir), and when.

use std::collections::BTreeMap;
use std::io;

/// What goes wrong at one change of a [`MemDir`](crate::MemDir): a write, a change of length, a flush of a file or of
/// a folder, a file or folder created, renamed or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power goes before it: this and every later call fail, until `crash`.
    PowerCut,
    /// The device reports an error and nothing is done. A flush is not tried again by anybody: its sectors are
    /// neither on the medium nor marked to be written, as on Linux.
    Error,
    /// The device reports an error when the first half of a write is done. Happens to writes only.
    Torn,
    /// No space is left; a write is done in half.
    Full,
    /// A flush reports success and does nothing; the next one that is true does its work as well.
    Lie,
    /// A flush reports success, and what it should have written never reaches the medium.
    LostWrite,
}

/// One kind of event, counted, and what is planned for some of them.
#[derive(Default, Clone)]
pub(crate) struct Plan {
    pub(crate) count: u64,
    faults: BTreeMap<u64, Fault>,
}

impl Plan {
    /// Plans a fault for the `n`th event from now; 1 is the next.
    pub(crate) fn set(&mut self, n: u64, fault: Fault) {
        self.faults.insert(self.count + n, fault);
    }

    /// Counts an event, and says what goes wrong with it.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        self.count += 1;
        self.faults.remove(&self.count)
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }
}

pub(crate) fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

pub(crate) fn device_error() -> io::Error {
    // EIO.
    io::Error::from_raw_os_error(5)
}

pub(crate) fn no_space() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}
