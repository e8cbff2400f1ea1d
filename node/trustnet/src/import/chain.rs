//! The chain as the import sees it: accounts, ratings, and a door for transactions.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use trustnet_ledger::crypto::PublicKey;
use trustnet_ledger::{Category, NodeId};

use super::plan::{Account, CurrentRatings};
use super::window::Answer;
use crate::client::{Client, ClientError};

/// Most keys in one question about accounts.
pub const MAX_KEYS: usize = 1_000;
/// Ratings in one page.
const RATINGS_PAGE: usize = 5_000;
/// The ledger's code for a nonce that is used already: the transaction, or its twin, is in the chain.
const CODE_NONCE_USED: u32 = 4;
/// The ledger's code for a nonce too far ahead: an earlier transaction has not come through yet.
const CODE_NONCE_GAP: u32 = 5;
/// Codes from here on come from the node (pool full, busy, stopping), not from the ledger: they pass.
const FIRST_NODE_CODE: u32 = 1_000;
/// The node's code for a pool that is full.
pub const CODE_POOL_FULL: u32 = FIRST_NODE_CODE;
/// The node's code for a transaction that waits in its pool already.
const CODE_KNOWN: u32 = 1_002;

/// A chain behind one or more RPC endpoints.
pub trait Chain: Sync {
    /// How many endpoints there are (at least 1).
    fn endpoints(&self) -> usize;
    /// The chain id that signatures cover.
    ///
    /// # Errors
    /// When the endpoint does not answer.
    fn chain_id(&self, endpoint: usize) -> Result<String, ClientError>;
    /// The accounts of up to [`MAX_KEYS`] keys, in their order.
    ///
    /// # Errors
    /// When the endpoint does not answer as it should.
    fn accounts(&self, endpoint: usize, keys: &[PublicKey]) -> Result<Vec<Account>, ClientError>;
    /// All current honesty ratings.
    ///
    /// # Errors
    /// When the endpoint does not answer as it should.
    fn ratings(&self, endpoint: usize) -> Result<CurrentRatings, ClientError>;
    /// Hands transactions in; one answer each, with the reason unless it was taken.
    ///
    /// # Errors
    /// When the endpoint does not answer as it should.
    fn submit(&self, endpoint: usize, transactions: &[Vec<u8>]) -> Result<Vec<Reply>, ClientError>;
}

/// What became of one transaction at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// For the window.
    pub answer: Answer,
    /// The ledger's code, 0 if it was taken.
    pub code: u32,
    /// The node's words.
    pub log: String,
}

impl Reply {
    /// Taken.
    pub fn taken() -> Self {
        Self { answer: Answer::Taken, code: 0, log: String::new() }
    }

    /// What a node's code means for the window.
    pub fn from_code(code: u32, log: String) -> Self {
        let answer = match code {
            0 | CODE_NONCE_USED | CODE_KNOWN => Answer::Taken,
            CODE_NONCE_GAP | FIRST_NODE_CODE.. => Answer::Later,
            _ => Answer::Refused,
        };
        Self { answer, code, log }
    }
}

/// A chain reached over JSON-RPC.
#[derive(Clone, Debug)]
pub struct RpcChain {
    clients: Vec<Client>,
}

impl RpcChain {
    /// A chain behind these endpoints (at least one; further ones share the load).
    pub fn new(clients: Vec<Client>) -> Self {
        Self { clients }
    }

    /// The client of an endpoint.
    pub fn client(&self, endpoint: usize) -> &Client {
        &self.clients[endpoint % self.clients.len()]
    }
}

#[derive(Deserialize)]
struct AccountRow {
    key: String,
    nonce: u64,
    node: Option<String>,
}

#[derive(Deserialize)]
struct RatingPage {
    items: Vec<RatingRow>,
    #[serde(default)]
    next: Value,
}

#[derive(Deserialize)]
struct RatingRow {
    from: String,
    to: String,
    category: String,
    stars: u8,
    time_ms: u64,
}

