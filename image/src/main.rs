//! `trustnet-image`: builds, flashes, inspects; runs VMs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trustnet_image::base_debian::{self, KERNEL};
use trustnet_image::build::{self, Settings};
use trustnet_image::cache::{Cache, sha256_hex};
use trustnet_image::debian::{Archive, DEFAULT_MIRROR, DebianError};
use trustnet_image::screen::Screen;
use trustnet_image::{fat, lock};

/// Builds TrustNet's SD-card and VM images.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build an image
    Build(BuildArgs),
    /// Pin the newest packages of the Debian base
    Lock(LockArgs),
    /// Say what is inside an image
    Inspect {
        /// The image
        image: PathBuf,
    },
}

#[derive(clap::Args)]
struct BuildArgs {
    /// The program for aarch64, as cross/build makes it
    #[arg(long, default_value = "target/dist-aarch64/trustnet")]
    program: PathBuf,
    /// A public SSH key for the user warden
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// Settings of the node, put onto the card as trustnet.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the image goes
    #[arg(long, value_name = "FILE", default_value = "trustnet.img")]
    out: PathBuf,
    /// Use nothing but what was downloaded before
    #[arg(long)]
    offline: bool,
    /// Where downloads are kept [default: ~/.cache/trustnet-image]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The Debian mirror
    #[arg(long, value_name = "URL", default_value = DEFAULT_MIRROR)]
    mirror: String,
}

#[derive(clap::Args)]
struct LockArgs {
    /// The Debian mirror
    #[arg(long, value_name = "URL", default_value = DEFAULT_MIRROR)]
    mirror: String,
    /// Where downloads are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

type Failure = Box<dyn std::error::Error>;

/// The folder of this crate in the repository: the base's stand-ins and the lock file lie there.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build(args) => run_build(&args),
        Command::Lock(args) => run_lock(&args),
        Command::Inspect { image } => run_inspect(&image),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_lock(args: &LockArgs) -> Result<(), Failure> {
    let screen = Screen::stderr();
    let cache = Cache::new(args.cache.clone().unwrap_or_else(Cache::default_dir), false);
    let index = Archive::new(&args.mirror, &cache, &screen).index()?;
    let find = |name: &str| index.find(name).ok_or_else(|| DebianError::NoPackage(name.to_owned()));
    let mut pins = base_debian::package_names().map(find).collect::<Result<Vec<_>, _>>()?;
    pins.push(index.kernel().ok_or_else(|| DebianError::NoPackage(KERNEL.to_owned()))?);
    pins.sort();
    let path = repository().join("debian.lock");
    std::fs::write(&path, lock::format(&pins))?;
    println!("Pinned {} packages in {}", pins.len(), path.display());
    Ok(())
}

fn run_build(args: &BuildArgs) -> Result<(), Failure> {
    let screen = Screen::stderr();
    let cache = Cache::new(args.cache.clone().unwrap_or_else(Cache::default_dir), args.offline);
    let pins = lock::parse(&std::fs::read_to_string(repository().join("debian.lock"))?)?;
    let program = build::read_program(&args.program)?;
    let text = |path: &Option<PathBuf>| path.as_ref().map(std::fs::read_to_string).transpose();
    let settings = Settings { config: text(&args.config)?, ssh_key: text(&args.ssh_key)?, ..Settings::default() };
    let (packages, _) = Archive::new(&args.mirror, &cache, &screen).packages(&pins)?;
    let base = base_debian::assemble(&packages, &repository().join("base-debian"))?;
    let version = env!("CARGO_PKG_VERSION");
    let overlays = repository().join("../overlays");
    let overlay = build::overlay(&overlays, &program, version, 0)?;
    let medium = build::medium(&base, &overlay, &settings, version)?;
    for (path, entry) in medium.iter() {
        if let trustnet_image::tree::Node::File(content) = &entry.node && content.len() > 200_000 {
            screen.note(&format!("{:>10}  {path}", content.len()));
        }
    }
    let image = build::disk(&medium)?;
    let part = args.out.with_extension("part");
    std::fs::write(&part, &image)?;
    std::fs::rename(&part, &args.out)?;
    println!("{} ({}), SHA-256 {}", args.out.display(), base.name, sha256_hex(&image));
    Ok(())
}

fn run_inspect(image: &Path) -> Result<(), Failure> {
    let file = std::fs::OpenOptions::new().read(true).open(image)?;
    let bytes = std::io::read_to_string(std::io::empty()).map(|_| file)?;
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut &bytes, &mut all)?;
    let tree = fat::read_image(std::io::Cursor::new(all))?;
    for (path, entry) in tree.iter() {
        if let trustnet_image::tree::Node::File(content) = &entry.node {
            println!("{:>10}  {path}", content.len());
        }
    }
    Ok(())
}
