//! What QEMU knows of a machine that says nothing: whether it runs, and where its processors are.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;

/// Name of the socket in the machine's folder, on which QEMU speaks QMP.
pub const SOCKET: &str = "monitor";
/// How long QEMU may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks at the processors: one that hangs is where it was.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The state of the machine in `dir`, for a person.
pub fn state(dir: &Path) -> String {
    let told = || -> Result<String, Failure> {
        let mut monitor = Monitor::connect(&dir.join(SOCKET))?;
        let status = monitor.ask("query-status", &json!({}))?;
        let first = monitor.processors()?;
        sleep(BETWEEN_LOOKS);
        Ok(format!("{status}\n{first}\na second later\n{}", monitor.processors()?))
    };
    told().unwrap_or_else(|error| format!("QEMU does not answer: {error}"))
}

struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let mut monitor = Self(BufReader::new(stream));
        // Its greeting; it takes nothing else before this command.
        monitor.line()?;
        monitor.ask("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn line(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value, Failure> {
        let mut question = json!({ "execute": command, "arguments": arguments }).to_string();
        question.push('\n');
        self.0.get_mut().write_all(question.as_bytes())?;
        loop {
            let mut answer = self.line()?;
            // Between them come events.
            if let Some(returned) = answer.get_mut("return") {
                return Ok(returned.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(error.to_string().into());
            }
        }
    }

    /// Program counter and state of each processor.
    fn processors(&mut self) -> Result<String, Failure> {
        let arguments = json!({ "command-line": "info registers -a" });
        let registers = self.ask("human-monitor-command", &arguments)?;
        Ok(counters(registers.as_str().unwrap_or_default()))
    }
}

/// The lines of QEMU's registers that say where a processor is.
fn counters(registers: &str) -> String {
    let telling = |line: &&str| ["CPU#", "PC=", "PSTATE="].iter().any(|mark| line.contains(mark));
    registers.lines().map(str::trim).filter(telling).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn qemus_answers_are_told_from_its_events() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let qemu = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut questions = BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"{\"QMP\": {}}\n").unwrap();
            let registers = "\r\nCPU#0\r\n PC=ffff800008 X00=1\r\nX02=3\r\nPSTATE=60\r\n";
            for answer in
                [json!({}), json!({ "status": "running" }), Value::from(registers), Value::from(registers)]
            {
                questions.next().unwrap().unwrap();
                let lines = format!("{}\n{}\n", json!({ "event": "RESET" }), json!({ "return": answer }));
                stream.write_all(lines.as_bytes()).unwrap();
            }
        });
        let state = state(dir.path());
        qemu.join().unwrap();
        assert!(
            state.starts_with("{\"status\":\"running\"}\nCPU#0\nPC=ffff800008 X00=1\nPSTATE=60\n"),
            "{state}"
        );
        assert!(!state.contains("X02"), "{state}");
    }

    #[test]
    fn without_qemu_that_is_what_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(state(dir.path()).starts_with("QEMU does not answer"));
    }
}
