//! A run from beginning to end: a storm, then the proof that the network lives on.
//!
//! As `TigerBeetle`'s simulator does: first anything may go wrong, and only safety is asked for. Then a random
//! core of more than two thirds of the power is healed, every other fault stays as it is, and the core must
//! commit what its clients hand in within a stated time. Last, every honest machine is healed, and all must
//! arrive at the same block.

use crate::dice::Dice;
use crate::plan::{Plan, Weather};
use crate::tally::{Group, Tally};
use crate::timeline::Timeline;
use crate::world::{Event, World};

/// Links within the healed core.
pub const FAIR: Weather = Weather { delay_min_ms: 1, delay_max_ms: 8, drop: 0, duplicate: 0, reorder: 0 };
/// A healed core must commit within this, virtual milliseconds. With the product's timeouts a round of a long
/// storm waits up to 30 s for a proposal and as long twice for votes.
const CORE_MS: u64 = 240_000;
/// And so much with quick timeouts.
const CORE_QUICK_MS: u64 = 60_000;
/// All honest machines must agree within this after the last fault is gone.
const CONVERGE_MS: u64 = 60_000;
/// Blocks that a healed core must commit.
const CORE_BLOCKS: u64 = 3;

/// How a run ended.
pub struct Outcome {
    /// What was violated; `None`: all held.
    pub violation: Option<String>,
    /// What was exercised.
    pub tally: Tally,
    /// What happened, if it was kept.
    pub timeline: Timeline,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
}

/// Runs a plan.
pub fn run(plan: Plan, timeline: Timeline) -> Outcome {
    let mut world = World::new(plan, timeline);
    world.live();
    for at in 0..world.machines.len() {
        world.leave_notes(at);
    }
    world.tally.add(Group::Work, "slots signed twice by unbound keys", world.checks.double_signs);
    Outcome {
        violation: world.violation,
        tally: world.tally,
        timeline: world.timeline,
        virtual_ms: world.now_ms,
    }
}

impl World {
    fn live(&mut self) {
        let storm_ms = self.plan.storm_ms;
        self.run(storm_ms, |_| false);
        if self.violation.is_some() {
            return;
        }
        self.storming = false;
        let mut dice = Dice::new(self.plan.seed, "core");
        match self.choose_core(&mut dice) {
            Some(core) => self.prove_progress(core),
            None => self.tally.note(Group::Work, "runs without a healthy two thirds"),
        }
        if self.violation.is_none() && !self.core.is_empty() {
            self.prove_convergence();
        }
    }

    /// Honest validators with more than two thirds of the power, in random order. Those who lost what they
    /// signed may be silent for a while, so the core has to do without them.
    fn choose_core(&self, dice: &mut Dice) -> Option<Vec<usize>> {
        let honest = self.honest_running();
        let best = honest.iter().copied().max_by_key(|at| self.height(*at))?;
        let engine = &self.machines[best].running.as_ref()?.engine;
        let total: u64 = engine.deciders().iter().map(|(_, power)| power).sum();
        let mut seats: Vec<(usize, u64)> = Vec::new();
        for (seat, keys) in self.seats.iter().enumerate() {
            let sound = !self.plan.byzantine.contains_key(&seat) && !self.plan.forgetful.contains(&seat);
            let power = engine.deciders().iter().find(|(key, _)| *key == keys.validator_key);
            if let (true, Some((_, power))) = (sound, power) {
                seats.push((seat, *power));
            }
        }
        dice.shuffle(&mut seats);
        let mut core = Vec::new();
        let mut power = 0;
        for (seat, more) in seats {
            if 3 * power > 2 * total {
                break;
            }
            core.push(seat);
            power += more;
        }
        (3 * power > 2 * total).then_some(core)
    }

    /// Heals machines and the links between them.
    fn heal(&mut self, seats: &[usize]) {
        for seat in seats {
            let machine = &mut self.machines[*seat];
            machine.dir.set_capacity(None);
            (machine.skew_ms, machine.no_clock, machine.slow_ms) = (0, false, 0);
            for other in seats {
                self.links.heal(*seat, *other);
            }
        }
        for (place, seat) in seats.iter().enumerate() {
            if self.machines[*seat].running.is_none() {
                self.schedule_boot(*seat, 50);
            }
            for other in &seats[place + 1..] {
                self.schedule(100, Event::Dial { a: *seat, b: *other });
            }
        }
    }

    fn prove_progress(&mut self, core: Vec<usize>) {
        self.timeline.say(self.now_ms, || format!("== heals a core: {core:?}"));
        self.heal(&core);
        self.core = core;
        let from = self.checks.height();
        let limit_ms = if self.plan.quick { CORE_QUICK_MS } else { CORE_MS };
        let healed_ms = self.now_ms;
        let core = self.core.clone();
        let done = move |world: &Self| {
            world.checks.height() >= from + CORE_BLOCKS
                && core.iter().all(|seat| world.height(*seat).is_some_and(|h| h >= from + CORE_BLOCKS))
        };
        let lived = self.run(healed_ms + limit_ms, done);
        if self.violation.is_some() {
            return;
        }
        let took_ms = self.now_ms - healed_ms;
        self.tally.add(Group::Work, "virtual ms until a healed core had committed 3 blocks", took_ms);
        self.tally.note(Group::Work, "healed cores");
        if !lived {
            let heights: Vec<String> = self.standing();
            self.violate(format!(
                "liveness: the healed core {:?} did not commit {CORE_BLOCKS} blocks after {from} within {limit_ms} ms; {}",
                self.core,
                heights.join(", ")
            ));
        }
    }

    /// Where every machine stands, for people.
    fn standing(&self) -> Vec<String> {
        let stand = |at: usize| {
            let Some(running) = &self.machines[at].running else {
                return format!("{} is down", self.name(at));
            };
            let state = running.engine.round_state();
            let why = running.engine.silent_reason().map_or(String::new(), |why| format!(" silent: {why}"));
            format!("{} at {}/{} step {}{why}", self.name(at), state.height, state.round, state.step)
        };
        (0..self.machines.len()).map(stand).collect()
    }

    fn prove_convergence(&mut self) {
        let all: Vec<usize> =
            (0..self.seats.len()).filter(|seat| !self.plan.byzantine.contains_key(seat)).collect();
        self.timeline.say(self.now_ms, || "== heals all".to_owned());
        self.heal(&all);
        self.core.clone_from(&all);
        let doubled: Vec<usize> =
            self.machines[self.seats.len()..].iter().map(|machine| machine.seat).collect();
        let followers: Vec<usize> = all.into_iter().filter(|seat| !doubled.contains(seat)).collect();
        // New blocks would keep the last one a step behind for ever.
        self.core.clear();
        let checked = followers.clone();
        let agreed = self.run(self.now_ms + CONVERGE_MS, move |world| {
            checked.iter().all(|seat| world.height(*seat) == Some(world.checks.height()))
        });
        if agreed || self.violation.is_some() {
            return;
        }
        let standing = self.standing();
        self.violate(format!(
            "convergence: not all of {followers:?} reached height {} within {CONVERGE_MS} ms; {}",
            self.checks.height(),
            standing.join(", ")
        ));
    }
}
