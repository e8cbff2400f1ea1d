//! `trustnet query trust`: everybody's score, with what makes it comparable and checkable.

use std::cmp::Reverse;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::format::{date, day_of_date, decimal, score, thousands};
use crate::cli::globals::Globals;
use crate::cli::views::{read, vote};
use crate::output::{Align, Paint, Table, harmless};

/// Everybody's trust score, of today or of an earlier day
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("form").args(["csv", "checksum"]))]
pub(super) struct TrustArgs {
    /// As it was at the end of that UTC day: only ratings up to it count
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day_of_date)]
    as_of: Option<u32>,

    /// Print comma-separated values: scores in hundredths of a point, weights in 1/65536
    #[arg(long)]
    csv: bool,

    /// Print only the checksum over all scores, to compare with another node or the reference
    #[arg(long)]
    checksum: bool,

    /// Show only the first N
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// The answer to `/trust`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Trust {
    day: u32,
    rows: Vec<Row>,
    checksum: String,
}

/// One node's line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    name: String,
    id: String,
    score: i64,
    confidence: u64,
    weight: u64,
    standing: u64,
    /// Reliability, performance, honesty.
    categories: [i64; 3],
    ratings: u64,
    voteless: u64,
    stars_mean_milli: Option<u64>,
}

pub(super) fn main(args: &TrustArgs, globals: &Globals) -> Result<(), CliError> {
    let mut value: Value = globals.client()?.query("/trust", &json!({ "day": args.as_of }))?;
    let mut trust: Trust = read(&value, "trust")?;
    let output = globals.output();
    if args.checksum && !output.json {
        return output.text(&trust.checksum);
    }
    if args.checksum {
        return output.value(&json!({ "day": trust.day, "checksum": trust.checksum }));
    }
    let all = trust.rows.len();
    let limit = args.limit.unwrap_or(all);
    if output.json {
        sort_values(&mut value, limit);
        return output.value(&value);
    }
    trust.rows.sort_by(|a, b| order(a.score, &a.name).cmp(&order(b.score, &b.name)));
    trust.rows.truncate(limit);
    output.text(&if args.csv { csv(&trust.rows) } else { render(&trust, all, output.paint) })
}

/// The order of the table: the best first, equal scores by name, numbers before and among
/// themselves as numbers (the reference's ids).
fn order(score: i64, name: &str) -> (Reverse<i64>, u64, &str) {
    (Reverse(score), name.parse().unwrap_or(u64::MAX), name)
}

fn name(row: &Value) -> &str {
    row["name"].as_str().unwrap_or_default()
}

/// The same order, for JSON.
fn sort_values(value: &mut Value, limit: usize) {
    if let Some(rows) = value["rows"].as_array_mut() {
        rows.sort_by(|a, b| {
            let score = |row: &Value| row["score"].as_i64().unwrap_or(0);
            order(score(a), name(a)).cmp(&order(score(b), name(b)))
        });
        rows.truncate(limit);
    }
}

fn csv(rows: &[Row]) -> String {
    let mut text = String::from(
        "rank,id,name,score,confidence,weight,standing,reliability,performance,honesty,ratings,voteless,stars_mean_milli\n",
    );
    for (index, row) in rows.iter().enumerate() {
        let [reliability, performance, honesty] = row.categories;
        let stars = row.stars_mean_milli.map(|mean| mean.to_string()).unwrap_or_default();
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{reliability},{performance},{honesty},{},{},{stars}",
            index + 1,
            field(&row.id),
            field(&row.name),
            row.score,
            row.confidence,
            row.weight,
            row.standing,
            row.ratings,
            row.voteless,
        );
    }
    text
}

