use std::time::Duration;

use trustnet_ledger::crypto::Hash32;

use super::*;
use crate::screen::model::PersonRow;

fn id(number: u8) -> NodeId {
    NodeId(Hash32([number; 32]))
}

fn scored(number: u8, score_centi: u64, weight: u32) -> Scored {
    let row = PersonRow { name: number.to_string(), score_centi, confidence: 50, mean_milli: Some(4_500) };
    Scored { row, id: id(number), weight }
}

fn fact(from: u8, to: u8, stars: u8, day: u64) -> RatingFact {
    RatingFact { from: id(from), to: id(to), category: Category::Honesty, stars, time_ms: day * DAY_MS }
}

fn summary() -> Summary {
    Summary {
        chain_id: "c-1".into(),
        people: 12,
        ratings: 40,
        registered: 12,
        rated: 40,
        present: 0,
        elapsed: Duration::from_millis(1_250),
        resent: 0,
    }
}

fn report(agreement: Agreement) -> Report {
    let people =
        (1..=12).map(|n| scored(n, 8_000 - u64::from(n) * 100, if n < 4 { 65_536 } else { 0 })).collect();
    let trust = Trust { day: 16_825, checksum: "2eade".into(), people };
    let ratings = [
        fact(2, 1, 5, 16_825),
        fact(3, 1, 4, 16_825),
        fact(9, 1, 1, 16_825),
        fact(2, 12, 1, 16_825),
        fact(2, 1, 1, 16_900),
    ];
    Report::new("r.csv", summary(), &trust, &ratings[..4], [0, 0, 100], (agreement, 4))
}

#[test]
fn reasons_follow_the_ledgers_formula_and_voteless_ratings_add_nothing() {
    let report = report(Agreement::Unknown);
    let reasons: Vec<_> =
        report.top[0].reasons.iter().map(|r| (r.rater.as_str(), r.stars, r.centi_points)).collect();
    // Prior 3 and two full votes of today: 5,000/5 and 2,500/5 centi-points.
    assert_eq!(reasons, [("2", 5, 1_000), ("3", 4, 500)]);
    assert_eq!(report.top[0].ratings, 3);
    assert_eq!(report.bottom[0].scored.row.name, "12");
    // A bad rating weighs double: 5,000 * 2 / (3 + 2).
    assert_eq!(report.bottom[0].reasons[0].centi_points, -2_000);
}

#[test]
fn the_lines_are_those_that_people_read() {
    let lines = report(Agreement::Same { height: 1_234, root: "ab".repeat(32) }).lines();
    let text = lines.join("\n");
    assert!(text.starts_with(
        "import of r.csv: 12 people, 40 ratings\n  52 transactions committed in 1.2 s: 41 tx/s (0 were there already)\n"
    ));
    assert!(text.contains("trust on 2016-01-25, the day of the last rating, of 12 people\n"));
    assert!(
        text.contains("  1           79.00  confidence  50 %  mean of stars 4.50  3 ratings\n"),
        "{text}"
    );
    assert!(text.contains("      +10.00  2 gave 5* honesty on 2016-01-25, vote 1.00\n"), "{text}");
    assert!(text.contains(
        "checksum of all scores 2eade\nall 4 nodes have the same state root at height 1,234:\n  abab"
    ));
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn disagreement_cannot_be_overlooked() {
    let different = Agreement::Different { height: 7, roots: vec!["aa".into(), "bb".into()] };
    let report = report(different);
    assert!(report.lines().join("\n").contains("THE NODES DISAGREE at height 7:\n  node-1 aa\n  node-2 bb"));
    assert_eq!(report.to_json()["agreement"]["same_state_root"], false);
}

#[test]
fn scripts_get_the_same_numbers() {
    let json = report(Agreement::Same { height: 9, root: "ab".into() }).to_json();
    assert_eq!(json["import"]["committed"], 52);
    assert_eq!(json["trust"]["top"][0]["why"][0]["centi_points"], 1_000);
    assert_eq!(json["trust"]["checksum"], "2eade");
    assert_eq!(json["agreement"]["same_state_root"], true);
}
