//! `trustnet rate`: one node's opinion of another.

use serde_json::{Value, json};
use trustnet_ledger::{Action, Category};

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::cli::send::{self, SendArgs, Target};
use crate::client::Client;

/// Say what you think of a node
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "trustnet rate [OPTIONS] [FROM] <TO> <STARS>",
    after_help = "Example: trustnet rate node-1 node-2 5 --category reliability --reason \"up for a year\"\n\
                  A later rating of the same node in the same category replaces the earlier one."
)]
pub struct RateArgs {
    /// Who rates (left out: the node that your key operates), who is rated, and 1 (worst) to 5 (best)
    /// stars. Nodes by name or id
    #[arg(required = true, num_args = 2..=3, value_names = ["FROM", "TO", "STARS"])]
    rating: Vec<String>,

    /// What about: reliability, performance or honesty
    #[arg(long, default_value = "honesty")]
    category: Category,

    /// Why; everybody can read it (up to 200 bytes)
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,

    #[command(flatten)]
    send: SendArgs,
}

/// Runs `trustnet rate`.
///
/// # Errors
/// When an argument makes no sense, the key does not fit, or the ledger refuses.
pub fn main(args: &RateArgs, globals: &Globals) -> Result<(), CliError> {
    let (from, to, stars) = parse(&args.rating)?;
    let client = globals.client()?;
    let to = Target::find(&client, to)?;
    let (from, key) = if let Some(from) = from {
        let from = Target::find(&client, from)?;
        let key = send::signing_key(&args.send, globals, Some(&from))?;
        (from, key)
    } else {
        let key = send::signing_key(&args.send, globals, None)?;
        (own_node(&client, &key.public().to_string(), |_| true)?, key)
    };
    let done = format!("{} gives {} {stars} of 5 stars for {}.", from.name, to.name, args.category);
    let next = format!("trustnet why {}", to.name);
    send::send(&client, &args.send, globals, &key, &done, &next, |_| Action::Rate {
        from: from.id,
        to: to.id,
        stars,
        category: args.category,
        reason: args.reason.clone(),
    })
}

/// Splits `FROM? TO STARS`.
fn parse(words: &[String]) -> Result<(Option<&str>, &str, u8), CliError> {
    let (from, to, stars) = match words {
        [to, stars] => (None, to, stars),
        [from, to, stars] => (Some(from.as_str()), to, stars),
        _ => return Err(CliError::usage("a rating needs whom to rate and the stars")),
    };
    let parsed = stars.parse::<u8>().ok().filter(|stars| (1..=5).contains(stars));
    let stars = parsed.ok_or_else(|| {
        CliError::usage(format!("`{stars}` is not a number of stars; a rating has 1 (worst) to 5 (best)"))
            .next(format!("trustnet rate {} {to} 4", from.unwrap_or_default()).replace("  ", " "))
    })?;
    Ok((from, to, stars))
}

/// The one node that `operator` runs and `fits`.
///
/// # Errors
/// When there is none, or more than one.
pub(super) fn own_node(
    client: &Client,
    operator: &str,
    fits: impl Fn(&Target) -> bool,
) -> Result<Target, CliError> {
    let account: Value = client.query("/account", &json!({ "key": operator }))?;
    let mut found = Vec::new();
    for node in account["nodes"].as_array().into_iter().flatten() {
        let text = node.as_str().map_or_else(|| node.to_string(), ToOwned::to_owned);
        let target = Target::find(client, &text)?;
        if fits(&target) {
            found.push(target);
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(CliError::failed(format!("the key {operator} operates no node that could do this"))
            .next("name the node, and sign with its operator key: --key FILE")),
        _ => {
            let names: Vec<String> = found.into_iter().map(|target| target.name).collect();
            Err(CliError::usage(format!(
                "your key operates several nodes ({}); say which one",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_rater_may_be_left_out() {
        assert_eq!(parse(&words("node-2 5")).unwrap(), (None, "node-2", 5));
        assert_eq!(parse(&words("node-1 node-2 1")).unwrap(), (Some("node-1"), "node-2", 1));
    }

    #[test]
    fn stars_are_one_to_five() {
        for line in ["node-2 0", "node-2 6", "node-1 node-2 five", "node-1 node-2"] {
            let error = parse(&words(line)).unwrap_err();
            assert!(error.message.contains("is not a number of stars"), "{error}");
        }
        assert_eq!(parse(&words("a b 9")).unwrap_err().next.unwrap(), "trustnet rate a b 4");
        assert_eq!(parse(&words("b 9")).unwrap_err().next.unwrap(), "trustnet rate b 4");
    }
}
