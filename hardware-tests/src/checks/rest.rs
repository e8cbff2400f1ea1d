//! What a node does when nobody asks anything of it.

use std::time::Duration;

use super::Context;
use crate::Failure;
use crate::board::Board;

const REST: Duration = Duration::from_secs(60);

/// A minute of rest, and the boot partition is as before.
pub fn card_is_left_alone(board: &mut Board, _: &Context) -> Result<String, Failure> {
    // Sectors read and written since the start, in the kernel's order (Documentation/block/stat.rst).
    let command = "cat /sys/class/block/$(basename $(cat /run/trustnet/part))/stat";
    let written = |text: &str| text.split_whitespace().nth(6).and_then(|word| word.parse::<u64>().ok());
    let before = board.run(command)?;
    std::thread::sleep(REST);
    let after = board.run(command)?;
    match (written(&before), written(&after)) {
        (Some(before), Some(after)) if before == after => {
            Ok(format!("{after} sectors written since the start, none in {} s", REST.as_secs()))
        }
        (Some(before), Some(after)) => Err(format!("{} sectors were written", after - before).into()),
        _ => Err(format!("cannot read {after:?}").into()),
    }
}
