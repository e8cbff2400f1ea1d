//! A whole network in one thread: the product's replicas, virtual time, and one seed that decides everything.
//!
//! [`plan`] draws from the seed what will go wrong. [`world`] holds the machines, each a real engine over the
//! real store on a disk in memory, and the links between them; [`process`](mod@process) and [`traffic`](mod@traffic)
//! carry the engines' outputs out. [`checks`] looks at everything that is said and decided. [`liveness`] runs a
//! plan to its end, [`shrink`] finds the smallest plan that still fails, [`twins`] enumerates small networks
//! with two copies of a key, and [`size`] measures large ones.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod acts;
pub mod behaviour;
pub mod checks;
pub mod clients;
pub mod dice;
pub mod expect;
pub mod links;
pub mod liveness;
pub mod machine;
pub mod mischief;
pub mod plan;
pub mod process;
pub mod puppet;
pub mod seats;
pub mod series;
pub mod shrink;
pub mod size;
pub mod tally;
pub mod timeline;
pub mod traffic;
pub mod twins;
pub mod verdicts;
pub mod world;
