//! `trustnet registry`: the image registry, served and looked after.
//!
//! All commands but `serve` work on a registry that serves, through its socket, and on one that is stopped.

mod authority;
mod collect;
mod export;
mod import;
mod inspect;
mod list;
mod local;
mod password;
mod place;
mod rebuild;
mod remove;
mod screen;
mod scrub;
mod serve;
mod token;
mod trust;
mod usage;

pub use local::LocalRegistry;

use clap::Subcommand;

use crate::cli::error::CliError;
use crate::cli::format::decimal;
use crate::cli::globals::Globals;
use place::Place;

/// Keep container images: the registry and what it holds
#[derive(Debug, clap::Args)]
pub struct RegistryArgs {
    /// Where the registry's files are
    #[arg(
        help = "The registry's directory [default: registry in --home if that is given, else \
                /var/lib/trustnet-registry if it is there, else ~/.local/share/trustnet/registry]",
        long,
        global = true,
        value_name = "DIR"
    )]
    data: Option<std::path::PathBuf>,

    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
enum RegistryCommand {
    /// Serve images until Ctrl-C
    Serve(serve::ServeArgs),
    /// Name the repositories, or the tags of one
    Ls(list::ListArgs),
    /// Show what an image is made of
    Inspect(inspect::InspectArgs),
    /// Remove a tag, an image, or a whole repository
    Rm(remove::RemoveArgs),
    /// Give back the room of what nobody needs
    Gc(collect::CollectArgs),
    /// Read every file and find damage
    Scrub(scrub::ScrubArgs),
    /// Show what takes how much of the disk
    Df,
    /// Take in an OCI layout or a docker archive
    Import(import::ImportArgs),
    /// Give an image out as a file or folder
    Export(export::ExportArgs),
    /// Make the metadata again from the files, with the registry stopped
    Rebuild,
    /// Make what registry.toml keeps of a password
    Passwd(password::PasswordArgs),
    /// Make a token with this node's key, to log in with instead of a password
    Token(token::TokenArgs),
    /// Say what a client needs to trust this registry's certificate, or install it
    Trust(trust::TrustArgs),
    /// Let registries of one cluster share their certificate authority
    Ca(authority::AuthorityArgs),
}

/// Runs `trustnet registry`.
///
/// # Errors
/// When there is no registry, it is in use, or it refuses.
pub fn main(args: RegistryArgs, globals: &Globals) -> Result<(), CliError> {
    let place = Place::find(args.data, globals)?;
    if !matches!(args.command, RegistryCommand::Serve(_)) {
        // What the store has to say of damage must be seen, whatever the command is.
        crate::cli::run::log_to_stderr(crate::config::Level::Warn);
    }
    match args.command {
        RegistryCommand::Serve(args) => serve::main(&args, &place, globals),
        RegistryCommand::Ls(args) => list::main(&args, &place, globals),
        RegistryCommand::Inspect(args) => inspect::main(&args, &place, globals),
        RegistryCommand::Rm(args) => remove::main(&args, &place, globals),
        RegistryCommand::Gc(args) => collect::main(&args, &place, globals),
        RegistryCommand::Scrub(args) => scrub::main(&args, &place, globals),
        RegistryCommand::Df => usage::main(&place, globals),
        RegistryCommand::Import(args) => import::main(&args, &place, globals),
        RegistryCommand::Export(args) => export::main(&args, &place, globals),
        RegistryCommand::Rebuild => rebuild::main(&place, globals),
        RegistryCommand::Passwd(args) => password::main(&args, globals),
        RegistryCommand::Token(args) => token::main(args, globals),
        RegistryCommand::Trust(args) => trust::main(&args, &place, globals),
        RegistryCommand::Ca(args) => authority::main(args, &place, globals),
    }
}

/// Bytes as people read them, in units of a thousand: `13.4 MB`.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            format!("{} {name}", decimal(i64::try_from(bytes).unwrap_or(i64::MAX), unit, 1))
        }
        None => format!("{bytes} B"),
    }
}

/// A count and its noun: `1 file`, `2 files`.
fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Milliseconds as people say how long they wait.
fn wait(ms: u64) -> String {
    match ms.div_ceil(60_000) {
        0 => "no time".to_owned(),
        minutes if minutes < 120 => count(minutes, "minute"),
        minutes => count(minutes.div_ceil(60), "hour"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_as_people_write_them() {
        assert_eq!((size(0), size(999), size(1_000)), ("0 B".into(), "999 B".into(), "1.0 kB".into()));
        assert_eq!((size(13_449_999), size(2_000_000_000_000)), ("13.4 MB".into(), "2.0 TB".into()));
        assert_eq!(size(u64::MAX), "9223372.0 TB");
        assert_eq!(
            (wait(0), wait(1), wait(3_599_999)),
            ("no time".into(), "1 minute".into(), "60 minutes".into())
        );
        assert_eq!(wait(24 * 3_600_000), "24 hours");
        assert_eq!((count(1, "tag"), count(0, "tag")), ("1 tag".into(), "0 tags".into()));
    }
}
