//! The `TrustNet` program: the shell round the engine, its RPC and its command line.

pub mod cli;
pub mod client;
pub mod config;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod home;
pub mod import;
pub mod keys;
pub mod new_home;
pub mod node;
pub mod output;
pub mod rpc;
pub mod screen;
pub mod suggest;
pub mod up;
