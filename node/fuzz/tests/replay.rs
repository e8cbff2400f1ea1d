//! Replays every kept input: those that the fuzzers found worth keeping, those that once failed, and the first ones.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::{fs, panic};

use trustnet_fuzz::targets;

/// All kept inputs together, in bytes.
const MAX_CORPUS_BYTES: u64 = 2 * 1024 * 1024;

fn files(kind: &str, target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target);
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// One test for all, because memory is counted for the whole process.
#[test]
fn every_kept_input_passes() {
    let mut failed = Vec::new();
    let mut bytes = 0;
    for target in targets::ALL {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no first inputs", target.name);
        let mut inputs: Vec<(String, Vec<u8>)> =
            seeds.into_iter().enumerate().map(|(index, seed)| (format!("seed {index}"), seed)).collect();
        let kept = files("corpus", target.name);
        assert!(
            !kept.is_empty(),
            "{} has no corpus; make one with .ci/fuzz --keep {}",
            target.name,
            target.name
        );
        for path in kept.into_iter().chain(files("failures", target.name)) {
            let input = fs::read(&path).unwrap();
            bytes += input.len() as u64;
            inputs.push((path.display().to_string(), input));
        }
        println!("{}: {} inputs", target.name, inputs.len());
        for (name, input) in inputs {
            assert!(input.len() <= 2 * target.max_bytes, "{name} has {} bytes", input.len());
            if panic::catch_unwind(|| (target.run)(&input)).is_err() {
                failed.push(format!("{} {name}", target.name));
            }
        }
    }
    assert!(failed.is_empty(), "these inputs fail:\n{}", failed.join("\n"));
    assert!(bytes <= MAX_CORPUS_BYTES, "the corpus has {bytes} bytes; minimise it with .ci/fuzz --keep");
}
