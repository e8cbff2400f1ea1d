//! What will go wrong in a run: drawn from its seed before it begins, and plain data from then on, so that any
//! part can be left out and the rest stays the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::behaviour::Behaviour;
use crate::dice::Dice;

/// Virtual milliseconds during which faults strike.
const STORM_MS: (u64, u64) = (6_000, 12_000);

/// How links treat messages.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Shortest time on the way, milliseconds.
    pub delay_min_ms: u64,
    /// Longest.
    pub delay_max_ms: u64,
    /// Of a thousand messages, lost.
    pub drop: u32,
    /// Arriving twice.
    pub duplicate: u32,
    /// Allowed to overtake others.
    pub reorder: u32,
}

/// One thing that happens at a set time. Machines and links go by the numbers of seats, times are virtual
/// milliseconds, and `for_ms` says how long it lasts.
#[expect(missing_docs, reason = "the fields say what they are")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Cuts the network between the seats of `side` (a bit each) and the others.
    Partition { side: u128, for_ms: u64, hang_up: bool },
    /// Nothing goes from one to another; the other way works.
    OneWay { from: usize, to: usize, for_ms: u64 },
    /// A link goes down and up.
    Flap { a: usize, b: usize, period_ms: u64, times: u32 },
    /// One machine loses power.
    Crash { at: usize, after_ms: u64 },
    /// All lose power at once.
    PowerCut { after_ms: u64 },
    /// Power goes during one of the next flushes of a disk.
    CutFlush { at: usize, flushes: u64 },
    /// One of the next flushes of a disk fails.
    FailFlush { at: usize, flushes: u64 },
    /// A disk has no room for a while.
    Fill { at: usize, for_ms: u64 },
    /// The data directory is gone after a crash.
    Wipe { at: usize },
    /// The disk is put back to what it was when the run was this old.
    Restore { at: usize, copied_at_ms: u64 },
    /// A second machine starts with a copy of the card.
    Clone { at: usize },
    /// Bits flip on the medium; the machine then restarts.
    Rot { at: usize, bits: u32 },
    /// A machine takes this long for each input.
    Slow { at: usize, input_ms: u64, for_ms: u64 },
    /// The wall clock jumps.
    Jump { at: usize, by_ms: i64 },
    /// The board restarts without a clock: 1970, until somebody tells it the time.
    Epoch { at: usize, for_ms: u64 },
    /// A new validator asks to join.
    Join { seat: usize },
    /// A validator leaves.
    Leave { seat: usize },
    /// It comes back.
    Return { seat: usize },
}

impl Act {
    /// A short name for counts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Partition { hang_up: false, .. } => "partition",
            Self::Partition { hang_up: true, .. } => "partition, connections lost",
            Self::OneWay { .. } => "one-way cut",
            Self::Flap { .. } => "flapping link",
            Self::Crash { .. } => "crash",
            Self::PowerCut { .. } => "power cut of all",
            Self::CutFlush { .. } => "power cut during a flush",
            Self::FailFlush { .. } => "failed flush",
            Self::Fill { .. } => "full disk",
            Self::Wipe { .. } => "wiped disk",
            Self::Restore { .. } => "restored backup",
            Self::Clone { .. } => "cloned card",
            Self::Rot { .. } => "bit rot",
            Self::Slow { .. } => "slow machine",
            Self::Jump { .. } => "clock jump",
            Self::Epoch { .. } => "boot in 1970",
            Self::Join { .. } => "validator joins",
            Self::Leave { .. } => "validator leaves",
            Self::Return { .. } => "validator returns",
        }
    }
}

/// A run, before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Power of each genesis validator.
    pub powers: Vec<u64>,
    /// Seats in all: genesis validators, then those who may join.
    pub seats: usize,
    /// Who is Byzantine, and how.
    pub byzantine: BTreeMap<usize, BTreeSet<Behaviour>>,
    /// Who may lose, roll back or duplicate what it signed. With the Byzantine, less than a third of the power.
    pub forgetful: BTreeSet<usize>,
    /// Links.
    pub weather: Weather,
    /// Of a million outputs of an engine, followed by a crash.
    pub crash_per_million: u32,
    /// Whether a crash may tear writes (else what was not flushed is lost whole).
    pub torn: bool,
    /// Wall clocks, milliseconds off.
    pub skew_ms: Vec<i64>,
    /// A restored backup must not sign twice either: promised where its peers can tell it in time.
    pub bind_restored: bool,
    /// Quick timeouts (else the product's).
    pub quick: bool,
    /// Blocks between checkpoints of the state.
    pub checkpoint_blocks: u64,
    /// A client sends something about this often, milliseconds.
    pub load_ms: u64,
    /// When the faults stop spreading.
    pub storm_ms: u64,
    /// When what happens.
    pub acts: Vec<(u64, Act)>,
}

