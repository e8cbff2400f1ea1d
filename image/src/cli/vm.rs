//! `vm`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use serde_json::json;
use trustnet_image::build::Settings;
use trustnet_image::inputs::{Inputs, SourceArgs};
use trustnet_image::screen::Screen;
use trustnet_image::tree::Tree;
use trustnet_image::vm::{self, Forward, Machine, Place, Plan, State, VmError};

use super::Failure;
use super::build::read_public_key;
use super::say::say;

/// How long a machine may take to answer, with or without a processor that helps.
const BOOT_LIMIT: Duration = Duration::from_secs(240);

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

#[derive(clap::Args)]
pub struct CreateArgs {
    #[command(flatten)]
    name: NameArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// So many VMs, NAME-1 and so on, validators of one new network
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// A registry of container images: ports 8000 (HTTP) and 8053 (HTTPS) of this machine lead to it
    #[arg(long, conflicts_with = "nodes")]
    registry: bool,
    /// Size of the disk; it takes only what is used
    #[arg(long, default_value = "8G")]
    disk: String,
    /// Memory, such as 512M or 2G
    #[arg(long, default_value = "512M", value_parser = memory)]
    memory: u64,
    /// Processors
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// Port of this machine that leads to SSH; further VMs take the next ones [default: 2222, for the registry 2223]
    #[arg(long)]
    ssh_port: Option<u16>,
    /// Port of this machine that leads to the RPC; further VMs take the next ones [default: 26657, for the registry 26658]
    #[arg(long)]
    rpc_port: Option<u16>,
    /// One more forwarded port, HOST:GUEST; may be given several times
    #[arg(long, value_parser = forward)]
    forward: Vec<Forward>,
    /// A public SSH key for warden [default: one that is made for the VM]
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// Make it, but do not start it
    #[arg(long)]
    no_start: bool,
}

fn memory(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let mib = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    mib.filter(|mib| (256..=1_048_576).contains(mib))
        .ok_or_else(|| "give 256M or more, such as 512M or 2G".to_owned())
}

fn forward(text: &str) -> Result<Forward, String> {
    let wrong = || format!("{text:?} is not HOST:GUEST, such as 8080:8080");
    let (host, guest) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Forward { host: host.parse().map_err(|_| wrong())?, guest: guest.parse().map_err(|_| wrong())? })
}

/// Where VMs are kept, as an absolute path: what is kept of a VM must not depend on where a command was given.
fn folder(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = given.cloned().unwrap_or_else(|| home().join("vms"));
    std::path::absolute(&folder).map_err(|why| format!("cannot find {}: {why}", folder.display()).into())
}

pub fn run(command: &VmCommand) -> Result<(), Failure> {
    match command {
        VmCommand::Create(args) => create(args),
        VmCommand::Start(args) => {
            let (folder, screen) = (folder(args.folder.as_ref())?, Screen::stderr());
            let machine = Machine::load(&folder, &args.name)?;
            start(&machine, &folder, screen)
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

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let (folder, screen) = (folder(args.name.folder.as_ref())?, Screen::stderr());
    let name = &args.name.name;
    vm::check_name(name)?;
    let place = Place::take(&folder, &|| {
        screen.note(&format!("another vm create is at work in {}; waiting for it", folder.display()));
    })?;
    let all = Machine::all(&folder);
    let used: Vec<u8> = all.iter().map(|machine| machine.number).collect();
    let members: Vec<(String, u8)> = if args.registry {
        if let Some(other) = all.iter().find(|machine| machine.number == vm::REGISTRY_NUMBER) {
            return Err(VmError::Registry(other.name.clone()).into());
        }
        vec![(name.clone(), vm::REGISTRY_NUMBER)]
    } else {
        let names = (1..=args.nodes).map(|index| match args.nodes {
            1 => name.clone(),
            _ => format!("{name}-{index}"),
        });
        names.zip(vm::node_numbers(&used)).collect()
    };
    let (ssh_port, rpc_port) = if args.registry { (2223, 26658) } else { (2222, 26657) };
    let mut forwards = args.forward.clone();
    if args.registry {
        forwards.extend(vm::REGISTRY_PORTS.map(|port| Forward { host: port, guest: port }));
    }
    let plan = Plan {
        members: members.clone(),
        disk: args.disk.clone(),
        memory_mib: args.memory,
        cpus: args.cpus,
        ssh_port: args.ssh_port.unwrap_or(ssh_port),
        rpc_port: args.rpc_port.unwrap_or(rpc_port),
        forwards,
    };
    vm::Qemu::find()?;
    let given = args.ssh_key.as_deref().map(read_public_key).transpose()?;
    let inputs = Inputs::gather(&args.source.sources(), &screen)?;
    let key = folder.join(format!("{name}.key"));
    let public = match &given {
        Some(public) => public.clone(),
        None if key.exists() => read_public_key(&key.with_extension("key.pub"))?,
        None => vm::make_key(&key)?.trim().to_owned(),
    };
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let files = if args.nodes > 1 { vm::member_files(&members, now_ms)? } else { vec![Tree::new()] };
    let created = vm::create(&place, &plan, &mut |index| {
        let (name, number) = &members[index];
        screen.note(&format!("making {name}"));
        let keys = if args.nodes > 1 { format!("keys = \"{}\"\n", vm::KEYS_FOLDER) } else { String::new() };
        let registry = if args.registry { "\n[registry]\nenabled = true\n" } else { "" };
        let config = format!(
            "hostname = \"{name}\"\n\n[ssh]\nkeys = [{}]\n\n[network]\nula = \"{}/64\"\n\n[node]\nname = \"{name}\"\n{keys}{registry}",
            serde_json::Value::from(public.as_str()),
            vm::address(*number),
        );
        let settings = Settings { config: Some(config), ssh_key: None, files: files[index].clone() };
        let (image, _) = inputs.image(&settings)?;
        Ok((image, given.is_none().then(|| key.clone())))
    })?;
    drop(place);
    if args.no_start {
        say!("next: trustnet-image vm start {}", created[0].name);
        return Ok(());
    }
    for created in &created {
        created.start(&folder)?;
    }
    for created in &created {
        start(created, &folder, screen)?;
    }
    Ok(())
}

fn start(machine: &Machine, folder: &std::path::Path, screen: Screen) -> Result<(), Failure> {
    machine.start(folder)?;
    screen.note(&format!("waiting for {}", machine.name));
    let took = machine.wait_for_ssh(folder, BOOT_LIMIT)?;
    let name = &machine.name;
    say!("{name} answers after {} s: RPC on http://127.0.0.1:{}", took.as_secs(), machine.rpc_port);
    if machine.number == vm::REGISTRY_NUMBER {
        let [http, https] = vm::REGISTRY_PORTS;
        say!("its registry: http://127.0.0.1:{http} and https://127.0.0.1:{https}");
    }
    say!("  next: trustnet-image vm ssh {name}");
    Ok(())
}

fn status(folder: &std::path::Path, as_json: bool) -> Result<(), Failure> {
    let all = Machine::all(folder);
    if as_json {
        let list: Vec<_> = all.iter().map(|vm| json!({ "vm": vm, "state": vm.state(folder) })).collect();
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
