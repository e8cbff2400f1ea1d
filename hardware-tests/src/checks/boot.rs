//! Power on, and again.

use std::time::Duration;

use super::{Context, seconds};
use crate::Failure;
use crate::board::Board;
use crate::shell::until;

/// How long an ordered shutdown may take before the start.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(60);

/// From power to a login.
pub fn reaches_ssh(board: &mut Board, context: &Context) -> Result<String, Failure> {
    if let Some(vm) = &mut board.vm {
        vm.power_on()?;
    }
    let took = board.wait_for_ssh(context.boot_limit())?;
    let system = board.run("uname -sr; cat /etc/trustnet/version")?.replace('\n', ", image ");
    Ok(if board.vm.is_some() { format!("login after {}, {system}", seconds(took)) } else { system })
}

/// An ordered restart: another boot, the same chain, which goes on.
pub fn keeps_the_chain(board: &mut Board, context: &Context) -> Result<String, Failure> {
    let before = board.boot_id()?;
    let height = board.height()?;
    let first = board.block(1)?["block_id"].clone();
    // The connection may end before the answer comes.
    board.try_run("doas reboot")?;
    let limit = context.boot_limit() + SHUTDOWN_LIMIT;
    let (_, took) = until(limit, "the machine starts again", || match board.boot_id()? {
        id if id != before => Ok(id),
        _ => Err("it has not restarted yet".into()),
    })?;
    super::writes(board, 1)?;
    let now = board.block(1)?["block_id"].clone();
    if now != first {
        return Err(format!("block 1 was {first} and is {now}").into());
    }
    Ok(format!("back after {}, on from height {height}", seconds(took)))
}
