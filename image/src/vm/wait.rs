//! Waiting for machines: with a limit, with progress, and not for one that has ended.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use trustnet::client::Client;

use super::VmError;
use super::agreement::{self, Agreement, Seen};
use super::first_tx::FirstTransaction;
use super::machine::Machine;
use super::process::State;

/// How often it is looked.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// How long a node's answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Lines of a console that are shown when its machine has ended.
const LAST_LINES: usize = 10;

impl Machine {
    /// Waits until it answers on its SSH port with SSH's greeting.
    ///
    /// # Errors
    /// [`VmError::Silent`], [`VmError::Ended`].
    pub fn wait_for_ssh(&self, folder: &Path, limit: Duration) -> Result<Duration, VmError> {
        let greeting = || if greets(self.ssh_port) { Ok(()) } else { Err(String::new()) };
        let waited = until(std::slice::from_ref(self), folder, limit, greeting)?;
        waited.map(|((), took)| took).map_err(|_| VmError::Silent {
            name: self.name.clone(),
            port: self.ssh_port,
            seconds: limit.as_secs(),
            log: self.console(folder),
        })
    }

    /// Waits until its node answers.
    ///
    /// # Errors
    /// [`VmError::NoNode`], [`VmError::Ended`].
    pub fn wait_for_node(&self, folder: &Path, limit: Duration) -> Result<Duration, VmError> {
        let answer = || self.seen().map(drop);
        let waited = until(std::slice::from_ref(self), folder, limit, answer)?;
        waited.map(|((), took)| took).map_err(|why| VmError::NoNode {
            name: self.name.clone(),
            seconds: limit.as_secs(),
            why,
        })
    }

    /// Its node's RPC.
    fn client(&self) -> Result<Client, String> {
        let url = format!("http://127.0.0.1:{}", self.rpc_port);
        Client::with_timeouts(&url, ANSWER_LIMIT, ANSWER_LIMIT).map_err(|error| error.to_string())
    }

    /// What its node says of itself.
    fn seen(&self) -> Result<Seen, String> {
        Seen::ask(&self.client()?)
    }
}

/// Waits until the nodes of a new network are in agreement; tells `progress` what is missing, whenever that changes.
///
/// # Errors
/// [`VmError::Apart`], [`VmError::Ended`].
pub fn wait_for_agreement(
    machines: &[Machine],
    folder: &Path,
    limit: Duration,
    progress: &dyn Fn(&str),
) -> Result<(Agreement, Duration), VmError> {
    let mut told = String::new();
    let mut first = FirstTransaction::default();
    let mut ask = || {
        let clients = machines.iter().map(Machine::client).collect::<Result<Vec<_>, _>>()?;
        let seen: Vec<_> = machines.iter().map(|machine| (machine.name.as_str(), machine.seen())).collect();
        let agreed = agreement::missing(&seen)?;
        if agreed.height == 0 {
            if seen.iter().flat_map(|(_, seen)| seen).all(|node| node.height == 0) {
                first.hand_in(&clients[0], &agreed.chain)?;
            }
            return Err("the first block is not everywhere yet".to_owned());
        }
        let block = |index: usize| agreement::block_id(&clients[index], agreed.height);
        let blocks: Vec<_> = (0..machines.len()).map(|index| (seen[index].0, block(index))).collect();
        agreement::same_block(agreed, &blocks)
    };
    let ask_and_tell = || {
        let agreed = ask();
        if let Err(missing) = &agreed
            && *missing != told
        {
            progress(missing);
            told.clone_from(missing);
        }
        agreed
    };
    let name = || machines.first().map(|machine| machine.name.clone()).unwrap_or_default();
    until(machines, folder, limit, ask_and_tell)?.map_err(|why| VmError::Apart {
        seconds: limit.as_secs(),
        why,
        first: name(),
    })
}

/// Asks until there is an answer, and gives it with the time that it took; else, after `limit`, what the last answer
/// lacked.
///
/// # Errors
/// [`VmError::Ended`] as soon as a machine is off: it will not answer.
fn until<T>(
    machines: &[Machine],
    folder: &Path,
    limit: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> Result<Result<(T, Duration), String>, VmError> {
    let since = Instant::now();
    loop {
        if let Some(ended) = machines.iter().find(|machine| machine.state(folder) == State::Stopped) {
            let log = ended.console(folder);
            return Err(VmError::Ended { name: ended.name.clone(), last: last_lines(&log), log });
        }
        match ask() {
            Ok(answer) => return Ok(Ok((answer, since.elapsed()))),
            Err(missing) if since.elapsed() >= limit => return Ok(Err(missing)),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// The end of a console's log, each line behind two blanks.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<String> = text.lines().map(letters).filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    if last.is_empty() {
        return "  (nothing)".to_owned();
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The letters of a console's line: firmware also moves the cursor and sets colours (ESC [ ... letter).
fn letters(line: &str) -> String {
    let mut letters = String::new();
    let mut rest = line.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter == '\x1b' && rest.next_if_eq(&'[').is_some() {
            rest.by_ref().find(|end| ('@'..='~').contains(end));
        } else if !letter.is_control() {
            letters.push(letter);
        }
    }
    letters
}

/// Whether an SSH server greets on a port of this host. QEMU itself accepts connections before the machine does.
pub(super) fn greets(port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && std::io::Read::read_exact(&mut stream, &mut greeting).is_ok()
        && &greeting == b"SSH-"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vm::machine::tests::machine;

    #[test]
    fn nobody_waits_for_a_machine_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("kitchen")).unwrap();
        let said: String =
            (1..=12).map(|line| format!("line \x1b[1m{line}\r\n\x1b[2J\x1b[01;01H\x1b\r\n")).collect();
        std::fs::write(machine().console(folder.path()), said).unwrap();
        let forever = Duration::MAX;
        let errors = [
            machine().wait_for_ssh(folder.path(), forever).unwrap_err(),
            machine().wait_for_node(folder.path(), forever).unwrap_err(),
            wait_for_agreement(&[machine()], folder.path(), forever, &|_| {}).unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(matches!(error, VmError::Ended { .. }), "{text}");
            assert!(!text.contains("line 2\n") && text.contains("\n  line 3\n"), "{text}");
            assert!(text.contains("line 12"), "{text}");
        }
    }

    #[test]
    fn a_silent_console_is_said_to_be_silent() {
        assert_eq!(last_lines(Path::new("/no/such/log")), "  (nothing)");
    }
}
