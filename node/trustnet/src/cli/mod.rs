//! The command line: one binary that answers to several names, one file a command.
//!
//! `trustnet-query X` is `trustnet query X`, `trustnet-status` is `trustnet status`, and
//! `trustnet-node X` is `trustnet X`, so that a folder of links works as people know it.

pub mod completions;
pub mod error;
pub mod format;
pub mod globals;
pub mod init;
pub mod keys;
pub mod lifecycle;
pub mod multicall;
pub mod query;
pub mod rate;
pub mod register;
#[cfg(unix)]
pub mod registry;
pub mod repair;
pub mod run;
pub mod send;
pub mod status;
pub mod views;
pub mod welcome;
pub mod why;

mod convert;

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use error::{Class, CliError};
pub use globals::Globals;

use crate::output;
use crate::{import, up};
use lifecycle::Step;

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
    /// Start a whole local network, and import ratings into it
    Up(up::command::UpArgs),
    /// Bring a file of ratings onto the chain, each signed as the person who gave it
    Import(import::command::ImportArgs),
    /// Make a node's home: keys, settings, genesis
    Init(init::InitArgs),
    /// Show how this node is doing
    Status(status::StatusArgs),
    /// Ask the ledger
    Query(query::QueryArgs),
    /// Show what a node's reputation and trust are made of
    Why(why::WhyArgs),
    /// Run the node of a home until Ctrl-C
    Run(run::RunArgs),
    /// Examine a stopped node's data and set damage aside
    Repair(repair::RepairArgs),
    /// Say what you think of a node
    Rate(rate::RateArgs),
    /// Add a node to the ledger
    Register(register::RegisterArgs),
    /// Begin to set up a registered node that is no validator
    Start(lifecycle::StepArgs),
    /// Consent, as operator of a validator, that a node becomes a validator
    Admit(lifecycle::AdmitArgs),
    /// Declare a node ready for work
    Ready(lifecycle::StepArgs),
    /// Take a node off work; its reputation stands still
    Pause(lifecycle::StepArgs),
    /// Take a paused node back to work
    Resume(lifecycle::StepArgs),
    /// End a node for ever; its record stays
    Destroy(lifecycle::DestroyArgs),
    /// Keep container images: the registry and what it holds
    #[cfg(unix)]
    Registry(registry::RegistryArgs),
    /// Make key files and show their public keys
    Keys(keys::KeysArgs),
    /// Print a completion script for your shell
    Completions(completions::CompletionsArgs),
    /// Parts of an appliance; its services call them
    #[cfg(unix)]
    #[command(hide = true)]
    Os(crate::os::OsArgs),
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
            Self::Up(args) => up::command::main(&args, globals),
            Self::Import(args) => import::command::main(&args, globals),
            Self::Init(args) => init::main(&args, globals),
            Self::Status(args) => status::main(&args, globals),
            Self::Query(args) => query::main(&args, globals),
            Self::Why(args) => why::main(&args, globals),
            Self::Run(args) => run::main(&args, globals),
            Self::Repair(args) => repair::main(&args, globals),
            Self::Rate(args) => rate::main(&args, globals),
            Self::Register(args) => register::main(&args, globals),
            Self::Start(args) => lifecycle::step(Step::Start, &args, globals),
            Self::Admit(args) => lifecycle::admit(&args, globals),
            Self::Ready(args) => lifecycle::step(Step::Ready, &args, globals),
            Self::Pause(args) => lifecycle::step(Step::Pause, &args, globals),
            Self::Resume(args) => lifecycle::step(Step::Resume, &args, globals),
            Self::Destroy(args) => lifecycle::destroy(&args, globals),
            #[cfg(unix)]
            Self::Registry(args) => registry::main(args, globals),
            Self::Keys(args) => keys::main(args, globals),
            Self::Completions(args) => completions::main(&args, globals),
            #[cfg(unix)]
            Self::Os(args) => crate::os::main(&args, globals),
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
