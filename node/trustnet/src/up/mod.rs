//! `trustnet up`: a whole local network in one command.
//!
//! [`command`] prepares the folder ([`network`], [`ports`], [`setup`]), [`session`] runs the nodes
//! ([`process`], [`restart`]), asks them how they are ([`watch`], [`facts`]), imports ratings beside
//! them ([`task`], [`report`]) and shows it all ([`refresh`], [`face`]).

pub mod command;
pub mod face;
pub mod facts;
pub mod network;
pub mod ports;
pub mod process;
pub mod refresh;
pub mod report;
pub mod restart;
pub mod session;
pub mod setup;
pub mod stop;
pub mod task;
pub mod watch;
