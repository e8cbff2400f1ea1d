//! Names that never change: the id of a node and its number in order of registration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::crypto::{Hash32, PublicKey, domain, hash};
use crate::hex_bytes::HexError;

/// A node's place in the order of registration, from 0; used inside the ledger and in leaf keys,
/// because four bytes are enough where an id takes 32.
pub type NodeIndex = u32;

/// A node's id for ever: a hash that anyone can recompute from its registration (DESIGN 5).
///
/// Shown as `0x` and 64 hex digits; read with or without the `0x`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub Hash32);

/// The id of the node that `operator` registered with its transaction number `nonce` dated
/// `registered_ms`. Genesis validators have nonce 0 and the genesis time.
pub fn node_id(operator: &PublicKey, registered_ms: u64, nonce: u64) -> NodeId {
    NodeId(hash(domain::NODE_ID, &[&operator.0, &registered_ms.to_be_bytes(), &nonce.to_be_bytes()]))
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for NodeId {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::hex_bytes::parse(text, "a node id").map(|bytes| Self(Hash32(bytes)))
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Hash32::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_can_be_recomputed_from_its_parts_by_hand() {
        let operator = PublicKey([7; 32]);
        let mut input = b"trustnet node id".to_vec();
        input.extend_from_slice(&[7; 32]);
        input.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2]);
        input.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(node_id(&operator, 258, 9).0.0, *blake3::hash(&input).as_bytes());
    }

    #[test]
    fn an_id_is_shown_with_0x_and_read_with_or_without() {
        let id = node_id(&PublicKey([1; 32]), 1, 1);
        let shown = id.to_string();
        assert_eq!(shown.len(), 66);
        assert_eq!(shown.parse::<NodeId>().unwrap(), id);
        assert_eq!(shown[2..].parse::<NodeId>().unwrap(), id);
        assert_eq!(serde_json::from_str::<NodeId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        assert!("node-1".parse::<NodeId>().is_err());
    }
}
