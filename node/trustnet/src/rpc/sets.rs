//! Who decided which heights: validator sets by the hash that headers carry.
//!
//! Blocks name a set by its hash only. The server knows the genesis set and every set that was in force
//! while it ran; heights decided by other sets are shown without names.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use trustnet_ledger::codec;
use trustnet_ledger::crypto::{Hash32, PublicKey, domain, hash};

/// Sets that are kept; beyond, the oldest is forgotten (at most 128 x 40 bytes each).
const MAX_SETS: usize = 1_024;

/// A validator set: keys and powers in the order of their positions.
pub type Deciders = Arc<Vec<(PublicKey, u64)>>;

/// Sets by hash.
#[derive(Debug, Default)]
pub struct ValidatorSets {
    by_hash: HashMap<Hash32, Deciders>,
    by_age: VecDeque<Hash32>,
}

/// The hash by which headers name a set.
pub fn set_hash(set: &[(PublicKey, u64)]) -> Hash32 {
    hash(domain::VALIDATORS, &[&codec::encode(&set)])
}

impl ValidatorSets {
    /// Remembers a set. Empty ones (before the first block) are not worth it.
    pub fn learn(&mut self, set: Vec<(PublicKey, u64)>) {
        let name = set_hash(&set);
        if set.is_empty() || self.by_hash.contains_key(&name) {
            return;
        }
        if self.by_age.len() >= MAX_SETS
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.by_hash.remove(&oldest);
        }
        self.by_age.push_back(name);
        self.by_hash.insert(name, Arc::new(set));
    }

    /// The set with this hash.
    pub fn get(&self, name: &Hash32) -> Option<Deciders> {
        self.by_hash.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(power: u64) -> Vec<(PublicKey, u64)> {
        vec![(PublicKey([1; 32]), power)]
    }

    #[test]
    fn a_set_is_found_by_its_hash() {
        let mut sets = ValidatorSets::default();
        sets.learn(set(10));
        sets.learn(set(10));
        assert_eq!(sets.get(&set_hash(&set(10))).map(|found| found.to_vec()), Some(set(10)));
        assert_eq!(sets.get(&set_hash(&set(11))), None);
        assert_eq!(sets.by_age.len(), 1);
    }

    #[test]
    fn an_empty_set_is_not_kept() {
        let mut sets = ValidatorSets::default();
        sets.learn(Vec::new());
        assert_eq!(sets.get(&set_hash(&[])), None);
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let mut sets = ValidatorSets::default();
        (0..=MAX_SETS as u64).for_each(|power| sets.learn(set(power)));
        assert_eq!(sets.get(&set_hash(&set(0))), None);
        assert!(sets.get(&set_hash(&set(1))).is_some());
        assert_eq!(sets.by_hash.len(), MAX_SETS);
    }
}
