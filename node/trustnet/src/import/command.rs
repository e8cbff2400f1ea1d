//! `trustnet import`: its options and its result.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::chain::RpcChain;
use super::csv::Ratings;
use super::outcome::{ImportError, Patience, Summary};
use super::plan::Plan;
use super::progress::{Bar, Progress as _};
use super::run;
use super::seed::ImportSeed;
use crate::cli::{CliError, Globals};
use crate::client::Client;
use crate::home;
use crate::screen::format::grouped;
use crate::up::command::now_ms;
use crate::up::network::SEED_FILE;
use crate::up::stop::Stop;

/// Most endpoints that share the work.
const MAX_ENDPOINTS: usize = 16;

/// Options of `trustnet import`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Several nodes share the work: --rpc URL,URL,... or the network of `trustnet up`, whose nodes all take part.

The file has lines `source,target,rating,time`: two people's numbers, -10 to 10, Unix seconds. Ratings become \
stars: -10..-5 one, -4..-1 two, 0 three, 1..4 four, 5..10 five. Every person gets a key derived from the seed, \
is registered under its number, and signs its own ratings. Repeating an import sends only what is missing.")]
pub struct ImportArgs {
    /// The ratings
    #[arg(value_name = "FILE.csv")]
    pub file: PathBuf,

    /// The secret from which people's keys are derived; made on first use
    /// [default: ~/.local/share/trustnet/up/import.seed]
    #[arg(long, value_name = "F")]
    pub seed_file: Option<PathBuf>,
}

/// Imports a file.
///
/// # Errors
/// When the file is broken, no node answers, or the ledger refuses.
pub fn main(args: &ImportArgs, globals: &Globals) -> Result<(), CliError> {
    let ratings = Ratings::read(&args.file, now_ms()).map_err(CliError::failed)?;
    let clients = clients(globals)?;
    let seed_file = match &args.seed_file {
        Some(path) => path.clone(),
        None => default_seed_file(globals)?,
    };
    let (seed, made) = ImportSeed::load_or_create(&seed_file).map_err(CliError::failed)?;
    let bar = Bar::stderr();
    if made {
        bar.note(&format!(
            "made the seed {}: keep it, it signs for everybody in the file",
            seed_file.display()
        ));
    }
    let plan = Plan::new(&ratings, &seed);
    let stop = stop_flag()?;
    let result = run::run(&plan, &RpcChain::new(clients), Patience::default(), &bar, &stop);
    bar.finish();
    let summary = result.map_err(|error| failure(&error))?;
    let name = args.file.display().to_string();
    globals.output().either(&summary.to_json(&name), |_| text(&name, &summary))
}

/// The nodes to send to: those named, or all of the local network, or the one of this home.
fn clients(globals: &Globals) -> Result<Vec<Client>, CliError> {
    let mut urls: Vec<String> = match &globals.rpc {
        Some(list) => {
            list.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect()
        }
        None => Vec::new(),
    };
    if globals.rpc.is_none() {
        for home in globals.homes() {
            urls.push(format!("http://127.0.0.1:{}", home.config()?.rpc.listen.port()));
        }
    }
    if urls.len() < 2 {
        return Ok(vec![globals.client()?]);
    }
    urls.truncate(MAX_ENDPOINTS);
    Ok(urls.iter().map(|url| Client::new(url)).collect::<Result<_, _>>()?)
}

fn default_seed_file(globals: &Globals) -> Result<PathBuf, CliError> {
    // `--home` may name the folder of a local network, which has its own seed.
    let named = globals.home.as_ref().map(|dir| dir.join(SEED_FILE)).filter(|path| path.exists());
    match named {
        Some(path) => Ok(path),
        None => Ok(home::up_dir()?.join(SEED_FILE)),
    }
}

/// A flag that the first Ctrl-C sets. The second one ends the program at once: it must not hang.
fn stop_flag() -> Result<Arc<AtomicBool>, CliError> {
    let signals =
        Stop::on_signals().map_err(|error| CliError::failed(format!("cannot listen to signals: {error}")))?;
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    thread::spawn(move || {
        loop {
            if signals.is_asked() {
                set.store(true, Ordering::Relaxed);
            }
            if signals.is_urgent() {
                std::process::exit(1);
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    Ok(flag)
}

/// An import's failure with its exit code and next step.
pub fn failure(error: &ImportError) -> CliError {
    let text = error.to_string();
    match error {
        ImportError::Unreachable { .. } => CliError::unreachable(text)
            .next("start a network with `trustnet up`, or name a node with --rpc URL"),
        ImportError::Standstill { .. } => CliError::failed(text).next(
            "look at `trustnet status`: more than 2/3 of the validators must run; then repeat the import",
        ),
        ImportError::Refused { code, .. } => CliError::refused(text, *code)
            .next("correct these lines, or use another --seed-file if the names belong to somebody else"),
        ImportError::DifferentChains(..) => CliError::damaged(text),
        ImportError::Interrupted { .. } => CliError::failed(text),
    }
}

fn text(file: &str, summary: &Summary) -> String {
    let all = summary.people + summary.ratings;
    if summary.committed() == 0 {
        return format!(
            "{file}: everything is there: {} people and {} ratings on {}",
            grouped(summary.people as u64),
            grouped(summary.ratings as u64),
            summary.chain_id
        );
    }
    format!(
        "{file}: {} people registered, {} ratings given on {} in {}.{} s: {} tx/s\n\
         {} of {} were there already, {} had to be sent again",
        grouped(summary.registered as u64),
        grouped(summary.rated as u64),
        summary.chain_id,
        summary.elapsed.as_secs(),
        summary.elapsed.subsec_millis() / 100,
        grouped(summary.per_second()),
        grouped(summary.present as u64),
        grouped(all as u64),
        grouped(summary.resent)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn summary(registered: usize, rated: usize) -> Summary {
        Summary {
            chain_id: "c-1".into(),
            people: 3,
            ratings: 2_000,
            registered,
            rated,
            present: 2_003 - registered - rated,
            elapsed: Duration::from_millis(2_500),
            resent: 0,
        }
    }

    #[test]
    fn the_result_says_what_was_done_and_how_fast() {
        assert_eq!(
            text("r.csv", &summary(3, 1_997)),
            "r.csv: 3 people registered, 1,997 ratings given on c-1 in 2.5 s: 800 tx/s\n\
             3 of 2,003 were there already, 0 had to be sent again"
        );
        assert_eq!(
            text("r.csv", &summary(0, 0)),
            "r.csv: everything is there: 3 people and 2,000 ratings on c-1"
        );
    }

    #[test]
    fn several_nodes_are_named_with_commas() {
        let globals = Globals { rpc: Some("http://a:1, b:2,".into()), ..Globals::default() };
        let urls: Vec<String> =
            clients(&globals).unwrap().iter().map(|client| client.url().to_owned()).collect();
        assert_eq!(urls, ["http://a:1", "http://b:2"]);
        let bad = Globals { rpc: Some("ftp://a, b:2".into()), ..Globals::default() };
        assert!(clients(&bad).is_err());
    }

    #[test]
    fn failures_have_the_exit_code_of_their_class() {
        let refused = ImportError::Refused { list: vec!["r.csv:1: x".into()], count: 1, left: 0, code: 11 };
        let error = failure(&refused);
        assert_eq!((error.class.exit_code(), error.code), (4, Some(11)));
        assert_eq!(failure(&ImportError::Interrupted { committed: 1, total: 2 }).class.exit_code(), 1);
    }
}
