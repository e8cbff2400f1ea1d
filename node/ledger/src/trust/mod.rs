//! The trust score: `RootFlow` v1 over the ledger's ratings.

pub(crate) mod epoch;
pub mod explain;
pub mod graph;
pub mod rootflow;
pub mod view;

pub use explain::{Contribution, ReceivedRating, contributions, explain};
pub use graph::{RatingEdge, TrustGraph};
pub use rootflow::{TrustParams, TrustScores, decay, rootflow, sponsors_needed};
pub use view::{RootView, TrustInput, TrustRow, TrustView};