impl Plan {
    /// The run of `seed`, with `validators` at the start.
    pub fn draw(seed: u64, validators: usize) -> Self {
        let mut dice = Dice::new(seed, "plan");
        let powers = if dice.chance(250) {
            (0..validators).map(|_| dice.between(5, 20)).collect()
        } else {
            vec![10; validators]
        };
        let joiners = if dice.chance(300) { dice.between(1, 2) as usize } else { 0 };
        let storm_ms = dice.between(STORM_MS.0, STORM_MS.1);
        let mut plan = Self {
            seed,
            seats: validators + joiners,
            byzantine: BTreeMap::new(),
            forgetful: BTreeSet::new(),
            weather: weather(&mut dice),
            crash_per_million: if dice.chance(400) { dice.between(20, 600) as u32 } else { 0 },
            torn: dice.chance(700),
            skew_ms: Vec::new(),
            bind_restored: false,
            quick: dice.chance(700),
            checkpoint_blocks: dice.between(1, 24),
            load_ms: dice.between(100, 500),
            storm_ms,
            acts: Vec::new(),
            powers,
        };
        plan.skew_ms = (0..plan.seats)
            .map(|_| if dice.chance(300) { dice.between(0, 3_000).cast_signed() - 1_500 } else { 0 })
            .collect();
        plan.draw_faulty(&mut dice);
        plan.draw_acts(&mut dice);
        plan
    }

    /// A network without faults.
    pub fn quiet(validators: usize, weather: Weather, quick: bool) -> Self {
        Self {
            seed: 0,
            powers: vec![10; validators],
            seats: validators,
            byzantine: BTreeMap::new(),
            forgetful: BTreeSet::new(),
            weather,
            crash_per_million: 0,
            torn: false,
            skew_ms: vec![0; validators],
            bind_restored: true,
            quick,
            checkpoint_blocks: 64,
            load_ms: 200,
            storm_ms: 0,
            acts: Vec::new(),
        }
    }

    /// Byzantine and forgetful seats, within the fault bound; a validator that may leave counts as gone.
    fn draw_faulty(&mut self, dice: &mut Dice) {
        let validators = self.powers.len();
        let mut order: Vec<usize> = (0..validators).collect();
        dice.shuffle(&mut order);
        let leaver = order.pop().filter(|_| validators > 4 && dice.chance(250));
        let total: u64 = self.powers.iter().sum();
        let total = total - leaver.map_or(0, |seat| self.powers[seat]);
        let mut faulty = 0;
        let wanted = if dice.chance(850) { validators } else { 0 };
        for seat in order.into_iter().take(wanted) {
            if 3 * (faulty + self.powers[seat]) >= total {
                continue;
            }
            faulty += self.powers[seat];
            if dice.chance(600) {
                let count = dice.between(1, 4);
                let behaviours = (0..count).filter_map(|_| dice.pick(&Behaviour::ALL).copied()).collect();
                self.byzantine.insert(seat, behaviours);
            } else if dice.chance(700) {
                self.forgetful.insert(seat);
            }
        }
        if let Some(seat) = leaver {
            let leaves_ms = dice.between(500, self.storm_ms / 2);
            self.acts.push((leaves_ms, Act::Leave { seat }));
            if dice.chance(600) {
                self.acts.push((dice.between(self.storm_ms / 2, self.storm_ms), Act::Return { seat }));
            }
        }
    }

    fn draw_acts(&mut self, dice: &mut Dice) {
        let (storm_ms, validators) = (self.storm_ms, self.powers.len());
        for seat in validators..self.seats {
            self.acts.push((dice.between(200, storm_ms / 2), Act::Join { seat }));
        }
        for seat in self.forgetful.clone() {
            let act = match dice.below(4) {
                0 => Act::Wipe { at: seat },
                1 => Act::Restore { at: seat, copied_at_ms: dice.between(500, storm_ms / 2) },
                2 => Act::Clone { at: seat },
                _ => Act::Rot { at: seat, bits: dice.between(1, 20) as u32 },
            };
            self.acts.push((dice.between(storm_ms / 2, storm_ms), act));
        }
        for _ in 0..dice.between(0, 6) {
            let at = dice.below(self.seats);
            let for_ms = dice.between(200, 5_000);
            let act = match dice.below(13) {
                0 | 1 => Act::Partition { side: u128::from(dice.any()), for_ms, hang_up: dice.chance(400) },
                2 => Act::OneWay { from: at, to: dice.below(self.seats), for_ms },
                3 => Act::Flap {
                    a: at,
                    b: dice.below(self.seats),
                    period_ms: dice.between(50, 500),
                    times: dice.between(2, 12) as u32,
                },
                4 | 5 => Act::Crash { at, after_ms: dice.between(20, 3_000) },
                6 => Act::PowerCut { after_ms: dice.between(20, 2_000) },
                7 => Act::CutFlush { at, flushes: dice.between(1, 12) },
                8 => Act::FailFlush { at, flushes: dice.between(1, 12) },
                9 => Act::Fill { at, for_ms },
                10 => Act::Slow { at, input_ms: dice.between(1, 25), for_ms },
                11 => Act::Jump { at, by_ms: dice.between(0, 120_000).cast_signed() - 60_000 },
                _ => Act::Epoch { at, for_ms },
            };
            self.acts.push((dice.between(0, storm_ms), act));
        }
        self.acts.sort_by_key(|(at_ms, _)| *at_ms);
    }