/// A field of RFC 4180; names hold neither commas nor quotes, unless the node lies.
fn field(text: &str) -> String {
    let text = harmless(text);
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn render(trust: &Trust, all: usize, paint: Paint) -> String {
    let mut table = Table::new(&[
        ("rank", Align::Right),
        ("name", Align::Left),
        ("trust", Align::Right),
        ("conf", Align::Right),
        ("vote", Align::Right),
        ("honesty", Align::Right),
        ("reliability", Align::Right),
        ("performance", Align::Right),
        ("ratings", Align::Right),
        ("without vote", Align::Right),
        ("mean", Align::Right),
    ]);
    for (index, row) in trust.rows.iter().enumerate() {
        let [reliability, performance, honesty] = row.categories.map(score);
        let mean = row.stars_mean_milli.filter(|_| row.ratings > 0);
        table.row([
            thousands(index as u64 + 1),
            harmless(&row.name),
            score(row.score),
            format!("{} %", row.confidence),
            vote(row.weight),
            honesty,
            reliability,
            performance,
            thousands(row.ratings),
            thousands(row.voteless),
            mean.map(|mean| decimal(i64::try_from(mean).unwrap_or(0), 1_000, 1)).unwrap_or_default(),
        ]);
    }
    let summary = format!(
        "{} of {} nodes on {}, checksum {}\n",
        thousands(trust.rows.len() as u64),
        thousands(all as u64),
        date(trust.day),
        harmless(&trust.checksum)
    );
    table.render(paint) + &paint.dim(&summary)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> Value {
        json!({
            "day": 16_825, "checksum": "2eade136",
            "rows": [
                { "name": "b", "id": "0x02", "score": 7_386, "confidence": 60, "weight": 65_536, "ratings": 9, "voteless": 2,
                  "stars_mean_milli": 4_444, "categories": [5_000, 5_000, 7_386], "standing": 12 },
                { "name": "c", "id": "0x03", "score": 7_562, "confidence": 99, "weight": 0, "ratings": 1_204, "voteless": 0,
                  "stars_mean_milli": 5_000, "categories": [5_000, 5_000, 7_562], "standing": 3 },
                { "name": "a", "id": "0x01", "score": 7_386, "confidence": 5, "weight": 0, "ratings": 0, "voteless": 0,
                  "stars_mean_milli": null, "categories": [5_000, 5_000, 7_386], "standing": 0 },
            ],
        })
    }

    fn sorted() -> Trust {
        let mut value = sample();
        sort_values(&mut value, 10);
        read(&value, "trust").unwrap()
    }

    #[test]
    fn the_table_is_sorted_by_score_then_name() {
        assert_eq!(
            render(&sorted(), 3, Paint::OFF),
            "rank  name  trust  conf  vote  honesty  reliability  performance  ratings  without vote  mean\n\
             \x20  1  c     75.62  99 %  0.00    75.62        50.00        50.00    1,204             0   5.0\n\
             \x20  2  a     73.86   5 %  0.00    73.86        50.00        50.00        0             0\n\
             \x20  3  b     73.86  60 %  1.00    73.86        50.00        50.00        9             2   4.4\n\
             3 of 3 nodes on 2016-01-25, checksum 2eade136\n"
        );
    }

    #[test]
    fn values_in_csv_are_the_ledgers_integers() {
        let text = csv(&sorted().rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1], "1,0x03,c,7562,99,0,3,5000,5000,7562,1204,0,5000");
        assert_eq!(lines[2], "2,0x01,a,7386,5,0,0,5000,5000,7386,0,0,");
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn the_ledgers_own_answer_is_read() {
        let ledger = crate::cli::views::small_ledger();
        let value = serde_json::to_value(ledger.trust_at(None)).unwrap();
        assert_eq!(value["day"], 16_825);
        for row in value["rows"].as_array().unwrap() {
            for field in [
                "name",
                "id",
                "score",
                "confidence",
                "weight",
                "standing",
                "categories",
                "ratings",
                "voteless",
            ] {
                assert!(row.get(field).is_some(), "{field} in {row}");
            }
        }
        let trust: Trust = read(&value, "trust").unwrap();
        assert_eq!(
            (trust.rows.len(), trust.rows[0].name.as_str(), trust.rows[0].score),
            (1, "node-1", 5_000)
        );
    }

    #[test]
    fn names_that_are_numbers_are_sorted_as_numbers() {
        let mut names = ["4172", "b", "36", "a", "7"];
        names.sort_by(|a, b| order(5, a).cmp(&order(5, b)));
        assert_eq!(names, ["7", "36", "4172", "a", "b"]);
    }

    #[test]
    fn a_limit_cuts_after_sorting() {
        let mut value = sample();
        sort_values(&mut value, 1);
        assert_eq!(value["rows"][0]["name"], "c");
        assert_eq!(value["rows"].as_array().unwrap().len(), 1);
    }
}
