//! `trustnet completions`: completion scripts for shells.

use clap_complete::Shell;

use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Print a completion script for your shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For bash: trustnet completions bash > ~/.local/share/bash-completion/completions/trustnet"
)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When standard output cannot be written.
pub fn main(args: &CompletionsArgs, globals: &Globals) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::definition(), "trustnet", &mut script);
    globals.output().text(&String::from_utf8_lossy(&script))
}
