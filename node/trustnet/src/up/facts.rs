//! What the nodes say about themselves, read from their RPC.

use serde_json::{Value, json};
use trustnet_ledger::NodeId;

use crate::client::{Client, ClientError, number};
use crate::screen::model::{PersonRow, TrustPanel};

/// People shown at either end of the list.
pub const SHOWN: usize = 5;
/// Headers that one request gives at most.
const BLOCKS_PAGE: u64 = 20;

/// One node's answer to "how are you".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its last block.
    pub height: u64,
    /// The time of that block, Unix milliseconds.
    pub time_ms: u64,
    /// The state root after it.
    pub state_root: String,
    /// Its connections.
    pub peers: Option<u64>,
    /// Transactions that wait.
    pub pool: Option<u64>,
    /// How many nodes may fail.
    pub faults_tolerated: Option<u64>,
    /// Whether it is fetching blocks that it missed.
    pub catching_up: bool,
    /// Why it does not vote, if it does not.
    pub silent_reason: Option<String>,
    /// The round it is in.
    pub round: Option<u32>,
    /// Reputation in milli-points and status of every validator, by name.
    pub validators: Vec<(String, u64, String)>,
}

impl Facts {
    /// Asks a node.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub fn ask(client: &Client) -> Result<Self, ClientError> {
        let summary: Value = client.query("/summary", &json!({}))?;
        let mut facts = Self::parse(&summary);
        let state = client.call("consensus_state", &json!({}))?;
        let step = state["round_state"]["height/round/step"].as_str().unwrap_or_default();
        facts.round = step.split('/').nth(1).and_then(|round| round.parse().ok());
        Ok(facts)
    }

    /// Reads a `/summary`. What is missing stays unknown: the screen shows a dash.
    pub fn parse(summary: &Value) -> Self {
        let validator = |node: &Value| {
            let name = node["name"].as_str()?.to_owned();
            let status = node["status"].as_str().unwrap_or("?").to_owned();
            Some((name, number(&node["reputation_mp"])?, status))
        };
        Self {
            height: number(&summary["height"]).unwrap_or(0),
            time_ms: number(&summary["time_ms"]).unwrap_or(0),
            state_root: summary["state_root"].as_str().unwrap_or_default().to_owned(),
            peers: number(&summary["peers"]),
            pool: number(&summary["pool"]),
            faults_tolerated: number(&summary["faults_tolerated"]),
            catching_up: summary["catching_up"].as_bool().unwrap_or(false),
            silent_reason: summary["silent_reason"].as_str().map(crate::output::harmless),
            round: None,
            validators: summary["validators"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(validator)
                .collect(),
        }
    }
}

/// Height, transactions and time (Unix milliseconds, from the header's RFC 3339) of recent blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFacts {
    /// Height.
    pub height: u64,
    /// Transactions in it.
    pub transactions: u64,
}

/// The blocks from `from` to `to`, at most the last 20 of them.
///
/// # Errors
/// When the node does not answer as it should.
pub fn blocks(client: &Client, from: u64, to: u64) -> Result<Vec<BlockFacts>, ClientError> {
    let from = from.max(to.saturating_sub(BLOCKS_PAGE - 1)).max(1);
    let answer =
        client.call("blockchain", &json!({ "minHeight": from.to_string(), "maxHeight": to.to_string() }))?;
    let block = |meta: &Value| {
        let height = number(&meta["header"]["height"])?;
        Some(BlockFacts { height, transactions: number(&meta["num_txs"])? })
    };
    Ok(answer["block_metas"].as_array().into_iter().flatten().filter_map(block).collect())
}

/// The trust of a day: everybody with a score, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The day, counted from 1970-01-01.
    pub day: u32,
    /// Hash over all scores.
    pub checksum: String,
    /// Everybody, best first.
    pub people: Vec<Scored>,
}

/// Somebody with a score.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    /// What is shown.
    pub row: PersonRow,
    /// The node's id.
    pub id: NodeId,
    /// Weight of the vote; 65,536 is a full one.
    pub weight: u32,
}

