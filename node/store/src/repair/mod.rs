//! Repairing a damaged data directory by rule, without destroying evidence and without risking a second signature.
//!
//! What is damaged goes into a folder of its own, as it was. The log ends after its last good record; what followed is
//! fetched from the peers again. A state that cannot be used is made again from the log, if that reaches back to the
//! first block; else the directory starts empty. Wherever something that was acknowledged is gone, the signer record
//! counts as lost from then on: votes may have been among it.
//!
//! The order makes it safe to interrupt. The mark `repairing` comes first and goes last, and while it is there no store
//! opens. The signer record is lost, durably, before anything else is touched. Everything after that can be done again:
//! a second repair examines what is there and goes on.

mod aside;
mod examine;
mod finding;
mod look;

use std::sync::Arc;

pub use finding::{Finding, Step};

use aside::Aside;
use examine::{Cut, Diagnosis, Treatment, examine};

use crate::disk::{Dir, Disk};
use crate::error::{Result, StoreError};
use crate::init::{self, INITIALISING};
use crate::options::Options;
use crate::overlay::Overlay;
use crate::record::PAGE_BYTES;
use crate::segment::{self, LOG_FOLDER, Segments, name};
use crate::signer::{Mark, Slot, VOTE_LOCK, VoteLock};
use crate::state::{STATE_FILE, State};
use crate::sums::SUMS_FILE;

/// Called now and then with what is being done, how much is done and how much there is to do.
pub type Progress<'a> = dyn FnMut(&'static str, u64, u64) + 'a;

/// What the caller knows that an examination of the files cannot see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// Nothing: files whose checksums hold are good.
    Nothing,
    /// The state is wrong, though its checksums hold: the blocks of the log do not fit it.
    State {
        /// Why, for people.
        why: String,
    },
    /// State and log are both wrong.
    Everything {
        /// Why, for people.
        why: String,
    },
}

/// What was found, and what was done about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// What was found.
    pub findings: Vec<Finding>,
    /// What was done, in this order.
    pub steps: Vec<Step>,
    /// The folder with what was set aside, relative to the data directory; `None` if nothing was.
    pub aside: Option<String>,
}

/// Examines a data directory and repairs it. What is set aside goes into the folder `aside`, which should not exist and
/// whose name is `damaged-` and letters, digits or hyphens. Where nothing is damaged nothing is changed.
///
/// # Errors
/// [`StoreError::NotInitialised`], [`StoreError::InUse`], [`StoreError::OtherChain`], [`StoreError::NewerFormat`],
/// [`StoreError::BadOption`]; and the operating system's: then the repair can be done again.
pub fn repair<D: Dir + Clone>(
    dir: &D,
    opts: Options,
    chain: [u8; 32],
    aside: &str,
    distrust: &Distrust,
    progress: &mut Progress<'_>,
) -> Result<Repair> {
    mend(dir, dir, opts, chain, aside, distrust, progress)
}

/// As [`repair`], but the directory stays as it is: what the repair would do happens in an overlay, which shows what
/// would come of it.
///
/// # Errors
/// As [`repair`].
pub fn rehearse<D: Dir + Clone>(
    dir: &D,
    opts: Options,
    chain: [u8; 32],
    aside: &str,
    distrust: &Distrust,
    progress: &mut Progress<'_>,
) -> Result<(Repair, Overlay<D>)> {
    let target = Overlay::new(dir.clone());
    Ok((mend(dir, &target, opts, chain, aside, distrust, progress)?, target))
}

/// Examines `source` and makes the changes in `target`, which is the same directory or shows it.
fn mend<D: Dir + Clone, T: Dir + Clone>(
    source: &D,
    target: &T,
    opts: Options,
    chain: [u8; 32],
    aside: &str,
    distrust: &Distrust,
    progress: &mut Progress<'_>,
) -> Result<Repair> {
    opts.check()?;
    match source.list("") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::NotInitialised { path: source.describe("") });
        }
        listed => drop(listed.map_err(|e| StoreError::io("look into", source.describe(""), e))?),
    }
    let _lock = init::lock(source)?;
    let over = Arc::new(Overlay::new(source.clone()));
    let diagnosis = examine(&over, opts, chain, distrust, progress)?;
    if !diagnosis.findings.iter().any(Finding::is_damage) {
        return Ok(Repair { findings: diagnosis.findings, ..Repair::default() });
    }
    // As it was: the examination may have changed what its overlay shows.
    let original = Overlay::new(source.clone());
    let aside = Aside::begin(target, original, aside)?;
    let mut repairer = Repairer { dir: target, opts, chain, aside, steps: Vec::new() };
    progress("repairing", 0, 1);
    repairer.apply(&diagnosis)?;
    repairer.aside.finish()?;
    progress("repairing", 1, 1);
    let aside = repairer.aside.holds_something().then(|| repairer.aside.folder().to_owned());
    Ok(Repair { findings: diagnosis.findings, steps: repairer.steps, aside })
}

