//! Checks a node from outside, as its owner reaches it: over SSH and RPC. The same checks for virtual machines of every
//! kind and for a real board.

mod board;
mod checks;
mod image;
mod load;
mod monitor;
mod report;
mod shell;
mod target;
mod vm;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use trustnet_image::inputs::{BaseKind, SourceArgs};
use trustnet_image::outputs;
use trustnet_image::tree::Tree;

use board::Board;
use checks::{Check, Context};
use image::{Image, Maker};
use report::{Outcome, Report};
use target::Target;
use vm::Vm;

/// Whatever went wrong, in words.
type Failure = Box<dyn std::error::Error>;

/// Checks the image on virtual machines, or a node that runs somewhere, from outside.
#[derive(Parser)]
#[command(version)]
#[command(after_help = "All on VMs:    cross/build && cargo run -p trustnet-hardware-tests\n\
    A real board:  cargo run -p trustnet-hardware-tests -- --target ssh://warden@kitchen")]
struct Args {
    /// direct, uefi, raspi3b, cluster, or a board: `ssh://warden@HOST`; may be given several times [default: all but boards]
    #[arg(long, value_name = "TARGET")]
    target: Vec<Target>,
    /// Only these checks; `boot` always runs
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these checks out
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    without: Vec<String>,
    /// How often to cut the power in the check `power`
    #[arg(long, default_value_t = 20)]
    cuts: u32,
    /// The private key that logs in to a board [default: ssh's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Keep the machines' disks and consoles here
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print what is checked, and end
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        for check in checks::ALL {
            println!("{:<10} {}", check.name, check.promise);
        }
        println!("same       two images of the same inputs are the same, and small enough");
        println!("cluster    four VMs agree, and survive the loss of one");
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(report) => report.finish(args.json),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<Report, Failure> {
    let known = |name: &String| checks::ALL.iter().any(|check| check.name == name) || name == "same";
    if let Some(name) = args.only.iter().chain(&args.without).find(|name| !known(name)) {
        return Err(format!("there is no check {name:?}; see --list").into());
    }
    let scratch = tempfile::tempdir()?;
    let dir = args.keep.clone().unwrap_or_else(|| scratch.path().to_owned());
    fs::create_dir_all(&dir)?;
    // QEMU runs in the machine's folder.
    let dir = fs::canonicalize(dir)?;
    if fs::read_dir(&dir)?.next().is_some() {
        return Err(format!("{} is not empty; give --keep another folder", dir.display()).into());
    }
    let targets = match args.target.as_slice() {
        [] => vec![Target::Direct, Target::Uefi, Target::Raspi3b, Target::Cluster],
        given => given.to_vec(),
    };
    let mut report = Report::new(args.json);
    let mut maker = None;
    for target in targets {
        let context = Context { target: target.clone(), cuts: args.cuts };
        if let Target::Board { host, port } = &target {
            let board = Board {
                host: host.clone(),
                ssh_port: *port,
                rpc_port: trustnet::config::RPC_PORT,
                key: args.key.clone(),
                known_hosts: dir.join("known_hosts"),
                vm: None,
            };
            one_machine(board, &context, args, &mut report);
            continue;
        }
        let maker = match &mut maker {
            Some(maker) => maker,
            none => none.insert(make_image(args, &dir, &mut report)?),
        };
        if target == Target::Cluster {
            report
                .check(&target, "cluster", || checks::survives_a_loss(maker, &dir.join("cluster"), &context));
            continue;
        }
        let place = dir.join(target.to_string());
        let image = maker.make("test", "", Tree::new())?;
        let vm = Vm::new(&target, &image, &place, None)?;
        one_machine(Board::of_vm(vm, maker.key(), &place), &context, args, &mut report);
    }
    Ok(report)
}

/// Gathers the parts of the image, and looks whether they make the same one twice, and how large it is.
fn make_image(args: &Args, dir: &Path, report: &mut Report) -> Result<Maker, Failure> {
    let sources = args.source.sources();
    let maker = Maker::new(&sources, dir)?;
    if wanted(args, "same") {
        report.check(&Target::Direct, "same", || {
            let Image { disk, sha256: first, .. } = maker.make("same", "", Tree::new())?;
            let second = maker.again(&sources)?.make("same", "", Tree::new())?.sha256;
            if first != second {
                return Err(format!("{first} and {second}").into());
            }
            let (bytes, limit) =
                (outputs::compress(&fs::read(disk)?)?.len(), compressed_bytes_max(sources.base));
            if bytes > limit {
                return Err(format!("compressed it has {bytes} bytes, and {limit} are allowed").into());
            }
            Ok(format!("SHA-256 {first}, compressed {bytes} bytes of {limit}"))
        });
    }
    Ok(maker)
}

/// The largest that an image may be, compressed, in bytes.
fn compressed_bytes_max(base: BaseKind) -> usize {
    match base {
        BaseKind::Alpine => 80_000_000,
        BaseKind::Debian => 40_000_000,
    }
}

fn wanted(args: &Args, name: &str) -> bool {
    (args.only.is_empty() || args.only.iter().any(|only| only == name))
        && !args.without.iter().any(|without| without == name)
}

fn one_machine(mut board: Board, context: &Context, args: &Args, report: &mut Report) {
    for Check { name, needs, run, .. } in checks::ALL {
        // Nothing can be checked on a machine that is off.
        if *name != "boot" && !wanted(args, name) {
            continue;
        }
        if let Some(why) = needs.missing_on(&context.target) {
            report.add(&context.target, name, Outcome::Skipped(why.to_owned()), None);
            continue;
        }
        let since = Instant::now();
        match run(&mut board, context) {
            Ok(measured) => {
                report.add(&context.target, name, Outcome::Passed(measured), Some(since.elapsed()));
            }
            Err(error) => {
                let words = board.vm.as_ref().map(Vm::last_words).unwrap_or_default();
                let failed = Outcome::Failed(format!("{error}\n{words}"));
                report.add(&context.target, name, failed, Some(since.elapsed()));
                if *name == "boot" {
                    return;
                }
            }
        }
    }
}
