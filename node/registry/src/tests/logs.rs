//! The access log on a disk that fails, and in files that grow long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::memory::{Fault, Memory};
use crate::files::Files;
use crate::layout::{ACCESS_LOG, ACCESS_LOG_OLD, LOGS};
use crate::logs::{AccessLog, MAX_FILE_BYTES, Pace, Record};
use crate::metrics::Count;

/// Never by itself: only when it is stopped, or has enough.
const NEVER: Duration = Duration::from_secs(1_000_000);
const LAZY: Pace = Pace { flush_after: NEVER, retry_after: NEVER, report_every: NEVER };

fn begin(memory: &Memory, pace: Pace) -> (Arc<AccessLog>, Arc<Count>) {
    let lost = Arc::<Count>::default();
    (AccessLog::begin(Arc::new(memory.clone()), Arc::clone(&lost), pace).unwrap(), lost)
}

fn record(path: &str) -> Record {
    let mut record = Record::begin(None, "GET", path, b"test");
    record.end("anonymous", 200, None, Duration::ZERO);
    record
}

/// The paths of the lines of a file, each of which has to be whole.
fn paths(memory: &Memory, name: &str) -> Vec<String> {
    if !memory.names().iter().any(|found| found == name) {
        return Vec::new();
    }
    let text = String::from_utf8(memory.bytes(name)).unwrap();
    let path = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["path"].clone();
    text.lines().map(|line| path(line).as_str().unwrap().to_owned()).collect()
}

fn wait_for(what: &str, mut is_done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn lines_are_written_after_a_while_together_and_unflushed() {
    let memory = Memory::default();
    let (log, lost) = begin(&memory, Pace { flush_after: Duration::from_millis(200), ..LAZY });
    (0..5).for_each(|number| log.record(record(&format!("/v2/{number}"))));
    wait_for("the lines come", || paths(&memory, ACCESS_LOG).len() == 5);
    // A folder, a file, a write.
    assert_eq!(memory.steps(), 3);
    assert_eq!(paths(&memory, ACCESS_LOG), ["/v2/0", "/v2/1", "/v2/2", "/v2/3", "/v2/4"]);
    log.record(record("/v2/last"));
    log.stop();
    assert_eq!(memory.steps(), 4, "the end is no reason to flush, either");
    assert_eq!(paths(&memory, ACCESS_LOG).len(), 6);
    assert_eq!(lost.get(), 0);
    log.record(record("/v2/late"));
    assert_eq!(lost.get(), 1);
    log.stop();
}

#[test]
fn a_log_that_is_dropped_writes_what_it_has() {
    let memory = Memory::default();
    let (log, _) = begin(&memory, LAZY);
    log.record(record("/v2/a"));
    drop(log);
    assert_eq!(paths(&memory, ACCESS_LOG), ["/v2/a"]);
}

#[test]
fn a_disk_that_fails_costs_lines_and_nothing_else() {
    for (fault, step) in [(Fault::Error, 1), (Fault::Full, 2), (Fault::Full, 3)] {
        let memory = Memory::default();
        memory.fail_at(step, fault);
        let pace = Pace { flush_after: Duration::ZERO, retry_after: Duration::from_millis(100), ..LAZY };
        let (log, lost) = begin(&memory, pace);
        log.record(record("/v2/first"));
        wait_for("it is noticed", || lost.get() == 1);
        // Not tried again at once.
        log.record(record("/v2/second"));
        wait_for("the next is dropped, too", || lost.get() == 2);
        std::thread::sleep(Duration::from_millis(150));
        log.record(record("/v2/third"));
        log.stop();
        assert_eq!(paths(&memory, ACCESS_LOG), ["/v2/third"], "{fault:?} at {step}");
        assert_eq!(lost.get(), 2, "{fault:?} at {step}");
    }
}

#[test]
fn half_a_line_of_a_crash_spoils_no_other() {
    let memory = Memory::default();
    memory.make_dir(LOGS).unwrap();
    memory.create(ACCESS_LOG).unwrap().write_at(b"{\"path\":\"/v2/a\"}\n{\"path\":\"/v2/", 0).unwrap();
    let (log, _) = begin(&memory, LAZY);
    log.record(record("/v2/b"));
    drop(log);
    let text = String::from_utf8(memory.bytes(ACCESS_LOG)).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (3, "{\"path\":\"/v2/"));
    assert!(lines[2].contains("\"/v2/b\"") && text.ends_with('\n'));
}

#[test]
fn a_long_file_makes_way_and_one_before_it_is_kept() {
    let memory = Memory::default();
    memory.make_dir(LOGS).unwrap();
    let almost = vec![b'\n'; MAX_FILE_BYTES as usize - 10];
    memory.create(ACCESS_LOG).unwrap().write_at(&almost, 0).unwrap();
    memory.create(ACCESS_LOG_OLD).unwrap().write_at(b"old", 0).unwrap();
    let (log, lost) = begin(&memory, LAZY);
    log.record(record("/v2/a"));
    log.stop();
    assert_eq!(memory.bytes(ACCESS_LOG_OLD).len(), almost.len());
    assert_eq!(paths(&memory, ACCESS_LOG), ["/v2/a"]);
    // The next one goes on.
    let (log, _) = begin(&memory, LAZY);
    log.record(record("/v2/b"));
    drop(log);
    assert_eq!(paths(&memory, ACCESS_LOG), ["/v2/a", "/v2/b"]);
    assert_eq!(memory.names(), [ACCESS_LOG, ACCESS_LOG_OLD]);
    assert_eq!(lost.get(), 0);
}

#[test]
fn many_lines_are_written_before_their_time() {
    let memory = Memory::default();
    let (log, lost) = begin(&memory, LAZY);
    let path = format!("/v2/{}", "x".repeat(400));
    // Slowly enough for the queue.
    for _ in 0..400 {
        log.record(record(&path));
        std::thread::sleep(Duration::from_micros(100));
    }
    wait_for("they are written", || paths(&memory, ACCESS_LOG).len() > 100);
    log.stop();
    assert_eq!((paths(&memory, ACCESS_LOG).len() as u64 + lost.get(), memory.steps() < 10), (400, true));
}
