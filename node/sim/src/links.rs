//! Connections between machines, and the network between seats. Connections keep the order of messages and end
//! with the process at either end, as QUIC's do; the network may lose, repeat, delay and cut.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::plan::Weather;

/// A connection between two machines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// Both ends know of it.
    pub up: bool,
    /// One end is gone; the other has not noticed.
    pub closing: bool,
    /// Which connection of these two it is.
    pub epoch: u32,
}

/// All connections and cuts.
#[derive(Default)]
pub struct Links {
    links: BTreeMap<(usize, usize), Link>,
    arrivals: BTreeMap<(usize, usize), u64>,
    cuts: BTreeMap<(usize, usize), u32>,
}

/// When copies of a message arrive, and whether anything happened to it.
pub struct Journey {
    /// Arrival times.
    pub arrivals: Vec<u64>,
    /// It was lost.
    pub dropped: bool,
    /// It may have overtaken another.
    pub reordered: bool,
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl Links {
    /// The connection between two machines.
    pub fn get(&self, a: usize, b: usize) -> Link {
        self.links.get(&pair(a, b)).copied().unwrap_or_default()
    }

    /// Makes a new connection.
    pub fn connect(&mut self, a: usize, b: usize) {
        let link = self.links.entry(pair(a, b)).or_default();
        *link = Link { up: true, closing: false, epoch: link.epoch + 1 };
    }

    /// One end is gone.
    pub fn close(&mut self, a: usize, b: usize) {
        if let Some(link) = self.links.get_mut(&pair(a, b)) {
            link.closing = link.up;
        }
    }

    /// Both ends know that it is gone.
    pub fn gone(&mut self, a: usize, b: usize) {
        if let Some(link) = self.links.get_mut(&pair(a, b)) {
            *link = Link { up: false, closing: false, epoch: link.epoch + 1 };
        }
    }

    /// Machines that `of` is connected to.
    pub fn peers(&self, of: usize) -> Vec<usize> {
        let ends = self.links.iter().filter(|(_, link)| link.up && !link.closing);
        ends.filter_map(|((a, b), _)| match () {
            () if *a == of => Some(*b),
            () if *b == of => Some(*a),
            () => None,
        })
        .collect()
    }

    /// Cuts the way from one seat to another; cuts add up.
    pub fn cut(&mut self, from: usize, to: usize) {
        *self.cuts.entry((from, to)).or_default() += 1;
    }

    /// Takes back one cut.
    pub fn mend(&mut self, from: usize, to: usize) {
        if let Some(count) = self.cuts.get_mut(&(from, to)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Takes back all cuts on the way from one seat to another.
    pub fn heal(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    /// Whether the way from one seat to another is cut.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|count| *count > 0)
    }

    /// What becomes of a message that leaves machine `from` for `to` now.
    pub fn travel(
        &mut self,
        from: usize,
        to: usize,
        now_ms: u64,
        weather: &Weather,
        dice: &mut Dice,
    ) -> Journey {
        let mut journey = Journey { arrivals: Vec::new(), dropped: false, reordered: false };
        let jitter = weather.delay_max_ms > weather.delay_min_ms;
        let delay = |dice: &mut Dice| {
            if jitter {
                dice.between(weather.delay_min_ms, weather.delay_max_ms)
            } else {
                weather.delay_min_ms
            }
        };
        if dice.chance(weather.drop) {
            journey.dropped = true;
            return journey;
        }
        let last = self.arrivals.entry((from, to)).or_default();
        let mut at_ms = now_ms + delay(dice);
        if dice.chance(weather.reorder) {
            journey.reordered = at_ms < *last;
        } else {
            at_ms = at_ms.max(*last);
            *last = at_ms;
        }
        journey.arrivals.push(at_ms);
        if dice.chance(weather.duplicate) {
            journey.arrivals.push(at_ms + delay(dice));
        }
        journey
    }
}
