//! What the chain says: transactions, state, reputation and proofs.
//!
//! Pure: no I/O, no clock, no randomness, no floating point. The same blocks give the same state on
//! every machine.

pub mod account;
pub mod attestation;
pub mod calendar;
mod chain;
pub mod codec;
pub mod crypto;
pub mod draft;
mod effects;
pub mod event;
pub mod genesis;
mod hex_bytes;
pub mod ids;
mod layer;
pub mod leaves;
pub mod ledger;
pub mod lifecycle;
mod lookup;
pub mod merkle;
pub mod node;
pub mod params;
pub mod query;
pub mod query_ratings;
pub mod rating;
pub mod reputation;
mod rules;
mod settle;
pub mod shape;
pub mod signed;
mod state;
pub mod tree;
pub mod trust;
pub mod tx;
pub mod tx_error;
mod work;

pub use draft::{BlockContext, Draft, Execution};
pub use event::{LedgerEvent, ReputationCause};
pub use genesis::{CategoryWeights, Genesis, GenesisError, GenesisValidator, Root, RootRef};
pub use hex_bytes::HexError;
pub use ids::{NodeId, NodeIndex, node_id};
pub use ledger::{Ledger, LoadError};
pub use node::{NodeKind, NodeStatus, StatusReason, ValidatorEntry};
pub use params::Params;
pub use query::{AccountView, NodeTrust, NodeView};
pub use query_ratings::{CursorError, Direction, RatingCursor, RatingView, RatingsPage, Why, WhyRating};
pub use rating::Category;
pub use signed::{MAX_SIMPLE_TX_BYTES, MAX_TX_BYTES, SignedTransaction};
pub use tx::{Action, KeyProof, KeyRole, Observation, Transaction};
pub use tx_error::TxError;
