//! Gathers lines, and writes many of them at once, on a thread of its own.
//!
//! A request leaves its line in a queue of bounded length and goes on; when the queue is full the line is dropped. So
//! neither a slow disk nor a full one is noticed by clients.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::record::Record;
use super::rotating::Rotating;
use crate::files::Files;
use crate::metrics::Count;
use crate::store::Store;

/// Lines that wait to be gathered. With the longest of them it is 1 MiB.
const MAX_WAITING: usize = 1_024;
/// Lines are written early when there are so many bytes of them.
const FLUSH_BYTES: usize = 64 * 1024;

/// When what is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Longest time from a line to the write that holds it.
    pub(crate) flush_after: Duration,
    /// How long lines are dropped after a write that failed, before the next is tried.
    pub(crate) retry_after: Duration,
    /// Shortest time between two reports of lines that were dropped.
    pub(crate) report_every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            flush_after: Duration::from_secs(5),
            retry_after: Duration::from_secs(60),
            report_every: Duration::from_secs(60),
        }
    }
}

enum Message {
    Record(Box<Record>),
    Stop,
}

/// The log of all requests. When it is dropped, or stopped, what it has gathered is written.
pub struct AccessLog {
    queue: SyncSender<Message>,
    /// Lines dropped.
    lost: Arc<Count>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl AccessLog {
    /// Starts one in the directory of `store`, whose metrics count the lines that it drops.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: &Store) -> io::Result<Arc<Self>> {
        Self::begin(Arc::clone(&store.files), Arc::clone(&store.metrics.log_lost), Pace::default())
    }

    pub(crate) fn begin(files: Arc<dyn Files>, lost: Arc<Count>, pace: Pace) -> io::Result<Arc<Self>> {
        let (queue, messages) = sync_channel(MAX_WAITING);
        let writer = Writer::new(Rotating::new(files), Arc::clone(&lost), pace);
        let thread = Builder::new().name("registry-log".to_owned()).spawn(move || writer.run(&messages))?;
        Ok(Arc::new(Self { queue, lost, thread: Mutex::new(Some(thread)) }))
    }

    /// Leaves a line to be written. Does not wait.
    pub(crate) fn record(&self, record: Record) {
        if self.queue.try_send(Message::Record(Box::new(record))).is_err() {
            self.lost.add(1);
        }
    }

    /// Writes what was gathered and ends. Lines that come later are dropped.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // Fails only if the thread is no longer there, and then joining it says why.
        let _ = self.queue.send(Message::Stop);
        if thread.join().is_err() {
            tracing::error!("the thread that writes the access log panicked");
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's side.
struct Writer {
    file: Rotating,
    pace: Pace,
    lost: Arc<Count>,
    /// How many of the lines that were dropped the log was told of, and when.
    reported: (u64, Option<Instant>),
    text: Vec<u8>,
    lines: u64,
    /// When the text has to be written; `None` while there is none.
    due: Option<Instant>,
    /// After a write that failed: when the next one is tried.
    resume: Option<Instant>,
}

impl Writer {
    fn new(file: Rotating, lost: Arc<Count>, pace: Pace) -> Self {
        let reported = (lost.get(), None);
        Self { file, pace, lost, reported, text: Vec::new(), lines: 0, due: None, resume: None }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let now = Instant::now();
            let message = match self.due {
                None => messages.recv().map_err(RecvTimeoutError::from),
                // Lines may come faster than the queue is ever empty.
                Some(due) if due <= now => Err(RecvTimeoutError::Timeout),
                Some(due) => messages.recv_timeout(due - now),
            };
            match message {
                Ok(Message::Record(record)) => self.add(&record),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.flush();
        self.report();
    }

    fn add(&mut self, record: &Record) {
        let now = Instant::now();
        if self.resume.is_some_and(|resume| now < resume) {
            self.lost.add(1);
            return;
        }
        record.write(&mut self.text);
        self.lines += 1;
        self.due.get_or_insert(now + self.pace.flush_after);
        if self.text.len() >= FLUSH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.due = None;
        if self.text.is_empty() {
            return;
        }
        match self.file.append(&self.text) {
            Ok(()) => {
                if self.resume.take().is_some() {
                    tracing::info!("the access log is written again");
                }
            }
            Err(error) => {
                self.lost.add(self.lines);
                let resume = Instant::now() + self.pace.retry_after;
                if self.resume.replace(resume).is_none() {
                    tracing::warn!(%error, "the access log cannot be written; requests are answered without it, and it is tried again");
                }
            }
        }
        self.text.clear();
        self.lines = 0;
        let is_due = self.reported.1.is_none_or(|at| at.elapsed() >= self.pace.report_every);
        // While nothing can be written, that was said.
        if self.resume.is_none() && is_due {
            self.report();
        }
    }

    /// Says how many lines were dropped since that was said last.
    fn report(&mut self) {
        let lost = self.lost.get();
        let news = lost - self.reported.0;
        if news > 0 {
            tracing::warn!(lines = news, "lines of the access log were dropped");
            self.reported = (lost, Some(Instant::now()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_the_queue_is_dropped_and_counted() {
        // Nobody takes anything out.
        let (queue, messages) = sync_channel(MAX_WAITING);
        let log = AccessLog { queue, lost: Arc::default(), thread: Mutex::new(None) };
        let record = || Record::begin(None, "GET", "/v2/", b"");
        (0..MAX_WAITING).for_each(|_| log.record(record()));
        assert_eq!(log.lost.get(), 0);
        (0..3).for_each(|_| log.record(record()));
        assert_eq!(log.lost.get(), 3);
        drop(messages);
        log.record(record());
        assert_eq!(log.lost.get(), 4, "after the end, too");
    }
}
