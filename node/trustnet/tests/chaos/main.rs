//! Real processes under attack: four nodes and steady load, while they are killed, stopped, and cut off.
//!
//! Links are cut with network namespaces, which this test makes in a space of its own. Where they cannot be made, the
//! storm is one of kills and stops on loopback, and what was left out is named.
//!
//! * `TRUSTNET_CHAOS_SEED=N` does what the storm of seed N did, in the same order.
//! * `TRUSTNET_CHAOS_KILLS=N` makes it longer or shorter (200 kills if not set).
//! * `TRUSTNET_CHAOS_LONG_CUT=N` begins with two halves that are cut apart for N seconds. After a minute connections
//!   are given up, and have to be made anew.
//! * `TRUSTNET_CHAOS_NAMESPACES=require` fails where namespaces cannot be made; `off` does without.

#![allow(clippy::unwrap_used)]
// Scripts for ip are put together as text; process ids are i32 to the system.
#![allow(clippy::cast_possible_wrap, clippy::format_collect, clippy::format_push_string, clippy::unused_self)]

mod audit;
#[path = "../common/mod.rs"]
mod common;
mod dice;
mod disk;
mod lan;
mod load;
mod plan;
mod recorder;
mod slots;
mod storm;

use std::time::Duration;

use plan::Wish;
use storm::{Storm, say};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trustnet");
/// Kills of a storm, if nothing else is asked for.
const KILLS: u64 = 200;
/// A storm that takes longer than this, and more for each kill, hangs.
const LONGEST: Duration = Duration::from_secs(300);
const LONGEST_PER_KILL: Duration = Duration::from_secs(3);

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn four_nodes_weather_a_storm() {
    let wish = std::env::var("TRUSTNET_CHAOS_NAMESPACES").unwrap_or_default();
    let possible = match wish.as_str() {
        "off" => Err("TRUSTNET_CHAOS_NAMESPACES=off".to_owned()),
        "" | "require" => lan::is_possible(),
        other => panic!("TRUSTNET_CHAOS_NAMESPACES={other} is neither `require` nor `off`"),
    };
    match possible {
        _ if lan::is_inside() => rage(Some(lan::Lan::build())),
        Ok(()) => {
            let status = lan::enter("four_nodes_weather_a_storm");
            assert!(
                status.success(),
                "the storm in the namespaces failed: {status}; what it said stands above"
            );
        }
        Err(why) => {
            assert_ne!(wish, "require", "no network namespaces can be made here: {why}");
            for name in plan::CUT_NAMES {
                say(&format!("SKIPPED: {name} (no network namespaces: {why})"));
            }
            rage(None);
        }
    }
}

fn rage(lan: Option<lan::Lan>) {
    let seed = setting("TRUSTNET_CHAOS_SEED").unwrap_or_else(|| common::unix_ms() % 1_000_000);
    let kills = setting("TRUSTNET_CHAOS_KILLS").unwrap_or(KILLS);
    let long_cut = setting("TRUSTNET_CHAOS_LONG_CUT").map(Duration::from_secs);
    say(&format!(
        "storm of at least {kills} kills; replay with TRUSTNET_CHAOS_SEED={seed} TRUSTNET_CHAOS_KILLS={kills}"
    ));
    let longest = LONGEST + LONGEST_PER_KILL * u32::try_from(kills).unwrap() + long_cut.unwrap_or_default();
    std::thread::spawn(move || {
        std::thread::sleep(longest);
        say(&format!("seed {seed}: the storm hangs, {longest:?} are over"));
        std::process::abort();
    });
    let wish = Wish { seed, kills: usize::try_from(kills).unwrap(), with_cuts: lan.is_some(), long_cut };
    Storm::gather(PROGRAM, lan).rage(wish);
}
