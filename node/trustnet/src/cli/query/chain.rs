//! `trustnet query block` and `tx`: what is in the chain.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use trustnet_ledger::{Action, SignedTransaction};

use crate::cli::error::CliError;
use crate::cli::format::{short, time};
use crate::cli::globals::Globals;
use crate::client::{ClientError, number};
use crate::output::{Align, Paint, Table, harmless};

/// A block
#[derive(Debug, clap::Args)]
pub(super) struct BlockArgs {
    /// Its height or its hash [default: the latest]
    #[arg(value_name = "HEIGHT|HASH")]
    block: Option<String>,
}

/// A transaction
#[derive(Debug, clap::Args)]
pub(super) struct TxArgs {
    /// Its hash: 64 hex digits
    #[arg(value_parser = hash)]
    hash: String,
}

fn hash(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("a hash is 64 hex digits".to_owned());
    }
    Ok(digits.to_lowercase())
}

/// The method and arguments that ask for a block.
fn block_call(block: Option<&str>) -> Result<(&'static str, Value), CliError> {
    let Some(text) = block else { return Ok(("block", json!({}))) };
    if let Ok(height) = text.parse::<u64>() {
        return Ok(("block", json!({ "height": height.to_string() })));
    }
    let hash = hash(text).map_err(|_| {
        CliError::usage(format!("`{}` is neither a height nor a hash of 64 hex digits", text.escape_debug()))
    })?;
    Ok(("block_by_hash", json!({ "hash": hash })))
}

pub(super) fn block(args: &BlockArgs, globals: &Globals) -> Result<(), CliError> {
    let (method, params) = block_call(args.block.as_deref())?;
    let value = globals.client()?.call(method, &params).map_err(not_found)?;
    if value["block"].is_null() {
        return Err(CliError::failed("no block has this hash").next("trustnet query block"));
    }
    globals.output().either(&value, |paint| render_block(&value, paint))
}

pub(super) fn tx(args: &TxArgs, globals: &Globals) -> Result<(), CliError> {
    let value =
        globals.client()?.call("tx", &json!({ "hash": args.hash, "prove": false })).map_err(not_found)?;
    globals.output().either(&value, |paint| render_tx(&value, &args.hash, paint))
}

fn not_found(error: ClientError) -> CliError {
    let lost = matches!(error, ClientError::Rpc { .. });
    let error = CliError::from(error);
    if lost {
        error.next("trustnet status shows the height; a new transaction may still wait for its block")
    } else {
        error
    }
}

fn text(value: &Value) -> String {
    harmless(value.as_str().unwrap_or_default())
}

fn render_block(value: &Value, paint: Paint) -> String {
    let header = &value["block"]["header"];
    let txs = value["block"]["data"]["txs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = format!(
        "{}\n  hash      {}\n  time      {}\n  proposer  {}\n  state     {}\n  holds     {} transactions\n",
        paint.bold(&format!("block {}", text(&header["height"]))),
        text(&value["block_id"]["hash"]).to_lowercase(),
        text(&header["time"]),
        text(&header["proposer_address"]),
        text(&header["app_hash"]).to_lowercase(),
        txs.len(),
    );
    if !txs.is_empty() {
        let mut table =
            Table::new(&[("transaction", Align::Left), ("signer", Align::Left), ("what", Align::Left)]);
        for tx in txs {
            match decode(tx) {
                Some(tx) => {
                    table.row([tx.id().to_string(), short(&tx.tx.signer.to_string()), what(&tx.tx.action)]);
                }
                None => {
                    table.row([String::new(), String::new(), "not understood by this version".to_owned()]);
                }
            }
        }
        out.push('\n');
        out.push_str(&table.render(paint));
    }
    out
}

fn render_tx(value: &Value, hash: &str, paint: Paint) -> String {
    let mut out = format!("{}\n", paint.bold(&format!("transaction {hash}")));
    let height = number(&value["height"]).unwrap_or(0);
    let _ = writeln!(out, "  block    {height}, number {}", number(&value["index"]).unwrap_or(0));
    match decode(&value["tx"]) {
        Some(tx) => {
            let _ = writeln!(out, "  does     {}", what(&tx.tx.action));
            let _ = writeln!(out, "  signer   {}, its transaction number {}", tx.tx.signer, tx.tx.nonce);
            let _ = writeln!(out, "  dated    {}", time(tx.tx.time_ms));
        }
        None => out.push_str("  does     something that this version does not understand\n"),
    }
    out
}

