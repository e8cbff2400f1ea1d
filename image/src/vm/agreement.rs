//! When the nodes of a new network are in agreement: all see all others, are on one chain that has grown beyond its
//! genesis (an idle one does not: see [`super::first_tx`]), and have the same block at the greatest height that all have
//! reached.

use serde_json::{Value, json};
use trustnet::client::{Client, number};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The id of its chain.
    chain: String,
    /// How many blocks it has.
    pub(super) height: u64,
    /// How many nodes it is connected to.
    peers: u64,
}

/// What nodes agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The id of their chain.
    pub chain: String,
    /// The greatest height that all have reached; 0 is the genesis, of which they had no need to convince each other.
    pub height: u64,
}

impl Seen {
    /// Asks a node.
    pub(super) fn ask(node: &Client) -> Result<Self, String> {
        let call = |method| node.call(method, &json!({})).map_err(|error| error.to_string());
        Self::read(&call("status")?, &call("net_info")?)
    }

    fn read(status: &Value, net_info: &Value) -> Result<Self, String> {
        let chain = status["node_info"]["network"].as_str();
        let height = number(&status["sync_info"]["latest_block_height"]);
        let peers = number(&net_info["n_peers"]);
        match (chain, height, peers) {
            (Some(chain), Some(height), Some(peers)) => Ok(Self { chain: chain.to_owned(), height, peers }),
            _ => Err("it does not answer as a TrustNet node does".to_owned()),
        }
    }
}

/// What the nodes agree on as far as they say themselves; else what is missing.
pub(super) fn missing(seen: &[(&str, Result<Seen, String>)]) -> Result<Agreement, String> {
    let mut all = Vec::new();
    for (name, seen) in seen {
        match seen {
            Ok(seen) => all.push((name, seen)),
            Err(why) => return Err(format!("{name}: {why}")),
        }
    }
    let others = seen.len().saturating_sub(1) as u64;
    let Some((first, Seen { chain, .. })) = all.first() else { return Err("there are no nodes".to_owned()) };
    for (name, node) in &all {
        if node.chain != *chain {
            return Err(format!("{name} is on the chain {}, and {first} on {chain}", node.chain));
        }
        if node.peers < others {
            return Err(format!("{name} sees {} of {others} others", node.peers));
        }
    }
    let height = all.iter().map(|(_, node)| node.height).min().unwrap_or(0);
    Ok(Agreement { chain: chain.clone(), height })
}

/// The id of a node's block.
pub(super) fn block_id(node: &Client, height: u64) -> Result<String, String> {
    let block = node.call("block", &json!({ "height": height.to_string() }));
    let block = block.map_err(|error| error.to_string())?;
    let id = block["block_id"]["hash"].as_str().filter(|id| !id.is_empty());
    id.map(ToOwned::to_owned).ok_or_else(|| format!("it has no block {height}"))
}

/// The agreement, if the ids of all nodes' blocks at its height are the same.
pub(super) fn same_block(
    agreed: Agreement,
    blocks: &[(&str, Result<String, String>)],
) -> Result<Agreement, String> {
    let mut ids = Vec::new();
    for (name, id) in blocks {
        ids.push((name, id.as_ref().map_err(|why| format!("{name}: {why}"))?));
    }
    match ids.windows(2).find(|pair| pair[0].1 != pair[1].1) {
        Some(pair) => {
            Err(format!("{} and {} have different blocks at height {}", pair[0].0, pair[1].0, agreed.height))
        }
        None => Ok(agreed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seen(chain: &str, height: u64, peers: u64) -> Seen {
        Seen { chain: chain.into(), height, peers }
    }

    #[test]
    fn answers_are_read_as_nodes_give_them() {
        let status = json!({
            "node_info": { "network": "vms-1" }, "sync_info": { "latest_block_height": "7", "catching_up": false }
        });
        let net = json!({ "listening": true, "n_peers": "3", "peers": [] });
        assert_eq!(Seen::read(&status, &net), Ok(seen("vms-1", 7, 3)));
        assert!(Seen::read(&json!({}), &net).is_err());
        assert!(Seen::read(&status, &json!({ "n_peers": "many" })).is_err());
    }

    #[test]
    fn nodes_agree_when_all_see_all_and_have_the_same_block() {
        let good = [("a", Ok(seen("c", 5, 2))), ("b", Ok(seen("c", 3, 2))), ("c", Ok(seen("c", 4, 2)))];
        let agreed = missing(&good).unwrap();
        assert_eq!(missing(&[("a", Ok(seen("c", 0, 0)))]).unwrap().height, 0);
        assert_eq!(agreed, Agreement { chain: "c".into(), height: 3 });
        let block = |id: &str| Ok(id.to_owned());
        let same = [("a", block("x")), ("b", block("x")), ("c", block("x"))];
        assert_eq!(same_block(agreed.clone(), &same).unwrap(), agreed);
        let other = [("a", block("x")), ("b", block("x")), ("c", block("y"))];
        let why = same_block(agreed.clone(), &other).unwrap_err();
        assert_eq!(why, "b and c have different blocks at height 3");
        assert!(same_block(agreed, &[("a", Err("no answer".into()))]).unwrap_err().starts_with("a: "));
    }

    #[test]
    fn what_is_missing_is_said_with_the_node_that_lacks_it() {
        let lacks = |second| missing(&[("a", Ok(seen("c", 5, 1))), ("b", second)]).unwrap_err();
        assert_eq!(lacks(Err("no answer".into())), "b: no answer");
        assert_eq!(lacks(Ok(seen("d", 5, 1))), "b is on the chain d, and a on c");
        assert_eq!(lacks(Ok(seen("c", 5, 0))), "b sees 0 of 1 others");
        assert!(missing(&[]).is_err());
    }
}
