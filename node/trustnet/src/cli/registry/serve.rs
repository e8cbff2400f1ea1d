//! `trustnet registry serve`: the registry runs until it is told to stop.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;
use trustnet_registry::{RegistryError, Rules, Running, SETTINGS_FILE, Setup, StartError, start};

use super::place::Place;
use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::config::Level;
use crate::output::Paint;

/// Where the registry listens if nothing else is said: for this machine only.
const DEFAULT_LISTEN: &str = "127.0.0.1:8000";
/// How long work that cannot be broken off may take at the end.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(2);
/// The port that is served without encryption, and the one that goes with it.
pub(super) const PLAIN_PORT: u16 = 8000;
pub(super) const TLS_PORT: u16 = 8053;

/// Serve images until Ctrl-C
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Address and port for docker, podman and others
    #[arg(long, value_name = "ADDR:PORT", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,

    /// Address and port for the same over TLS [default: port 8053 beside port 8000, else none]
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "no_tls")]
    tls: Option<SocketAddr>,

    /// Serve nothing over TLS
    #[arg(long)]
    no_tls: bool,

    /// Who may do what, and what may be stored [default: registry.toml in the registry's directory, if it is there]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Without settings: believe tokens of the node with this public key (64 hex digits); may be given several times
    #[arg(long, value_name = "KEY", conflicts_with = "settings", value_parser = public_key)]
    trust_key: Vec<[u8; 32]>,

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

fn public_key(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| "a public key is 64 hex digits, as `trustnet keys show node` prints it".to_owned())?;
    Ok(bytes)
}

impl ServeArgs {
    fn tls(&self) -> Option<SocketAddr> {
        let beside = (self.listen.port() == PLAIN_PORT).then(|| SocketAddr::new(self.listen.ip(), TLS_PORT));
        if self.no_tls { None } else { self.tls.or(beside) }
    }

    /// Who may do what. Without settings a registry that only this machine reaches is open; another one lets everybody
    /// pull, and nobody push without a token of a node that it trusts.
    fn rules(&self, place: &Place) -> Rules {
        let usual = place.dir.join(SETTINGS_FILE);
        let is_outside =
            std::iter::once(self.listen).chain(self.tls()).any(|address| !address.ip().is_loopback());
        match &self.settings {
            Some(file) => Rules::File(file.clone()),
            None if usual.exists() => Rules::File(usual),
            None if is_outside || !self.trust_key.is_empty() => Rules::Keys(self.trust_key.clone()),
            None => Rules::Open,
        }
    }
}

/// This machine's name and addresses.
pub(super) fn machine() -> (String, Vec<IpAddr>) {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    (host, interfaces.iter().map(if_addrs::Interface::ip).collect())
}

/// As few threads as a small board wants: each costs memory.
pub(super) fn runtime() -> Result<Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the operating system refused threads: {error}")))
}

pub(super) fn main(args: &ServeArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    crate::cli::run::log_to_stderr(match args.log.as_str() {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "debug" => Level::Debug,
        _ => Level::Info,
    });
    let mut setup = Setup::new(&place.dir, args.listen);
    setup.tls = args.tls();
    setup.machine = machine;
    setup.rules = args.rules(place);
    setup.metrics = args.metrics;
    let rules = setup.rules.clone();
    setup.grace = Duration::from_secs(args.grace);
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let running = start(setup).await.map_err(|error| refusal(error, place))?;
        let metrics = running.metrics_address().map(|address| format!("http://{address}/metrics"));
        let registry = format!("http://{}", running.address());
        let tls = running.tls_address().map(|address| format!("https://{address}"));
        let value = json!({ "registry": registry, "tls": tls, "metrics": metrics, "data": place.dir });
        globals.output().either(&value, |paint| welcome(&running, &rules, place, paint))?;
        until_signal().await?;
        eprintln!("stopping; running requests have {} s to end (once more to stop at once)", args.grace);
        tokio::select! {
            () = running.stop() => {}
            again = until_signal() => again?,
        }
        Ok(())
    });
    // The store survives a cut at any step; a second Ctrl-C must not wait for a file that is read to its end.
    runtime.shutdown_timeout(LEFTOVER_PATIENCE);
    served
}

