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
pub mod verdicts;
pub mod world;

use std::path::Path;
use std::{fs, io};

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

/// Name of the folder that a fuzzer fills with its first inputs, if this variable is set, instead of fuzzing.
const SEEDS_VARIABLE: &str = "TRUSTNET_FUZZ_SEEDS";

/// Called by a fuzzer as it starts. If it is asked for first inputs, it writes them, prints the longest length worth
/// trying, and ends: so one build serves for everything that `.ci/fuzz` needs.
///
/// # Panics
/// When there is no such target, or the folder cannot be written.
pub fn begin(name: &str) {
    let Some(dir) = std::env::var_os(SEEDS_VARIABLE) else { return };
    let target = find(name).expect("every fuzzer has its target");
    target.write_seeds(Path::new(&dir)).expect("the folder can be written");
    println!("{}", target.max_bytes);
    std::process::exit(0);
}

impl Target {
    /// Writes the first inputs into a folder, a file each.
    ///
    /// # Errors
    /// When the system cannot write there.
    pub fn write_seeds(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        for (index, seed) in (self.seeds)().iter().enumerate() {
            fs::write(dir.join(format!("seed-{index:03}")), seed)?;
        }
        Ok(())
    }
}

/// The target with this name.
pub fn find(name: &str) -> Option<&'static Target> {
    targets::ALL.iter().find(|target| target.name == name)
}
