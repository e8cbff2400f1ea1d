//! Threads that check signatures, so that consensus does not wait behind them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::UnboundedSender;
use trustnet_ledger::crypto::{SignatureCheck, verify_many};

/// The most threads: the other cores have other work.
const MAX_THREADS: usize = 2;
/// Stack of one thread, in bytes: curve arithmetic needs little.
const THREAD_STACK_BYTES: usize = 512 * 1024;

/// A job and its checks.
type Work = (u64, Vec<SignatureCheck>);
/// A job and its results. The engine bounds what is under way, so the channel need not.
pub type Verdict = (u64, Vec<bool>);

/// The threads. They end when this is dropped.
pub struct CryptoPool {
    work: Sender<Work>,
}

impl CryptoPool {
    /// Starts the threads; verdicts go to `verdicts`. `seed` is secret randomness.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(seed: [u8; 32], verdicts: &UnboundedSender<Verdict>) -> std::io::Result<Self> {
        let (work, inbox) = channel::<Work>();
        let inbox = Arc::new(Mutex::new(inbox));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for index in 0..cores.saturating_sub(1).clamp(1, MAX_THREADS) {
            let (inbox, verdicts) = (Arc::clone(&inbox), verdicts.clone());
            std::thread::Builder::new()
                .name(format!("trustnet-crypto-{index}"))
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || work_off(&inbox, seed, &verdicts))?;
        }
        Ok(Self { work })
    }

    /// Hands in a job.
    pub fn check(&self, job: u64, checks: Vec<SignatureCheck>) {
        // The threads live as long as this sender; a failure means that the process is ending.
        let _ = self.work.send((job, checks));
    }
}

fn work_off(inbox: &Mutex<Receiver<Work>>, seed: [u8; 32], verdicts: &UnboundedSender<Verdict>) {
    loop {
        let next = match inbox.lock() {
            Ok(inbox) => inbox.recv(),
            Err(_) => return,
        };
        let Ok((job, checks)) = next else { return };
        if verdicts.send((job, verify_many(&checks, seed))).is_err() {
            return;
        }
    }
}
