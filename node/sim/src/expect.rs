//! What a long enough series of runs must have exercised. A name that is listed and never ran is a failure of
//! the series: its checks would prove nothing about it.

use trustnet_bft::Rule;

use crate::behaviour::Behaviour;
use crate::tally::{Group, Tally};

/// From this many runs on, everything must have run.
pub const MIN_RUNS: u64 = 1_000;

const FAULTS: [&str; 24] = [
    "partition",
    "partition, connections lost",
    "one-way cut",
    "flapping link",
    "crash",
    "power cut of all",
    "power cut during a flush",
    "failed flush",
    "full disk",
    "wiped disk",
    "restored backup",
    "cloned card",
    "bit rot",
    "slow machine",
    "clock jump",
    "boot in 1970",
    "validator joins",
    "validator leaves",
    "validator returns",
    "crash at an output",
    "lost message",
    "reordered message",
    "repeated message",
    "message into a cut",
];

/// Branches that answer the pitfalls of consensus.md (numbers as there), and other defences.
const DEFENCES: [&str; 25] = [
    "5: proposed again with the polka",
    "21: replayed the log",
    "23: found the block it had voted for",
    "24: cut a torn tail",
    "24: refused a damaged disk",
    "24/26: booted without a signer record",
    "26: voted again after the record was lost",
    "26: a copy or a restored backup fell silent",
    "26: noticed a restored backup",
    "27: silent while left behind",
    "32: the validator set changed",
    "35: convicted a double signer",
    "banned a peer",
    "stopped when the disk failed",
    "refused: sent a malformed message",
    "refused: sent a vote with a wrong signature",
    "refused: sent a certificate that does not hold",
    "refused: sent a proposal with a wrong signature",
    "refused: sent a heartbeat with a wrong signature",
    "refused: sent a transaction with a wrong signature",
    "refused: sent a proposal whose parts do not fit its header",
    "refused: sent other transactions than the block's",
    "refused: asked for transactions that a block has not",
    "refused: answered with malformed blocks",
    "refused: sent a commit that does not hold",
];

/// Lists everything that must run, so that a count of 0 shows.
pub fn expect_all(tally: &mut Tally) {
    for name in FAULTS {
        tally.expect(Group::Fault, name);
    }
    for behaviour in Behaviour::ALL {
        tally.expect(Group::Byzantine, behaviour.name());
    }
    // A crash of all in the one moment where one validator was a round ahead: once in thousands of networks.
    // `trustnet-bft` tests it, and seeds that need it are among those that failed once.
    for rule in Rule::ALL.into_iter().filter(|rule| *rule != Rule::L55Alone) {
        tally.expect(Group::Rule, &format!("{rule:?}"));
    }
    for name in DEFENCES {
        tally.expect(Group::Defence, name);
    }
}
