//! Transactions whose signatures this process has checked, so that each is checked once.

use std::collections::HashSet;

use trustnet_ledger::crypto::Hash32;

/// Ids per generation; two generations are kept, so at most twice as many (4 MB).
const GENERATION_IDS: usize = 65_536;

/// A bounded set of verified transaction ids: when a generation is full, the older one is forgotten.
#[derive(Default)]
pub struct VerifiedCache {
    young: HashSet<Hash32>,
    old: HashSet<Hash32>,
}

impl VerifiedCache {
    /// Remembers that the full signed bytes behind `id` verified.
    pub fn insert(&mut self, id: Hash32) {
        if self.young.len() >= GENERATION_IDS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id);
    }

    /// Whether `id` verified and is still remembered.
    pub fn contains(&self, id: &Hash32) -> bool {
        self.young.contains(id) || self.old.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_recent_ids_stay() {
        let id = |i: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&i.to_be_bytes());
            Hash32(bytes)
        };
        let mut cache = VerifiedCache::default();
        let count = 4 * GENERATION_IDS as u64;
        for i in 0..count {
            cache.insert(id(i));
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION_IDS);
        assert!(cache.contains(&id(count - 1)));
        assert!(!cache.contains(&id(0)));
    }
}
