//! `trustnet import`: bringing a file of ratings onto the chain, each signed as the person who gave it.
//!
//! The file is read and judged as a whole ([`csv`]), turned into one lane of transactions a person
//! ([`plan`]), compared with the chain ([`chain`]), and what is missing is sent ([`run`]) through a
//! bounded window ([`window`]). Nothing is stored on the way: the chain itself is the record of how
//! far an import has come, so that it can be interrupted and repeated at will.

pub mod chain;
pub mod command;
pub mod csv;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod run;
pub mod seed;
pub mod window;

/// The Bitcoin OTC file, when it is here: `$TRUSTNET_OTC_CSV`, or `shared/trust` in a folder above.
#[cfg(test)]
pub(crate) fn otc_for_tests() -> Option<std::path::PathBuf> {
    if let Some(path) = std::env::var_os("TRUSTNET_OTC_CSV") {
        return Some(path.into());
    }
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = |dir: &std::path::Path| dir.join("shared/trust/soc-sign-bitcoinotc.csv");
    manifest.ancestors().map(file).find(|path| path.exists())
}
