//! How a network behaves as it grows: block interval, messages and bytes for each block, in virtual time.

use std::process::ExitCode;

use serde::Serialize;

use crate::plan::{Plan, Weather};
use crate::timeline::Timeline;
use crate::world::World;

/// Sizes of networks that are measured.
const SIZES: [usize; 6] = [4, 7, 16, 31, 64, 100];
/// One way over a link, milliseconds.
const LINK_MS: u64 = 50;
/// A client sends a rating this often, milliseconds.
const LOAD_MS: u64 = 20;
/// Blocks before the measurement, while everybody connects.
const WARM_UP_BLOCKS: u64 = 3;
/// Blocks measured.
const BLOCKS: u64 = 20;
/// A network that takes longer has failed, virtual milliseconds.
const LIMIT_MS: u64 = 120_000;

/// What was measured of one size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// Validators.
    pub validators: usize,
    /// Milliseconds from one block to the next.
    pub interval_ms: u64,
    /// Transactions in a block.
    pub txs: u64,
    /// Messages sent for a block, by all.
    pub messages: u64,
    /// Bytes sent for a block, by all.
    pub bytes: u64,
    /// Bytes sent for a block, by one validator.
    pub bytes_each: u64,
}

/// Measures one size.
///
/// # Errors
/// What went wrong.
pub fn measure(validators: usize) -> Result<Measured, String> {
    let weather = Weather { delay_min_ms: LINK_MS, delay_max_ms: LINK_MS, drop: 0, duplicate: 0, reorder: 0 };
    let mut plan = Plan::quiet(validators, weather, false);
    plan.load_ms = LOAD_MS;
    let mut world = World::new(plan, Timeline::off());
    let reach = |world: &mut World, height: u64| {
        let there = world.run(LIMIT_MS, |world| world.checks.height() >= height);
        match world.violation.take() {
            Some(what) => Err(what),
            None if !there => Err(format!("{validators} validators did not reach height {height}")),
            None => Ok(()),
        }
    };
    reach(&mut world, WARM_UP_BLOCKS)?;
    let (from_ms, traffic) = (world.now_ms, world.traffic);
    let committed = world.committed_txs();
    reach(&mut world, WARM_UP_BLOCKS + BLOCKS)?;
    let bytes = (world.traffic.bytes - traffic.bytes) / BLOCKS;
    Ok(Measured {
        validators,
        interval_ms: (world.now_ms - from_ms) / BLOCKS,
        txs: (world.committed_txs() - committed) / BLOCKS,
        messages: (world.traffic.messages - traffic.messages) / BLOCKS,
        bytes,
        bytes_each: bytes / validators as u64,
    })
}

/// Measures and reports all sizes.
pub fn report(json: bool) -> ExitCode {
    let mut rows = Vec::new();
    if !json {
        println!("links of {LINK_MS} ms one way, a rating every {LOAD_MS} ms, {BLOCKS} blocks");
        println!(
            "{:>10} {:>12} {:>10} {:>14} {:>14} {:>16}",
            "validators", "interval ms", "txs", "messages", "KB", "KB a validator"
        );
    }
    for validators in SIZES {
        match measure(validators) {
            Ok(row) => {
                if !json {
                    println!(
                        "{:>10} {:>12} {:>10} {:>14} {:>14} {:>16}",
                        row.validators,
                        row.interval_ms,
                        row.txs,
                        row.messages,
                        row.bytes / 1_000,
                        row.bytes_each / 1_000
                    );
                }
                rows.push(row);
            }
            Err(what) => {
                eprintln!("error: {validators} validators: {what}");
                return ExitCode::FAILURE;
            }
        }
    }
    if json {
        match serde_json::to_string_pretty(&rows) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("error: {error}"),
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_grow_with_the_square_and_a_block_takes_a_few_link_times() {
        let (four, seven) = (measure(4).unwrap(), measure(7).unwrap());
        assert!(four.messages < seven.messages);
        for row in [four, seven] {
            // A proposal and two rounds of votes cross a link each; more than ten would be a timeout.
            assert!((3 * LINK_MS..10 * LINK_MS).contains(&row.interval_ms), "{row:?}");
            assert!(row.txs > 0);
        }
    }
}
