//! One replica as a state machine: consensus, ledger, pool of transactions and block sync.
//!
//! [`Engine::step`] takes one [`Input`] and the time, and returns [`Output`]s that a shell carries out in
//! order. Nothing here touches a socket, a file, a clock or a thread; randomness comes in as a seed.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod block;
pub mod chain;
pub mod config;
pub mod evidence;
pub mod io;
pub mod mempool;
pub mod message;
pub mod signer;
pub mod uptime;
pub mod verifier;
pub mod view;

mod amnesia;
mod attest;
mod candidates;
mod consensus;
mod engine;
mod gossip;
mod handlers;
mod jobs;
mod peers;
mod proposals;
mod silence;
mod sync;
mod verified;

pub use config::{Config, SignerState, Timing};
pub use engine::{Engine, EngineStats, Recovered};
pub use io::{Input, Now, Output, TimerId};
