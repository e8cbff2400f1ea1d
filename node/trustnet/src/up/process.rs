//! A node's process: started, watched, started again, stopped.
//!
//! Every child holds the other end of a pipe as its standard input and stops when that ends: so no
//! node outlives this process, however it ends, SIGKILL included. Children stand in process groups of
//! their own, so that Ctrl-C in the terminal reaches them through us, in order, and not past us.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::restart::{Decision, Restarts};

/// A log larger than this (bytes) is put aside when its node starts.
const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;
/// How much of a log's end is looked at, in bytes.
const TAIL_BYTES: u64 = 8 * 1024;
/// How many lines of a dead node's log are shown.
const TAIL_LINES: usize = 5;

/// How a node is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where its output goes.
    pub log: PathBuf,
}

impl Launch {
    /// This very program, running the node of `home`.
    pub fn node(program: &Path, home: &Path, log: PathBuf) -> Self {
        let args = ["run".into(), "--home".into(), home.into(), "--stdin-lifeline".into()];
        Self { program: program.into(), args: args.into(), log }
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = open_log(&self.log)?;
        Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // The node's own settings come from its home, not from the shell of whoever called us.
            .env_remove("TRUSTNET_RPC")
            .process_group(0)
            .spawn()
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_LOG_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// What happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// `exit code 1`, `signal 9`.
    pub how: String,
    /// The last lines of its log.
    pub tail: Vec<String>,
    /// What is done about it.
    pub decision: Decision,
}

/// A node's process through its restarts.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Option<Child>,
    restarts: Restarts,
    /// When it is started again.
    due_ms: Option<u64>,
}

impl Process {
    /// Starts a node.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn start(launch: Launch, now_ms: u64) -> io::Result<Self> {
        let child = launch.spawn()?;
        let mut restarts = Restarts::default();
        restarts.started(now_ms);
        Ok(Self { launch, child: Some(child), restarts, due_ms: None })
    }

    /// Looks after the process: notices its death, starts it again when it is time.
    pub fn tend(&mut self, now_ms: u64) -> Option<Death> {
        if let Some(child) = &mut self.child {
            let status = child.try_wait().ok().flatten()?;
            self.child = None;
            return Some(self.died(now_ms, &how(status), status.code()));
        }
        if self.due_ms.is_some_and(|due| now_ms >= due) {
            self.due_ms = None;
            match self.launch.spawn() {
                Ok(child) => {
                    self.child = Some(child);
                    self.restarts.started(now_ms);
                }
                Err(error) => return Some(self.died(now_ms, &format!("cannot be started: {error}"), None)),
            }
        }
        None
    }

    fn died(&mut self, now_ms: u64, how: &str, code: Option<i32>) -> Death {
        let decision = self.restarts.died(now_ms, code);
        if let Decision::StartAt(due) = decision {
            self.due_ms = Some(due);
        }
        Death { how: how.to_owned(), tail: tail(&self.launch.log), decision }
    }

    /// Whether the process runs.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// When it is started again, if it is.
    pub fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks it to stop, by signal and by the end of its standard input. It is not started again.
    pub fn ask_to_stop(&mut self) {
        self.due_ms = None;
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                // It may have ended by itself in this very moment; the child is not reaped yet, so the
                // id cannot belong to anybody else.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }

    /// Whether it has ended after [`Self::ask_to_stop`].
    pub fn has_stopped(&mut self) -> bool {
        match &mut self.child {
            None => true,
            Some(child) => {
                let ended = !matches!(child.try_wait(), Ok(None));
                if ended {
                    self.child = None;
                }
                ended
            }
        }
    }

    /// Ends it by force.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended already, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown reason".to_owned(),
    }
}

/// The last lines of a log, made harmless.
pub fn tail(log: &Path) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    last.iter().map(|line| crate::output::harmless(line)).collect()
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
