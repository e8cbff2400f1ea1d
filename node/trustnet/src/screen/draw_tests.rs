#![allow(clippy::unwrap_used)]
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::model::{Life, NodeRow, PersonRow, TrustPanel};
use super::*;

fn person(name: &str, score_centi: u64, confidence: u64, mean_milli: Option<u64>) -> PersonRow {
    PersonRow { name: name.into(), score_centi, confidence, mean_milli }
}

fn node(number: u64) -> NodeRow {
    NodeRow {
        name: format!("node-{number}"),
        life: Life::Up,
        height: Some(1_234),
        round: Some(0),
        peers: Some(3),
        reputation_mp: Some(50_000),
        status: "ACTIVE".into(),
        url: format!("http://127.0.0.1:{}", 26_655 + 2 * number),
    }
}

fn model(nodes: u64) -> Model {
    let mut model = Model::new("trustnet-local-3f9a2c");
    model.activity = Activity::Running;
    (model.height, model.interval_ms, model.block_age_ms) = (1_234, Some(85), Some(1_400));
    (model.pool, model.faults_tolerated) = (Some(1_200), Some(1));
    model.nodes = (1..=nodes).map(node).collect();
    for transactions in [0, 500, 1_000, 2_000, 4_000, 3_000, 1_500] {
        model.second(transactions);
    }
    let top = [("1", 7_562), ("4172", 7_386), ("7", 7_349), ("11", 7_300), ("35", 7_201)];
    let bottom = [("3744", 1_975), ("5993", 3_217), ("2498", 3_236), ("99", 3_300), ("100", 3_400)];
    model.trust = Some(TrustPanel {
        day: "2016-01-25".into(),
        of: 5_881,
        top: top.map(|(name, score)| person(name, score, 94, Some(4_666))).into(),
        bottom: bottom.map(|(name, score)| person(name, score, 71, Some(1_050))).into(),
    });
    model.hints = [
        "curl -s http://127.0.0.1:26657/status",
        "trustnet query trust --rpc http://127.0.0.1:26657",
        "trustnet why 1 --rpc http://127.0.0.1:26657",
        "kill -9 the process of a node and watch it come back",
    ]
    .map(str::to_owned)
    .into();
    model
}

fn screen(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Compares with the screen kept in `golden/`; a difference shows the whole new screen.
fn assert_screen(name: &str, golden: &str, actual: &str) {
    assert!(golden == actual, "the screen {name} has changed; if that is right, keep this one:\n{actual}");
}

#[test]
fn a_running_network_on_80_by_24() {
    let mut model = model(4);
    model.problem("node-3 died (signal 9); last lines of its log:");
    model.problem("  2026-11-20T19:40:01Z WARN store: closing");
    model.nodes[2].life = Life::Restarting(2);
    assert_screen("running_80x24", include_str!("golden/running_80x24.txt"), &screen(&model, 80, 24));
}

#[test]
fn an_import_under_way_on_80_by_24() {
    let mut model = model(4);
    let import = ImportLine { phase: "rating", committed: 20_000, total: 41_473, per_second: 4_321 };
    model.activity = Activity::Importing(import);
    assert_screen("import_80x24", include_str!("golden/import_80x24.txt"), &screen(&model, 80, 24));
}

#[test]
fn a_network_that_is_starting_on_80_by_24() {
    let mut model = Model::new("trustnet-local-3f9a2c");
    model.nodes = (1..=4).map(node).collect();
    for node in &mut model.nodes {
        (node.life, node.height, node.round, node.peers, node.reputation_mp) =
            (Life::Starting, None, None, None, None);
    }
    assert_screen("starting_80x24", include_str!("golden/starting_80x24.txt"), &screen(&model, 80, 24));
}

#[test]
fn sixteen_nodes_on_80_by_24_and_on_160_by_50() {
    let model = model(16);
    assert_screen("sixteen_80x24", include_str!("golden/sixteen_80x24.txt"), &screen(&model, 80, 24));
    assert_screen("sixteen_160x50", include_str!("golden/sixteen_160x50.txt"), &screen(&model, 160, 50));
}

#[test]
fn the_report_scrolls_and_stops_at_its_end() {
    let mut model = model(4);
    model.report = (1..=60).map(|i| format!("line {i} of the report")).collect();
    model.show_report = true;
    assert!(screen(&model, 80, 24).contains(" line 1 of the report\n"));
    model.scroll = 1_000;
    let end = screen(&model, 80, 24);
    assert!(
        end.contains(" line 60 of") && end.contains(" line 41 of") && !end.contains(" line 40 of"),
        "{end}"
    );
}

#[test]
fn no_size_and_no_content_makes_it_fail() {
    let mut model = model(16);
    model.chain_id = "x".repeat(50);
    model.trust.as_mut().unwrap().top[0].name = "n".repeat(64);
    model.problem(&"long ".repeat(100));
    for width in 1..200 {
        for height in [1, 2, 3, 5, 6, 7, 9, 12, 24, 60] {
            screen(&model, width, height);
        }
    }
}

#[test]
fn nodes_come_first_when_lines_are_few() {
    assert_eq!(heights(20, 4, true, 4, 0, false), Heights { nodes: 5, trust: 6, hints: 5, problems: 4 });
    assert_eq!(heights(20, 16, true, 4, 0, false), Heights { nodes: 17, trust: 3, hints: 0, problems: 0 });
    assert_eq!(heights(20, 16, true, 4, 5, false), Heights { nodes: 17, trust: 0, hints: 0, problems: 3 });
    assert_eq!(heights(3, 16, true, 4, 5, false), Heights { nodes: 3, trust: 0, hints: 0, problems: 0 });
    assert_eq!(heights(40, 4, true, 4, 0, true), Heights { nodes: 5, trust: 6, hints: 6, problems: 29 });
}
