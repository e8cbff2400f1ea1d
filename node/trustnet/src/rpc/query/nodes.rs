//! `/node`, `/nodes`, `/account`, `/accounts`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use trustnet_ledger::crypto::PublicKey;
use trustnet_ledger::{AccountView, NodeId, NodeIndex, NodeView as LedgerNode};

use super::{QueryError, limit};
use crate::node::NodeView;

/// Nodes in one answer when no number is named.
const DEFAULT_NODES: usize = 100;
/// Most nodes in one answer.
const MAX_NODES: usize = 500;
/// Most keys in one question.
const MAX_KEYS: usize = 1_000;

/// A node by name, id or number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum NodeRef {
    /// Its number.
    Number(NodeIndex),
    /// Its name, its id, or its number as text.
    Text(String),
}

impl NodeRef {
    /// The number of the node that is meant.
    pub(super) fn find(&self, view: &NodeView<'_>) -> Result<NodeIndex, QueryError> {
        let text = match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        };
        view.engine.ledger().find_node(&text).ok_or_else(|| QueryError::unknown_node(&text))
    }
}

/// Which node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeArgument {
    /// The node.
    pub node: NodeRef,
}

/// `/node`
pub fn node(view: &NodeView<'_>, argument: &NodeArgument) -> Result<LedgerNode, QueryError> {
    let index = argument.node.find(view)?;
    view.engine.ledger().node_by_index(index).ok_or_else(|| QueryError::unknown_node(&index.to_string()))
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodesArgument {
    after: Option<NodeIndex>,
    limit: Option<usize>,
}

/// `/nodes`
#[allow(clippy::unnecessary_wraps)]
pub fn nodes(view: &NodeView<'_>, argument: &NodesArgument) -> Result<Vec<LedgerNode>, QueryError> {
    Ok(view.engine.ledger().nodes(argument.after, limit(argument.limit, DEFAULT_NODES, MAX_NODES)))
}

/// Whose account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountArgument {
    key: String,
}

fn key(text: &str) -> Result<PublicKey, QueryError> {
    PublicKey::from_str(text).map_err(|error| QueryError::malformed(error.to_string()))
}

/// `/account`
pub fn account(view: &NodeView<'_>, argument: &AccountArgument) -> Result<AccountView, QueryError> {
    Ok(view.engine.ledger().account(&key(&argument.key)?))
}

/// Whose accounts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsArgument {
    keys: Vec<String>,
}

/// An account in short.
#[derive(Debug, Serialize)]
pub struct AccountRow {
    key: String,
    nonce: u64,
    /// The first node that it operates.
    node: Option<NodeId>,
}

/// `/accounts`: one row for each key, in the order asked, under the text by which it was asked.
pub fn accounts(view: &NodeView<'_>, argument: &AccountsArgument) -> Result<Vec<AccountRow>, QueryError> {
    if argument.keys.len() > MAX_KEYS {
        return Err(QueryError::malformed(format!(
            "{} keys are more than the {MAX_KEYS} allowed in one question",
            argument.keys.len()
        )));
    }
    let ledger = view.engine.ledger();
    argument
        .keys
        .iter()
        .map(|text| {
            let account = ledger.account(&key(text)?);
            Ok(AccountRow { key: text.clone(), nonce: account.nonce, node: account.nodes.first().copied() })
        })
        .collect()
}
