//! The engine's timers on the monotonic clock.

use std::collections::BTreeMap;

use trustnet_engine::TimerId;

/// How many timers of past rounds are kept at most; the engine ignores stale ones, so they may go.
const MAX_TIMERS: usize = 256;

/// Timers that are set, by name. There are few, so the next one is found by looking at all.
#[derive(Default)]
pub struct Timers {
    due_ms: BTreeMap<TimerId, u64>,
}

impl Timers {
    /// Sets a timer, or sets it anew.
    pub fn set(&mut self, id: TimerId, at_mono_ms: u64) {
        self.due_ms.insert(id, at_mono_ms);
        if self.due_ms.len() > MAX_TIMERS {
            // Consensus timers sort by height, round and step: the first is the stalest.
            self.due_ms.pop_first();
        }
    }

    /// When the next timer fires.
    pub fn next_ms(&self) -> Option<u64> {
        self.due_ms.values().min().copied()
    }

    /// Takes a timer that is due.
    pub fn pop_due(&mut self, now_mono_ms: u64) -> Option<TimerId> {
        let (id, _) =
            self.due_ms.iter().filter(|(_, due)| **due <= now_mono_ms).min_by_key(|(_, due)| **due)?;
        let id = *id;
        self.due_ms.remove(&id);
        Some(id)
    }

    /// Forgets the consensus timers of heights below `height`.
    pub fn forget_below(&mut self, height: u64) {
        self.due_ms.retain(|id, _| !matches!(id, TimerId::Consensus { height: of, .. } if *of < height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_and_once_and_setting_again_replaces() {
        let mut timers = Timers::default();
        timers.set(TimerId::Repair, 30);
        timers.set(TimerId::Sync, 10);
        timers.set(TimerId::Repair, 20);
        assert_eq!(timers.next_ms(), Some(10));
        assert_eq!(timers.pop_due(25), Some(TimerId::Sync));
        assert_eq!(timers.pop_due(25), Some(TimerId::Repair));
        assert_eq!(timers.pop_due(100), None);
    }

    #[test]
    fn timers_of_decided_heights_are_forgotten() {
        let mut timers = Timers::default();
        for height in 1..=5 {
            timers.set(TimerId::Consensus { height, round: 0, step: 0 }, height);
        }
        timers.forget_below(5);
        assert_eq!(timers.pop_due(100), Some(TimerId::Consensus { height: 5, round: 0, step: 0 }));
        assert_eq!(timers.pop_due(100), None);
    }
}
