//! Short questions that the engine asks for every transaction or block.

use crate::crypto::PublicKey;
use crate::ids::{NodeId, NodeIndex};
use crate::ledger::Ledger;
use crate::node::{Node, NodeStatus};

impl Ledger {
    /// Nonce of a key's last transaction; 0 for a key that never signed.
    pub fn nonce_of(&self, key: &PublicKey) -> u64 {
        self.state.accounts.get(key).map_or(0, |account| account.nonce)
    }

    /// Id of the node that votes with this validator key.
    pub fn node_id_by_validator_key(&self, key: &PublicKey) -> Option<NodeId> {
        self.validator_by_key(key).map(|(_, node)| node.id)
    }

    /// Whether a double signature by this validator key still has consequences: the key is registered,
    /// and its node is not banned yet. Destroying the node is no way out: the rules ban it all the same.
    pub fn can_be_punished(&self, validator_key: &PublicKey) -> bool {
        self.validator_by_key(validator_key).is_some_and(|(_, node)| node.status != NodeStatus::Banned)
    }

    /// The node that votes with this validator key, with its index.
    pub(crate) fn validator_by_key(&self, key: &PublicKey) -> Option<(NodeIndex, &Node)> {
        let index = *self.state.keys.get(key)?;
        let node = self.state.nodes.get(&index)?;
        (node.validator_key.as_ref() == Some(key)).then_some((index, node))
    }
}
