//! What is checked, in order. Each check stands alone but for the machine being on.

mod boot;
mod cluster;
mod firewall;
mod login;
mod node;
mod power;
mod rest;
mod watchdog;

use std::time::Duration;

use serde_json::Value;

use crate::Failure;
use crate::board::Board;
use crate::load::Load;
use crate::shell::until;
use crate::target::Target;

pub use cluster::survives_a_loss;

/// What a check has to know beside the machine.
#[derive(Debug, Clone)]
pub struct Context {
    /// What it runs on.
    pub target: Target,
    /// How often the power is cut.
    pub cuts: u32,
}

impl Context {
    /// Longest time from power to a login: for an emulated machine twice what the image must reach on an idle host of two
    /// processors (issue: 45 s direct, 60 s by UEFI and on the Raspberry Pi).
    pub fn boot_limit(&self) -> Duration {
        Duration::from_secs(match self.target {
            Target::Direct => 90,
            Target::Uefi | Target::Raspi3b => 120,
            Target::Cluster => 300,
            Target::Board { .. } => 180,
        })
    }
}

/// What a check needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing but a login.
    Login,
    /// Root, which only images made for the tests give.
    Root,
    /// The plug.
    Plug,
    /// Root, and a watchdog that QEMU counts down.
    Watchdog,
}

impl Needs {
    /// Why a target does not have it; `None` if it does.
    pub fn missing_on(self, target: &Target) -> Option<&'static str> {
        match (self, target) {
            (Self::Root | Self::Watchdog, Target::Board { .. }) => {
                Some("it needs root; see README.md for the way by hand")
            }
            (Self::Plug, Target::Board { .. }) => Some("somebody has to pull the plug; see README.md"),
            (Self::Watchdog, Target::Raspi3b) => Some("QEMU's raspi3b does not count its watchdog down"),
            _ => None,
        }
    }
}

/// A check: gives what it measured.
pub struct Check {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// What holds if it passes.
    pub promise: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// Runs it.
    pub run: fn(&mut Board, &Context) -> Result<String, Failure>,
}

/// All checks of one machine.
pub const ALL: &[Check] = &[
    Check {
        name: "boot",
        promise: "power brings a login over SSH",
        needs: Needs::Login,
        run: boot::reaches_ssh,
    },
    Check {
        name: "healthy",
        promise: "the node decides blocks and says so",
        needs: Needs::Login,
        run: node::is_healthy,
    },
    Check {
        name: "quick",
        promise: "the node answers soon after its start",
        needs: Needs::Login,
        run: node::answers_soon,
    },
    Check {
        name: "logins",
        promise: "no password and no root gets in",
        needs: Needs::Login,
        run: login::keys_only,
    },
    Check {
        name: "listeners",
        promise: "nothing listens but what DESIGN.md lists",
        needs: Needs::Login,
        run: firewall::listeners,
    },
    Check {
        name: "firewall",
        promise: "ports that are not listed are closed from outside",
        needs: Needs::Root,
        run: firewall::closed,
    },
    Check {
        name: "respawn",
        promise: "a killed node is back within 5 s",
        needs: Needs::Login,
        run: node::comes_back,
    },
    Check {
        name: "idle",
        promise: "a minute of rest writes nothing to the boot partition",
        needs: Needs::Login,
        run: rest::card_is_left_alone,
    },
    Check {
        name: "reboot",
        promise: "the chain is the same after a restart",
        needs: Needs::Login,
        run: boot::keeps_the_chain,
    },
    Check {
        name: "watchdog",
        promise: "a hung machine starts again",
        needs: Needs::Watchdog,
        run: watchdog::resets,
    },
    Check {
        name: "power",
        promise: "power cuts lose nothing acknowledged",
        needs: Needs::Plug,
        run: power::loses_nothing,
    },
];

/// Starts to write to a node: ratings of itself.
fn load(board: &Board) -> Result<Load, Failure> {
    let status: Value = serde_json::from_str(&board.run("trustnet status --json")?)?;
    // A second for the way: it must not be later than the next block.
    let seconds = board.run("date +%s")?.parse::<u64>()?.saturating_sub(1);
    Load::start(vec![board.client()?.url().to_owned()], cluster::id_in(&status["node"])?, seconds * 1000)
}

/// Whether a node commits so many transactions. Without any it decides no blocks.
fn writes(board: &Board, count: usize) -> Result<(), Failure> {
    let load = load(board)?;
    until(Duration::from_secs(60), &format!("{count} transactions are acknowledged"), || {
        (load.acknowledged() >= count).then_some(()).ok_or_else(|| load.refusal().into())
    })?;
    Ok(())
}

/// Seconds with one digit.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_a_real_board_is_never_asked_for_root() {
        let mut names: Vec<_> = ALL.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let board = Target::Board { host: "kitchen".into(), port: 22 };
        let left: Vec<_> = ALL.iter().filter(|check| check.needs.missing_on(&board).is_none()).collect();
        assert!(left.iter().all(|check| check.needs == Needs::Login) && left.len() > 6);
        assert!(ALL.iter().all(|check| check.needs.missing_on(&Target::Direct).is_none()));
    }
}
