//! What a storm does to the nodes, act by act, decided by its seed before it begins.

use std::fmt;
use std::time::Duration;

use crate::dice::Dice;

/// Nodes of the network; it bears the failure of one.
pub const NODES: usize = 4;

/// How links are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing passes between this node and the others; packets vanish.
    Off(usize),
    /// The node's cable is pulled out: its interface has no carrier.
    Unplugged(usize),
    /// The network falls into two halves: these two, and the others.
    Halves([usize; 2]),
    /// The node hears the others and is not heard.
    Mute(usize),
    /// The node is heard and hears nobody.
    Deaf(usize),
    /// Packets from the first to the second vanish; all other links hold.
    OneWay(usize, usize),
}

impl Cut {
    /// Whether packets from one node to the other vanish.
    pub fn stops(self, from: usize, to: usize) -> bool {
        match self {
            Self::Off(node) | Self::Unplugged(node) => from == node || to == node,
            Self::Halves(half) => half.contains(&from) != half.contains(&to),
            Self::Mute(node) => from == node,
            Self::Deaf(node) => to == node,
            Self::OneWay(a, b) => (from, to) == (a, b),
        }
    }

    /// Nodes that must go on deciding while the cut lasts; empty when none can.
    pub fn core(self) -> Vec<usize> {
        match self {
            Self::Off(node) | Self::Unplugged(node) | Self::Mute(node) | Self::Deaf(node) => others(&[node]),
            Self::Halves(_) => Vec::new(),
            Self::OneWay(..) => (0..NODES).collect(),
        }
    }

    /// Nodes that cannot learn of any new block while the cut lasts, and that clients still reach.
    pub fn frozen(self) -> Vec<usize> {
        match self {
            Self::Off(node) | Self::Deaf(node) => vec![node],
            Self::Halves(_) => (0..NODES).collect(),
            Self::Unplugged(_) | Self::Mute(_) | Self::OneWay(..) => Vec::new(),
        }
    }

    /// What this kind of cut is called when it is counted or left out.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off(_) => "one node cut off",
            Self::Unplugged(_) => "one cable pulled out",
            Self::Halves(_) => "two halves",
            Self::Mute(_) => "one node mute",
            Self::Deaf(_) => "one node deaf",
            Self::OneWay(..) => "one link one-way",
        }
    }
}

/// The names of all kinds of cuts.
pub const CUT_NAMES: [&str; 6] = [
    "one node cut off",
    "one cable pulled out",
    "two halves",
    "one node mute",
    "one node deaf",
    "one link one-way",
];

/// One thing that is done to the network. After each of them it must come back to life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL for all `victims` at once; started again after `down`.
    Kill {
        /// Who.
        victims: Vec<usize>,
        /// For how long.
        down: Duration,
        /// So long after the start they are killed once more, often in the middle of their recovery.
        again: Option<Duration>,
        /// Stay down until the others have decided a block without the victim (if that can be).
        others_go_on: bool,
    },
    /// SIGSTOP, and SIGCONT after `held`.
    Stop {
        /// Who.
        victims: Vec<usize>,
        /// For how long.
        held: Duration,
    },
    /// Links are cut, and healed after `held`.
    Cut {
        /// Which.
        cut: Cut,
        /// For how long.
        held: Duration,
        /// This node is killed and started meanwhile.
        kill: Option<usize>,
    },
}

impl Act {
    /// How many processes it kills.
    pub fn kills(&self) -> usize {
        match self {
            Self::Kill { victims, again, .. } => victims.len() * if again.is_some() { 2 } else { 1 },
            Self::Stop { .. } => 0,
            Self::Cut { kill, .. } => usize::from(kill.is_some()),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { victims, down, again, others_go_on } => {
                write!(f, "kill {victims:?} for {down:?}")?;
                if let Some(again) = again {
                    write!(f, ", again {again:?} after the start")?;
                }
                if *others_go_on {
                    write!(f, ", until the others have gone on")?;
                }
                Ok(())
            }
            Self::Stop { victims, held } => write!(f, "stop {victims:?} for {held:?}"),
            Self::Cut { cut, held, kill } => {
                write!(f, "cut: {} {cut:?} for {held:?}", cut.name())?;
                if let Some(node) = kill {
                    write!(f, ", {node} killed meanwhile")?;
                }
                Ok(())
            }
        }
    }
}

/// All nodes but these.
pub fn others(but: &[usize]) -> Vec<usize> {
    (0..NODES).filter(|node| !but.contains(node)).collect()
}

/// What a storm is made of.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Decides everything else.
    pub seed: u64,
    /// At least so many.
    pub kills: usize,
    /// Whether links can be cut; then every kind of cut is made.
    pub with_cuts: bool,
    /// Besides, two halves are cut apart for so long.
    pub long_cut: Option<Duration>,
}

