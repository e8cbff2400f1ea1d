//! The node as a service.

use std::time::Duration;

use super::{Context, seconds};
use crate::Failure;
use crate::board::Board;
use crate::shell::until;
use crate::target::Target;

/// Longest time until a killed node answers again.
const RESPAWN_SECONDS: f64 = 5.0;
/// Longest time from a node's start to its first answer.
const ANSWER_SECONDS: f64 = 3.0;
/// Most memory of the whole system with the node running, in MiB. Boards are other machines, and not held to it.
const SYSTEM_MIB: u64 = 96;
/// Prints the process of the node. Debian's busybox has no pgrep.
const PROCESS: &str = r"for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^trustnet run' && echo ${p#/proc/}; done; true";

/// Healthy by its own account, deciding blocks, on the data partition.
pub fn is_healthy(board: &mut Board, context: &Context) -> Result<String, Failure> {
    // The node may still be on its way when SSH is up.
    until(Duration::from_secs(60), "the node answers", || board.height())?;
    super::writes(board, 3)?;
    let status = board.run("trustnet status")?;
    let data = board.run("grep ' /media/data ' /proc/mounts")?;
    if !data.contains("ext4") {
        return Err(format!("the data partition is no ext4: {data}").into());
    }
    let rss = board.run(&format!("grep VmRSS /proc/$({PROCESS})/status"))?;
    // Used by programs and the kernel, and by the root, which lives in memory (busybox: used, shared).
    let memory = board.run("free | grep Mem:")?;
    let kib: Vec<u64> = memory.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [_, used, _, shared, ..] = kib[..] else { return Err(format!("cannot read {memory:?}").into()) };
    let used = (used + shared) / 1024;
    if used > SYSTEM_MIB && !matches!(context.target, Target::Board { .. }) {
        return Err(
            format!("the whole system uses {used} MiB of memory, and {SYSTEM_MIB} are allowed").into()
        );
    }
    let number =
        |text: &str| text.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap_or(0) / 1024;
    let first = status.lines().next().unwrap_or_default();
    Ok(format!("{first}; node {} MiB, the whole system {used} MiB of memory", number(&rss)))
}

/// From the start of the service to the first answer, by the machine's own clock.
pub fn answers_soon(board: &mut Board, _: &Context) -> Result<String, Failure> {
    board.run("doas rc-service trustnet-node stop")?;
    let took = board.run(
        "doas rc-service trustnet-node start >/dev/null && a=$(cut -d' ' -f1 /proc/uptime); \
         until wget -q -O /dev/null http://127.0.0.1:26657/health 2>/dev/null; do sleep 0.1; done; \
         echo \"$a $(cut -d' ' -f1 /proc/uptime)\"",
    )?;
    within(&took, ANSWER_SECONDS, "answered")
}

/// Killed, it is back.
pub fn comes_back(board: &mut Board, _: &Context) -> Result<String, Failure> {
    let before = board.run(PROCESS)?;
    // One that has just been started waits longer, so as not to be started in a circle.
    std::thread::sleep(Duration::from_secs(8));
    let took = board.run(&format!(
        "kill -9 {before} && a=$(cut -d' ' -f1 /proc/uptime); \
         until wget -q -O /dev/null http://127.0.0.1:26657/health 2>/dev/null; do sleep 0.2; done; \
         echo \"$a $(cut -d' ' -f1 /proc/uptime)\""
    ))?;
    let after = board.run(PROCESS)?;
    if after == before {
        return Err(format!("process {before} was not killed").into());
    }
    until(Duration::from_secs(30), "the node answers again", || board.height())?;
    super::writes(board, 1)?;
    within(&took, RESPAWN_SECONDS, "answered again")
}

/// Reads "from to" and compares the difference.
fn within(took: &str, limit: f64, what: &str) -> Result<String, Failure> {
    let times: Vec<f64> = took.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [from, to] = times[..] else { return Err(format!("cannot read the times in {took:?}").into()) };
    let took = Duration::from_secs_f64((to - from).max(0.0));
    if took.as_secs_f64() > limit {
        return Err(format!("it {what} after {}, and {limit} s are allowed", seconds(took)).into());
    }
    Ok(format!("{what} after {}", seconds(took)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_and_nonsense_is_no_pass() {
        assert_eq!(within("10.00 12.50", 3.0, "ran").unwrap(), "ran after 2.5 s");
        assert!(within("10.00 13.50", 3.0, "ran").is_err());
        assert!(within("", 3.0, "ran").is_err());
        assert!(within("10.00", 3.0, "ran").is_err());
    }
}