pub(super) fn refusal(error: StartError, place: &Place) -> CliError {
    match error {
        StartError::Registry(error) => match &error {
            RegistryError::InUse(_) => CliError::damaged(error).next(place.command("ls")),
            RegistryError::Io { action: "listen on", .. } => {
                CliError::failed(error).next(place.command("serve --listen 127.0.0.1:0"))
            }
            _ => CliError::failed(error),
        },
        StartError::Settings(error) => CliError::usage(error).next("mend that line, then start again"),
        StartError::Tls(error) => {
            CliError::failed(error).next(format!("or serve without TLS: {}", place.command("serve --no-tls")))
        }
        error => CliError::failed(error).next("mend the settings, then start again"),
    }
}

fn welcome(running: &Running, rules: &Rules, place: &Place, paint: Paint) -> String {
    let address = running.address();
    let mut text = format!(
        "{} http://{address}, images in {}\n",
        paint.bold("The registry serves at"),
        place.dir.display()
    );
    if let Some(tls) = running.tls_address() {
        let _ =
            writeln!(text, "  and at https://{tls}; so that clients trust it: {}", place.command("trust"));
    }
    let _ = writeln!(text, "  push:  docker tag IMAGE {address}/IMAGE && docker push {address}/IMAGE");
    let _ = writeln!(text, "         podman push --tls-verify=false IMAGE {address}/IMAGE");
    let _ = writeln!(text, "  look:  {}", place.command("ls"));
    if let Some(metrics) = running.metrics_address() {
        let _ = writeln!(text, "  watch: http://{metrics}/metrics");
    }
    let may = match rules {
        Rules::Open => "everybody on this machine may pull, push and delete".to_owned(),
        Rules::File(file) => format!("as {} says", file.display()),
        Rules::Keys(keys) if keys.is_empty() => {
            format!("everybody may pull; to allow more, write {}", place.dir.join(SETTINGS_FILE).display())
        }
        Rules::Keys(_) => "everybody may pull; to push: trustnet registry token".to_owned(),
    };
    let _ = writeln!(text, "  may:   {may}");
    text += "  stop:  Ctrl-C";
    if !address.ip().is_loopback() {
        text += &paint
            .yellow("\nWhat goes over http:// is not encrypted; passwords and tokens belong on https://.");
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn args(line: &str) -> ServeArgs {
        Line::parse_from(std::iter::once("serve").chain(line.split_whitespace())).args
    }

    #[test]
    fn who_may_do_what_depends_on_who_can_reach_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let globals = Globals::default();
        let place = Place::find(Some(dir.path().into()), &globals).expect("a place");
        assert_eq!(args("").rules(&place), Rules::Open);
        assert_eq!(args("--listen 0.0.0.0:8000").rules(&place), Rules::Keys(Vec::new()));
        assert_eq!(args("--tls [::]:8053").rules(&place), Rules::Keys(Vec::new()));
        let key = format!("--trust-key {}", "ab".repeat(32));
        assert_eq!(args(&key).rules(&place), Rules::Keys(vec![[0xab; 32]]));
        let file = dir.path().join(SETTINGS_FILE);
        std::fs::write(&file, "").expect("written");
        assert_eq!(args("").rules(&place), Rules::File(file));
        assert_eq!(args("--settings /x").rules(&place), Rules::File("/x".into()));
        assert!(public_key("ab").is_err());
    }

    #[test]
    fn tls_comes_with_the_usual_port() {
        assert_eq!(args("").tls(), Some(([127, 0, 0, 1], 8053).into()));
        assert_eq!(args("--no-tls").tls(), None);
        assert_eq!(args("--listen 127.0.0.1:0").tls(), None);
        assert_eq!(args("--listen [::]:8000").tls().map(|address| address.port()), Some(8053));
        assert_eq!(args("--listen 127.0.0.1:0 --tls 127.0.0.1:1").tls(), Some(([127, 0, 0, 1], 1).into()));
    }
}