/// The acts of a storm.
pub fn plan(wish: Wish) -> Vec<Act> {
    let Wish { seed, kills, with_cuts, long_cut } = wish;
    let mut dice = Dice::new(seed, 0);
    let mut acts = Vec::new();
    for _ in 0..kills.div_ceil(25) {
        // Two nodes held at once stop the chain; it must go on when they wake.
        let victims = if dice.percent(25) { 2 } else { 1 };
        acts.push(Act::Stop { victims: dice.pick(victims, NODES), held: dice.millis(500, 3_000) });
    }
    if with_cuts {
        for _ in 0..kills.div_ceil(100) {
            let two = dice.pick(2, NODES);
            let node = |dice: &mut Dice| dice.below(NODES);
            for cut in [
                Cut::Off(node(&mut dice)),
                Cut::Unplugged(node(&mut dice)),
                Cut::Halves([two[0], two[1]]),
                Cut::Mute(node(&mut dice)),
                Cut::Deaf(node(&mut dice)),
                if dice.percent(50) { Cut::OneWay(two[0], two[1]) } else { Cut::OneWay(two[1], two[0]) },
            ] {
                let kill = dice.percent(30).then(|| dice.below(NODES));
                acts.push(Act::Cut { cut, held: dice.millis(1_500, 5_000), kill });
            }
        }
    }
    let mut planned: usize = acts.iter().map(Act::kills).sum();
    while planned < kills {
        let act = kill(&mut dice);
        planned += act.kills();
        acts.push(act);
    }
    dice.shuffle(&mut acts);
    if let Some(held) = long_cut.filter(|_| with_cuts) {
        acts.insert(0, Act::Cut { cut: Cut::Halves([0, 1]), held, kill: None });
    }
    acts
}

fn kill(dice: &mut Dice) -> Act {
    let count = match dice.below(100) {
        0..70 => 1,
        70..82 => 2,
        82..88 => 3,
        _ => NODES,
    };
    Act::Kill {
        victims: dice.pick(count, NODES),
        down: dice.millis(0, 250),
        again: dice.percent(20).then(|| dice.millis(0, 250)),
        others_go_on: count == 1 && dice.percent(20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(seed: u64, with_cuts: bool) -> Vec<Act> {
        plan(Wish { seed, kills: 200, with_cuts, long_cut: None })
    }

    #[test]
    fn a_seed_decides_everything_and_every_kind_of_act_is_planned() {
        assert_eq!(acts(7, true), acts(7, true));
        assert_ne!(acts(7, true), acts(8, true));
        for seed in 0..50 {
            let acts = acts(seed, true);
            let kills: usize = acts.iter().map(Act::kills).sum();
            assert!((200..220).contains(&kills), "seed {seed}: {kills}");
            for name in CUT_NAMES {
                let cut = |act: &&Act| matches!(act, Act::Cut { cut, .. } if cut.name() == name);
                assert_eq!(acts.iter().filter(cut).count(), 2, "seed {seed}: {name}");
            }
            let whole_house = |act: &&Act| matches!(act, Act::Kill { victims, .. } if victims.len() == NODES);
            assert!(acts.iter().any(|act| whole_house(&act)), "seed {seed}");
            assert!(acts.iter().filter(|act| matches!(act, Act::Stop { .. })).count() == 8);
        }
        assert!(acts(7, false).iter().all(|act| !matches!(act, Act::Cut { .. })));
    }

    #[test]
    fn most_of_the_time_at_most_one_node_is_down() {
        for seed in 0..50 {
            let acts = acts(seed, true);
            let one = |act: &&Act| match act {
                Act::Kill { victims, .. } | Act::Stop { victims, .. } => victims.len() == 1,
                Act::Cut { cut, .. } => !cut.core().is_empty(),
            };
            assert!(acts.iter().filter(one).count() * 2 > acts.len(), "seed {seed}");
        }
    }

    #[test]
    fn cuts_stop_what_their_names_say() {
        let stopped = |cut: Cut| {
            let pairs = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
            pairs.filter(|(from, to)| from != to && cut.stops(*from, *to)).count()
        };
        assert_eq!(
            [Cut::Off(1), Cut::Halves([0, 3]), Cut::Mute(2), Cut::OneWay(0, 1)].map(stopped),
            [6, 8, 3, 1]
        );
        assert!(Cut::Mute(2).stops(2, 0) && !Cut::Mute(2).stops(0, 2));
        assert!(Cut::Deaf(2).stops(0, 2) && !Cut::Deaf(2).stops(2, 0));
    }
}
