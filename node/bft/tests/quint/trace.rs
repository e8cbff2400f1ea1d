//! Reads a trace, recognises which machine of the model made it, and replays it.

use crate::model::{Consensus, Network, VoteKeeper};
use crate::{consensus, network, votekeeper};
use itf::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What the replay of a trace has done.
#[derive(Default, Debug)]
pub(crate) struct Replay {
    /// Which machine of the model the trace is of.
    pub(crate) machine: &'static str,
    /// Inputs of the model that were fed to a core.
    pub(crate) fed: usize,
    /// States of the model that a core's state was compared with, and found equal.
    pub(crate) compared: usize,
    /// Steps that the model refuses to make or has put off, and what else cannot be compared, by reason.
    pub(crate) passed_over: BTreeMap<&'static str, usize>,
}

impl Replay {
    pub(crate) fn of(machine: &'static str) -> Self {
        Self { machine, ..Self::default() }
    }

    pub(crate) fn pass_over(&mut self, reason: &'static str) {
        *self.passed_over.entry(reason).or_default() += 1;
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} inputs fed, {} states equal", self.machine, self.fed, self.compared)?;
        for (reason, count) in &self.passed_over {
            write!(f, "; {count}: {reason}")?;
        }
        Ok(())
    }
}

/// Replays the trace in a text. `None`: it is a trace without variables, as Quint writes them for tests of pure functions.
pub(crate) fn replay(text: &str) -> Result<Option<Replay>, String> {
    let trace: itf::Trace<Value> =
        serde_json::from_str(text).map_err(|error| format!("this is no ITF trace: {error}"))?;
    let vars = trace.vars.clone();
    let has = |name: &str| vars.iter().any(|var| local(var) == name);
    if vars.is_empty() {
        Ok(None)
    } else if has("system") && has("_hist") {
        network::replay(&states::<Network>(trace)?).map(Some)
    } else if has("bookkeeper") && has("weightedVote") && has("lastEmitted") {
        votekeeper::replay(&states::<VoteKeeper>(trace)?).map(Some)
    } else if has("state") && has("input") && has("output") {
        consensus::replay(&states::<Consensus>(trace)?).map(Some)
    } else {
        Err(format!("no machine of the model has the variables {vars:?}"))
    }
}

/// The name of a variable without the module instance that it is of.
fn local(var: &str) -> &str {
    var.rsplit("::").next().unwrap_or(var)
}

/// The states of a trace, their variables without module instances. A test file may list the variables of more instances
/// than the one that ran; only that one has values. One of the machines writes its history as a tuple; all get records.
fn states<S: for<'de> serde::Deserialize<'de>>(trace: itf::Trace<Value>) -> Result<Vec<S>, String> {
    let decode = |(index, state): (usize, itf::State<Value>)| {
        let Value::Record(record) = state.value else { return Err(format!("state {index} is no record")) };
        let record = record.into_iter().map(|(var, value)| match (local(&var), value) {
            ("_hist", Value::Tuple(parts)) => {
                let names = ["validator", "input", "output"].map(str::to_owned);
                ("_hist".into(), Value::Record(names.into_iter().zip(parts).collect()))
            }
            (var, value) => (var.to_owned(), value),
        });
        let record = record.collect();
        S::deserialize(Value::Record(record)).map_err(|error| format!("state {index}: {error}"))
    };
    trace.states.into_iter().enumerate().map(decode).collect()
}

/// The traces of a directory, by name.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", directory.display());
    let entries = std::fs::read_dir(directory).map_err(unreadable)?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.to_string_lossy().ends_with(".itf.json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Replays all traces of a directory, and says what each did. Fails if any fails, or if none was replayed.
pub(crate) fn replay_all(directory: &Path) -> Result<Vec<Replay>, String> {
    let (mut replays, mut failures) = (Vec::new(), Vec::new());
    for path in files(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {name}: {error}"));
        match text.and_then(|text| replay(&text)) {
            Ok(None) => println!("{name}: no variables, nothing to replay"),
            Ok(Some(replay)) => {
                println!("{name}: {replay}");
                if replay.fed > 0 && replay.compared > 0 {
                    replays.push(replay);
                }
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    if !failures.is_empty() {
        return Err(failures.join("\n"));
    }
    if replays.is_empty() {
        return Err(format!("{} holds no trace (*.itf.json) to replay", directory.display()));
    }
    Ok(replays)
}
