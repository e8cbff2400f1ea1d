//! A machine that hangs.

use super::{Context, seconds};
use crate::Failure;
use crate::board::Board;
use crate::shell::until;

/// The feeder is stopped, as it is when the machine hangs: the machine starts again.
pub fn resets(board: &mut Board, context: &Context) -> Result<String, Failure> {
    let before = board.boot_id()?;
    board.run("test -c /dev/watchdog")?;
    let feeder = board.run(
        r"for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^/usr/bin/trustnet os watchdog' && echo ${p#/proc/}; done; true",
    )?;
    board.run_as_root(&format!("kill -STOP {feeder}"))?;
    let (_, took) =
        until(context.boot_limit() * 2, "the watchdog resets the machine", || match board.boot_id()? {
            id if id != before => Ok(id),
            _ => Err("it has not restarted".into()),
        })?;
    Ok(format!("a login again {} after the feeder stopped", seconds(took)))
}
