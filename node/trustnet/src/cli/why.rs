//! `trustnet why`: what a node's reputation and trust are made of.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::format::{days_ago, score, signed, thousands};
use crate::cli::globals::Globals;
use crate::cli::views::{NodeView, read, vote};
use crate::output::{Align, Paint, Table, harmless};

/// Show what a node's reputation and trust are made of
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// The node, by name or id
    node: String,

    /// Show so many of the ratings that weigh most
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: usize,

    /// Show all of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// The answer to `/why`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Why {
    view: NodeView,
    contributions: Vec<Contribution>,
    voteless: u64,
    sponsors: u64,
    sponsors_needed: u64,
    /// UTC day for which it was computed.
    day: u32,
    /// Height of the block at which it was computed.
    height: u64,
}

/// What one rating adds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Contribution {
    /// The rater's name.
    name: String,
    category: String,
    stars: u8,
    day: u32,
    vote_weight: u64,
    centi_points: i64,
}

/// Runs `trustnet why`.
///
/// # Errors
/// When there is no such node, or no node answers.
pub fn main(args: &WhyArgs, globals: &Globals) -> Result<(), CliError> {
    let value: Value = globals.client()?.query("/why", &json!({ "node": args.node }))?;
    let output = globals.output();
    if output.json {
        return output.value(&value);
    }
    let why: Why = read(&value, &args.node)?;
    let limit = if args.all { usize::MAX } else { args.limit };
    output.text(&render(&why, limit, output.paint))
}

fn render(why: &Why, limit: usize, paint: Paint) -> String {
    let view = &why.view;
    let [reliability, performance, honesty] = view.trust.categories.map(score);
    let mut text = format!(
        "{}  R {}      trust {}\n  honesty {honesty}   reliability {reliability}   performance {performance}\n",
        paint.bold(&view.name()),
        view.reputation(),
        view.trust(),
    );
    let shown = why.contributions.len().min(limit);
    if shown > 0 {
        let total: i64 = why.contributions.iter().map(|c| c.centi_points).sum();
        let _ = writeln!(text, "\n  50.00 to begin with, {} from ratings:", signed(total, 100, 2));
        text.push_str(&table(&why.contributions[..shown], why.day, paint));
    } else {
        text.push_str("\n  50.00 to begin with: no rating adds to it or takes from it.\n");
    }
    let rest = &why.contributions[shown..];
    let rest_sum: i64 = rest.iter().map(|c| c.centi_points).sum();
    let mut notes = Vec::new();
    if !rest.is_empty() {
        notes.push(format!("{} {}", ratings(rest.len() as u64, "further "), signed(rest_sum, 100, 2)));
    }
    if why.voteless > 0 {
        notes.push(format!("{} without vote 0.00", ratings(why.voteless, "")));
    }
    notes.push(match view.ratings_in {
        0 => "no ratings yet".to_owned(),
        count => format!("plain mean of {}: {}", ratings(count, ""), view.stars()),
    });
    let _ = writeln!(text, "  {}", paint.dim(&notes.join("   ")));
    let _ = writeln!(text, "  {}", own_vote(why));
    let as_of = match why.height {
        0 => "the genesis".to_owned(),
        height => format!("block {}", thousands(height)),
    };
    let note = format!(
        "as of {as_of}; later ratings count at the next trust epoch, and now in: trustnet query trust"
    );
    let _ = writeln!(text, "  {}", paint.dim(&note));
    text
}

/// `1 rating`, `2 further ratings`.
fn ratings(count: u64, which: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {which}rating{plural}", thousands(count))
}

fn table(contributions: &[Contribution], today: u32, paint: Paint) -> String {
    let mut table = Table::new(&[
        ("points", Align::Right),
        ("rater", Align::Left),
        ("stars", Align::Left),
        ("category", Align::Left),
        ("when", Align::Right),
        ("vote", Align::Right),
    ]);
    for c in contributions {
        let points = signed(c.centi_points, 100, 2);
        table.row([
            if c.centi_points < 0 { paint.red(&points) } else { paint.green(&points) },
            harmless(&c.name),
            format!("{}*", c.stars),
            harmless(&c.category),
            days_ago(c.day, today),
            vote(c.vote_weight),
        ]);
    }
    table.render(paint).lines().fold(String::new(), |text, line| text + "  " + line + "\n")
}

