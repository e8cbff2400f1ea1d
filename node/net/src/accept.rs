//! Lets strangers in: the loop behind the gate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::limits::Verdict;
use crate::lock::lock;
use crate::session::{self, HalfOpen};
use crate::shared::{Shared, count};

/// Lets strangers in, as far as the gate allows. Each session holds `alive` until it has ended.
pub(crate) async fn accept_all(shared: Arc<Shared>, alive: mpsc::Sender<()>) {
    while let Some(stranger) = shared.endpoint.accept().await {
        let half_open = shared.half_open.load(Ordering::Relaxed);
        let ip = stranger.addr().ip();
        let verdict = lock(&shared.gate).judge(ip, stranger.is_validated(), half_open, Instant::now());
        match verdict {
            Verdict::Accept => {
                // Counted here, not when the task first runs: the next stranger may be judged before.
                let half_open = HalfOpen::new(&shared);
                let session = session::inbound(shared.clone(), stranger, half_open);
                let alive = alive.clone();
                tokio::spawn(async move {
                    session.await;
                    drop(alive);
                });
            }
            Verdict::Retry => {
                count(&shared.counters.retries);
                stranger.retry();
            }
            // Without an answer an honest peer repeats its first datagram and soon gets in.
            Verdict::HalfOpen => {
                count(&shared.counters.refused_half_open);
                stranger.ignore();
            }
            Verdict::TooOften => {
                count(&shared.counters.refused_rate);
                stranger.ignore();
            }
        }
    }
}
