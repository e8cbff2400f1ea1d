//! The wish to stop, however it is expressed: Ctrl-C, SIGTERM, a closed terminal, the key q.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

/// Counts how often somebody asked to stop: once is a request, twice is impatience.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Listens to SIGINT, SIGTERM and SIGHUP on a thread of its own for the rest of the process.
    ///
    /// # Errors
    /// When the system lends no thread or signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let asked = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut signals = {
            let _guard = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            )
        };
        thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = signals.0.recv() => asked.ask(),
                        _ = signals.1.recv() => asked.ask(),
                        _ = signals.2.recv() => asked.ask(),
                    }
                }
            });
        })?;
        Ok(stop)
    }

    /// Asks to stop.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Whether somebody asked again.
    pub fn is_urgent(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_twice_is_urgent() {
        let stop = Stop::default();
        assert!(!stop.is_asked());
        stop.ask();
        assert!(stop.is_asked() && !stop.is_urgent());
        stop.clone().ask();
        assert!(stop.is_urgent());
    }
}
