//! `trustnet os`: what a node's machine needs besides the node. The overlay's services call it; a person
//! rarely does. What decides is pure ([`settings`], [`files`], [`disk`], [`watchdog::Feeder`]); what
//! touches the machine is thin.

pub mod apply;
pub mod checks;
pub mod data;
pub mod disk;
pub mod files;
pub mod mdns;
pub mod mistakes;
pub mod motd;
pub mod provision;
pub mod reader;
pub mod settings;
pub mod watchdog;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::output::Output;

/// Parts of an appliance; its services call them
#[derive(Debug, clap::Args)]
pub struct OsArgs {
    #[command(subcommand)]
    command: OsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum OsCommand {
    /// Turn trustnet.toml into this machine's settings, and print its mistakes
    Apply(Place),
    /// Make the node's home, once
    Provision(ProvisionArgs),
    /// Show the state of node and machine
    Motd(MotdArgs),
    /// Feed the hardware watchdog while the machine is healthy
    Watchdog(WatchdogArgs),
    /// Answer to the name of this machine below .local
    Mdns(MdnsArgs),
    /// Take the next step towards a data partition, and print it
    Data(DataArgs),
    /// Print trustnet.toml with every setting, commented out
    Template,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Where the boot medium is mounted [default: as noted by the service trustnet-media]
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,

    /// The root of the system
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, clap::Args)]
struct ProvisionArgs {
    #[command(flatten)]
    place: Place,

    /// Leave what needs the network to a later call
    #[arg(long)]
    offline: bool,

    /// Do it as this user
    #[arg(long, requires = "gid")]
    uid: Option<u32>,

    /// Do it as this group
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct MdnsArgs {
    /// The name to answer to [default: the machine's]
    #[arg(long)]
    name: Option<String>,

    /// Print the address of a name below .local instead
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    resolve: Option<String>,
}

#[derive(Debug, clap::Args)]
struct MotdArgs {
    /// For the console, above its login prompt
    #[arg(long)]
    console: bool,

    /// The root of the system
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, clap::Args)]
struct WatchdogArgs {
    /// The watchdog's device
    #[arg(long, value_name = "DEVICE", default_value = "/dev/watchdog")]
    device: PathBuf,
}

#[derive(Debug, clap::Args)]
struct DataArgs {
    /// The disk that holds the boot partition
    #[arg(long, value_name = "DEVICE")]
    disk: PathBuf,

    /// The disk's second partition; need not exist yet
    #[arg(long, value_name = "DEVICE")]
    part: Option<PathBuf>,

    /// Note that the file system is complete
    #[arg(long)]
    complete: bool,
}

/// Runs `trustnet os ...`.
///
/// # Errors
/// What could not be done, with a next step.
pub fn main(args: &OsArgs, globals: &Globals) -> Result<(), CliError> {
    let output = globals.output();
    match &args.command {
        OsCommand::Apply(place) => apply_command(place, output),
        OsCommand::Provision(args) => provision_command(args, globals),
        OsCommand::Motd(args) => {
            let state = motd::State::collect(&args.root, globals);
            output.text(&if args.console { state.render_console() } else { state.render(output.paint) })
        }
        OsCommand::Mdns(args) => mdns_command(args, output),
        OsCommand::Watchdog(args) => watchdog::run(&args.device),
        OsCommand::Data(args) => {
            let step = if args.complete { data::complete } else { data::advance };
            let answer = step(&args.disk, args.part.as_deref())
                .map_err(|error| CliError::failed(format!("{}: {error}", args.disk.display())))?;
            output.text(&answer)
        }
        OsCommand::Template => output.text(settings::TEMPLATE),
    }
}

fn mdns_command(args: &MdnsArgs, output: Output) -> Result<(), CliError> {
    if let Some(host) = &args.resolve {
        let address = mdns::resolve(host);
        let unknown = || {
            CliError::failed(format!("nobody on this network answers to {host}"))
                .next("names look like kitchen.local")
        };
        return output.text(&address.ok_or_else(unknown)?.to_string());
    }
    let own = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    mdns::run(&args.name.clone().unwrap_or_else(own))
}

/// Mistakes do not fail: the machine must go on. Files that cannot be written do.
fn apply_command(place: &Place, output: Output) -> Result<(), CliError> {
    let media = apply::media(place.media.as_deref(), &place.root);
    let applied = apply::apply(media.as_deref(), &place.root);
    let mistakes: Vec<String> = applied.mistakes.iter().map(ToString::to_string).collect();
    output.either(&json!({ "mistakes": mistakes, "changed": applied.changed }), |_| {
        // Nothing to say about a file without mistakes.
        if mistakes.is_empty() { String::new() } else { mistakes::report(&applied.mistakes) }
    })?;
    match applied.failed.as_slice() {
        [] => Ok(()),
        failed => Err(CliError::failed(failed.join("\n")).next("run it as root: doas trustnet os apply")),
    }
}

fn provision_command(args: &ProvisionArgs, globals: &Globals) -> Result<(), CliError> {
    if let (Some(uid), Some(gid)) = (args.uid, args.gid) {
        return as_user(args, uid, gid);
    }
    let root = &args.place.root;
    let media = apply::media(args.place.media.as_deref(), root);
    // Mistakes in the file are `apply`'s to report.
    let (settings, _) = apply::read_settings(media.as_deref());
    let home = globals.home.clone().unwrap_or_else(|| root.join(apply::NODE_HOME));
    let result = provision::provision(&home, &settings.node, media.as_deref(), args.offline);
    note_for_motd(root, result.as_ref().err());
    match result? {
        provision::Outcome::Present => Ok(()),
        provision::Outcome::Made => {
            globals.output().text(&format!("made the node's home in {}", home.display()))
        }
        provision::Outcome::KeysOnly => {
            globals.output().text("made the node's keys; it joins its network once there is a connection")
        }
    }
}

/// The same command as another user: what it makes belongs to that user from the first moment on.
fn as_user(args: &ProvisionArgs, uid: u32, gid: u32) -> Result<(), CliError> {
    use std::os::unix::process::CommandExt as _;
    let refused = |error| CliError::failed(format!("cannot start as user {uid}: {error}"));
    let mut command = std::process::Command::new(std::env::current_exe().map_err(refused)?);
    command.args(["os", "provision", "--root"]).arg(&args.place.root);
    if let Some(media) = &args.place.media {
        command.arg("--media").arg(media);
    }
    if args.offline {
        command.arg("--offline");
    }
    // Supplementary groups are dropped with it.
    let status = command.uid(uid).gid(gid).current_dir("/").status().map_err(refused)?;
    if status.success() {
        return Ok(());
    }
    Err(CliError::failed("the node's home could not be made; the reason stands above"))
}

/// Where the service has made a place for it, the login message learns why the node is not ready.
fn note_for_motd(root: &Path, error: Option<&CliError>) {
    let file = root.join(apply::RUN).join("node/home.txt");
    // Only a service has this place; elsewhere there is no login message.
    let _ = match error {
        Some(error) => fs::write(&file, format!("{error}\n")),
        None => fs::remove_file(&file),
    };
}
