//! The command line.

mod build;
mod say;
mod vm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use trustnet_image::base_debian::{self, KERNEL};
use trustnet_image::debian::{Archive, DebianError};
use trustnet_image::flash;
use trustnet_image::inputs::{self, BaseKind, SourceArgs, Sources};
use trustnet_image::lock;
use trustnet_image::screen::Screen;

/// Builds SD-card and VM images, writes cards, and runs VMs.
#[derive(Parser)]
#[command(name = "trustnet-image", version, arg_required_else_help = true)]
#[command(
    after_help = "A card: trustnet-image build --ssh-key ~/.ssh/id_ed25519.pub, then trustnet-image flash /dev/sdX\n\
    A VM:   trustnet-image vm create kitchen"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build an image
    Build(build::BuildArgs),
    /// Write an image onto a card, and read it back
    Flash {
        /// The whole card, such as /dev/sdb
        device: PathBuf,
        /// The image, or its compressed copy
        #[arg(long, default_value = "trustnet.img")]
        image: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Say what is inside an image
    Inspect {
        /// The image
        image: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make and run VMs
    #[command(subcommand)]
    Vm(vm::VmCommand),
    /// Pin the newest files of a base
    Lock(SourceArgs),
    /// Print a completion script for your shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

use say::say;

type Failure = Box<dyn std::error::Error>;

/// Runs the program.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build(args) => build::run(&args),
        Command::Flash { device, image, yes } => run_flash(&device, &image, yes),
        Command::Inspect { image, json } => build::inspect(&image, json),
        Command::Vm(command) => vm::run(&command),
        Command::Lock(args) => run_lock(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "trustnet-image", &mut script);
            say::line(format_args!("{}", String::from_utf8_lossy(&script).trim_end()))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<say::ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_lock(args: &SourceArgs) -> Result<(), Failure> {
    let (screen, sources) = (Screen::stderr(), args.sources());
    let (path, count) = match sources.base {
        BaseKind::Alpine => inputs::lock_alpine(&sources, &screen)?,
        BaseKind::Debian => lock_debian(&sources, screen)?,
    };
    say!("Pinned {count} files in {}", path.display());
    Ok(())
}

fn lock_debian(sources: &Sources, screen: Screen) -> Result<(PathBuf, usize), Failure> {
    let index = Archive::new(&sources.mirror, &sources.cache, &screen).index()?;
    let find = |name: &str| index.find(name).ok_or_else(|| DebianError::NoPackage(name.to_owned()));
    let mut pins = base_debian::package_names().map(find).collect::<Result<Vec<_>, _>>()?;
    pins.push(index.kernel().ok_or_else(|| DebianError::NoPackage(KERNEL.to_owned()))?);
    pins.sort();
    let path = sources.repository.join("image/debian.lock");
    std::fs::write(&path, lock::format(&pins))
        .map_err(|why| format!("cannot write {}: {why}", path.display()))?;
    Ok((path, pins.len()))
}

fn run_flash(device: &Path, image: &Path, yes: bool) -> Result<(), Failure> {
    let bytes = flash::read_image(image)?;
    let device = &flash::check(device, bytes.len() as u64)?;
    if !yes {
        eprint!("Everything on {} will be lost. Write the image onto it? [y/N] ", device.display());
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .map_err(|why| format!("cannot read your answer: {why}; without a question: --yes"))?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            return Err("nothing was written".into());
        }
    }
    flash::flash(device, &bytes, &Screen::stderr())?;
    say!(
        "{} is ready. Put it into the board and power it;\nafter a minute: ssh warden@ADDRESS (the address is on the console and in your router's list)",
        device.display()
    );
    Ok(())
}
