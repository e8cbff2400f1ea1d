//! Registry time: how long the registry has been running, over all its starts. What is held for a while (leases,
//! uploads, the quarantine) is held by this time: a wall clock that jumps, as that of a board without a battery does,
//! would end it all at once.

use std::sync::Arc;
use std::time::Instant;

/// Tells how long this start has lasted.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the start; never fewer than before.
    fn elapsed_ms(&self) -> u64;
}

/// The system's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Registry time.
#[derive(Clone)]
pub(crate) struct Uptime {
    /// When this start began.
    base_ms: u64,
    clock: Arc<dyn Clock>,
}

impl Uptime {
    pub(crate) fn new(base_ms: u64, clock: Arc<dyn Clock>) -> Self {
        Self { base_ms, clock }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.base_ms.saturating_add(self.clock.elapsed_ms())
    }
}
