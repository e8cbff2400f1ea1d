//! Carries the acts of a plan out, and ends them.

use std::collections::BTreeMap;

use trustnet_store::{Dir, MemDir};

use crate::machine::signed_on;
use crate::plan::Act;
use crate::tally::Group;
use crate::world::{Event, World};

/// Room that a full disk still has, bytes: less than a record.
const LAST_BYTES: u64 = 1_000;
/// What a disk reads and writes at once, bytes.
const SECTOR_BYTES: usize = 512;

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
        let before = machine.dir.duplicate();
        let names = files(&machine.dir);
        let mut flips: Flips = BTreeMap::new();
        for _ in 0..bits {
            let Some(name) = self.dice.disks.pick(&names) else { return };
            let Some(bytes) = machine.dir.bytes(name) else { continue };
            // Most of a segment is empty: aim at what is written.
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let place = self.dice.disks.below(written);
            if place >= bytes.len() {
                continue;
            }
            let mask = 1 << self.dice.disks.below(8);
            flips.entry((name.clone(), place / SECTOR_BYTES)).or_default().push((place, mask));
            flip(&machine.dir, name, &[(place, mask)]);
        }
        let after = machine.dir.duplicate();
        self.judge_rot(at, &before, &after, &flips);
    }

    /// The newest vote is on the disk twice, in different sectors. Damage to both copies looks like a write that the power
    /// cut short, and the validator is as one whose disk was put back; damage in one sector never does that.
    fn judge_rot(&mut self, at: usize, before: &MemDir, after: &MemDir, flips: &Flips) {
        let chain = self.settings.genesis.hash().0;
        let signed = signed_on(before, chain);
        let goes_back = |dir: &MemDir| {
            let now = signed_on(dir, chain);
            signed.is_some() && now.is_some() && now != signed
        };
        if !goes_back(after) {
            return;
        }
        let alone = flips.iter().find(|((name, _), flips)| {
            let dir = before.duplicate();
            flip(&dir, name, flips);
            goes_back(&dir)
        });
        if let Some(((name, sector), _)) = alone {
            let what = format!("recovery: damage in sector {sector} of {name} alone took back what");
            return self.violate(format!("{what} {} has signed", self.name(at)));
        }
        self.tally.note(Group::Work, "newest votes of which both copies rotted");
        self.checks.unbind(self.seats[self.machines[at].seat].validator_key);
    }
}

/// Flipped bits by file and sector: where, and a mask.
type Flips = BTreeMap<(String, usize), Vec<(usize, u8)>>;

fn flip(dir: &MemDir, name: &str, flips: &[(usize, u8)]) {
    let Some(mut bytes) = dir.bytes(name) else { return };
    for (place, mask) in flips {
        if let Some(byte) = bytes.get_mut(*place) {
            *byte ^= mask;
        }
    }
    dir.set_bytes(name, bytes);
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