struct Repairer<'a, D: Dir, T: Dir> {
    dir: &'a T,
    opts: Options,
    chain: [u8; 32],
    aside: Aside<'a, D, T>,
    steps: Vec<Step>,
}

impl<D: Dir + Clone, T: Dir + Clone> Repairer<'_, D, T> {
    fn apply(&mut self, diagnosis: &Diagnosis) -> Result<()> {
        if diagnosis.treatment == Treatment::StartOver {
            return self.start_over();
        }
        if let Some(seq) = diagnosis.lose_signer {
            self.lose_signer(seq)?;
        }
        if let Some(cut) = diagnosis.cut {
            self.cut(cut)?;
        }
        self.heal(&diagnosis.heal)?;
        match &diagnosis.treatment {
            Treatment::Keep | Treatment::StartOver => {}
            Treatment::Amend(meta) => {
                State::open(&Arc::new(self.dir.clone()), self.opts.redb_cache_bytes)?.0.amend(meta)?;
                self.steps.push(Step::AmendState);
            }
            Treatment::Rebuild(meta, height) => {
                self.set_aside(&[STATE_FILE.to_owned(), SUMS_FILE.to_owned()])?;
                State::create(&Arc::new(self.dir.clone()), self.opts.redb_cache_bytes, meta)?;
                self.steps.push(Step::RebuildState { height: *height });
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, files: &[String]) -> Result<()> {
        let files = self.aside.take(files)?;
        if !files.is_empty() {
            self.steps.push(Step::SetAside { files });
        }
        Ok(())
    }

    fn lose_signer(&mut self, seq: u64) -> Result<()> {
        self.aside.copy(VOTE_LOCK)?;
        let slot = Slot { mark: Mark::Lost, seq, log_durable: 0, chain: self.chain, sign: Vec::new() };
        VoteLock::create(self.dir, &slot)?;
        self.steps.push(Step::LoseSigner);
        Ok(())
    }

    fn cut(&mut self, cut: Cut) -> Result<()> {
        let segments = Segments::load(Arc::new(self.dir.clone()), self.opts.segment_bytes, 0)?;
        let later = segments.from(cut.end.segment + 1).map(name).collect::<Vec<_>>();
        self.set_aside(&later)?;
        let segment = cut.end.segment;
        if cut.is_missing {
            segment::create(self.dir, segment, cut.bytes)?;
            self.steps.push(Step::ReplaceSegment { segment });
            return Ok(());
        }
        self.aside.copy(&name(segment))?;
        wipe(&segments, cut)?;
        let offset = u64::from(cut.end.offset);
        self.steps.push(Step::CutLog { segment, offset, height: cut.height });
        Ok(())
    }

    /// Writes pages that cannot be read: then they can be. Nothing was in them.
    fn heal(&mut self, pages: &[(u64, u64)]) -> Result<()> {
        let segments = Segments::load(Arc::new(self.dir.clone()), self.opts.segment_bytes, 0)?;
        for (segment, offset) in pages.iter().copied() {
            let file = segments.open(segment)?;
            let written = file.write_at(&[0; PAGE_BYTES], offset).and_then(|()| file.sync());
            written.map_err(|e| segments.failed("write to", segment, e))?;
            self.steps.push(Step::HealSector { segment, offset });
        }
        Ok(())
    }

    fn start_over(&mut self) -> Result<()> {
        let failed = |e| StoreError::io("list", self.dir.describe(LOG_FOLDER), e);
        let half_made = self.dir.exists(INITIALISING).map_err(failed)?;
        if !half_made {
            // The signer record first: once it is gone nobody takes what is left for a whole directory.
            let mut files = [VOTE_LOCK, STATE_FILE, SUMS_FILE].map(str::to_owned).to_vec();
            if self.dir.exists(LOG_FOLDER).map_err(failed)? {
                let log = self.dir.list(LOG_FOLDER).map_err(failed)?;
                files.extend(log.iter().map(|file| format!("{LOG_FOLDER}/{file}")));
            }
            self.set_aside(&files)?;
        }
        init::make_locked(self.dir, self.opts, self.chain, Mark::Lost)?;
        self.steps.push(Step::StartOver);
        Ok(())
    }
}

/// Fills the last segment with zeros from where the log ends.
fn wipe<T: Dir>(segments: &Segments<T>, cut: Cut) -> Result<()> {
    let segment = cut.end.segment;
    let file = segments.open(segment)?;
    let failed = |e| segments.failed("write to", segment, e);
    let (zeros, page) = (vec![0; PAGE_BYTES], PAGE_BYTES as u64);
    // As long as it was made, if it was cut.
    let len = cut.bytes.max(file.len().map_err(failed)? / page * page);
    file.set_len(len).map_err(failed)?;
    let mut at = u64::from(cut.end.offset);
    while at < len {
        file.write_at(&zeros, at).map_err(failed)?;
        at += page;
    }
    file.sync().map_err(failed)
}
