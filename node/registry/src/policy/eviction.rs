//! Eviction: which copies of an upstream go, so that a cache does not fill the disk.
//!
//! A copy goes when it was not pulled for long, and above a limit those go first that were not pulled for longest. What
//! two copies consist of takes room once, and gives it back with the last of them. Age is counted in registry time:
//! neither a clock that jumps nor a long time without power makes a copy old.
//!
//! Pure: knows neither names nor a clock nor the disk.

/// How long copies are kept, and how much of them. Without either: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) keep_ms: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
}

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// When it was last pulled.
    pub(crate) pulled_ms: u64,
    /// Whether it stays, however old it is. What it takes counts all the same.
    pub(crate) stays: bool,
    /// What it consists of, as [`Stock::add_file`] numbered it.
    pub(crate) files: Vec<usize>,
}

/// What goes, and what is left then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outworn {
    /// Which copies, as they were numbered when they were added: the oldest first, among equals in that order.
    pub(crate) copies: Vec<usize>,
    /// How much room the others take, in bytes.
    pub(crate) left: u64,
}

/// All copies of an upstream.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    copies: Vec<Copied>,
    /// Lengths of the files, in bytes.
    lens: Vec<u64>,
}

impl Stock {
    /// Adds a file of `len` bytes; gives its number.
    pub(crate) fn add_file(&mut self, len: u64) -> usize {
        self.lens.push(len);
        self.lens.len() - 1
    }

    /// Adds a copy of files that were added.
    pub(crate) fn add(&mut self, copied: Copied) {
        debug_assert!(copied.files.iter().all(|file| *file < self.lens.len()));
        self.copies.push(copied);
    }

    /// How much room the copies take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.lens.iter().fold(0, |sum, len| sum.saturating_add(*len))
    }

    /// What goes by `terms`.
    pub(crate) fn outworn(&self, terms: Terms, now_ms: u64) -> Outworn {
        let mut uses = vec![0_usize; self.lens.len()];
        self.copies.iter().flat_map(|copy| &copy.files).for_each(|file| uses[*file] += 1);
        let mut by_age: Vec<usize> = (0..self.copies.len()).collect();
        by_age.sort_by_key(|number| self.copies[*number].pulled_ms);
        let mut outworn = Outworn { copies: Vec::new(), left: self.bytes() };
        for number in by_age {
            let copy = &self.copies[number];
            let age_ms = now_ms.saturating_sub(copy.pulled_ms);
            let is_old = terms.keep_ms.is_some_and(|keep_ms| age_ms > keep_ms);
            if !is_old && terms.max_bytes.is_none_or(|max_bytes| outworn.left <= max_bytes) {
                // Those after it are younger.
                break;
            }
            if copy.stays {
                continue;
            }
            for file in &copy.files {
                uses[*file] -= 1;
                if uses[*file] == 0 {
                    outworn.left = outworn.left.saturating_sub(self.lens[*file]);
                }
            }
            outworn.copies.push(number);
        }
        outworn
    }
}

#[cfg(test)]
#[path = "eviction_tests.rs"]
mod tests;
