//! `CometBFT`'s shapes as pure functions: parts of the chain in, JSON out. No I/O, no clock.

pub mod abci;
pub mod block;
pub mod broadcast;
pub mod commit;
pub mod consensus;
pub mod evidence;
pub mod genesis;
pub mod header;
pub mod net_info;
pub mod node_info;
pub mod page;
pub mod status;
pub mod tx;
pub mod validators;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod strict_client_tests;
