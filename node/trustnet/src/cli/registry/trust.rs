//! `trustnet registry trust`: what a client needs to believe the registry's certificate.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde_json::json;
use trustnet_registry::trust::{self, Client, System};

use super::place::Place;
use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// The authority's certificate, in the registry's directory.
const AUTHORITY: &str = "tls/ca.pem";
/// Longest file that is taken for a certificate, in bytes.
const MAX_PEM_BYTES: u64 = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ClientName {
    Docker,
    /// Podman, Buildah and Skopeo, for everyone
    Podman,
    /// Podman, Buildah and Skopeo, for you alone
    PodmanUser,
    Containerd,
    /// Every program on this machine
    System,
}

#[derive(Debug, clap::Args)]
pub(super) struct TrustArgs {
    /// Which client
    #[arg(long, value_enum, default_value = "docker")]
    client: ClientName,

    /// The registry, as it stands in names of images
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:8053")]
    registry: trust::Place,

    /// The authority's certificate, copied from the registry [default: that of the registry in --data]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Do it, rather than print how
    #[arg(long)]
    install: bool,

    /// With --install: write below this folder, not /
    #[arg(long, value_name = "DIR", default_value = "/", requires = "install", hide = true)]
    root: PathBuf,
}

impl ClientName {
    fn client(self) -> Result<Client, CliError> {
        Ok(match self {
            Self::Docker => Client::Docker,
            Self::Podman => Client::Podman,
            Self::PodmanUser => {
                let home = std::env::var_os("HOME").ok_or_else(|| CliError::failed("HOME is not set"))?;
                Client::PodmanUser(home.into())
            }
            Self::Containerd => Client::Containerd,
            Self::System => Client::System(this_system()?),
        })
    }
}

fn this_system() -> Result<System, CliError> {
    if cfg!(target_os = "macos") {
        return Ok(System::MacOs);
    }
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    System::from_os_release(&text).ok_or_else(|| {
        CliError::failed("this system keeps its certificate authorities in a place that trustnet does not know")
            .next("add the authority's certificate (tls/ca.pem of the registry) by hand, or choose --client docker, podman or containerd")
    })
}

pub(super) fn main(args: &TrustArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let path = args.ca.clone().unwrap_or_else(|| place.dir.join(AUTHORITY));
    let authority = read_authority(&path, place)?;
    let plan = trust::plan(&args.client.client()?, &args.registry, &authority);
    if !args.install {
        let files: Vec<_> =
            plan.files.iter().map(|file| json!({ "path": file.path, "content": file.content })).collect();
        let value = json!({ "files": files, "after": plan.after, "notes": plan.notes });
        return globals.output().either(&value, |_| plan.to_string());
    }
    let written = plan.install(&args.root).map_err(|error| {
        CliError::failed(error).next("run it as root (sudo), or print what to do: leave out --install")
    })?;
    // Below another root there is nothing to tell.
    if let Some(after) = plan.after.as_ref().filter(|_| args.root == Path::new("/")) {
        run(after)?;
    }
    globals.output().either(&json!({ "written": written, "after": plan.after }), |_| {
        let mut text = String::new();
        for path in &written {
            let _ = writeln!(text, "wrote {}", path.display());
        }
        for note in &plan.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    })
}

fn read_authority(path: &Path, place: &Place) -> Result<String, CliError> {
    let text = fs::metadata(path).and_then(|facts| match facts.len() {
        0..=MAX_PEM_BYTES => fs::read_to_string(path),
        _ => Err(io::Error::other("it is too long for a certificate")),
    });
    let text = text.map_err(|error| {
        CliError::failed(format!("cannot read the authority's certificate {}: {error}", path.display())).next(format!(
            "start the registry once with TLS ({}), or copy tls/ca.pem from where it runs and give it with --ca",
            place.command("serve")
        ))
    })?;
    let has = |what: &str| text.contains(&format!("-----BEGIN {what}"));
    if !has("CERTIFICATE-----") || text.contains("PRIVATE KEY-----") {
        return Err(CliError::usage(format!("{} is no certificate alone", path.display()))
            .next("give tls/ca.pem of the registry, never its ca.key"));
    }
    Ok(text)
}

fn run(words: &[String]) -> Result<(), CliError> {
    let line = words.join(" ");
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    match Command::new(program).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CliError::failed(format!("`{line}` failed ({status})"))),
        Err(error) => Err(CliError::failed(format!("cannot run `{line}`: {error}"))),
    }
}
