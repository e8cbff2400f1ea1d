//! `trustnet query node`, `nodes` and `reputation`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::format::{points, score, signed, thousands, time};
use crate::cli::globals::Globals;
use crate::cli::views::{NodeView, read};
use crate::client::Client;
use crate::output::{Align, Paint, Table, harmless};

/// Rows in one page.
const PAGE: usize = 500;

pub(super) fn node(name: &str, globals: &Globals) -> Result<(), CliError> {
    let value: Value = globals.client()?.query("/node", &json!({ "node": name }))?;
    let view: NodeView = read(&value, name)?;
    globals.output().either(&value, |paint| render(&view, paint))
}

pub(super) fn reputation(name: &str, globals: &Globals) -> Result<(), CliError> {
    let value: Value = globals.client()?.query("/node", &json!({ "node": name }))?;
    let view: NodeView = read(&value, name)?;
    let value = json!({
        "node": view.name, "id": view.id, "reputation_mp": view.reputation_mp,
        "ledger_mp": view.ledger_mp, "peer_centi": view.peer_centi,
    });
    globals.output().either(&value, |paint| format!("{}  R {}", paint.bold(&view.name()), view.reputation()))
}

pub(super) fn nodes(globals: &Globals) -> Result<(), CliError> {
    let all = all_nodes(&globals.client()?)?;
    let views: Vec<NodeView> = all.iter().map(|value| read(value, "a node")).collect::<Result<_, _>>()?;
    globals.output().either(&Value::Array(all), |paint| render_list(&views, paint))
}

/// Every node, page by page.
fn all_nodes(client: &Client) -> Result<Vec<Value>, CliError> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(Value::Null, |last| last["index"].clone());
        let page: Vec<Value> = client.query("/nodes", &json!({ "after": after, "limit": PAGE }))?;
        let full = page.len() >= PAGE;
        // A node that does not move on would keep us here for ever.
        let moved = page.last().is_some_and(|last| last["index"] != after);
        all.extend(page);
        if !full || !moved {
            return Ok(all);
        }
    }
}

fn render(view: &NodeView, paint: Paint) -> String {
    let mut text = format!(
        "{}  {}  {} ({})\n",
        paint.bold(&view.name()),
        harmless(&view.kind),
        harmless(&view.status),
        harmless(&view.status_reason)
    );
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {label:<13} {}", harmless(value));
        }
    };
    line("id", &view.id);
    line("owner", &view.owner);
    line("operator", &view.operator);
    line("node key", view.node_key.as_deref().unwrap_or_default());
    line("validator key", view.validator_key.as_deref().unwrap_or_default());
    line("registered", &time(view.registered_ms));
    line("reputation", &view.reputation());
    line("trust", &view.trust());
    let [reliability, performance, honesty] = view.trust.categories.map(score);
    line("categories", &format!("honesty {honesty}, reliability {reliability}, performance {performance}"));
    let received = match view.ratings_in {
        0 => "none received".to_owned(),
        count => format!("{} received (plain mean {})", thousands(count), view.stars()),
    };
    line("ratings", &format!("{received}, {} given", thousands(view.ratings_out)));
    if view.kind != "user" {
        line("uptime", &view.uptime());
    }
    line("this month", &format!("{} of at most +5.0", signed(view.gained_this_month_mp, 1_000, 1)));
    text
}

fn render_list(views: &[NodeView], paint: Paint) -> String {
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("kind", Align::Left),
        ("status", Align::Left),
        ("R", Align::Right),
        ("trust", Align::Right),
        ("conf", Align::Right),
        ("ratings", Align::Right),
    ]);
    for view in views {
        table.row([
            view.name(),
            harmless(&view.kind),
            harmless(&view.status),
            points(view.reputation_mp),
            score(view.trust.score),
            format!("{} %", view.trust.confidence),
            thousands(view.ratings_in),
        ]);
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bob() -> NodeView {
        read(
            &json!({
                "id": "0xab", "name": "bob", "owner": "Bob\u{1b}", "kind": "validator", "status": "ACTIVE",
                "status_reason": "part of the genesis", "operator": "cd", "node_key": "ef", "registered_ms": 0,
                "reputation_mp": 86_300, "ledger_mp": 84_000, "peer_centi": 230, "ratings_in": 12,
                "stars_mean_milli": 4_123, "ratings_out": 3, "gained_this_month_mp": 1_200,
                "trust": { "score": 8_325, "confidence": 71, "rank": 4, "of": 9, "categories": [1, 2, 3] },
            }),
            "bob",
        )
        .unwrap()
    }

    #[test]
    fn a_node_on_one_screen() {
        assert_eq!(
            render(&bob(), Paint::OFF),
            "bob  validator  ACTIVE (part of the genesis)\n\
             \x20 id            0xab\n\
             \x20 owner         Bob?\n\
             \x20 operator      cd\n\
             \x20 node key      ef\n\
             \x20 registered    1970-01-01 00:00:00 UTC\n\
             \x20 reputation    86.3  = ledger 84.0 + peers +2.3\n\
             \x20 trust         83.25 (confidence 71 %, rank 4 of 9)\n\
             \x20 categories    honesty 0.03, reliability 0.01, performance 0.02\n\
             \x20 ratings       12 received (plain mean 4.1 of 5), 3 given\n\
             \x20 uptime        no full day counted yet\n\
             \x20 this month    +1.2 of at most +5.0\n"
        );
    }

    #[test]
    fn nodes_in_a_table() {
        assert_eq!(
            render_list(&[bob()], Paint::OFF),
            "name  kind       status     R  trust  conf  ratings\n\
             bob   validator  ACTIVE  86.3  83.25  71 %       12\n"
        );
    }
}
