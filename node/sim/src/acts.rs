//! Carries the acts of a plan out, and ends them.

use trustnet_store::{Dir, MemDir};

use crate::plan::Act;
use crate::tally::Group;
use crate::world::{Event, World};

/// Room that a full disk still has, bytes: less than a record.
const LAST_BYTES: u64 = 1_000;

impl World {
    pub(crate) fn act(&mut self, index: usize) {
        let Some((_, act)) = self.plan.acts.get(index).cloned() else { return };
        self.timeline.say(self.now_ms, || format!("== {act:?}"));
        self.tally.note(Group::Fault, act.name());
        let end_in = |world: &mut Self, ms: u64| world.schedule(ms, Event::End { index, step: 1 });
        match act {
            Act::Partition { side, for_ms, hang_up } => {
                self.cut_sides(side, true);
                if hang_up {
                    self.hang_up_between(side);
                }
                end_in(self, for_ms);
            }
            Act::OneWay { from, to, for_ms } => {
                self.links.cut(from, to);
                end_in(self, for_ms);
            }
            Act::Flap { a, b, .. } => {
                self.links.cut(a, b);
                self.links.cut(b, a);
                end_in(self, 1);
            }
            Act::Crash { at, after_ms } => self.crash(at, after_ms),
            Act::PowerCut { after_ms } => {
                for at in 0..self.machines.len() {
                    self.crash(at, after_ms + at as u64 * 7);
                }
            }
            Act::CutFlush { at, flushes } => self.machines[at].dir.fail_at_sync(flushes),
            Act::FailFlush { at, flushes } => self.machines[at].dir.error_at_sync(flushes),
            Act::Fill { at, for_ms } => {
                let used = used_bytes(&self.machines[at].dir);
                self.machines[at].dir.set_capacity(Some(used + LAST_BYTES));
                end_in(self, for_ms);
            }
            Act::Wipe { at } => {
                self.crash(at, 300);
                self.machines[at].dir = MemDir::new();
            }
            Act::Restore { at, .. } => {
                if let Some(copy) = self.backups.remove(&index) {
                    // Its own record cannot tell it what it signed since; that it signs once is no promise.
                    if !self.plan.bind_restored {
                        self.checks.unbind(self.seats[at].validator_key);
                    }
                    self.crash(at, 300);
                    self.machines[at].dir = copy;
                }
            }
            Act::Clone { at } => {
                self.checks.unbind(self.seats[at].validator_key);
                let copy = self.machines[at].dir.duplicate();
                let double = self.add_double(at);
                self.machines[double].dir = copy;
                self.machines[double].initialised = true;
            }
            Act::Rot { at, bits } => {
                self.crash(at, 300);
                self.rot(at, bits);
            }
            Act::Slow { at, input_ms, for_ms } => {
                self.machines[at].slow_ms = input_ms;
                end_in(self, for_ms);
            }
            Act::Jump { at, by_ms } => self.machines[at].skew_ms += by_ms,
            Act::Epoch { at, for_ms } => {
                self.crash(at, 100);
                self.machines[at].no_clock = true;
                end_in(self, for_ms);
            }
            Act::Join { seat } => {
                self.clients.joining.insert(seat);
            }
            Act::Leave { seat } => {
                self.clients.leaving.insert(seat);
            }
            Act::Return { seat } => {
                self.clients.returning.insert(seat);
            }
        }
    }

    pub(crate) fn end_act(&mut self, index: usize, step: u32) {
        let Some((_, act)) = self.plan.acts.get(index).cloned() else { return };
        match act {
            Act::Restore { at, .. } => {
                let copy = self.machines[at].dir.duplicate();
                self.backups.insert(index, copy);
            }
            Act::Partition { side, .. } => self.cut_sides(side, false),
            Act::OneWay { from, to, .. } => self.links.mend(from, to),
            Act::Flap { a, b, period_ms, times } => {
                let down = step % 2 == 1;
                for (from, to) in [(a, b), (b, a)] {
                    if down {
                        self.links.mend(from, to);
                    } else {
                        self.links.cut(from, to);
                    }
                }
                if step < 2 * times {
                    self.schedule(period_ms, Event::End { index, step: step + 1 });
                } else if !down {
                    self.links.mend(a, b);
                    self.links.mend(b, a);
                }
            }
            Act::Fill { at, .. } => self.machines[at].dir.set_capacity(None),
            Act::Slow { at, .. } => self.machines[at].slow_ms = 0,
            Act::Epoch { at, .. } => self.machines[at].no_clock = false,
            _ => {}
        }
        self.timeline.say(self.now_ms, || format!("== ends: {act:?}"));
    }

    fn cut_sides(&mut self, side: u128, cut: bool) {
        let of = |seat: usize| side >> (seat % 64) & 1;
        for from in 0..self.seats.len() {
            for to in 0..self.seats.len() {
                if of(from) != of(to) {
                    if cut {
                        self.links.cut(from, to);
                    } else {
                        self.links.mend(from, to);
                    }
                }
            }
        }
    }

    fn hang_up_between(&mut self, side: u128) {
        let of = |seat: usize| side >> (seat % 64) & 1;
        for a in 0..self.machines.len() {
            for b in a + 1..self.machines.len() {
                let link = self.links.get(a, b);
                if of(self.machines[a].seat) != of(self.machines[b].seat) && link.up && !link.closing {
                    self.links.close(a, b);
                    let after_ms = self.dice.links.between(50, 1_500);
                    self.schedule(after_ms, Event::HangUp { a, b, epoch: link.epoch });
                }
            }
        }
    }

    fn rot(&mut self, at: usize, bits: u32) {
        let machine = &mut self.machines[at];
        machine.rotten = true;
        let names = files(&machine.dir);
        for _ in 0..bits {
            let Some(name) = self.dice.disks.pick(&names) else { return };
            let Some(mut bytes) = machine.dir.bytes(name) else { continue };
            // Most of a segment is empty: aim at what is written.
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let place = self.dice.disks.below(written);
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << self.dice.disks.below(8);
            }
            machine.dir.set_bytes(name, bytes);
        }
    }
}

/// The files of a disk.
fn files(dir: &MemDir) -> Vec<String> {
    let log = dir.list("log").unwrap_or_default();
    let log = log.into_iter().map(|name| format!("log/{name}"));
    dir.list("").unwrap_or_default().into_iter().chain(log).collect()
}

/// Bytes that the files of a disk take.
fn used_bytes(dir: &MemDir) -> u64 {
    files(dir).iter().filter_map(|name| dir.bytes(name)).map(|bytes| bytes.len() as u64).sum()
}
