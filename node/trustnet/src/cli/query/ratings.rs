//! `trustnet query ratings`: who gave a node how many stars, or whom it gave them.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::format::{short, time};
use crate::cli::globals::Globals;
use crate::cli::query::NodeArg;
use crate::cli::views::read;
use crate::client::Client;
use crate::output::{Align, Paint, Table, harmless};

/// Rows in one page.
const PAGE: usize = 1_000;

/// The ratings that a node received or gave
#[derive(Debug, clap::Args)]
pub(super) struct RatingsArgs {
    #[command(flatten)]
    node: NodeArg,

    /// The ratings that it gave, instead of those that it received
    #[arg(long)]
    given: bool,

    /// Also ratings that were replaced later
    #[arg(long)]
    history: bool,
}

/// One rating.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Rating {
    from: String,
    to: String,
    from_name: String,
    to_name: String,
    category: String,
    stars: u8,
    time_ms: u64,
    height: u64,
    reason: String,
}

pub(super) fn main(args: &RatingsArgs, globals: &Globals) -> Result<(), CliError> {
    let all = all_ratings(&globals.client()?, args)?;
    let ratings: Vec<Rating> = all.iter().map(|value| read(value, "a rating")).collect::<Result<_, _>>()?;
    globals.output().either(&Value::Array(all), |paint| render(&ratings, args.given, paint))
}

/// Every rating, page by page.
fn all_ratings(client: &Client, args: &RatingsArgs) -> Result<Vec<Value>, CliError> {
    let direction = if args.given { "out" } else { "in" };
    let (mut all, mut after) = (Vec::new(), Value::Null);
    loop {
        let page: Value = client.query(
            "/ratings",
            &json!({
                "node": args.node.name(), "direction": direction, "after": after, "limit": PAGE, "history": args.history,
            }),
        )?;
        let next = page["next"].clone();
        let items = page.as_array().or_else(|| page["items"].as_array()).cloned().unwrap_or_default();
        let moved = !items.is_empty() && next != after;
        all.extend(items);
        if next.is_null() || !moved {
            return Ok(all);
        }
        after = next;
    }
}

fn render(ratings: &[Rating], given: bool, paint: Paint) -> String {
    if ratings.is_empty() {
        return "no ratings\n".to_owned();
    }
    let mut table = Table::new(&[
        (if given { "to" } else { "from" }, Align::Left),
        ("stars", Align::Left),
        ("category", Align::Left),
        ("when", Align::Left),
        ("block", Align::Right),
        ("reason", Align::Left),
    ]);
    for rating in ratings {
        let (name, id) =
            if given { (&rating.to_name, &rating.to) } else { (&rating.from_name, &rating.from) };
        let stars = format!("{}*", rating.stars);
        table.row([
            short(&harmless(if name.is_empty() { id } else { name })),
            if rating.stars <= 2 { paint.red(&stars) } else { stars },
            harmless(&rating.category),
            time(rating.time_ms),
            rating.height.to_string(),
            harmless(&rating.reason),
        ]);
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ratings_show_who_when_and_why() {
        let ratings: Vec<Rating> = vec![
            read(
                &json!({ "from": "0x01", "from_name": "carol", "to": "0x02", "to_name": "bob", "category": "honesty",
                         "stars": 5, "time_ms": 1_453_680_000_000_u64, "height": 12, "reason": "kept her word\u{7}" }),
                "",
            )
            .unwrap(),
            read(&json!({ "from": format!("0x{}", "ab".repeat(32)), "category": "honesty", "stars": 1 }), "").unwrap(),
        ];
        assert_eq!(
            render(&ratings, false, Paint::OFF),
            "from            stars  category  when                     block  reason\n\
             carol           5*     honesty   2016-01-25 00:00:00 UTC     12  kept her word?\n\
             abababab..abab  1*     honesty   1970-01-01 00:00:00 UTC      0\n"
        );
        assert!(render(&ratings, true, Paint::OFF).contains("\nbob  "));
        assert_eq!(render(&[], false, Paint::OFF), "no ratings\n");
    }
}
