//! `vm create`: everything that can be refused is refused before anything is made.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trustnet_image::build::Settings;
use trustnet_image::inputs::{Inputs, SourceArgs};
use trustnet_image::screen::Screen;
use trustnet_image::tree::Tree;
use trustnet_image::vm::{self, Forward, Machine, Place, Plan, VmError, Wanted};

use super::{BOOT_LIMIT, Failure, NameArgs, folder, folder_option, say, sizes, start};
use crate::cli::build::read_public_key;
use crate::cli::say::ReaderGone;

/// How much longer each node of a network may take to agree with the others: they share the host's processors.
const AGREE_LIMIT_EACH: Duration = Duration::from_secs(60);

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
    /// Size of each VM's disk, such as 50G; it takes only what is used
    #[arg(long, default_value = "8G", value_parser = sizes::disk)]
    disk: u64,
    /// Memory of each VM, such as 512M or 2G
    #[arg(long, default_value = "512M", value_parser = sizes::memory)]
    memory: u64,
    /// Processors
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// Port of this machine that leads to SSH; further VMs take the next ones [default: 2222, for the registry 2223, or the
    /// next free]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    ssh_port: Option<u16>,
    /// Port of this machine that leads to the RPC; further VMs take the next ones [default: 26657, for the registry 26658,
    /// or the next free]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rpc_port: Option<u16>,
    /// One more forwarded port of a single VM, HOST:GUEST; may be given several times. For a registry, HOST:8000 and
    /// HOST:8053 take the place of 8000 and 8053
    #[arg(long, value_name = "HOST:GUEST", value_parser = sizes::forward)]
    forward: Vec<Forward>,
    /// A public SSH key for warden [default: one that is made for the VM]
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// Make it, but do not start it
    #[arg(long)]
    no_start: bool,
}

pub fn run(args: &CreateArgs) -> Result<(), Failure> {
    let (folder, screen) = (folder(args.name.folder.as_ref())?, Screen::stderr());
    vm::check_name(&args.name.name)?;
    if args.nodes > 1 && !args.forward.is_empty() {
        let why = "--forward is for a single VM: several cannot share a port of this machine; leave it out";
        return Err(why.into());
    }
    vm::Qemu::find()?;
    let given = args.ssh_key.as_deref().map(read_public_key).transpose()?;
    let place = Place::take(&folder, &|| {
        screen.note(&format!("another vm create is at work in {}; waiting for it", folder.display()));
    })?;
    let plan = plan(args, &place, given, screen)?;
    vm::check(&plan)?;
    let inputs = Inputs::gather(&args.source.sources(), &screen)?;
    vm::check_disk(plan.disk_mib, inputs.base.image_bytes)?;
    let created = make(args, &place, &plan, &inputs, screen)?;
    drop(place);
    let option = folder_option(args.name.folder.as_ref(), &folder);
    if args.no_start {
        say!("next:");
        for machine in &created {
            say!("  trustnet-image vm start {}{option}", machine.name);
        }
        return Ok(());
    }
    first_start(&created, &folder, &option, screen)
        .map_err(|why| if why.is::<ReaderGone>() { why } else { not_started(&created, &option, &*why) })
}

/// Who is made, with which number and ports.
fn plan(
    args: &CreateArgs,
    place: &Place,
    public_key: Option<String>,
    screen: Screen,
) -> Result<Plan, Failure> {
    let folder = place.folder();
    let there = Machine::all(folder);
    let members = members(&args.name.name, args.nodes, args.registry, folder, &there)?;
    for (name, _) in &members {
        place.check_free(name)?;
    }
    let wanted = Wanted {
        ssh: args.ssh_port,
        rpc: args.rpc_port,
        forwards: args.forward.clone(),
        registry: args.registry,
    };
    let chosen = vm::choose(&wanted, members.len(), &there, &vm::bind)?;
    for note in &chosen.notes {
        screen.note(&format!("NOTE: {note}"));
    }
    let lan = vm::lan(folder, &there);
    let machine = |((name, number), ports): ((String, u8), vm::Ports)| Machine {
        name,
        ssh_port: ports.ssh,
        rpc_port: ports.rpc,
        forwards: ports.forwards,
        number,
        lan: lan.clone(),
        key: None,
    };
    Ok(Plan {
        members: members.into_iter().zip(chosen.ports).map(machine).collect(),
        disk_mib: args.disk,
        memory_mib: args.memory,
        cpus: args.cpus,
        public_key,
    })
}

/// Names and numbers of the new machines beside those which are there.
fn members(
    name: &str,
    nodes: u8,
    registry: bool,
    folder: &Path,
    there: &[Machine],
) -> Result<Vec<(String, u8)>, VmError> {
    if registry {
        return match there.iter().find(|machine| machine.number == vm::REGISTRY_NUMBER) {
            Some(other) => Err(VmError::Registry(other.name.clone())),
            None => Ok(vec![(name.to_owned(), vm::REGISTRY_NUMBER)]),
        };
    }
    let used: Vec<u8> = there.iter().map(|machine| machine.number).collect();
    let names = (1..=nodes).map(|index| match nodes {
        1 => name.to_owned(),
        _ => format!("{name}-{index}"),
    });
    let members: Vec<_> = names.zip(vm::node_numbers(&used)).collect();
    if members.len() < usize::from(nodes) {
        return Err(VmError::Full { folder: folder.to_owned(), used: used.len(), wanted: nodes });
    }
    Ok(members)
}

