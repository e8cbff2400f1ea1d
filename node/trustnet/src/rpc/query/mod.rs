//! `/abci_query`: the ledger's own questions. `path` names the question, `data` is its argument as
//! JSON, `value` the answer as JSON.
//!
//! | Path | Argument | Answer |
//! |---|---|---|
//! | `/summary` | | the chain, its validators and this node at a glance |
//! | `/node` | `node`: name, id or number | the node |
//! | `/nodes` | `after`: number, `limit` <= 500 | nodes in order of registration |
//! | `/account` | `key` | nonce and nodes of a signing key |
//! | `/accounts` | `keys` <= 1,000 | the same in short, in the order asked |
//! | `/ratings` | `node`, `direction`: `in` or `out`, `after`, `limit` <= 1,000, `history` | `items` and `next` |
//! | `/all-ratings` | `after`, `limit` <= 5,000 | `items` and `next` |
//! | `/trust` | `day` | trust of everybody on a day, with its checksum |
//! | `/why` | `node` | what a node's trust is made of |
//! | `/genesis-hash` | | the chain's identity, hex |
//! | `/params` | | intervals and amounts of the chain |
//! | `/header` | `height` | our own header of a block, whole, and the bytes that its id is the hash of |
//!
//! Answers are those of the last block; `height` and `prove` of the call are not used, `height` of the
//! answer says which block it was. Errors: the ledger's code where it has one (1 for an argument that
//! cannot be read, 7 for an unknown node), 1,003 when this node has too much to do, 2,000 for an
//! unknown path, 2,001 for a block that is not here.

mod header;
mod nodes;
mod ratings;
mod summary;
mod trust;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::args::Args;
use super::error::RpcError;
use super::http::Reply;
use super::state::Rpc;
use super::views::abci;
use crate::node::NodeView;

/// Longest argument, in bytes: a thousand keys, and room for the rest.
const MAX_ARGUMENT_BYTES: usize = 128 * 1024;
/// The argument cannot be read.
const CODE_MALFORMED: u32 = 1;
/// There is no such node.
const CODE_UNKNOWN_NODE: u32 = 7;
/// This node has too much to do (as for transactions).
const CODE_BUSY: u32 = 1_003;
/// There is no such question.
const CODE_UNKNOWN_PATH: u32 = 2_000;
/// The block is not here.
const CODE_NO_BLOCK: u32 = 2_001;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueryError {
    code: u32,
    log: String,
}

impl QueryError {
    fn malformed(log: impl Into<String>) -> Self {
        Self { code: CODE_MALFORMED, log: log.into() }
    }

    fn unknown_node(node: &str) -> Self {
        Self {
            code: CODE_UNKNOWN_NODE,
            log: format!("no node has the name, id or number {:?}", shortened(node)),
        }
    }
}

/// A caller's own text, shown back only so far.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// An answer as JSON text, or why there is none, with the height that it holds for.
type Answer = (Result<Vec<u8>, QueryError>, u64);

/// Reads an argument; an empty one is an empty object.
fn argument<T: DeserializeOwned>(data: &[u8]) -> Result<T, QueryError> {
    if data.len() > MAX_ARGUMENT_BYTES {
        let len = data.len();
        return Err(QueryError::malformed(format!(
            "the argument has {len} bytes, more than {MAX_ARGUMENT_BYTES}"
        )));
    }
    let data = if data.is_empty() { b"{}" } else { data };
    serde_json::from_slice(data)
        .map_err(|error| QueryError::malformed(format!("the argument cannot be read: {error}")))
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, QueryError> {
    serde_json::to_vec(value)
        .map_err(|error| QueryError::malformed(format!("the answer cannot be written: {error}")))
}

/// Brings a wanted number of elements into range.
fn limit(given: Option<usize>, default: usize, most: usize) -> usize {
    given.unwrap_or(default).clamp(1, most)
}

impl Rpc {
    /// `/abci_query`
    pub(super) async fn abci_query(&self, args: &Args) -> Result<Reply, RpcError> {
        let (path, data) = (args.text("path")?, args.hex("data")?);
        // Checked, though not used: a wrong one is the caller's mistake.
        args.int("height")?;
        args.bool("prove")?;
        let (outcome, height) = self.question(&path, &data).await?;
        Ok(Reply::now(match outcome {
            Ok(value) => abci::query(0, "", &data, &value, height),
            Err(error) => abci::query(error.code, &error.log, &data, b"", height),
        }))
    }

    async fn question(&self, path: &str, data: &[u8]) -> Result<Answer, RpcError> {
        match path {
            "/summary" => self.answer(data, |view, _: &summary::Argument| Ok(summary::summary(view))).await,
            "/node" => self.answer(data, nodes::node).await,
            "/nodes" => self.answer(data, nodes::nodes).await,
            "/account" => self.answer(data, nodes::account).await,
            "/accounts" => self.answer(data, nodes::accounts).await,
            "/ratings" => self.answer(data, ratings::ratings).await,
            "/all-ratings" => self.answer(data, ratings::all_ratings).await,
            "/why" => self.answer(data, trust::why).await,
            "/trust" => self.trust_of_day(data).await,
            "/params" => {
                self.answer(data, |view, _: &summary::Argument| Ok(*view.engine.ledger().params())).await
            }
            "/genesis-hash" => {
                self.answer(data, |view, _: &summary::Argument| {
                    Ok(view.engine.ledger().genesis_hash().to_string())
                })
                .await
            }
            "/header" => self.own_header(data).await,
            _ => {
                let log = format!("there is no question {:?}; the paths begin with a slash", shortened(path));
                Ok((Err(QueryError { code: CODE_UNKNOWN_PATH, log }), self.ledger_height().await?))
            }
        }
    }

    async fn ledger_height(&self) -> Result<u64, RpcError> {
        self.ask(|view| view.engine.ledger().height()).await
    }

    /// Reads the argument, asks on the engine's thread, and writes the answer off it.
    async fn answer<A, T>(
        &self,
        data: &[u8],
        read: impl FnOnce(&NodeView<'_>, &A) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<Answer, RpcError>
    where
        A: DeserializeOwned + Send + 'static,
        T: Serialize + Send + 'static,
    {
        let argument: A = match argument(data) {
            Ok(argument) => argument,
            Err(error) => return Ok((Err(error), self.ledger_height().await?)),
        };
        let (outcome, height) =
            self.ask(move |view| (read(view, &argument), view.engine.ledger().height())).await?;
        Ok((outcome.and_then(|value| to_json(&value)), height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_argument_is_an_empty_object() {
        assert!(argument::<summary::Argument>(b"").is_ok());
        assert!(argument::<summary::Argument>(b"{}").is_ok());
    }

    #[test]
    fn arguments_that_cannot_be_read_say_where() {
        let error =
            argument::<nodes::NodeArgument>(b"{\"nod\":1}").err().map(|error| (error.code, error.log));
        let (code, log) = error.unwrap_or_default();
        assert_eq!(code, CODE_MALFORMED);
        assert!(log.contains("unknown field `nod`, expected `node`"), "{log}");
        assert!(argument::<summary::Argument>(b"[").is_err());
        assert!(argument::<summary::Argument>(&vec![b' '; MAX_ARGUMENT_BYTES + 1]).is_err());
    }

    #[test]
    fn limits_are_brought_into_range() {
        assert_eq!(
            [None, Some(0), Some(7), Some(usize::MAX)].map(|given| limit(given, 100, 500)),
            [100, 1, 7, 500]
        );
    }
}
