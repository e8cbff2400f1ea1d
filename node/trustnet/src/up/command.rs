//! `trustnet up`: its options, and what stands before the first node is started.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trustnet_ledger::NodeId;

use super::network::{MAX_NODES, Network, NetworkDir};
use super::ports::{self, Kind, Ports, STANDARD_BASE};
use super::session::{self, Plans};
use super::setup::{self, network_error};
use super::stop::Stop;
use crate::cli::registry::LocalRegistry;
use crate::cli::{CliError, Globals};
use crate::home;
use crate::import::csv::Ratings;
use crate::import::plan::Plan;
use crate::import::seed::ImportSeed;

/// Nodes of a new network, unless told otherwise: the fewest that tolerate a fault.
const DEFAULT_NODES: usize = 4;
/// How long nodes of an earlier run may take to let go of their ports.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(5);
/// Trust roots taken from the ratings, unless told otherwise.
const DEFAULT_ROOTS: usize = 20;

/// Options of `trustnet up`.
#[derive(Clone, Debug, Default, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of the command line.
pub struct UpArgs {
    /// How many nodes a new network has, 1 to 16 [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub nodes: Option<u8>,

    /// Remove the network in the folder and make a new one (asks first)
    #[arg(long)]
    pub fresh: bool,

    /// Answer yes to that question
    #[arg(long, requires = "fresh")]
    pub yes: bool,

    /// Import this file of ratings (source,target,rating,time) once the nodes run
    #[arg(long, value_name = "FILE.csv")]
    pub ratings: Option<PathBuf>,

    /// How many of the file's first raters a new network trusts from the start [default: 20]
    #[arg(long, value_name = "N", requires = "ratings", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub roots: Option<u16>,

    /// First port to use; each node takes two [default: 26656]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1_024..=65_000))]
    pub listen_base: Option<u16>,

    /// Keep container images, too: a registry on ports 8000 and 8053 of this machine
    #[arg(long)]
    pub registry: bool,

    /// Stop when the import is done and reported
    #[arg(long, requires = "ratings")]
    pub exit_after_import: bool,
}

/// Runs a local network until somebody stops it.
///
/// # Errors
/// When the file of ratings is broken, the folder cannot be used, nodes cannot be started, or the
/// import fails.
pub fn main(args: &UpArgs, globals: &Globals) -> Result<(), CliError> {
    let now_ms = now_ms();
    // Before anything is touched: a broken file should not cost a network.
    let ratings = args.ratings.as_deref().map(|path| Ratings::read(path, now_ms)).transpose();
    let ratings = ratings.map_err(CliError::failed)?;
    let stop =
        Stop::on_signals().map_err(|error| CliError::failed(format!("cannot listen to signals: {error}")))?;
    let path = match &globals.home {
        Some(dir) => dir.clone(),
        None => home::up_dir()?,
    };
    let dir = NetworkDir::open(&path).map_err(network_error)?;
    if args.fresh {
        clear(&dir, args.yes)?;
    }
    let existing = dir.load().map_err(network_error)?;
    let plan = ratings.map(|ratings| {
        let (seed, _) = ImportSeed::load_or_create(&dir.seed_file()).map_err(CliError::failed)?;
        Ok::<_, CliError>((Plan::new(&ratings, &seed), ratings))
    });
    let plan = plan.transpose()?;
    let mut notes = Vec::new();
    let network = match existing {
        Some(network) => continue_with(&dir, network, args, &mut notes)?,
        None => create(&dir, args, plan.as_ref(), now_ms, &mut notes)?,
    };
    let registry = if args.registry { Some(LocalRegistry::start(globals)?) } else { None };
    notes.extend(registry.as_ref().map(LocalRegistry::note));
    let is_default = home::up_dir().is_ok_and(|default| default == path);
    let plans = Plans {
        import: plan.map(|(plan, ratings)| (plan, ratings.last_day())),
        exit_after_import: args.exit_after_import,
        notes,
        is_default_dir: is_default,
    };
    let ended = session::run(&dir, network, plans, globals.output(), &stop);
    drop(registry);
    ended
}

