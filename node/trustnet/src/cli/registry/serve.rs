//! `trustnet registry serve`: the registry runs until it is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use trustnet_registry::{RegistryError, Running, Setup, start};

use super::place::Place;
use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::config::Level;
use crate::output::Paint;

/// Where the registry listens if nothing else is said: for this machine only.
const DEFAULT_LISTEN: &str = "127.0.0.1:8000";

/// Serve images until Ctrl-C
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Address and port for docker, podman and others
    #[arg(long, value_name = "ADDR:PORT", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,

    /// Tell Prometheus at this address; keep it for this machine, such as 127.0.0.1:5001
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,

    /// How much to log: error, warn, info or debug
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["error", "warn", "info", "debug"])]
    log: String,

    /// Seconds that running requests have to end after Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=600))]
    grace: u64,
}

pub(super) fn main(args: &ServeArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    crate::cli::run::log_to_stderr(match args.log.as_str() {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "debug" => Level::Debug,
        _ => Level::Info,
    });
    let mut setup = Setup::new(&place.dir, args.listen);
    setup.metrics = args.metrics;
    setup.grace = Duration::from_secs(args.grace);
    // As few threads as a small board wants: each costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the operating system refused threads: {error}")))?;
    runtime.block_on(async {
        let running = start(setup).await.map_err(|error| refusal(error, place))?;
        let metrics = running.metrics_address().map(|address| format!("http://{address}/metrics"));
        let registry = format!("http://{}", running.address());
        let value = json!({ "registry": registry, "metrics": metrics, "data": place.dir });
        globals.output().either(&value, |paint| welcome(&running, place, paint))?;
        until_signal().await?;
        eprintln!("stopping; running requests have {} s to end (once more to stop at once)", args.grace);
        tokio::select! {
            () = running.stop() => {}
            again = until_signal() => again?,
        }
        Ok(())
    })
}

fn refusal(error: RegistryError, place: &Place) -> CliError {
    match &error {
        RegistryError::InUse(_) => CliError::damaged(error).next(place.command("ls")),
        RegistryError::Io { action: "listen on", .. } => {
            CliError::failed(error).next(place.command("serve --listen 127.0.0.1:0"))
        }
        _ => CliError::failed(error),
    }
}

fn welcome(running: &Running, place: &Place, paint: Paint) -> String {
    let address = running.address();
    let mut text = format!(
        "{} http://{address}, images in {}\n",
        paint.bold("The registry serves at"),
        place.dir.display()
    );
    text += &format!("  push:  docker tag IMAGE {address}/IMAGE && docker push {address}/IMAGE\n");
    text += &format!("         podman push --tls-verify=false IMAGE {address}/IMAGE\n");
    text += &format!("  look:  {}\n", place.command("ls"));
    if let Some(metrics) = running.metrics_address() {
        text += &format!("  watch: http://{metrics}/metrics\n");
    }
    text += "  stop:  Ctrl-C";
    if !address.ip().is_loopback() {
        text += &paint
            .yellow("\nWhoever reaches this address may pull, push and delete, and nothing is encrypted.");
    }
    text
}

/// Waits for Ctrl-C or a service manager's word.
async fn until_signal() -> Result<(), CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| CliError::failed(format!("the operating system refused signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
        _ = terminate.recv() => Ok(()),
    }
}
