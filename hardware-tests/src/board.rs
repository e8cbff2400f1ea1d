//! A node as a person at home reaches it: over SSH and RPC.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use trustnet::client::{Client, number};

use crate::Failure;
use crate::shell::{self, Said, until};
use crate::vm::Vm;

/// How long a command may take on a slow machine.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// How long an answer of the RPC may take.
const RPC_LIMIT: Duration = Duration::from_secs(5);

/// A machine under test.
#[derive(Debug)]
pub struct Board {
    /// Its address.
    pub host: String,
    /// Port of its SSH.
    pub ssh_port: u16,
    /// Port of its RPC.
    pub rpc_port: u16,
    /// The private key that logs in; without it ssh's own.
    pub key: Option<PathBuf>,
    /// Where its host key is remembered.
    pub known_hosts: PathBuf,
    /// The machine behind it, if this program runs it.
    pub vm: Option<Vm>,
}

impl Board {
    /// The board that a machine of ours is.
    pub fn of_vm(vm: Vm, key: &Path, dir: &Path) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            ssh_port: vm.ports.ssh,
            rpc_port: vm.ports.rpc,
            key: Some(key.to_owned()),
            known_hosts: dir.join("known_hosts"),
            vm: Some(vm),
        }
    }

    /// The command that logs in as `user`, without its command.
    pub fn ssh_as(&self, user: &str, options: &[&str]) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-p", &self.ssh_port.to_string(), "-o", "StrictHostKeyChecking=accept-new"]);
        ssh.args(["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "LogLevel=ERROR"]);
        ssh.args(["-o", "BatchMode=yes"]).arg("-o");
        ssh.arg(format!("UserKnownHostsFile={}", self.known_hosts.display()));
        if let Some(key) = &self.key {
            ssh.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(key);
        }
        ssh.args(options).arg(format!("{user}@{}", self.host));
        ssh
    }

    /// Runs a command there as warden.
    ///
    /// # Errors
    /// ssh does not start here.
    pub fn try_run(&self, command: &str) -> Result<Said, Failure> {
        shell::run(self.ssh_as("warden", &[]).arg(command), COMMAND_LIMIT)
    }

    /// Runs a command there as warden, and gives what it printed, without blanks around.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, command: &str) -> Result<String, Failure> {
        Ok(self.try_run(command)?.ok(command)?.trim().to_owned())
    }

    /// Runs a command as root; only images made for the tests allow it.
    ///
    /// # Errors
    /// It fails.
    pub fn run_as_root(&self, command: &str) -> Result<String, Failure> {
        self.run(&format!("doas sh -c {}", quoted(command)))
    }

    /// Waits until a command can be run there; says how long it took.
    ///
    /// # Errors
    /// It does not answer in time.
    pub fn wait_for_ssh(&self, limit: Duration) -> Result<Duration, Failure> {
        Ok(until(limit, "login over SSH", || self.run("true"))?.1)
    }

    /// Its RPC.
    ///
    /// # Errors
    /// Its address is none.
    pub fn client(&self) -> Result<Client, Failure> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let url = format!("http://{host}:{}", self.rpc_port);
        Ok(Client::with_timeouts(&url, RPC_LIMIT, RPC_LIMIT)?)
    }

    /// The height of its chain.
    ///
    /// # Errors
    /// It does not answer.
    pub fn height(&self) -> Result<u64, Failure> {
        let status = self.client()?.call("status", &json!({}))?;
        let height = number(&status["sync_info"]["latest_block_height"]);
        height.ok_or_else(|| format!("its status has no height: {status}").into())
    }

    /// Waits until its chain is at `height`; says how long it took.
    ///
    /// # Errors
    /// It is not in time.
    pub fn wait_for_height(&self, height: u64, limit: Duration) -> Result<Duration, Failure> {
        let reached = || match self.height()? {
            at if at >= height => Ok(at),
            at => Err(format!("it is at {at}").into()),
        };
        Ok(until(limit, &format!("the chain reaches height {height}"), reached)?.1)
    }

    /// A block, as its RPC gives it.
    ///
    /// # Errors
    /// It does not answer, or has no such block.
    pub fn block(&self, height: u64) -> Result<Value, Failure> {
        Ok(self.client()?.call("block", &json!({ "height": height.to_string() }))?)
    }

    /// What changes with every start of the machine.
    ///
    /// # Errors
    /// It does not answer.
    pub fn boot_id(&self) -> Result<String, Failure> {
        self.run("cat /proc/sys/kernel/random/boot_id")
    }

    /// The machine that this program runs.
    ///
    /// # Errors
    /// It runs elsewhere.
    pub fn vm(&mut self) -> Result<&mut Vm, Failure> {
        self.vm.as_mut().ok_or_else(|| "this machine is not ours to switch off".into())
    }
}

/// A text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_quotes_stays_one_word() {
        assert_eq!(quoted("echo 'a b'"), r"'echo '\''a b'\'''");
    }
}