fn malformed(client: &Client, problem: impl Into<String>) -> ClientError {
    ClientError::BadAnswer { url: client.url().to_owned(), problem: problem.into() }
}

fn node(client: &Client, text: &str) -> Result<NodeId, ClientError> {
    text.parse().map_err(|_| malformed(client, format!("`{text}` is not a node id")))
}

/// A current rating on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatingFact {
    /// The rater.
    pub from: NodeId,
    /// The rated.
    pub to: NodeId,
    /// What about.
    pub category: Category,
    /// 1 to 5.
    pub stars: u8,
    /// The rating's own time, Unix milliseconds.
    pub time_ms: u64,
}

/// All current ratings of a chain, page by page.
///
/// # Errors
/// When the node does not answer as it should.
pub fn all_ratings(client: &Client) -> Result<Vec<RatingFact>, ClientError> {
    let (mut all, mut after) = (Vec::new(), Value::Null);
    loop {
        let page: RatingPage =
            client.query("/all-ratings", &json!({ "after": after, "limit": RATINGS_PAGE }))?;
        for row in &page.items {
            let category = Category::ALL
                .into_iter()
                .find(|category| category.name().eq_ignore_ascii_case(&row.category));
            let category =
                category.ok_or_else(|| malformed(client, format!("`{}` is no category", row.category)))?;
            let (from, to) = (node(client, &row.from)?, node(client, &row.to)?);
            all.push(RatingFact { from, to, category, stars: row.stars, time_ms: row.time_ms });
        }
        if page.next.is_null() {
            return Ok(all);
        }
        if page.next == after || page.items.is_empty() {
            return Err(malformed(client, "the pages of /all-ratings do not come to an end"));
        }
        after = page.next;
    }
}

impl Chain for RpcChain {
    fn endpoints(&self) -> usize {
        self.clients.len()
    }

    fn chain_id(&self, endpoint: usize) -> Result<String, ClientError> {
        self.client(endpoint).chain_id()
    }

    fn accounts(&self, endpoint: usize, keys: &[PublicKey]) -> Result<Vec<Account>, ClientError> {
        let client = self.client(endpoint);
        let hex: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let rows: Vec<AccountRow> = client.query("/accounts", &json!({ "keys": hex }))?;
        // Keys the chain has never seen may be left out; the order is ours, not the node's.
        let mut by_key: HashMap<String, Account> = HashMap::with_capacity(rows.len());
        for row in rows {
            let id = row.node.map(|text| node(client, &text)).transpose()?;
            by_key.insert(row.key, Account { nonce: row.nonce, node: id });
        }
        Ok(hex.iter().map(|key| by_key.get(key).copied().unwrap_or_default()).collect())
    }

    fn ratings(&self, endpoint: usize) -> Result<CurrentRatings, ClientError> {
        let honest =
            all_ratings(self.client(endpoint))?.into_iter().filter(|r| r.category == Category::Honesty);
        Ok(honest.map(|r| ((r.from, r.to), (r.stars, r.time_ms))).collect())
    }

    fn submit(&self, endpoint: usize, transactions: &[Vec<u8>]) -> Result<Vec<Reply>, ClientError> {
        let client = self.client(endpoint);
        let replies = client.broadcast_sync_batch(transactions)?;
        let reply = |result: Result<crate::client::Broadcast, ClientError>| match result {
            Ok(broadcast) => Reply::from_code(broadcast.code, broadcast.log),
            // The node itself, not the ledger, has a difficulty: it passes or shows up as a standstill.
            Err(error) => Reply { answer: Answer::Later, code: 0, log: error.to_string() },
        };
        Ok(replies.into_iter().map(reply).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_passes_from_what_is_refused_for_good() {
        let answer = |code| Reply::from_code(code, String::new()).answer;
        assert_eq!([0, 4, 1_002].map(answer), [Answer::Taken; 3]);
        assert_eq!([5, 1_000, 1_001, 1_003, 1_004].map(answer), [Answer::Later; 5]);
        assert_eq!([1, 3, 7, 11, 21, 999].map(answer), [Answer::Refused; 6]);
    }
}
