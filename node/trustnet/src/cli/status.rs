//! `trustnet status`: how this node is doing.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::format::{thousands, time};
use crate::cli::globals::Globals;
use crate::cli::views::{NodeView, read};
use crate::client::{Client, ClientError};
use crate::output::{Paint, harmless};

/// The ledger's code for a node that it does not know.
const UNKNOWN_NODE: u32 = 7;

/// Show how this node is doing
#[derive(Debug, clap::Args)]
pub struct StatusArgs {}

/// The answer to `/summary`, as far as it is shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Summary {
    chain_id: String,
    height: u64,
    time_ms: u64,
    nodes: u64,
    ratings: u64,
    validators: Vec<NodeView>,
    catching_up: bool,
    silent_reason: Option<String>,
    faults_tolerated: u64,
    peers: Value,
    pool: Value,
}

/// Everything that the screen shows.
struct Status {
    url: String,
    name: String,
    summary: Summary,
    /// The node on the ledger, if it is registered.
    node: Option<NodeView>,
}

/// Runs `trustnet status`.
///
/// # Errors
/// When no node answers.
pub fn main(_: &StatusArgs, globals: &Globals) -> Result<(), CliError> {
    let client = globals.client()?;
    let summary: Value = client.query("/summary", &json!({}))?;
    let info = client.call("status", &json!({}))?;
    let info = &info["node_info"];
    let name = info["moniker"].as_str().unwrap_or_default();
    let node = own_node(&client, &summary, name, info["other"]["node_key"].as_str())?;
    let output = globals.output();
    let status = Status {
        url: client.url().to_owned(),
        name: harmless(name),
        summary: read(&summary, "the network")?,
        node: node.as_ref().map(|node| read(node, name)).transpose()?,
    };
    if output.json {
        let next = status.next_steps();
        return output.value(
            &json!({ "rpc": status.url, "name": name, "node": node, "summary": summary, "next": next }),
        );
    }
    output.text(&status.render(output.paint))
}

