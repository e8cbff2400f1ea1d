//! How an import ends: what it did, or why it could not go on.

use std::fmt::Write as _;
use std::time::Duration;

use super::progress::rate;
use crate::client::ClientError;

/// How patient an import is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// So long may all endpoints be silent before the first answer.
    pub first_contact: Duration,
    /// So long may all endpoints be silent.
    pub unreachable: Duration,
    /// So long may the chain stand still.
    pub standstill: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_contact: Duration::from_secs(3),
            unreachable: Duration::from_mins(1),
            standstill: Duration::from_mins(2),
        }
    }
}

/// Why an import ended before everything was in the chain. What was committed stays; the same
/// command goes on where it ended.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nobody answers any more.
    #[error("{source}; nothing answered for {} s", patience.as_secs())]
    Unreachable {
        /// The last failure.
        source: ClientError,
        /// How long it was tried.
        patience: Duration,
    },
    /// The endpoints answer, but no block takes a transaction.
    #[error(
        "the chain has not taken a transaction for {} s ({committed} of {total} are committed{reason})",
        patience.as_secs()
    )]
    Standstill {
        /// How long it stood still.
        patience: Duration,
        /// Transactions committed.
        committed: usize,
        /// Transactions wanted.
        total: usize,
        /// What the node last said, if it said something.
        reason: String,
    },
    /// The ledger refused transactions for good.
    #[error("{}", refusals(list, *count, *left))]
    Refused {
        /// The first refusals, with line and reason.
        list: Vec<String>,
        /// All refusals.
        count: usize,
        /// Transactions that were not sent because of them.
        left: usize,
        /// The ledger's code of the first.
        code: u32,
    },
    /// The endpoints belong to different chains.
    #[error("the endpoints belong to different chains: {0} and {1}; give endpoints of one chain")]
    DifferentChains(String, String),
    /// The user ended it.
    #[error("interrupted after {committed} of {total} transactions; the same command goes on from here")]
    Interrupted {
        /// Transactions committed.
        committed: usize,
        /// Transactions wanted.
        total: usize,
    },
}

fn refusals(list: &[String], count: usize, left: usize) -> String {
    let mut text = list.join("\n");
    if count > list.len() {
        let _ = write!(text, "\n... and {} more", count - list.len());
    }
    let were = if count == 1 { "1 transaction was" } else { &format!("{count} transactions were") };
    let _ = write!(
        text,
        "\n{were} refused by the ledger; {left} were not sent because of that, the rest is committed"
    );
    text
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The chain.
    pub chain_id: String,
    /// People of the file.
    pub people: usize,
    /// Ratings of the file.
    pub ratings: usize,
    /// Registrations committed by this run.
    pub registered: usize,
    /// Ratings committed by this run.
    pub rated: usize,
    /// Registrations and ratings that were there before.
    pub present: usize,
    /// Time from the first transaction sent to the last one seen committed.
    pub elapsed: Duration,
    /// Transactions that had to be sent again.
    pub resent: u64,
}

impl Summary {
    /// Transactions committed by this run.
    pub fn committed(&self) -> usize {
        self.registered + self.rated
    }

    /// Committed transactions a second.
    pub fn per_second(&self) -> u64 {
        rate(self.committed(), self.elapsed)
    }

    /// The summary for scripts.
    pub fn to_json(&self, file: &str) -> serde_json::Value {
        serde_json::json!({
            "file": file,
            "chain_id": self.chain_id,
            "people": self.people,
            "ratings": self.ratings,
            "committed": self.committed(),
            "registered": self.registered,
            "rated": self.rated,
            "already_there": self.present,
            "milliseconds": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "tx_per_second": self.per_second(),
            "sent_again": self.resent,
        })
    }
}
