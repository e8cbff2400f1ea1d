//! What the chain says: transactions, state, reputation and proofs.
//!
//! Pure: no I/O, no clock, no randomness, no floating point. The same blocks give the same state on
//! every machine.

pub mod codec;
pub mod crypto;
