#![allow(clippy::unwrap_used)]
use std::thread;
use std::time::{Duration, Instant};

use super::*;

fn shell(dir: &Path, script: &str) -> Launch {
    let args = ["-c".into(), script.into()];
    Launch { program: "/bin/sh".into(), args: args.into(), log: dir.join("node.log") }
}

fn until<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it did not happen in time");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_death_is_told_with_the_last_lines_of_the_log_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let script = "for i in 1 2 3 4 5 6 7; do echo line $i; done; echo; printf 'bad\\033[2J' >&2; exit 3";
    let mut process = Process::start(shell(dir.path(), script), 0).unwrap();
    let death = until(|| process.tend(100));
    assert_eq!(death.how, "exit code 3");
    assert_eq!(death.tail, ["line 4", "line 5", "line 6", "line 7", "bad?[2J"]);
    assert_eq!(death.decision, Decision::StartAt(1_100));
    assert!(!process.runs());
    assert_eq!(process.tend(1_099), None);
    process.tend(1_100);
    assert!(process.runs());
}

#[test]
fn a_node_with_damaged_data_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(shell(dir.path(), "exit 5"), 0).unwrap();
    assert_eq!(until(|| process.tend(0)).decision, Decision::StartAt(1_000));
    assert_eq!(until(|| process.tend(1_000)).decision, Decision::GiveUp);
    assert_eq!(process.due_ms(), None);
}

#[test]
fn stopping_asks_by_signal_and_does_not_start_again() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let mut process = Process::start(shell(dir.path(), script), 0).unwrap();
    let log = dir.path().join("node.log");
    until(|| (tail(&log) == ["ready"]).then_some(()));
    process.ask_to_stop();
    until(|| process.has_stopped().then_some(()));
    assert_eq!(tail(&log), ["ready", "bye"]);
    assert_eq!(process.tend(1_000_000), None);
    assert!(!process.runs());
}

#[test]
fn the_lifeline_ends_when_the_parent_lets_go_and_force_works_on_the_deaf() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(
        shell(dir.path(), "trap '' TERM; echo ready; cat; echo end of input; exec sleep 1000"),
        0,
    )
    .unwrap();
    let log = dir.path().join("node.log");
    until(|| (tail(&log) == ["ready"]).then_some(()));
    process.ask_to_stop();
    until(|| (tail(&log) == ["ready", "end of input"]).then_some(()));
    assert!(!process.has_stopped());
    process.kill();
    assert!(process.has_stopped());
}

#[test]
fn a_program_that_is_not_there_is_an_error_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch { program: dir.path().join("none"), args: Vec::new(), log: dir.path().join("l") };
    assert!(Process::start(launch, 0).is_err());
}

#[test]
fn a_large_log_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("node.log");
    let file = File::create(&log).unwrap();
    file.set_len(MAX_LOG_BYTES + 1).unwrap();
    open_log(&log).unwrap();
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    assert!(dir.path().join("node.log.1").exists());
}
