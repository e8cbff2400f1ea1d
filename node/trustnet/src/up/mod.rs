//! `trustnet up`: a whole local network in one command.

pub mod facts;
pub mod network;
pub mod ports;
pub mod process;
pub mod restart;
pub mod setup;
