#![allow(clippy::unwrap_used)]
use super::*;

const NOW_MS: u64 = 1_700_000_000_000;

fn parse(text: &str) -> Result<Ratings, CsvError> {
    Ratings::parse("r.csv", text.as_bytes(), NOW_MS)
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_plain_file_is_sorted_by_time_source_and_target() {
    let ratings = parse("6,2,4,1289241911.72836\n9,8,-10,1289241900\n1,15,1,1289241911.72899\n").unwrap();
    let order: Vec<_> = ratings.rows.iter().map(|r| (r.time_ms, r.source, r.target, r.line)).collect();
    assert_eq!(
        order,
        [(1_289_241_900_000, 9, 8, 2), (1_289_241_911_728, 1, 15, 3), (1_289_241_911_728, 6, 2, 1)]
    );
}

#[test]
fn headings_comments_blank_lines_carriage_returns_and_a_byte_order_mark_are_passed_over() {
    let ratings =
        parse("\u{feff}SOURCE,TARGET,RATING,TIME\r\n# note\r\n\r\n 6 , 2 , +4 , 12.5 \r\n").unwrap();
    assert_eq!(ratings.rows, [Row { time_ms: 12_500, source: 6, target: 2, line: 4, weight: 4 }]);
}

#[test]
fn a_heading_is_allowed_on_the_first_line_only() {
    assert!(error("1,2,3,4\nsource,target,rating,time\n").contains("r.csv:2: the source must be"));
}

#[test]
fn stars_follow_the_mapping_of_the_reference() {
    let stars = |weight| Row { time_ms: 0, source: 0, target: 1, line: 1, weight }.stars();
    let all: Vec<u8> = (-10..=10).map(stars).collect();
    assert_eq!(all, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5]);
}

#[test]
fn every_kind_of_broken_line_is_named_with_its_line() {
    for (line, what) in [
        ("1,2,3", "expected 4 fields"),
        ("1,2,3,4,5", "found 5"),
        ("x,2,3,4", "the source must be"),
        ("1,-2,3,4", "the target must be"),
        ("1,99999999999999999999999,3,4", "the target must be"),
        ("1,2,11,4", "from -10 to 10"),
        ("1,2,4.5,4", "from -10 to 10"),
        ("1,2,,4", "from -10 to 10"),
        ("1,2,3,yesterday", "the time must be"),
        ("1,2,3,-4", "the time must be"),
        ("1,2,3,1.", "the time must be"),
        ("1,2,3,1e9", "the time must be"),
        ("1,2,3,1700000000.001", "in the future"),
        ("5,5,3,4", "rates itself"),
    ] {
        let message = error(&format!("7,8,1,1\n{line}\n"));
        assert!(message.starts_with("r.csv:2: ") && message.contains(what), "{line}: {message}");
        assert!(message.contains("nothing was submitted"), "{message}");
    }
}

#[test]
fn the_first_ten_problems_are_listed_and_the_rest_counted() {
    let text: String = (0..25).map(|_| "1,1,1,1\n").collect();
    let message = error(&text);
    assert!(message.contains("r.csv:10:") && !message.contains("r.csv:11:"), "{message}");
    assert!(message.contains("... and 15 more") && message.contains("25 lines"), "{message}");
}

#[test]
fn a_line_without_end_is_refused_and_the_next_line_is_read_afresh() {
    let text = format!("{}\n1,2,3,4\n5,5,1,1\n", "9".repeat(5_000));
    let message = error(&text);
    assert!(
        message.contains("r.csv:1: the line is longer") && message.contains("r.csv:3: person 5"),
        "{message}"
    );
}

#[test]
fn bytes_that_are_no_text_and_control_characters_do_not_reach_the_terminal() {
    let message = Ratings::parse("r.csv", &b"\xff\xfe,1,2,3\n"[..], NOW_MS).unwrap_err().to_string();
    assert!(message.contains("not text"));
    assert!(!error("1,2,\u{1b}[2J,4\n").contains('\u{1b}'));
}

#[test]
fn an_empty_file_and_a_missing_file_say_so() {
    assert!(error("source,target,rating,time\n").contains("holds no ratings"));
    let missing = Ratings::read(Path::new("/nonexistent/r.csv"), NOW_MS).unwrap_err().to_string();
    assert!(missing.contains("cannot read /nonexistent/r.csv"), "{missing}");
    assert!(Ratings::read(Path::new("/"), NOW_MS).unwrap_err().to_string().contains("folder"));
}

#[test]
fn people_appear_when_they_first_rate_or_are_rated() {
    let ratings = parse("1,2,3,10\n3,1,3,5\n2,3,1,20\n").unwrap();
    let people: Vec<_> = ratings.people().into_iter().collect();
    assert_eq!(people, [(1, (5_000, 2)), (2, (10_000, 1)), (3, (5_000, 2))]);
    assert_eq!(ratings.first_raters(2), [3, 1]);
    assert_eq!(ratings.last_day(), 0);
}

#[test]
fn bitcoin_otc_gives_the_roots_and_the_day_of_the_reference() {
    let Some(path) = crate::import::otc_for_tests() else {
        eprintln!("the Bitcoin OTC file is not here; this test fell back to nothing");
        return;
    };
    let ratings = Ratings::read(&path, NOW_MS).unwrap();
    assert_eq!((ratings.rows.len(), ratings.people().len(), ratings.last_day()), (35_592, 5_881, 16_825));
    let vectors = std::fs::read(path.with_file_name("vectors.json"));
    if let Ok(vectors) = vectors {
        let vectors: serde_json::Value = serde_json::from_slice(&vectors).unwrap();
        let mut roots = ratings.first_raters(20);
        roots.sort_unstable();
        assert_eq!(serde_json::json!(roots), vectors["otc"]["roots"]);
    }
}
