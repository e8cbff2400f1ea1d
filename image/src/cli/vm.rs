//! `vm`.

mod create;
mod sizes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use trustnet_image::screen::Screen;
use trustnet_image::vm::{self, Machine, REGISTRY_PORTS, State};

use self::create::CreateArgs;
use super::Failure;
use super::say::say;

/// How long a machine may take to answer, with or without a processor that helps.
const BOOT_LIMIT: Duration = Duration::from_secs(240);
/// How long its node may take after that: it starts with the machine, and is up in seconds.
const NODE_LIMIT: Duration = Duration::from_secs(120);

#[derive(Subcommand)]
pub enum VmCommand {
    /// Make a VM, or a network of them, and start it
    Create(CreateArgs),
    /// Start a VM
    Start(NameArgs),
    /// Shut a VM down
    Stop(NameArgs),
    /// Say which VMs there are and what they do
    Status {
        /// Where VMs are kept [default: ~/vms]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Log in to a VM, or run a command there
    Ssh {
        #[command(flatten)]
        name: NameArgs,
        /// A command; without it a shell
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Remove a VM with its disk
    Delete(NameArgs),
}

#[derive(clap::Args)]
pub struct NameArgs {
    /// The VM
    name: String,
    /// Where VMs are kept [default: ~/vms]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Where VMs are kept, as an absolute path: what is kept of a VM must not depend on where a command was given.
fn folder(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = given.cloned().unwrap_or_else(|| home().join("vms"));
    std::path::absolute(&folder).map_err(|why| format!("cannot find {}: {why}", folder.display()).into())
}

/// The option that further commands need: none if the folder is the usual one.
fn folder_option(given: Option<&PathBuf>, folder: &Path) -> String {
    given.map(|_| format!(" --folder {}", folder.display())).unwrap_or_default()
}

pub fn run(command: &VmCommand) -> Result<(), Failure> {
    match command {
        VmCommand::Create(args) => create::run(args),
        VmCommand::Start(args) => {
            let (folder, screen) = (folder(args.folder.as_ref())?, Screen::stderr());
            let machine = Machine::load(&folder, &args.name)?;
            start(&machine, &folder, &folder_option(args.folder.as_ref(), &folder), screen)
        }
        VmCommand::Stop(args) => {
            let folder = folder(args.folder.as_ref())?;
            Machine::load(&folder, &args.name)?.stop(&folder)?;
            say!("{} is off", args.name);
            Ok(())
        }
        VmCommand::Status { folder: given, json } => {
            status(&folder(given.as_ref())?, *json)?;
            Ok(())
        }
        VmCommand::Ssh { name, command } => {
            use std::os::unix::process::CommandExt;

            let folder = folder(name.folder.as_ref())?;
            let error = Machine::load(&folder, &name.name)?.ssh(&folder).args(command).exec();
            Err(format!("cannot run ssh: {error}; install it: apt-get install openssh-client").into())
        }
        VmCommand::Delete(args) => {
            let folder = folder(args.folder.as_ref())?;
            vm::delete(&folder, &args.name)?;
            say!("{} is gone, with its disk", args.name);
            Ok(())
        }
    }
}

/// Starts a machine, and waits until it and its node answer. `option` is that of further commands.
fn start(machine: &Machine, folder: &Path, option: &str, screen: Screen) -> Result<(), Failure> {
    machine.start(folder)?;
    screen.note(&format!("waiting for {}", machine.name));
    let took = machine.wait_for_ssh(folder, BOOT_LIMIT)?;
    screen.note(&format!("{} answers after {} s; waiting for its node", machine.name, took.as_secs()));
    let took = took + machine.wait_for_node(folder, NODE_LIMIT)?;
    say!("{} is up after {} s: RPC on http://127.0.0.1:{}", machine.name, took.as_secs(), machine.rpc_port);
    if let Some(line) = registry_line(machine) {
        say!("{line}");
    }
    say!("  next: trustnet-image vm ssh {}{option}", machine.name);
    Ok(())
}

/// Where a registry is reached from this host.
fn registry_line(machine: &Machine) -> Option<String> {
    if machine.number != vm::REGISTRY_NUMBER {
        return None;
    }
    let host = |guest: u16| machine.forwards.iter().find(|to| to.guest == guest).map(|to| to.host);
    let [http, https] = REGISTRY_PORTS.map(host);
    Some(format!("its registry: http://127.0.0.1:{} and https://127.0.0.1:{}", http?, https?))
}

fn status(folder: &Path, as_json: bool) -> Result<(), Failure> {
    let all = Machine::all(folder);
    if as_json {
        let shown = |vm: &Machine| json!({ "vm": vm, "key": vm.key_path(folder), "state": vm.state(folder) });
        let list: Vec<_> = all.iter().map(shown).collect();
        say!("{}", json!({ "folder": folder, "vms": list }));
        return Ok(());
    }
    if all.is_empty() {
        say!("no VMs in {}\nnext: trustnet-image vm create NAME", folder.display());
    }
    for machine in all {
        let state = match machine.state(folder) {
            State::Stopped => "off".to_owned(),
            State::Running { pid } => format!("runs (process {pid})"),
        };
        say!("{:<16} {state:<24} ssh {:<6} rpc {}", machine.name, machine.ssh_port, machine.rpc_port);
    }
    Ok(())
}
