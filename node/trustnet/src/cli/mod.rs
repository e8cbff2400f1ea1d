//! The command line: one binary that answers to several names, one file a command.
//!
//! `trustnet-query X` is `trustnet query X`, `trustnet-status` is `trustnet status`, and
//! `trustnet-node X` is `trustnet X`, so that a folder of links works as people know it.

pub mod completions;
pub mod error;
pub mod globals;
pub mod keys;
pub mod multicall;
pub mod welcome;

mod convert;

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use error::{Class, CliError};
pub use globals::Globals;

use crate::output;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "trustnet",
    bin_name = "trustnet",
    version,
    about = "A network of home nodes that agree on trust",
    after_help = "First steps: `trustnet up` starts a whole local network in one command.",
    max_term_width = 100
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub globals: Globals,

    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make key files and show their public keys
    Keys(keys::KeysArgs),
    /// Print a completion script for your shell
    Completions(completions::CompletionsArgs),
    /// Comes with a later version
    #[command(hide = true, disable_help_flag = true)]
    Provision(multicall::Later),
    /// Comes with a later version
    #[command(hide = true, disable_help_flag = true)]
    Test(multicall::Later),
}

impl Command {
    fn run(self, globals: &Globals) -> Result<(), CliError> {
        match self {
            Self::Keys(args) => keys::main(args, globals),
            Self::Completions(args) => completions::main(&args, globals),
            Self::Provision(_) => Err(multicall::not_in_this_version("provision")),
            Self::Test(_) => Err(multicall::not_in_this_version("test")),
        }
    }
}

/// Runs the program with these arguments (the first is the name it was called by) and gives its
/// exit code: 0 done, 1 failed, 2 usage, 3 no node answers, 4 refused by the ledger, 5 data damaged,
/// of another chain or in use.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args = multicall::rewrite(args.into_iter().collect());
    // Wanted before the arguments are understood: a refusal should be JSON, too.
    let json = args.iter().any(|arg| arg == "--json");
    let result =
        Cli::try_parse_from(&args).map_err(|error| clap_error(&error)).and_then(|cli| match cli.command {
            Some(command) => command.run(&cli.globals),
            None => welcome::main(&cli.globals),
        });
    match result {
        Ok(()) => 0,
        Err(error) => {
            output::show_error(&error, json);
            error.class.exit_code()
        }
    }
}

/// The command line's definition, for completions.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Help and version are printed here and count as done; the rest becomes a usage error.
fn clap_error(error: &clap::Error) -> CliError {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // When standard output is closed there is nobody to tell.
            let _ = error.print();
            CliError::new(Class::ReaderGone, "")
        }
        _ => {
            let text = error.render().to_string();
            CliError::usage(text.trim_end().trim_start_matches("error: "))
        }
    }
}

/// A fault in the program is reported as such, in one line, and never as a backtrace.
pub fn install_panic_message() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("no message");
        eprintln!("trustnet: internal fault at {place}: {what}");
        eprintln!("  next: please report this line, with what you did, to the project's issues");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn exit_codes_tell_usage_from_success() {
        let run = |line: &str| main(line.split(' ').map(OsString::from));
        assert_eq!(run("trustnet --version"), 0);
        assert_eq!(run("trustnet --help"), 0);
        assert_eq!(run("trustnet frobnicate"), 2);
        assert_eq!(run("trustnet-provision --anything"), 2);
        assert_eq!(run("trustnet-test"), 2);
        assert_eq!(run("trustnet-node provision"), 2);
    }
}
