//! The shell round the engine: opens a home, runs the engine on its own thread, and connects it with
//! the network, the disk, the clocks and the clients.

mod checkpoint;
mod crypto_pool;
mod engine_thread;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handle;
mod open;
mod repair;
mod run;
mod timers;

pub use error::RunError;
pub use handle::{NodeGone, NodeHandle, NodeInfo, NodeView, SubmitError};
pub use repair::{Examination, Outcome, apply, examine};
#[cfg(test)]
pub use run::run_on;
pub use run::{RunOptions, run};