fn decode(base64: &Value) -> Option<SignedTransaction> {
    SignedTransaction::decode(&BASE64.decode(base64.as_str()?).ok()?).ok()
}

/// A transaction in a sentence; nodes by the beginning of their ids.
fn what(action: &Action) -> String {
    let id = |node: &trustnet_ledger::NodeId| short(&node.to_string());
    match action {
        Action::Register { name, kind, .. } => format!("register {} as {kind}", harmless(name)),
        Action::Rate { from, to, stars, category, reason } => {
            let reason = if reason.is_empty() { String::new() } else { format!(": {}", harmless(reason)) };
            format!("rate {} by {}: {stars}* {category}{reason}", id(to), id(from))
        }
        Action::Admit { node, validator } => format!("admit {} by {}", id(node), id(validator)),
        Action::Attest { validator, epoch, observations } => {
            format!("attest {} nodes in epoch {epoch} by {}", observations.len(), id(validator))
        }
        Action::Start { node }
        | Action::Ready { node }
        | Action::Pause { node }
        | Action::Resume { node }
        | Action::Destroy { node } => format!("{} {}", action.name(), id(node)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use trustnet_ledger::crypto::{Hash32, SecretKey};
    use trustnet_ledger::{Category, NodeId, Transaction};

    use super::*;

    fn rating() -> SignedTransaction {
        let key = SecretKey::from_seed(&[1; 32]);
        let action = Action::Rate {
            from: NodeId(Hash32([0x11; 32])),
            to: NodeId(Hash32([0x22; 32])),
            stars: 4,
            category: Category::Honesty,
            reason: "fair".into(),
        };
        let tx = Transaction { signer: key.public(), nonce: 3, time_ms: 1_453_680_000_000, action };
        SignedTransaction::sign(tx, &key, "test-1")
    }

    #[test]
    fn a_block_is_asked_for_by_height_or_hash() {
        assert_eq!(block_call(None).unwrap(), ("block", json!({})));
        assert_eq!(block_call(Some("7")).unwrap(), ("block", json!({ "height": "7" })));
        let hash = "AB".repeat(32);
        let (method, params) = block_call(Some(&format!("0x{hash}"))).unwrap();
        assert_eq!((method, params), ("block_by_hash", json!({ "hash": "ab".repeat(32) })));
        for bad in ["-1", "latest", "abcd"] {
            let error = block_call(Some(bad)).unwrap_err();
            assert!(error.message.contains("neither a height nor a hash"), "{error}");
        }
    }

    #[test]
    fn a_transaction_is_shown_in_words() {
        let value = json!({ "height": "12", "index": 1, "tx": BASE64.encode(rating().bytes()) });
        let signer = SecretKey::from_seed(&[1; 32]).public();
        assert_eq!(
            render_tx(&value, "ab", Paint::OFF),
            format!(
                "transaction ab\n\
                 \x20 block    12, number 1\n\
                 \x20 does     rate 22222222..2222 by 11111111..1111: 4* honesty: fair\n\
                 \x20 signer   {signer}, its transaction number 3\n\
                 \x20 dated    2016-01-25 00:00:00 UTC\n"
            )
        );
        assert!(render_tx(&json!({ "tx": "AAAA" }), "ab", Paint::OFF).contains("does not understand"));
    }

    #[test]
    fn a_block_lists_its_transactions() {
        let value = json!({
            "block_id": { "hash": "AB" },
            "block": {
                "header": { "height": "12", "time": "2016-01-25T00:00:00Z", "proposer_address": "CD", "app_hash": "EF" },
                "data": { "txs": [BASE64.encode(rating().bytes()), "!"] },
            },
        });
        let text = render_block(&value, Paint::OFF);
        assert!(text.starts_with("block 12\n  hash      ab\n  time      2016-01-25T00:00:00Z\n"), "{text}");
        assert!(text.contains("  holds     2 transactions\n\ntransaction "), "{text}");
        assert!(text.contains(&rating().id().to_string()), "{text}");
        assert!(text.ends_with("not understood by this version\n"), "{text}");
    }
}
