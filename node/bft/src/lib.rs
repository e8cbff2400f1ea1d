//! Tendermint consensus as a pure step function.
#![no_std]

mod bits;
mod certificate;
mod core;
mod events;
mod future;
mod rotation;
mod round;
mod tally;
mod types;
mod validators;
mod votes;

pub use crate::core::Core;
pub use bits::Bits;
pub use certificate::{Certificate, CertificateError};
pub use events::{Action, Actions, Event, MAX_ACTIONS};
pub use types::{
    Height, Index, MAX_ROUND, MAX_VALIDATORS, Memory, Power, Proposal, Round, Signature, SignedProposal,
    SignedVote, Step, Timeout, ValueId, Vote, VoteKind,
};
pub use validators::{MAX_TOTAL_POWER, SetError, ValidatorSet};