fn make(
    args: &CreateArgs,
    place: &Place,
    plan: &Plan,
    inputs: &Inputs,
    screen: Screen,
) -> Result<Vec<Machine>, Failure> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let is_network = plan.members.len() > 1;
    let names: Vec<_> = plan.members.iter().map(|machine| (machine.name.clone(), machine.number)).collect();
    let files = if is_network { vm::member_files(&names, now_ms)? } else { vec![Tree::new()] };
    vm::create(place, plan, &mut |index, public| {
        let (name, number) = &names[index];
        screen.note(&format!("making {name}"));
        let keys = if is_network { format!("keys = \"{}\"\n", vm::KEYS_FOLDER) } else { String::new() };
        let registry = if args.registry { "\n[registry]\nenabled = true\n" } else { "" };
        let config = format!(
            "hostname = \"{name}\"\n\n[ssh]\nkeys = [{}]\n\n[network]\nula = \"{}/64\"\n\n[node]\nname = \"{name}\"\n{keys}{registry}",
            serde_json::Value::from(public),
            vm::address(*number),
        );
        let settings = Settings { config: Some(config), ssh_key: None, files: files[index].clone() };
        Ok(inputs.image(&settings)?.0)
    })
}

/// Starts new machines; a network counts as started when its nodes are in agreement.
fn first_start(created: &[Machine], folder: &Path, option: &str, screen: Screen) -> Result<(), Failure> {
    let [first, _, ..] = created else {
        return created.iter().try_for_each(|machine| start(machine, folder, option, screen));
    };
    let since = Instant::now();
    for machine in created {
        machine.start(folder)?;
    }
    for machine in created {
        screen.note(&format!("waiting for {}", machine.name));
        machine.wait_for_ssh(folder, BOOT_LIMIT)?;
        say!(
            "{} answers after {} s: RPC on http://127.0.0.1:{}",
            machine.name,
            since.elapsed().as_secs(),
            machine.rpc_port
        );
    }
    screen.note("waiting until their nodes are in agreement");
    let limit = BOOT_LIMIT + AGREE_LIMIT_EACH * created.len() as u32;
    let progress = |missing: &str| screen.note(&format!("  not yet: {missing}"));
    let (agreed, _) = vm::wait_for_agreement(created, folder, limit, &progress)?;
    say!(
        "all {} are in agreement on {} at height {} after {} s",
        created.len(),
        agreed.chain,
        agreed.height,
        since.elapsed().as_secs()
    );
    say!("  next: trustnet-image vm ssh {}{option}", first.name);
    Ok(())
}

/// Why machines were made, but do not run as they should, and what can be done with them. `option` is that of further
/// commands.
fn not_started(created: &[Machine], option: &str, why: &dyn std::error::Error) -> Failure {
    let lines = |command: &str| {
        let line = |machine: &Machine| format!("\n    trustnet-image vm {command} {}{option}", machine.name);
        created.iter().map(line).collect::<String>()
    };
    let names: Vec<&str> = created.iter().map(|machine| machine.name.as_str()).collect();
    format!(
        "{why}\n  these VMs are made, and kept: {}\n  to see what runs: trustnet-image vm status{option}\n  to start again:{}\n  to remove (stop \
         first what runs):{}",
        names.join(", "),
        lines("start"),
        lines("delete")
    )
    .into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CreateArgs,
    }

    fn machine(name: &str, number: u8) -> Machine {
        let lan = "239.1.2.3:4".to_owned();
        Machine {
            name: name.into(),
            ssh_port: 2222,
            rpc_port: 26_657,
            forwards: Vec::new(),
            number,
            lan,
            key: None,
        }
    }

    #[test]
    fn members_have_names_and_numbers_of_their_own() {
        let (folder, kitchen) = (Path::new("/vms"), [machine("kitchen", 1)]);
        let made = |nodes, registry, there: &[Machine]| members("home", nodes, registry, folder, there);
        assert_eq!(made(1, false, &[]).unwrap(), [("home".into(), 1)]);
        assert_eq!(made(2, false, &kitchen).unwrap(), [("home-1".into(), 3), ("home-2".into(), 4)]);
        assert_eq!(made(1, true, &kitchen).unwrap(), [("home".into(), vm::REGISTRY_NUMBER)]);
        let images = [machine("images", vm::REGISTRY_NUMBER)];
        assert!(matches!(made(1, true, &images), Err(VmError::Registry(name)) if name == "images"));
        let many: Vec<Machine> = (1..=249).map(|number| machine("x", number)).collect();
        assert!(matches!(made(4, false, &many), Err(VmError::Full { used: 249, .. })));
    }

    #[test]
    fn several_vms_cannot_share_a_forwarded_port() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().display().to_string();
        let more = ["--nodes", "2", "--forward", "8080:80", "--no-start", "--offline", "--folder", &folder];
        let line = Line::parse_from(["x", "home"].into_iter().chain(more));
        assert!(run(&line.args).unwrap_err().to_string().contains("--forward is for a single VM"));
    }

    #[test]
    fn ports_and_sizes_that_cannot_be_are_refused_at_once() {
        for wrong in [["--ssh-port", "0"], ["--rpc-port", "70000"], ["--forward", "0:80"], ["--disk", "100"]]
        {
            assert!(Line::try_parse_from(["x", "home"].into_iter().chain(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_first_start_that_fails_says_what_there_is_and_how_to_go_on() {
        let created = [machine("home-1", 1), machine("home-2", 3)];
        let text = not_started(&created, "", &VmError::Runs("x".into())).to_string();
        for part in ["x runs", "home-1, home-2", "vm start home-2\n", "vm delete home-1\n", "vm status\n"] {
            assert!(text.contains(part), "{text}");
        }
        let text = not_started(&created, " --folder /vms", &VmError::Runs("x".into())).to_string();
        assert!(text.contains("vm start home-2 --folder /vms\n"), "{text}");
    }
}
