//! `trustnet run`: runs the node of a home until it is told to stop.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::config::Level;
use crate::node::{self, RunError, RunOptions};

/// Run the node of a home until Ctrl-C
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Stop when standard input ends (for programs that start nodes)
    #[arg(long, hide = true)]
    stdin_lifeline: bool,
}

/// Runs `trustnet run`.
///
/// # Errors
/// When the home cannot be opened, a port is taken, or the node has to stop.
pub fn main(args: &RunArgs, globals: &Globals) -> Result<(), CliError> {
    let home = globals.home()?;
    let config = home.config()?;
    log_to_stderr(config.log.level);
    let options = RunOptions { lifeline: args.stdin_lifeline };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the operating system refused threads: {error}")))?;
    let repair = match &globals.home {
        Some(dir) => format!("trustnet repair --home {}", dir.display()),
        None => "trustnet repair".to_owned(),
    };
    runtime.block_on(node::run(home, config, options)).map_err(|error| {
        let is_repairable = error.is_repairable();
        let error = CliError::from(error);
        if is_repairable { error.next(repair) } else { error }
    })
}

/// Log lines go to standard error: whoever starts the node (a person, a service manager, `trustnet
/// up`) decides where they are kept.
pub(crate) fn log_to_stderr(level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let colours =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Fails only when a subscriber is set already, which then does the work.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_target(level >= LevelFilter::DEBUG)
        .try_init();
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        // The messages of a node that could not start name the next step themselves.
        match error {
            RunError::Home(error) => error.into(),
            RunError::Store(error) => error.into(),
            RunError::Genesis { .. }
            | RunError::Chain(_)
            | RunError::Replay { .. }
            | RunError::Unreadable { .. } => Self::damaged(error),
            RunError::NoGenesis { .. }
            | RunError::Net(_)
            | RunError::RpcListen { .. }
            | RunError::Halted(_)
            | RunError::System { .. } => Self::failed(error),
        }
    }
}
