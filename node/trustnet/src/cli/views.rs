//! The node's answers as far as they are shown. Unknown fields are ignored and missing ones are
//! empty, so that this program can talk to somewhat older and newer nodes.

use serde::Deserialize;
use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::format::{decimal, points, score, signed, thousands};
use crate::output::harmless;

/// A vote of full weight.
pub const FULL_VOTE: u64 = 65_536;

/// A node of the ledger.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeView {
    /// `0x` and 64 hex digits.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// Who runs it, in their words.
    pub owner: String,
    /// `validator`, `archive`, `rpc`, `service` or `user`.
    pub kind: String,
    /// `PENDING` to `DESTROYED`.
    pub status: String,
    /// Why it has this status.
    pub status_reason: String,
    /// The key that signs for it, hex.
    pub operator: String,
    /// Its network identity, hex.
    pub node_key: Option<String>,
    /// Its voting key, hex.
    pub validator_key: Option<String>,
    /// When it was registered, Unix milliseconds.
    pub registered_ms: u64,
    /// Reputation R, milli-points.
    pub reputation_mp: i64,
    /// The ledger's part of R, milli-points.
    pub ledger_mp: i64,
    /// The peers' part of R, centi-points.
    pub peer_centi: i64,
    /// What the network thinks of it.
    pub trust: TrustPart,
    /// Weight as a root of trust; 0 for everybody else.
    pub root_weight: u64,
    /// Mean of all stars received, in milli-stars; nothing without ratings.
    pub stars_mean_milli: Option<u64>,
    /// Ratings received.
    pub ratings_in: u64,
    /// Ratings given.
    pub ratings_out: u64,
    /// Uptime of the last counted day, permille.
    pub uptime: Option<u64>,
    /// What was gained this month, milli-points.
    pub gained_this_month_mp: i64,
}

/// A node's trust.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TrustPart {
    /// T in centi-points.
    pub score: i64,
    /// Percent.
    pub confidence: u64,
    /// Reliability, performance, honesty in centi-points.
    pub categories: [i64; 3],
    /// Weight of its vote; [`FULL_VOTE`] is a full one.
    pub weight: u64,
    /// Place by score, from 1.
    pub rank: u64,
    /// How many are ranked.
    pub of: u64,
}

impl NodeView {
    /// `86.3  = ledger 84.0 + peers +2.3`.
    pub fn reputation(&self) -> String {
        format!(
            "{}  = ledger {} + peers {}",
            points(self.reputation_mp),
            points(self.ledger_mp),
            signed(self.peer_centi, 100, 1)
        )
    }

    /// `83.25 (confidence 71 %, rank 41 of 3,120)`.
    pub fn trust(&self) -> String {
        let rank = match self.trust.rank {
            0 => "not ranked yet".to_owned(),
            rank => format!("rank {} of {}", thousands(rank), thousands(self.trust.of)),
        };
        format!("{} (confidence {} %, {rank})", score(self.trust.score), self.trust.confidence)
    }

    /// `4.1 of 5`, or that there are no ratings.
    pub fn stars(&self) -> String {
        match self.stars_mean_milli {
            Some(mean) if self.ratings_in > 0 => {
                format!("{} of 5", decimal(i64::try_from(mean).unwrap_or(0), 1_000, 1))
            }
            _ => "no ratings".to_owned(),
        }
    }

    /// `99.8 %`, or that no day was counted yet.
    pub fn uptime(&self) -> String {
        match self.uptime {
            Some(permille) => format!("{} %", decimal(i64::try_from(permille).unwrap_or(0), 10, 1)),
            None => "no full day counted yet".to_owned(),
        }
    }

    /// The name; it is made of harmless characters by rule of the ledger, but the node is not the
    /// ledger.
    pub fn name(&self) -> String {
        harmless(&self.name)
    }
}

/// Weight of a vote, 1.00 being a full one.
pub fn vote(weight: u64) -> String {
    decimal(i64::try_from(weight).unwrap_or(i64::MAX), FULL_VOTE, 2)
}

/// Reads an answer into the form in which it is shown.
///
/// # Errors
/// When it has another form: the node is of another version.
pub fn read<'a, T: Deserialize<'a>>(value: &'a Value, what: &str) -> Result<T, CliError> {
    T::deserialize(value).map_err(|error| {
        CliError::failed(format!("the node's answer about {what} is not understood: {error}"))
            .next("is the node of another version than this program? --json shows the answer as it is")
    })
}

/// A ledger of one node, for tests that the views read what the ledger writes.
#[cfg(test)]
pub(super) fn small_ledger() -> trustnet_ledger::Ledger {
    use trustnet_ledger::crypto::SecretKey;
    use trustnet_ledger::{CategoryWeights, Genesis, GenesisValidator, Ledger, Params};
    let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public();
    let validator = GenesisValidator {
        name: "node-1".to_owned(),
        owner: "Ada".to_owned(),
        operator: key(1),
        node_key: key(2),
        validator_key: key(3),
        power: 10,
    };
    let genesis = Genesis {
        version: 1,
        chain_id: "test-1".to_owned(),
        time_ms: 1_453_680_000_000,
        validators: vec![validator],
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params::default(),
    };
    Ledger::genesis(&genesis).expect("the genesis above keeps every rule")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_ledgers_own_view_is_read_field_by_field() {
        let ledger = small_ledger();
        let value = serde_json::to_value(ledger.node_by_name("node-1").unwrap()).unwrap();
        for field in [
            "owner",
            "kind",
            "status",
            "status_reason",
            "operator",
            "node_key",
            "validator_key",
            "registered_ms",
            "reputation_mp",
            "ledger_mp",
            "peer_centi",
            "trust",
            "root_weight",
            "stars_mean_milli",
            "ratings_in",
            "ratings_out",
            "uptime",
            "gained_this_month_mp",
        ] {
            assert!(value.get(field).is_some(), "{field} in {value}");
        }
        for field in ["score", "confidence", "categories", "weight", "rank", "of"] {
            assert!(value["trust"].get(field).is_some(), "{field} in {value}");
        }
        let view: NodeView = read(&value, "node-1").unwrap();
        assert_eq!(
            (view.name.as_str(), view.kind.as_str(), view.status.as_str()),
            ("node-1", "validator", "ACTIVE")
        );
        assert_eq!(view.reputation(), "50.0  = ledger 50.0 + peers +0.0");
        assert_eq!((view.id.len(), view.operator.len(), view.root_weight), (66, 64, 4));
    }

    #[test]
    fn missing_fields_are_empty_and_unknown_ones_ignored() {
        let view: NodeView = read(&json!({ "name": "a", "novelty": 1 }), "a").unwrap();
        assert_eq!((view.name().as_str(), view.trust.score, view.stars().as_str()), ("a", 0, "no ratings"));
        assert_eq!((view.uptime().as_str(), vote(FULL_VOTE).as_str()), ("no full day counted yet", "1.00"));
        let error = read::<NodeView>(&json!({ "name": 5 }), "a node").unwrap_err();
        assert!(error.message.contains("the node's answer about a node is not understood"), "{error}");
    }
}