/// Milliseconds since 1970; 0 on a machine whose clock stands before that.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn clear(dir: &NetworkDir, yes: bool) -> Result<(), CliError> {
    // A damaged description is a reason to start afresh, not an obstacle.
    if matches!(dir.load(), Ok(None)) {
        return Ok(());
    }
    if !yes {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(CliError::usage(format!(
                "--fresh removes the network in {} with its keys and its chain, and there is no terminal to ask",
                dir.path().display()
            ))
            .next("add --yes if that is what you want"));
        }
        eprint!("Remove the network in {} with its keys and its chain? [y/N] ", dir.path().display());
        let mut answer = String::new();
        let asked = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
        if asked.is_err() || !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(
                CliError::failed("nothing was removed").next("trustnet up, without --fresh, continues it")
            );
        }
    }
    dir.clear().map_err(network_error)
}

fn wanted_ports(base: u16, nodes: usize) -> Result<Vec<Ports>, CliError> {
    if usize::from(base) + 2 * nodes > usize::from(u16::MAX) {
        return Err(CliError::usage(format!("{nodes} nodes do not fit above port {base}"))
            .next("choose a lower --listen-base"));
    }
    Ok(ports::standard(base, nodes))
}

fn free_ports(wanted: &[Ports], notes: &mut Vec<String>) -> Result<Vec<Ports>, CliError> {
    let chosen = ports::choose(wanted, ports::is_free).map_err(CliError::failed)?;
    for (number, (wanted, chosen)) in (1..).zip(wanted.iter().zip(&chosen)) {
        for (kind, wanted, chosen) in [("UDP", wanted.p2p, chosen.p2p), ("TCP", wanted.rpc, chosen.rpc)] {
            if wanted != chosen {
                notes.push(format!("{kind} port {wanted} is taken: node-{number} uses {chosen}"));
            }
        }
    }
    Ok(chosen)
}

/// Nodes whose `up` was killed end by themselves; while they do, they still hold their ports.
fn wait_for_leftovers(wanted: &[Ports]) {
    let until = Instant::now() + LEFTOVER_PATIENCE;
    let taken =
        || wanted.iter().any(|p| !ports::is_free(Kind::Udp, p.p2p) || !ports::is_free(Kind::Tcp, p.rpc));
    while taken() && Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
    }
}

fn continue_with(
    dir: &NetworkDir,
    mut network: Network,
    args: &UpArgs,
    notes: &mut Vec<String>,
) -> Result<Network, CliError> {
    let count = network.nodes.len();
    let fixed = |what: String| {
        Err(CliError::usage(what).next("leave the option out to continue it, or start afresh with --fresh"))
    };
    if let Some(wanted) = args.nodes.filter(|&wanted| usize::from(wanted) != count) {
        return fixed(format!("the network in {} has {count} nodes, not {wanted}", dir.path().display()));
    }
    if args.roots.is_some() {
        return fixed(format!(
            "the roots of the network in {} were fixed when it was made",
            dir.path().display()
        ));
    }
    let wanted = match args.listen_base {
        Some(base) => wanted_ports(base, count)?,
        None => network.nodes.iter().map(|member| member.ports).collect(),
    };
    wait_for_leftovers(&wanted);
    let chosen = free_ports(&wanted, notes)?;
    let moved = network.nodes.iter().zip(&chosen).any(|(member, ports)| member.ports != *ports);
    if moved {
        for (member, ports) in network.nodes.iter_mut().zip(chosen) {
            member.ports = ports;
        }
        setup::rewire(dir, &network)?;
    }
    Ok(network)
}

fn create(
    dir: &NetworkDir,
    args: &UpArgs,
    plan: Option<&(Plan, Ratings)>,
    now_ms: u64,
    notes: &mut Vec<String>,
) -> Result<Network, CliError> {
    let nodes = args.nodes.map_or(DEFAULT_NODES, usize::from).min(MAX_NODES);
    let chosen = free_ports(&wanted_ports(args.listen_base.unwrap_or(STANDARD_BASE), nodes)?, notes)?;
    let count = args.roots.map_or(DEFAULT_ROOTS, usize::from);
    let roots: Vec<NodeId> = plan.map_or_else(Vec::new, |(plan, ratings)| {
        ratings.first_raters(count).into_iter().filter_map(|number| plan.id_of(number)).collect()
    });
    setup::create(dir, &chosen, now_ms, &roots)
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
