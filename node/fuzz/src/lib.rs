//! Coverage-guided fuzzing of everything that strangers, files and users can send.
//!
//! A target is an ordinary function from bytes to nothing that panics when a promise is broken. Three things call it:
//! libFuzzer (`fuzz_targets/`, built by `.ci/fuzz`), the program `trustnet-fuzz` (replays a file), and the test
//! `tests/replay.rs` (replays the whole corpus). Inputs are kept in `corpus/TARGET`, those that once failed in
//! `failures/TARGET`; [`Target::seeds`] makes the first ones from valid values.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod memory;
pub mod script;
pub mod targets;
pub mod world;

/// Something that can be fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its binary, its corpus and its module.
    pub name: &'static str,
    /// What it feeds to what.
    pub about: &'static str,
    /// The longest input worth trying, in bytes.
    pub max_bytes: usize,
    /// Runs one input. Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// First inputs, made from valid values.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// The target with this name.
pub fn find(name: &str) -> Option<&'static Target> {
    targets::ALL.iter().find(|target| target.name == name)
}