/// Whether the node's own ratings count.
fn own_vote(why: &Why) -> String {
    let sponsors = match why.sponsors {
        1 => "1 sponsor".to_owned(),
        count => format!("{} sponsors", thousands(count)),
    };
    match (why.view.trust.weight, why.view.root_weight) {
        (0, _) => format!("its own vote: none ({sponsors}, {} needed)", why.sponsors_needed),
        (weight, 0) => format!("its own vote: yes ({sponsors}, weight {})", vote(weight)),
        (weight, _) => format!("its own vote: yes (a root of trust, weight {})", vote(weight)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> Value {
        json!({
            "view": {
                "name": "bob", "reputation_mp": 86_300, "ledger_mp": 84_000, "peer_centi": 230,
                "trust": {
                    "score": 8_300, "confidence": 71, "categories": [8_400, 7_600, 8_500],
                    "weight": 65_536, "rank": 41, "of": 3_120,
                },
                "ratings_in": 270, "stars_mean_milli": 4_123,
            },
            "day": 100, "height": 1_200, "voteless": 212, "sponsors": 11, "sponsors_needed": 3,
            "contributions": [
                { "name": "carol", "category": "honesty", "stars": 5, "day": 88, "vote_weight": 65_536, "centi_points": 610 },
                { "name": "dave", "category": "reliability", "stars": 5, "day": 97, "vote_weight": 65_536, "centi_points": 480 },
                { "name": "erin", "category": "performance", "stars": 2, "day": 60, "vote_weight": 39_322, "centi_points": -190 },
                { "name": "frank", "category": "honesty", "stars": 4, "day": 100, "vote_weight": 100, "centi_points": 2_400 },
            ],
        })
    }

    #[test]
    fn the_screen_sums_up_to_the_score() {
        let why: Why = read(&sample(), "bob").unwrap();
        assert_eq!(
            render(&why, 3, Paint::OFF),
            "bob  R 86.3  = ledger 84.0 + peers +2.3      trust 83.00 (confidence 71 %, rank 41 of 3,120)\n\
             \x20 honesty 85.00   reliability 84.00   performance 76.00\n\
             \n\
             \x20 50.00 to begin with, +33.00 from ratings:\n\
             \x20 points  rater  stars  category         when  vote\n\
             \x20  +6.10  carol  5*     honesty      12 d ago  1.00\n\
             \x20  +4.80  dave   5*     reliability   3 d ago  1.00\n\
             \x20  -1.90  erin   2*     performance  40 d ago  0.60\n\
             \x20 1 further rating +24.00   212 ratings without vote 0.00   plain mean of 270 ratings: 4.1 of 5\n\
             \x20 its own vote: yes (11 sponsors, weight 1.00)\n\
             \x20 as of block 1,200; later ratings count at the next trust epoch, and now in: trustnet query trust\n"
        );
    }

    #[test]
    fn the_ledgers_own_answer_is_read() {
        let ledger = crate::cli::views::small_ledger();
        let value = serde_json::to_value(ledger.why(0).unwrap()).unwrap();
        for field in ["view", "contributions", "voteless", "sponsors", "sponsors_needed", "day", "height"] {
            assert!(value.get(field).is_some(), "{field} in {value}");
        }
        let text = render(&read(&value, "node-1").unwrap(), 10, Paint::OFF);
        assert!(text.starts_with("node-1  R 50.0  = ledger 50.0 + peers +0.0      trust 50.00 "), "{text}");
    }

    #[test]
    fn a_stranger_has_no_contributions_and_no_vote() {
        let why: Why =
            read(&json!({ "view": { "name": "x", "trust": { "score": 5_000 } }, "sponsors_needed": 3 }), "x")
                .unwrap();
        let text = render(&why, 10, Paint::OFF);
        assert!(text.contains("trust 50.00 (confidence 0 %, not ranked yet)"), "{text}");
        assert!(text.contains("no rating adds to it or takes from it"), "{text}");
        assert!(
            text.contains("no ratings yet") && text.contains("its own vote: none (0 sponsors, 3 needed)"),
            "{text}"
        );
    }

    #[test]
    fn a_raters_name_cannot_paint_the_screen() {
        let mut value = sample();
        value["contributions"][0]["name"] = "\u{1b}[31mcarol".into();
        let text = render(&read(&value, "bob").unwrap(), 3, Paint::OFF);
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
