//! Operations carried out on a store: the one place that knows how, whoever asks.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::operation::{Answer, CollectReport, Event, Operation, Progress, ScrubReport};
use crate::collect::{Collected, Policy};
use crate::error::{RegistryError, Result};
use crate::name::Reference;
use crate::scrub::Depth;
use crate::store::Store;
use crate::transfer;

/// The least time between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// The person's side of an operation.
pub trait Channel {
    /// Tells something before the end.
    ///
    /// # Errors
    /// When nobody listens any more: the operation ends.
    fn event(&mut self, event: Event) -> io::Result<()>;

    /// Gives the next bytes of an import; 0 at the end.
    ///
    /// # Errors
    /// When they cannot be had.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Takes bytes of an export.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Tells progress, not too often.
struct Pace<'a> {
    channel: &'a mut dyn Channel,
    last: Instant,
    is_open: bool,
}

impl<'a> Pace<'a> {
    fn new(channel: &'a mut dyn Channel) -> Self {
        Self { channel, last: Instant::now(), is_open: true }
    }

    fn event(&mut self, event: Event) -> Result<()> {
        self.channel.event(event).map_err(|_| RegistryError::Interrupted)
    }

    fn progress(&mut self, item: impl FnOnce() -> String, done: u64, total: u64) {
        if self.is_open && self.last.elapsed() >= PROGRESS_EVERY {
            self.last = Instant::now();
            self.is_open = self.event(Event::Progress(Progress { item: item(), done, total })).is_ok();
        }
    }

    /// Whether somebody still listens.
    fn check(&self) -> Result<()> {
        if self.is_open { Ok(()) } else { Err(RegistryError::Interrupted) }
    }
}

/// The bytes of an import. No progress is told meanwhile: whoever sends knows how much that is, and does not listen until
/// all of it is sent.
struct Incoming<'a>(&'a mut dyn Channel);

impl Read for Incoming<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

/// The bytes of an export.
struct Outgoing<'a>(&'a mut dyn Channel);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Carries out an operation. Blocks on the disk, and on the channel.
///
/// # Errors
/// When it cannot be done. What an operation changes it changes whole or not at all, but for collections and scrubs,
/// which go file by file.
pub fn execute(store: &Store, operation: &Operation, channel: &mut dyn Channel) -> Result<Answer> {
    let mut pace = Pace::new(channel);
    match operation {
        Operation::List { repo: None } => {
            let count =
                store.for_each_repository(|repo| pace.event(Event::Repository(store.summarise(repo)?)))?;
            Ok(Answer::Listed { count })
        }
        Operation::List { repo: Some(repo) } => {
            let count = store.for_each_tag(repo, |tag| pace.event(Event::Tag(tag)))?;
            Ok(Answer::Listed { count })
        }
        Operation::Inspect { target } => {
            let latest = || "latest".parse().map(Reference::Tag);
            let reference = target.reference.clone().map_or_else(latest, Ok)?;
            Ok(Answer::Inspected(Box::new(store.inspect(&target.repo, &reference)?)))
        }
        Operation::Remove { target, dry_run, force } => {
            let removal = store.remove(target, *dry_run, *force)?;
            let (tags, manifests, immutable) = (removal.tags, removal.manifests, &removal.immutable);
            if !dry_run && immutable.is_empty() {
                tracing::info!(%target, tags, manifests, "removed by the operator");
            } else if !dry_run {
                tracing::warn!(%target, tags, manifests, ?immutable, "removed by the operator, though immutable");
            }
            Ok(Answer::Removed(removal))
        }
        Operation::Collect { dry_run, purge } => collect(store, *dry_run, *purge).map(Answer::Collected),
        Operation::Scrub { deep } => scrub(store, *deep, &mut pace).map(Answer::Scrubbed),
        Operation::Usage => {
            let repositories =
                store.for_each_repository(|repo| pace.event(Event::Usage(store.usage_of(repo)?)))?;
            Ok(Answer::Usage(super::Usage { repositories, ..store.usage()? }))
        }
        Operation::Import { target, platform } => {
            let mut incoming = Incoming(&mut *pace.channel);
            let imported = transfer::import(store, &mut incoming, target.as_ref(), platform.as_ref())?;
            tracing::info!(
                images = imported.images.len(),
                bytes = imported.bytes,
                "imported by the operator"
            );
            Ok(Answer::Imported(imported))
        }
        Operation::Export { target, format, platform } => {
            let mut outgoing = Outgoing(&mut *pace.channel);
            let exported = transfer::export(store, target, *format, platform.as_ref(), &mut outgoing)?;
            Ok(Answer::Exported(exported))
        }
    }
}

fn collect(store: &Store, dry_run: bool, purge: bool) -> Result<CollectReport> {
    let is_too_soon = store.grace_until_ms() > store.now_ms();
    let mut done = if dry_run { Collected::default() } else { store.collect(&Policy::default())? };
    if purge && !dry_run {
        let (files, bytes) = store.purge_quarantine()?;
        (done.purged, done.purged_bytes) = (done.purged + files, done.purged_bytes + bytes);
    }
    Ok(CollectReport {
        links: done.links,
        files: done.files + done.orphans,
        bytes: done.bytes,
        purged_files: done.purged,
        purged_bytes: done.purged_bytes,
        uploads: done.uploads,
        is_too_soon,
        left: store.idle()?,
    })
}

fn scrub(store: &Store, deep: bool, pace: &mut Pace<'_>) -> Result<ScrubReport> {
    let depth = if deep { Depth::Digest } else { Depth::Pieces };
    let mut report = ScrubReport { missing: store.damaged()?.len() as u64, ..ScrubReport::default() };
    let (total, mut done, mut after) = (store.usage()?.bytes, 0, None);
    loop {
        let scrubbed = store.scrub_after(after.as_ref(), depth, &mut |bytes| {
            done += bytes;
            pace.progress(|| "scrub".to_owned(), done, total);
            // Nobody waits for it any more.
            pace.check().is_ok()
        })?;
        pace.check()?;
        let Some(scrubbed) = scrubbed else { return Ok(report) };
        (report.files, report.bytes) = (report.files + 1, report.bytes + scrubbed.bytes);
        if scrubbed.is_damaged {
            report.damaged += 1;
            pace.event(Event::Damaged { digest: scrubbed.digest })?;
        }
        after = Some(scrubbed.digest);
    }
}