/// The node behind the RPC as the ledger knows it: the one with its network key.
fn own_node(
    client: &Client,
    summary: &Value,
    name: &str,
    node_key: Option<&str>,
) -> Result<Option<Value>, CliError> {
    let is_own = |view: &Value| node_key.is_some() && view["node_key"].as_str() == node_key;
    let validators = summary["validators"].as_array();
    if let Some(own) = validators.into_iter().flatten().find(|view| is_own(view)) {
        return Ok(Some(own.clone()));
    }
    if name.is_empty() {
        return Ok(None);
    }
    match client.query::<Value>("/node", &json!({ "node": name })) {
        Ok(view) => Ok(Some(view).filter(is_own)),
        Err(ClientError::Query { code: UNKNOWN_NODE, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A number, or how many a list holds.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_array().map(|list| list.len() as u64))
}

impl Status {
    fn render(&self, paint: Paint) -> String {
        let summary = &self.summary;
        let name = if self.name.is_empty() { "this node" } else { &self.name };
        let mut text =
            format!("{} on chain {} ({})\n", paint.bold(name), harmless(&summary.chain_id), self.url);
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "  {label:<11} {value}");
        };
        let behind =
            if summary.catching_up { paint.yellow("catching up") } else { paint.green("up to date") };
        line("height", &format!("{} of {}, {behind}", thousands(summary.height), time(summary.time_ms)));
        if let Some(reason) = &summary.silent_reason {
            line("silent", &paint.yellow(&format!("it does not vote: {}", harmless(reason))));
        }
        line("peers", &count(&summary.peers).map_or_else(|| "not known".to_owned(), thousands));
        line("validators", &self.validators(paint));
        line(
            "ledger",
            &format!("{} nodes, {} ratings", thousands(summary.nodes), thousands(summary.ratings)),
        );
        if let Some(waiting) = count(&summary.pool).or_else(|| count(&summary.pool["txs"])) {
            line("waiting", &format!("{} transactions", thousands(waiting)));
        }
        match &self.node {
            Some(node) => {
                line("this node", &format!("{}, {}", harmless(&node.kind), harmless(&node.status)));
                line("reputation", &node.reputation());
                line("trust", &node.trust());
                line("uptime", &node.uptime());
            }
            None => line("this node", "is not on the ledger; it follows and answers questions"),
        }
        for (index, step) in self.next_steps().iter().enumerate() {
            let _ = writeln!(text, "  {} {step}", if index == 0 { "next:" } else { "     " });
        }
        text
    }

    /// How many there are and how many may fail. Two and three validators tolerate as little as one.
    fn validators(&self, paint: Paint) -> String {
        let count = self.summary.validators.len();
        let faults = match (self.summary.faults_tolerated, count) {
            (0, 0 | 1) => paint.yellow("no fault is tolerated: the chain stands still when this one stops"),
            (0, 2 | 3) => paint.yellow("no fault is tolerated: all must run (4 of equal power tolerate 1)"),
            (0, _) => paint.yellow("no fault is tolerated: one holds a third of the power or more"),
            (1, _) => "1 fault is tolerated".to_owned(),
            (faults, _) => format!("{faults} faults are tolerated"),
        };
        format!("{count}; {faults}")
    }

    /// What a person may want to do, the most pressing first.
    fn next_steps(&self) -> Vec<String> {
        let summary = &self.summary;
        let mut steps = Vec::new();
        if count(&summary.peers) == Some(0) && summary.validators.len() > 1 {
            steps.push("no peer is connected: check [p2p] peers in config.toml and the UDP port".to_owned());
        }
        if summary.silent_reason.is_some() {
            steps.push("leave it running: it votes again once its peers have told where it was".to_owned());
        } else if summary.catching_up {
            steps.push("leave it running: it catches up by itself".to_owned());
        }
        let name = if self.name.is_empty() { "NAME" } else { &self.name };
        match &self.node {
            None => steps.push(format!(
                "to register it: trustnet register {name} --kind archive (or validator, rpc, service)"
            )),
            Some(node) => match (node.status.as_str(), node.kind.as_str()) {
                ("PENDING", "validator") => {
                    steps.push(format!("ask operators of validators: trustnet admit {name}"));
                }
                ("PENDING", _) => steps.push(format!("trustnet start {name}")),
                ("INITIALIZING", _) => steps.push(format!("trustnet ready {name}")),
                ("INACTIVE", _) => steps.push(format!("trustnet resume {name}")),
                ("BANNED" | "DESTROYED", _) => {
                    steps.push(format!("trustnet query node {name} (says why; it is final)"));
                }
                _ => {}
            },
        }
        if steps.is_empty() {
            steps.push(format!("trustnet query trust, trustnet why {name}"));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn status(validators: usize, faults: u64) -> Status {
        let node = json!({
            "name": "node-1", "kind": "validator", "status": "ACTIVE", "reputation_mp": 86_300, "ledger_mp": 84_000,
            "peer_centi": 230, "uptime": 998, "trust": { "score": 8_325, "confidence": 71, "rank": 2, "of": 4 },
        });
        let summary = json!({
            "chain_id": "home-1", "height": 120_400, "time_ms": 1_453_680_000_000_u64, "nodes": 5_881, "ratings": 35_592,
            "validators": vec![&node; validators], "faults_tolerated": faults, "peers": validators - 1, "pool": 3,
        });
        Status {
            url: "http://127.0.0.1:26657".into(),
            name: "node-1".into(),
            summary: read(&summary, "").unwrap(),
            node: Some(read(&node, "").unwrap()),
        }
    }

    #[test]
    fn a_healthy_node_shows_everything_on_one_screen() {
        assert_eq!(
            status(4, 1).render(Paint::OFF),
            "node-1 on chain home-1 (http://127.0.0.1:26657)\n\
             \x20 height      120,400 of 2016-01-25 00:00:00 UTC, up to date\n\
             \x20 peers       3\n\
             \x20 validators  4; 1 fault is tolerated\n\
             \x20 ledger      5,881 nodes, 35,592 ratings\n\
             \x20 waiting     3 transactions\n\
             \x20 this node   validator, ACTIVE\n\
             \x20 reputation  86.3  = ledger 84.0 + peers +2.3\n\
             \x20 trust       83.25 (confidence 71 %, rank 2 of 4)\n\
             \x20 uptime      99.8 %\n\
             \x20 next: trustnet query trust, trustnet why node-1\n"
        );
    }

    #[test]
    fn one_two_and_three_validators_tolerate_no_fault_and_it_says_so() {
        for count in 1..=3 {
            let line = status(count, 0).validators(Paint::OFF);
            assert!(line.starts_with(&format!("{count}; no fault is tolerated")), "{line}");
        }
        assert_eq!(status(10, 3).validators(Paint::OFF), "10; 3 faults are tolerated");
        assert!(status(5, 0).validators(Paint::OFF).contains("a third of the power"));
    }

    #[test]
    fn troubles_come_first_among_the_next_steps() {
        let mut lonely = status(4, 1);
        lonely.summary.peers = json!([]);
        lonely.summary.catching_up = true;
        lonely.summary.silent_reason = Some("the signer record is lost".into());
        lonely.node.as_mut().unwrap().status = "INACTIVE".into();
        let steps = lonely.next_steps();
        assert!(steps[0].starts_with("no peer is connected"), "{steps:?}");
        assert!(steps[1].contains("votes again"), "{steps:?}");
        assert_eq!(steps[2], "trustnet resume node-1");
        let text = lonely.render(Paint::OFF);
        assert!(
            text.contains("catching up") && text.contains("it does not vote: the signer record is lost"),
            "{text}"
        );
    }

    #[test]
    fn a_node_that_is_not_on_the_ledger_learns_how_to_register() {
        let mut status = status(1, 0);
        status.node = None;
        assert!(status.render(Paint::OFF).contains("next: to register it: trustnet register node-1 --kind"));
    }
}
