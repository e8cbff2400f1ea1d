//! Which process a machine is: the one of its pid file, if that is still QEMU with the machine's name.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is off.
    Stopped,
    /// QEMU runs.
    Running {
        /// Its process.
        pid: u32,
    },
}

/// What the machine `name` in its folder `dir` does.
pub(super) fn state(dir: &Path, name: &str) -> State {
    let text = fs::read_to_string(dir.join(format!("{name}.pid"))).unwrap_or_default();
    let pid = text.trim().parse::<u32>().ok();
    // The number may belong to another program by now.
    let ours = pid.filter(|pid| is_machine(&command_line(*pid), name));
    ours.map_or(State::Stopped, |pid| State::Running { pid })
}

/// The words with which a process was started; none if there is no such process.
fn command_line(pid: u32) -> Vec<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        return line
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
    }
    ask_ps(pid)
}

/// The same where there is no `/proc`, as on macOS. `-ww`: uncut, however wide the terminal is.
fn ask_ps(pid: u32) -> Vec<String> {
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    let line = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&line).split_whitespace().map(ToOwned::to_owned).collect()
}

fn is_machine(words: &[String], name: &str) -> bool {
    words.windows(2).any(|pair| pair[0] == "-name" && pair[1] == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;
    use crate::vm::qemu::is_installed;

    #[test]
    fn a_running_machine_is_found_with_and_without_proc() {
        let dir = tempfile::tempdir().unwrap();
        // It waits for a line that never comes, and has a machine's words behind its own. Once it speaks, it has them.
        let mut command = Command::new("sh");
        command.args(["-c", "echo here; read -r line", "-name", "kitchen"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).unwrap();
        fs::write(dir.path().join("kitchen.pid"), format!("{}\n", child.id())).unwrap();
        fs::write(dir.path().join("cellar.pid"), format!("{}\n", child.id())).unwrap();
        let (found, other) = (state(dir.path(), "kitchen"), state(dir.path(), "cellar"));
        let by_ps = is_machine(&ask_ps(child.id()), "kitchen");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, State::Running { pid: child.id() });
        assert_eq!(other, State::Stopped);
        assert!(by_ps || !is_installed("ps"));
        assert_eq!(state(dir.path(), "kitchen"), State::Stopped);
    }
}