    /// Names of everything that can be left out, with what it is.
    pub fn parts(&self) -> Vec<(String, String)> {
        let mut parts = Vec::new();
        for (index, (at_ms, act)) in self.acts.iter().enumerate() {
            parts.push((format!("e{index}"), format!("at {at_ms} ms: {act:?}")));
        }
        for (seat, behaviours) in &self.byzantine {
            for behaviour in behaviours {
                parts.push((format!("b{seat}.{}", behaviour.name()), format!("node-{seat} is Byzantine")));
            }
        }
        let rates = [
            ("drop", u64::from(self.weather.drop), "messages lost"),
            ("duplicate", u64::from(self.weather.duplicate), "messages arriving twice"),
            ("reorder", u64::from(self.weather.reorder), "messages overtaking others"),
            ("jitter", self.weather.delay_max_ms - self.weather.delay_min_ms, "delays differ"),
            ("crash", u64::from(self.crash_per_million), "crashes at outputs"),
            ("torn", u64::from(self.torn), "crashes tear writes"),
            ("skew", self.skew_ms.iter().map(|ms| ms.unsigned_abs()).sum(), "clocks are off"),
        ];
        let rates = rates.into_iter().filter(|(_, rate, _)| *rate > 0);
        parts.extend(rates.map(|(name, _, what)| (name.to_owned(), what.to_owned())));
        parts
    }

    /// The same run without one part. Other parts keep their names.
    pub fn leave_out(&mut self, part: &str) -> bool {
        match part {
            "drop" => self.weather.drop = 0,
            "duplicate" => self.weather.duplicate = 0,
            "reorder" => self.weather.reorder = 0,
            "jitter" => self.weather.delay_max_ms = self.weather.delay_min_ms,
            "crash" => self.crash_per_million = 0,
            "torn" => self.torn = false,
            "skew" => self.skew_ms.fill(0),
            _ => return self.leave_out_act(part),
        }
        true
    }

    fn leave_out_act(&mut self, part: &str) -> bool {
        if let Some(index) = part.strip_prefix('e').and_then(|index| index.parse::<usize>().ok()) {
            // An act of no length at the end of time keeps the numbers of the others.
            let Some(act) = self.acts.get_mut(index) else { return false };
            act.0 = u64::MAX;
            return true;
        }
        let Some((seat, name)) = part.strip_prefix('b').and_then(|rest| rest.split_once('.')) else {
            return false;
        };
        let Ok(seat) = seat.parse::<usize>() else { return false };
        let Some(behaviours) = self.byzantine.get_mut(&seat) else { return false };
        let before = behaviours.len();
        behaviours.retain(|behaviour| behaviour.name() != name);
        let found = behaviours.len() < before;
        if behaviours.is_empty() {
            self.byzantine.remove(&seat);
        }
        found
    }
}

fn weather(dice: &mut Dice) -> Weather {
    let delay_min_ms = dice.between(1, 20);
    let delay_max_ms = delay_min_ms + if dice.chance(600) { dice.between(0, 150) } else { 0 };
    let mut rate = |often: u32, most: u64| if dice.chance(often) { dice.between(1, most) as u32 } else { 0 };
    Weather {
        delay_min_ms,
        delay_max_ms,
        drop: rate(400, 200),
        duplicate: rate(300, 100),
        reorder: rate(400, 500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_function_of_its_seed_and_keeps_the_fault_bound() {
        for seed in 0..2_000 {
            let plan = Plan::draw(seed, 7);
            assert_eq!(format!("{plan:?}"), format!("{:?}", Plan::draw(seed, 7)));
            let faulty: u64 =
                plan.byzantine.keys().chain(&plan.forgetful).map(|seat| plan.powers[*seat]).sum();
            let leaving: u64 = plan
                .acts
                .iter()
                .filter_map(|(_, act)| match act {
                    Act::Leave { seat } => Some(plan.powers[*seat]),
                    _ => None,
                })
                .sum();
            assert!(3 * faulty < plan.powers.iter().sum::<u64>() - leaving, "seed {seed}");
        }
    }

    #[test]
    fn every_part_can_be_left_out_and_nothing_else_changes() {
        let plan = (0..1_000).map(|seed| Plan::draw(seed, 7)).find(|plan| plan.parts().len() > 8);
        let plan = plan.unwrap_or_else(|| unreachable!("some seed has many parts"));
        for (part, _) in plan.parts() {
            let mut less = plan.clone();
            assert!(less.leave_out(&part), "{part}");
            let gone = |plan: &Plan| {
                plan.parts().iter().filter(|(_, what)| !what.starts_with(&format!("at {}", u64::MAX))).count()
            };
            assert_eq!(gone(&less) + 1, gone(&plan), "{part}");
        }
        assert!(!plan.clone().leave_out("nonsense") && !plan.clone().leave_out("e999"));
    }
}