impl Trust {
    /// Asks for the trust of `day`, or of the chain's own last day.
    ///
    /// # Errors
    /// When the node does not answer as it should.
    pub fn ask(client: &Client, day: Option<u32>) -> Result<Self, ClientError> {
        let view: Value = client.query("/trust", &json!({ "day": day }))?;
        Ok(Self::parse(&view))
    }

    /// Reads a `/trust`.
    pub fn parse(view: &Value) -> Self {
        let person = |row: &Value| {
            let shown = PersonRow {
                name: crate::output::harmless(row["name"].as_str()?),
                score_centi: number(&row["score"])?,
                confidence: number(&row["confidence"])?,
                mean_milli: number(&row["stars_mean_milli"]).filter(|&mean| mean > 0),
            };
            let id = row["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_default();
            let weight = number(&row["weight"]).and_then(|weight| u32::try_from(weight).ok()).unwrap_or(0);
            Some(Scored { row: shown, id, weight })
        };
        let mut people: Vec<Scored> =
            view["rows"].as_array().into_iter().flatten().filter_map(person).collect();
        people.sort_by(|a, b| {
            b.row.score_centi.cmp(&a.row.score_centi).then_with(|| name_order(&a.row.name, &b.row.name))
        });
        let day = number(&view["day"]).and_then(|day| u32::try_from(day).ok()).unwrap_or(0);
        Self { day, checksum: view["checksum"].as_str().unwrap_or_default().to_owned(), people }
    }

    /// The most trusted, best first.
    pub fn top(&self) -> &[Scored] {
        &self.people[..self.people.len().min(SHOWN)]
    }

    /// The least trusted, worst first.
    pub fn bottom(&self) -> Vec<Scored> {
        let rest = self.people.len().saturating_sub(SHOWN).min(SHOWN);
        self.people.iter().rev().take(rest).cloned().collect()
    }

    /// For the screen.
    pub fn panel(&self) -> TrustPanel {
        TrustPanel {
            day: crate::screen::format::day(self.day),
            of: self.people.len(),
            top: self.top().iter().map(|scored| scored.row.clone()).collect(),
            bottom: self.bottom().into_iter().map(|scored| scored.row).collect(),
        }
    }
}

/// Numbers by their value, everything else by its text, numbers first.
pub fn name_order(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => std::cmp::Ordering::Less,
        (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_and_what_is_missing_stays_unknown() {
        let summary = json!({
            "height": 7, "time_ms": 1_700_000_000_000u64, "state_root": "ab", "pool": 3, "peers": 3,
            "catching_up": true, "silent_reason": "too\u{1b} early", "faults_tolerated": 1,
            "validators": [{ "name": "node-1", "reputation_mp": 50_000, "status": "ACTIVE" }, { "name": 1 }],
        });
        let facts = Facts::parse(&summary);
        assert_eq!((facts.height, facts.peers, facts.pool, facts.catching_up), (7, Some(3), Some(3), true));
        assert_eq!(facts.silent_reason.as_deref(), Some("too? early"));
        assert_eq!(facts.validators, [("node-1".to_owned(), 50_000, "ACTIVE".to_owned())]);
        assert_eq!(Facts::parse(&json!({})), Facts::default());
        assert_eq!(Facts::parse(&json!([1, "x"])), Facts::default());
    }

    #[test]
    fn trust_is_sorted_by_score_and_then_by_number() {
        let row = |name: &str, score: u64| json!({ "name": name, "score": score, "confidence": 9, "stars_mean_milli": 0 });
        let view = json!({ "day": 16_825, "checksum": "2e", "rows": [row("10", 5_000), row("node-1", 5_000), row("9", 5_000), row("3", 7_000)] });
        let trust = Trust::parse(&view);
        let names: Vec<&str> = trust.people.iter().map(|person| person.row.name.as_str()).collect();
        assert_eq!(names, ["3", "9", "10", "node-1"]);
        assert!(trust.bottom().is_empty(), "all four are among the best five");
        assert_eq!((trust.panel().day.as_str(), trust.panel().of), ("2016-01-25", 4));
        assert_eq!(trust.people[0].row.mean_milli, None);
    }
}
