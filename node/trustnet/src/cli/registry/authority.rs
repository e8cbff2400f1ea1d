//! `trustnet registry ca`: one certificate authority for the registries of a cluster.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use trustnet_registry::{Authority, Import, TlsError};

use super::place::Place;
use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Longest bundle, in bytes.
const MAX_BUNDLE_BYTES: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct AuthorityArgs {
    #[command(subcommand)]
    command: AuthorityCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AuthorityCommand {
    /// Write the authority's key and certificate to a file, readable by you only
    Export {
        /// The file to make
        file: PathBuf,
    },
    /// Take the authority of another registry, before this one starts
    Import {
        /// The file that `export` wrote
        file: PathBuf,
        /// Even if this registry has one that clients may trust
        #[arg(long)]
        replace: bool,
    },
    /// Print the fingerprint of the authority's certificate
    Show,
}

pub(super) fn main(args: AuthorityArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    match args.command {
        AuthorityCommand::Export { file } => {
            let authority = held(place)?;
            write_secret(&file, &authority.export())
                .map_err(|error| CliError::failed(format!("cannot make {}: {error}", file.display())))?;
            globals.output().either(&json!({ "file": file, "fingerprint": authority.fingerprint() }), |_| {
                format!(
                    "Wrote {}. Whoever has it can pose as any registry of this cluster: delete it when it is imported.\n\
                     next: on the other node: trustnet registry ca import FILE",
                    file.display()
                )
            })
        }
        AuthorityCommand::Import { file, replace } => {
            let bundle = read_bounded(&file)?;
            let found = Authority::import(&place.dir, &bundle, replace).map_err(|error| match error {
                TlsError::AuthorityExists { .. } => {
                    CliError::failed(error).next("to make clients trust the new one instead, add --replace")
                }
                error => CliError::failed(error),
            })?;
            let text = match found {
                Import::New => "Taken; the registry uses it from its next start.",
                Import::Same => "This registry has this authority already.",
                Import::Replaced => {
                    "Taken; the old one was set aside. The registry uses the new one from its next start."
                }
            };
            globals.output().either(&json!({ "changed": found != Import::Same }), |_| text.to_owned())
        }
        AuthorityCommand::Show => {
            let authority = held(place)?;
            let value = json!({ "fingerprint": authority.fingerprint(), "ends": authority.ends_at() });
            globals.output().either(&value, |_| authority.fingerprint())
        }
    }
}

fn held(place: &Place) -> Result<Authority, CliError> {
    let read = |name: &str| read_bounded(&place.dir.join("tls").join(name));
    let bundle = read("ca.key").and_then(|key| Ok(key + &read("ca.pem")?));
    let bundle = bundle.map_err(|error| {
        error.next(format!("it is made when the registry first serves TLS: {}", place.command("serve")))
    })?;
    Authority::from_bundle(&bundle).map_err(CliError::damaged)
}

fn read_bounded(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_BUNDLE_BYTES).read_to_string(&mut text));
    read.map_err(|error| CliError::failed(format!("cannot read {}: {error}", path.display())))?;
    Ok(text)
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
