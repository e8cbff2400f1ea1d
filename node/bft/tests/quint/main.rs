//! Traces of the Quint model of Tendermint (Malachite's `specs/consensus/quint`), replayed against our core step by step.
//!
//! The traces in `tests/traces` are ours, written in the model's words. More come from a directory that the environment
//! variable `TRUSTNET_ITF_DIR` names, such as Quint itself writes them:
//!
//! ```text
//! quint test --out-itf "/tmp/itf/{test}_{seq}.itf.json" consensusTest.qnt
//! TRUSTNET_ITF_DIR=/tmp/itf cargo test -p trustnet-bft --test quint -- --nocapture
//! ```
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod consensus;
mod driver;
mod model;
mod network;
mod trace;
mod votekeeper;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Our own traces.
fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces")
}

/// One of them.
fn our(name: &str) -> Value {
    let path = ours().join(format!("{name}.itf.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A directory of its own, removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("trustnet-quint-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_trace_replays() {
    let mut directories = vec![ours()];
    directories.extend(std::env::var_os("TRUSTNET_ITF_DIR").map(PathBuf::from));
    for directory in directories {
        let replays = trace::replay_all(&directory).unwrap_or_else(|error| panic!("{error}"));
        let compared: usize = replays.iter().map(|replay| replay.compared).sum();
        println!("{}: {} traces replayed, {compared} states equal", directory.display(), replays.len());
    }
}

#[test]
fn our_traces_are_of_all_three_machines() {
    let replays = trace::replay_all(&ours()).unwrap();
    for machine in ["state machine", "vote keeper", "network"] {
        assert!(replays.iter().any(|replay| replay.machine == machine), "{machine}");
    }
}

#[test]
fn a_directory_without_a_trace_that_replays_fails() {
    let directory = Directory::new("empty");
    let error = trace::replay_all(&directory.0).unwrap_err();
    assert!(error.contains("holds no trace (*.itf.json) to replay"), "{error}");

    // What Quint writes for a test of pure functions, and a trace with nothing but its first state.
    let functions = json!({"#meta": {}, "vars": [], "states": [{"#meta": {"index": 0}}]});
    let mut start = our("state_machine_happy_path");
    start["states"].as_array_mut().unwrap().truncate(1);
    std::fs::write(directory.0.join("functions.itf.json"), functions.to_string()).unwrap();
    std::fs::write(directory.0.join("start.itf.json"), start.to_string()).unwrap();
    let error = trace::replay_all(&directory.0).unwrap_err();
    assert!(error.contains("holds no trace (*.itf.json) to replay"), "{error}");

    let error = trace::replay_all(&directory.0.join("missing")).unwrap_err();
    assert!(error.contains("cannot read"), "{error}");
}

#[test]
fn a_directory_with_one_bad_trace_fails_and_names_it() {
    let directory = Directory::new("bad");
    let good = our("state_machine_happy_path").to_string();
    std::fs::write(directory.0.join("good.itf.json"), &good).unwrap();
    for (text, complaint) in [
        ("not json".to_owned(), "this is no ITF trace"),
        (
            json!({"#meta": {}, "vars": ["x"], "states": []}).to_string(),
            "no machine of the model has the variables",
        ),
        (good.replace("PolkaAndValid", "PolkaAndWhatever"), "state 4"),
    ] {
        std::fs::write(directory.0.join("bad.itf.json"), text).unwrap();
        let error = trace::replay_all(&directory.0).unwrap_err();
        assert!(error.starts_with("bad.itf.json: ") && error.contains(complaint), "{error}");
    }
}

/// Changes one state after the other, each time in a fresh copy of the trace. Returns in how many of how many the change is
/// noticed: the replay fails, or goes no further because no messages cause such a step.
fn noticed(name: &str, change: impl Fn(&mut Value)) -> (usize, usize) {
    let trace = our(name);
    let replay = |trace: &Value| trace::replay(&trace.to_string()).map(|replay| replay.unwrap().compared);
    let whole = replay(&trace).unwrap();
    let count = trace["states"].as_array().unwrap().len();
    let is_noticed = |&index: &usize| {
        let mut changed = trace.clone();
        change(&mut changed["states"][index]);
        changed != trace && replay(&changed).map_or(true, |compared| compared < whole)
    };
    ((1..count).filter(is_noticed).count(), count - 1)
}

fn locked_elsewhere(state: &mut Value) {
    state["lockedRound"] = json!({"#bigint": "77"});
    state["lockedValue"] = json!({"tag": "Val", "value": "elsewhere"});
}

#[test]
fn a_changed_state_of_the_state_machine_is_noticed() {
    for name in ["happy_path", "lock_and_unlock", "nil_rounds", "round_skip", "stale_timeouts"] {
        let name = format!("state_machine_{name}");
        let decided = json!({"tag": "DecidedOutput", "value": {"#tup": [{"#bigint": "9"}, "elsewhere"]}});
        let (noticed_state, states) = noticed(&name, |state| locked_elsewhere(&mut state["state"]));
        assert_eq!(noticed_state, states, "{name}");
        let (noticed_output, states) = noticed(&name, |state| state["output"] = decided.clone());
        assert_eq!(noticed_output, states, "{name}");
    }
}

#[test]
fn a_changed_state_of_the_vote_keeper_is_noticed() {
    for name in ["equivocation", "weights", "round_skip"] {
        let name = format!("vote_keeper_{name}");
        let skip = json!({"tag": "SkipVKOutput", "value": {"#bigint": "99"}});
        let (noticed_output, states) = noticed(&name, |state| state["lastEmitted"] = skip.clone());
        assert_eq!(noticed_output, states, "{name}");
        let (noticed_weight, states) = noticed(&name, |state| {
            for votes in rounds(state) {
                for kind in ["prevotes", "precommits"] {
                    for entry in votes[kind]["valuesWeights"]["#map"].as_array_mut().unwrap() {
                        entry[1] = json!({"#bigint": "99"});
                    }
                }
            }
        });
        assert_eq!(noticed_weight, states, "{name}");
        let (noticed_evidence, states) = noticed(&name, |state| {
            state["bookkeeper"]["evidence"] =
                json!({"#set": [{"#set": [state["weightedVote"]["value"]["#tup"][0]]}]});
        });
        assert!(noticed_evidence > states / 2, "{name}: evidence against the right validator is no change");
    }
}

/// The rounds of a vote keeper.
fn rounds(state: &mut Value) -> impl Iterator<Item = &mut Value> {
    state["bookkeeper"]["rounds"]["#map"].as_array_mut().unwrap().iter_mut().map(|entry| &mut entry[1])
}

#[test]
fn a_changed_state_of_the_network_is_noticed() {
    let compared = trace::replay(&our("network_one_honest_validator").to_string()).unwrap().unwrap().compared;
    let (noticed_state, _) = noticed("network_one_honest_validator", |state| {
        let node = &mut state["system"]["#map"][0][1];
        locked_elsewhere(&mut node["es"]["cs"]);
    });
    // All but those after the decision, when locks matter no more.
    assert!(noticed_state >= compared - 2, "{noticed_state} of {compared}");
    let (noticed_vote, _) = noticed("network_one_honest_validator", |state| {
        let output = &mut state["_hist"]["output"];
        if output["tag"] == "VoteOutput" {
            output["value"]["valueId"] = json!({"tag": "Val", "value": "elsewhere"});
        }
    });
    assert_eq!(noticed_vote, 3, "two prevotes and a precommit");
}
