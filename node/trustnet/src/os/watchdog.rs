//! `trustnet os watchdog`: feeds the hardware watchdog while the machine is healthy.
//!
//! Healthy means: this program gets its turn, and the system can still start a program. When that fails
//! for a minute, the feeding ends, and the hardware starts the machine again. Whether the *node* runs is
//! the supervisor's matter: a fault of the node must not restart the machine for ever.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::error::CliError;

/// How often the watchdog is fed: the shortest hardware limit in use is 15 s.
const FEED_EVERY: Duration = Duration::from_secs(3);
/// How often a program is started on trial.
const TRIAL_EVERY: Duration = Duration::from_secs(30);
/// How long a started program may take.
const TRIAL_LIMIT: Duration = Duration::from_secs(15);
/// How long the machine may be unhealthy before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the driver takes for "switch off", when the program ends in order.
const MAGIC_CLOSE: &[u8] = b"V";

/// Decides whether to feed. Pure.
#[derive(Debug, Default)]
pub struct Feeder {
    unhealthy_since: Option<Instant>,
}

impl Feeder {
    /// Whether to feed now.
    pub fn feed(&mut self, now: Instant, healthy: bool) -> bool {
        if healthy {
            self.unhealthy_since = None;
            return true;
        }
        let since = *self.unhealthy_since.get_or_insert(now);
        now.duration_since(since) < PATIENCE
    }
}

/// Starts a program now and then and watches whether it ends.
#[derive(Debug)]
struct Trial {
    program: &'static str,
    running: Option<(Child, Instant)>,
    last: Option<Instant>,
    healthy: bool,
}

impl Trial {
    fn new(program: &'static str) -> Self {
        Self { program, running: None, last: None, healthy: true }
    }

    fn check(&mut self, now: Instant) -> bool {
        if let Some((child, since)) = &mut self.running {
            match child.try_wait() {
                Ok(None) => self.healthy = now.duration_since(*since) < TRIAL_LIMIT,
                Ok(Some(status)) => {
                    self.healthy = status.success();
                    self.running = None;
                }
                Err(_) => {
                    self.healthy = false;
                    self.running = None;
                }
            }
        } else if self.last.is_none_or(|last| now.duration_since(last) >= TRIAL_EVERY) || !self.healthy {
            self.last = Some(now);
            let child = Command::new(self.program).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            match child {
                Ok(child) => self.running = Some((child, now)),
                Err(_) => self.healthy = false,
            }
        }
        self.healthy
    }
}

/// Feeds `device` until a signal ends it in order, which switches the watchdog off.
///
/// # Errors
/// When the device cannot be opened or written.
pub fn run(device: &Path) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the operating system refused to wait: {error}")))?;
    runtime.block_on(feed(device))
}

async fn feed(device: &Path) -> Result<(), CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        CliError::failed(format!("cannot {what} {}: {error}", device.display()))
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed("watch over", &error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed("watch over", &error))?;
    // Opening it switches it on.
    let mut file = OpenOptions::new().write(true).open(device).map_err(|error| failed("open", &error))?;
    let mut feeder = Feeder::default();
    let mut trial = Trial::new("/bin/true");
    let mut given_up = false;
    let mut turn = tokio::time::interval(FEED_EVERY);
    loop {
        tokio::select! {
            _ = turn.tick() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        let now = Instant::now();
        let healthy = trial.check(now);
        if feeder.feed(now, healthy) {
            file.write_all(b"\0").map_err(|error| failed("feed", &error))?;
        } else if !given_up {
            given_up = true;
            eprintln!(
                "trustnet: no program could be started for a minute; the watchdog restarts the machine"
            );
        }
    }
    if !given_up {
        file.write_all(MAGIC_CLOSE).map_err(|error| failed("switch off", &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_healthy_machine_is_fed_and_a_short_trouble_forgiven() {
        let mut feeder = Feeder::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(feeder.feed(after(0), true));
        assert!(feeder.feed(after(10), false));
        assert!(feeder.feed(after(69), false));
        assert!(feeder.feed(after(72), true), "the trouble passed by itself");
        assert!(feeder.feed(after(80), false));
        assert!(!feeder.feed(after(140), false), "a minute of trouble is enough");
        assert!(feeder.feed(after(150), true), "if it recovers before the hardware bites, it is fed again");
    }

    #[test]
    fn a_program_that_ends_is_health_and_one_that_cannot_start_is_none() {
        let mut good = Trial::new("/bin/true");
        let start = Instant::now();
        assert!(good.check(start));
        std::thread::sleep(Duration::from_millis(300));
        assert!(good.check(start + FEED_EVERY));
        assert!(good.running.is_none());
        let mut bad = Trial::new("/nowhere/true");
        assert!(!bad.check(start));
        assert!(!bad.check(start + FEED_EVERY), "it tries again and stays unhealthy");
    }

    #[test]
    fn an_ordered_end_switches_the_watchdog_off() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("watchdog");
        std::fs::write(&device, "").unwrap();
        let path = device.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let feeding = feed(&path);
            tokio::pin!(feeding);
            // Fed at once; then the signal.
            tokio::select! {
                result = &mut feeding => panic!("{result:?}"),
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
            let pid = std::process::id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
            feeding.await.unwrap();
        });
        assert_eq!(std::fs::read(&device).unwrap(), b"\0V");
    }
}
