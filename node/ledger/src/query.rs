//! Questions to the ledger, for the RPC, the command line and the engine. Reading only.

use serde::Serialize;

use crate::crypto::PublicKey;
use crate::ids::NodeId;
use crate::ledger::Ledger;

/// A signing key's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Number of its last transaction; the next has one more.
    pub nonce: u64,
    /// The nodes that it operates, in order of registration.
    pub nodes: Vec<NodeId>,
}

impl Ledger {
    /// The account of a key; of a key that never signed, the empty one.
    pub fn account(&self, key: &PublicKey) -> AccountView {
        let nodes = self.state.operators.get(key).into_iter().flatten();
        AccountView {
            nonce: self.state.accounts.get(key).map_or(0, |account| account.nonce),
            nodes: nodes.filter_map(|index| Some(self.state.nodes.get(index)?.id)).collect(),
        }
    }
}
