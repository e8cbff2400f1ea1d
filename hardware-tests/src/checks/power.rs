//! Pulled plugs.

use std::time::Duration;

use super::{Context, seconds};
use crate::Failure;
use crate::board::Board;
use crate::load;
use crate::shell::until;

/// The plug is pulled at a random moment between these, in milliseconds after the node is seen to work.
const CUT_MS: (u64, u64) = (300, 6_000);
/// How long the node may take after a start to acknowledge something.
const WORK_LIMIT: Duration = Duration::from_secs(60);

/// Writes go on while the plug is pulled again and again: all that was acknowledged is there, and the image starts.
pub fn loses_nothing(board: &mut Board, context: &Context) -> Result<String, Failure> {
    let load = super::load(board)?;
    let mut slowest = Duration::ZERO;
    for cut in 1..=context.cuts {
        let before = load.acknowledged();
        until(WORK_LIMIT, "the node acknowledges a transaction", || {
            (load.acknowledged() > before).then_some(()).ok_or_else(|| load.refusal().into())
        })?;
        std::thread::sleep(random_between(CUT_MS)?);
        let vm = board.vm()?;
        vm.cut_power()?;
        vm.power_on()?;
        let (_, took) =
            until(context.boot_limit(), &format!("the node answers after power cut {cut}"), || {
                board.height()
            })?;
        slowest = slowest.max(took);
    }
    let acknowledged = load.finish();
    board.wait_for_ssh(context.boot_limit())?;
    let height = board.height()?;
    let on_chain = load::all_there(&board.client()?, height, &acknowledged)?;
    Ok(format!(
        "{} cuts, {} transactions acknowledged, {on_chain} on the chain of height {height}; answers at most {} after power",
        context.cuts,
        acknowledged.len(),
        seconds(slowest)
    ))
}

fn random_between((least, most): (u64, u64)) -> Result<Duration, Failure> {
    let number = getrandom::u64().map_err(|why| format!("no randomness: {why}"))?;
    Ok(Duration::from_millis(least + number % (most - least)))
}
