//! One machine: what is kept of it, and how it is started, reached and stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::lan;
use super::process::{self, State};
use super::qemu::Forward;
use super::wait::{POLL, greets};
use super::{VmError, check_name};

/// File in a machine's folder that says what it is.
pub(super) const FILE: &str = "vm.json";
/// How long a machine may take to shut down, in seconds, before its power is cut.
const STOP_SECONDS: u64 = 60;

/// A machine, as it is kept in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Port of this host that leads to its SSH.
    pub ssh_port: u16,
    /// Port of this host that leads to its RPC.
    pub rpc_port: u16,
    /// More forwarded ports.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Its number among those of its folder.
    pub number: u8,
    /// The network that it shares with them: a multicast group and port.
    #[serde(default = "lan::former")]
    pub lan: String,
    /// The private key that logs in, if one was made for it: a file of its folder.
    pub key: Option<PathBuf>,
}

impl Machine {
    /// The machine of a name.
    ///
    /// # Errors
    /// [`VmError::Name`], [`VmError::Unknown`], [`VmError::Copy`], [`VmError::Disk`].
    pub fn load(folder: &Path, name: &str) -> Result<Self, VmError> {
        check_name(name)?;
        let path = folder.join(name).join(FILE);
        let unknown = || VmError::Unknown { name: name.to_owned(), folder: folder.to_owned() };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(unknown()),
            Err(why) => return Err(VmError::Disk { what: "read", path, why }),
        };
        let machine: Self = serde_json::from_slice(&text).map_err(|error| VmError::Disk {
            what: "read",
            path,
            why: error.into(),
        })?;
        // All that is done to a machine is done to the folder of its name: a copy would lead to the original.
        if machine.name != name {
            return Err(VmError::Copy { dir: folder.join(name), original: machine.name });
        }
        Ok(machine)
    }

    /// All machines of a folder, by name.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<Self> = names.filter_map(|name| Self::load(folder, &name).ok()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Keeps it in a folder, which with this is a whole machine.
    ///
    /// # Errors
    /// [`VmError::Disk`].
    pub fn save(&self, dir: &Path) -> Result<(), VmError> {
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        fs::write(&path, text + "\n").map_err(|why| VmError::Disk { what: "write", path, why })
    }

    /// The ports of this host that lead to it.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        [self.ssh_port, self.rpc_port].into_iter().chain(self.forwards.iter().map(|forward| forward.host))
    }

    /// The private key that logs in, if one was made for it.
    #[must_use]
    pub fn key_path(&self, folder: &Path) -> Option<PathBuf> {
        self.key.as_ref().map(|key| folder.join(&self.name).join(key))
    }

    /// What its console said.
    #[must_use]
    pub fn console(&self, folder: &Path) -> PathBuf {
        folder.join(&self.name).join("console.log")
    }

    /// Whether it runs.
    #[must_use]
    pub fn state(&self, folder: &Path) -> State {
        process::state(&folder.join(&self.name), &self.name)
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`VmError::Failed`] with what QEMU said.
    pub fn start(&self, folder: &Path) -> Result<(), VmError> {
        if self.state(folder) != State::Stopped {
            return Ok(());
        }
        let script = folder.join(&self.name).join(format!("start-{}.sh", self.name));
        let started = Command::new(&script).output();
        let output = started.map_err(|why| VmError::Disk { what: "run", path: script, why })?;
        if output.status.success() {
            return Ok(());
        }
        Err(VmError::Failed {
            program: "qemu-system-aarch64",
            why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// The command that logs in.
    #[must_use]
    pub fn ssh(&self, folder: &Path) -> Command {
        let mut ssh = Command::new("ssh");
        let hosts = folder.join(&self.name).join("known_hosts");
        ssh.args(["-p", &self.ssh_port.to_string(), "-o", "StrictHostKeyChecking=accept-new"]);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", hosts.display()));
        if let Some(key) = self.key_path(folder) {
            // Only this key: sshd hangs up after a few others that the user's agent may offer first.
            ssh.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(key);
        }
        ssh.arg("warden@127.0.0.1");
        ssh
    }

    /// Shuts it down, and after a minute cuts its power.
    ///
    /// # Errors
    /// [`VmError::Failed`] when it runs on.
    pub fn stop(&self, folder: &Path) -> Result<(), VmError> {
        let State::Running { pid } = self.state(folder) else { return Ok(()) };
        if greets(self.ssh_port) {
            // Whether it does shows below.
            let _ = self.ssh(folder).args(["-o", "BatchMode=yes", "doas", "poweroff"]).output();
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(STOP_SECONDS) {
                if self.state(folder) == State::Stopped {
                    return Ok(());
                }
                std::thread::sleep(POLL);
            }
        }
        let killed = Command::new("kill").arg(pid.to_string()).output();
        for _ in 0..40 {
            if self.state(folder) == State::Stopped {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        let why = match killed {
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Err(VmError::Failed { program: "kill", why })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    pub(in crate::vm) fn machine() -> Machine {
        Machine {
            name: "kitchen".into(),
            ssh_port: 1,
            rpc_port: 2,
            forwards: Vec::new(),
            number: 1,
            lan: "239.1.2.3:4".into(),
            key: None,
        }
    }

    #[test]
    fn a_machine_is_kept_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("kitchen");
        fs::create_dir(&dir).unwrap();
        assert!(matches!(Machine::load(folder.path(), "kitchen"), Err(VmError::Unknown { .. })));
        let kept = Machine { forwards: vec![Forward { host: 8080, guest: 80 }], ..machine() };
        kept.save(&dir).unwrap();
        assert_eq!(Machine::load(folder.path(), "kitchen").unwrap(), kept);
        assert_eq!(Machine::all(folder.path()), [kept]);
        assert_eq!(machine().state(folder.path()), State::Stopped);
    }

    #[test]
    fn what_older_machines_do_not_say_of_themselves_is_as_it_was() {
        let text = r#"{ "name": "kitchen", "ssh_port": 2222, "rpc_port": 26657, "number": 1, "key": null }"#;
        let machine: Machine = serde_json::from_str(text).unwrap();
        assert_eq!((machine.lan.as_str(), machine.forwards.len()), (lan::FORMER, 0));
    }

    #[test]
    fn a_copy_is_no_machine_and_says_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for dir in ["kitchen", "kitchen-backup"] {
            fs::create_dir(folder.path().join(dir)).unwrap();
            machine().save(&folder.path().join(dir)).unwrap();
        }
        let error = Machine::load(folder.path(), "kitchen-backup").unwrap_err();
        assert!(matches!(&error, VmError::Copy { original, .. } if original == "kitchen"), "{error}");
        assert_eq!(Machine::all(folder.path()), [machine()]);
    }

    #[test]
    fn a_pid_file_of_another_program_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("kitchen");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("kitchen.pid"), format!("{}\n", std::process::id())).unwrap();
        assert_eq!(machine().state(folder.path()), State::Stopped);
        machine().stop(folder.path()).unwrap();
    }

    #[test]
    fn names_that_could_climb_out_are_refused() {
        for name in ["", "../x", "a/b", "Kitchen", "1a", "a b", &"a".repeat(33)] {
            assert!(matches!(Machine::load(Path::new("/tmp"), name), Err(VmError::Name(_))), "{name}");
        }
    }

    #[test]
    fn a_key_of_its_own_is_the_only_one_that_ssh_offers() {
        let words = |machine: &Machine| {
            let ssh = machine.ssh(Path::new("/home/a/vms"));
            ssh.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert!(!words(&machine()).contains("IdentitiesOnly"));
        let own = Machine { key: Some("key".into()), ..machine() };
        assert!(words(&own).contains("-o IdentitiesOnly=yes -i /home/a/vms/kitchen/key "));
    }
}
