//! What the chain says: transactions, state, reputation and proofs.
//!
//! Pure: no I/O, no clock, no randomness, no floating point. The same blocks give the same state on
//! every machine.

pub mod account;
pub mod attestation;
pub mod calendar;
pub mod codec;
pub mod crypto;
pub mod genesis;
mod hex_bytes;
pub mod ids;
pub mod lifecycle;
pub mod merkle;
pub mod node;
pub mod params;
pub mod rating;
pub mod reputation;
pub mod shape;
pub mod signed;
pub mod tree;
pub mod trust;
pub mod tx;
pub mod tx_error;

pub use genesis::{CategoryWeights, Genesis, GenesisError, GenesisValidator, Root, RootRef};
pub use hex_bytes::HexError;
pub use ids::{NodeId, NodeIndex, node_id};
pub use node::{NodeKind, NodeStatus, StatusReason};
pub use params::Params;
pub use rating::Category;
pub use signed::{MAX_SIMPLE_TX_BYTES, MAX_TX_BYTES, SignedTransaction};
pub use tx::{Action, KeyProof, KeyRole, Observation, Transaction};
pub use tx_error::TxError;
