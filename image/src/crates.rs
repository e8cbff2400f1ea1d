//! Which crates are in the program for the node.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;

/// The package of the program.
const PROGRAM: &str = "trustnet";
/// What it is built for.
const TARGET: &str = "aarch64-unknown-linux-musl";
/// What cargo says of each crate: name, version and place; licence; and behind that its own mark for what it has said before.
const FORMAT: &str = "{p}|{l}|";

/// A crate that is linked into the program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as an SPDX expression.
    pub licence: String,
}

/// Why the crates are not known.
#[derive(Debug, thiserror::Error)]
pub enum CratesError {
    /// Cargo cannot be run.
    #[error("cannot run cargo: {0}")]
    NoCargo(io::Error),
    /// Cargo could not tell.
    #[error("cargo tree failed: {0}")]
    Failed(String),
    /// Cargo told something else.
    #[error("cargo tree said {0:?}, which is no crate")]
    Unknown(String),
}

/// The crates that are linked into the program: those that it needs to run, and what they need. Not what tests, build
/// scripts and macros need, nor the macros: none of it is in the program. `cargo tree`, not `cargo metadata`: that has the
/// features, and with them the crates, which other members of the workspace ask for.
///
/// # Errors
/// [`CratesError`]; the list is whole or not there.
pub fn crates(repository: &Path) -> Result<Vec<Crate>, CratesError> {
    let output = Command::new("cargo")
        .current_dir(repository)
        .args(["tree", "--locked", "--offline", "--package", PROGRAM, "--target", TARGET])
        .args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", FORMAT])
        .output()
        .map_err(CratesError::NoCargo)?;
    if !output.status.success() {
        return Err(CratesError::Failed(reason(&String::from_utf8_lossy(&output.stderr))));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// What cargo says is wrong: not its warnings before, nor its explanations behind.
fn reason(said: &str) -> String {
    let error = said.lines().find(|line| line.starts_with("error")).or_else(|| said.lines().next());
    error.unwrap_or("it says nothing").to_owned()
}

fn parse(text: &str) -> Result<Vec<Crate>, CratesError> {
    let lines = text.lines().filter(|line| !line.is_empty());
    let crates = lines
        .map(|line| parse_line(line).ok_or_else(|| CratesError::Unknown(line.to_owned())))
        .collect::<Result<BTreeSet<_>, _>>()?;
    if crates.is_empty() {
        return Err(CratesError::Failed("it names no crate".to_owned()));
    }
    Ok(crates.into_iter().collect())
}

fn parse_line(line: &str) -> Option<Crate> {
    let (package, licence) = line.rsplit_once('|')?.0.rsplit_once('|')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
    let licence = match licence {
        "" => "NOASSERTION".to_owned(),
        // As it was written before Cargo took SPDX's expressions.
        _ => licence.replace('/', " OR "),
    };
    Some(Crate { name, version, licence })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_is_listed_once() {
        let text = "trustnet v0.1.0 (/a | b/node)|MIT|\nredb v4.4.0|MIT/Apache-2.0|\nredb v4.4.0|MIT/Apache-2.0| (*)\nbare v1.0.0||\n";
        let listed = parse(text).unwrap();
        let listed: Vec<_> =
            listed.iter().map(|it| (it.name.as_str(), it.version.as_str(), it.licence.as_str())).collect();
        let expected = [
            ("bare", "1.0.0", "NOASSERTION"),
            ("redb", "4.4.0", "MIT OR Apache-2.0"),
            ("trustnet", "0.1.0", "MIT"),
        ];
        assert_eq!(listed, expected);
    }

    #[test]
    fn a_list_that_would_be_short_is_an_error() {
        assert!(matches!(parse("\n"), Err(CratesError::Failed(_))));
        assert!(
            matches!(parse("redb v4.4.0|MIT|\nredb\n"), Err(CratesError::Unknown(line)) if line == "redb")
        );
        assert_eq!(reason("warning: old\nerror: no lock\n\nCaused by:\n"), "error: no lock");
        assert_eq!(reason("killed\n"), "killed");
        // Not an empty folder: cargo would look above it.
        let broken = tempfile::tempdir().unwrap();
        std::fs::write(broken.path().join("Cargo.toml"), "[").unwrap();
        let nowhere = crates(broken.path()).unwrap_err().to_string();
        assert!(nowhere.starts_with("cargo tree failed: error: "), "{nowhere}");
    }

    #[test]
    fn cargo_tells_what_is_in_the_program_and_nothing_else() {
        let listed = crates(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        let has = |name: &str| listed.iter().any(|it| it.name == name);
        for name in ["redb", "serde", "trustnet", "trustnet-bft"] {
            assert!(has(name), "{name} is missing in {listed:?}");
        }
        // Of tests, of macros, of another member of the workspace.
        for name in ["proptest", "serde_derive", "syn", "fatfs", "trustnet-image"] {
            assert!(!has(name), "{name} is not in the program");
        }
    }
}
