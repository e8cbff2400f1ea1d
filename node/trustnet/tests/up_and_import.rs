//! `trustnet up` and `trustnet import` as somebody uses them: real processes, real ports.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// First port to try; taken ones are passed over by the program itself.
const BASE: &str = "38400";

fn trustnet(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trustnet"));
    command.args(args).arg("--home").arg(home).env_remove("TRUSTNET_RPC").output().unwrap()
}

/// The last line of standard output, as JSON.
fn last_json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().unwrap_or_else(|| panic!("no output; errors: {errors}"));
    serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}; errors: {errors}"))
}

/// A ring of people who rate their neighbours well and one person whom all rate badly.
fn ratings(people: u64) -> String {
    let mut text = "source,target,rating,time\n".to_owned();
    for person in 1..=people {
        let time = 1_400_000_000 + person * 1_000;
        for step in 1..=3 {
            let target = (person - 1 + step) % people + 1;
            writeln!(text, "{person},{target},{},{time}.5", 4 + step).unwrap();
        }
        writeln!(text, "{person},666,-10,{time}").unwrap();
    }
    text
}

#[test]
fn a_network_imports_reports_agrees_and_finds_everything_there_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ratings.csv");
    std::fs::write(&file, ratings(30)).unwrap();
    let home = dir.path().join("up");
    let file = file.to_str().unwrap();
    let args = ["up", "--ratings", file, "--exit-after-import", "--json"];

    let first =
        trustnet(&home, &[&args[..], &["--nodes", "2", "--roots", "5", "--listen-base", BASE]].concat());
    let report = last_json(&first);
    assert!(first.status.success(), "{report}");
    assert_eq!(report["event"], "report");
    assert_eq!(report["import"]["registered"], 31);
    assert_eq!(report["import"]["rated"], 120);
    assert_eq!(report["agreement"]["same_state_root"], true);
    assert_eq!(report["trust"]["bottom"][0]["name"], "666");
    assert!(report["trust"]["bottom"][0]["why"][0]["centi_points"].as_i64().unwrap() < 0);

    let second = trustnet(&home, &args);
    let again = last_json(&second);
    assert!(second.status.success(), "{again}");
    assert_eq!(again["import"]["committed"], 0);
    assert_eq!(again["import"]["already_there"], 151);
    assert_eq!(again["import"]["chain_id"], report["import"]["chain_id"]);
    assert_eq!(again["trust"]["checksum"], report["trust"]["checksum"]);
}

#[test]
fn a_broken_file_names_its_line_and_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ratings.csv");
    std::fs::write(&file, ratings(3) + "1,2,30,1400000000\n").unwrap();
    let home = dir.path().join("up");
    let output = trustnet(&home, &["up", "--ratings", file.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("ratings.csv:14: the rating must be a whole number"), "{errors}");
    assert!(!home.exists());
}

#[test]
fn an_import_without_a_node_says_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ratings.csv");
    std::fs::write(&file, "1,1,1,1\n").unwrap();
    let output = trustnet(dir.path(), &["import", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "a broken file comes first");
    std::fs::write(&file, "1,2,1,1\n").unwrap();
    let seed = dir.path().join("seed");
    let args =
        ["import", file.to_str().unwrap(), "--seed-file", seed.to_str().unwrap(), "--rpc", "127.0.0.1:9"];
    let output = trustnet(dir.path(), &args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains("trustnet up"), "{errors}");
}
