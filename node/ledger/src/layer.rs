//! A table with changes laid over it: a draft reads through to the state and never touches it.

use std::collections::BTreeMap;

/// What changed in a table: the new value, or `None` where an entry goes.
pub(crate) type Changed<K, V> = BTreeMap<K, Option<V>>;

/// A table of the state, seen through changes.
#[derive(Debug)]
pub(crate) struct Layer<'a, K, V> {
    base: &'a BTreeMap<K, V>,
    changed: Changed<K, V>,
}

impl<'a, K: Ord + Clone, V: Clone> Layer<'a, K, V> {
    pub fn over(base: &'a BTreeMap<K, V>) -> Self {
        Self { base, changed: BTreeMap::new() }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        match self.changed.get(key) {
            Some(value) => value.as_ref(),
            None => self.base.get(key),
        }
    }

    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub fn set(&mut self, key: K, value: V) {
        self.changed.insert(key, Some(value));
    }

    pub fn remove(&mut self, key: K) {
        self.changed.insert(key, None);
    }

    /// The entry for changing it; copied up from the state at the first change.
    pub fn modify(&mut self, key: &K) -> Option<&mut V> {
        if !self.changed.contains_key(key) {
            self.changed.insert(key.clone(), self.base.get(key).cloned());
        }
        self.changed.get_mut(key)?.as_mut()
    }

    /// All entries: first those of the state that are unchanged, then the changed ones.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let unchanged = self.base.iter().filter(|(key, _)| !self.changed.contains_key(*key));
        let changed = self.changed.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        unchanged.chain(changed)
    }

    pub fn into_changed(self) -> Changed<K, V> {
        self.changed
    }
}

/// Carries changes into a table.
pub(crate) fn absorb<K: Ord, V>(table: &mut BTreeMap<K, V>, changed: Changed<K, V>) {
    for (key, value) in changed {
        match value {
            Some(value) => table.insert(key, value),
            None => table.remove(&key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_show_through_the_layer_and_not_in_the_table() {
        let mut table: BTreeMap<u32, u32> = (0..4).map(|i| (i, i * 10)).collect();
        let mut layer = Layer::over(&table);
        layer.set(9, 90);
        layer.remove(1);
        if let Some(value) = layer.modify(&2) {
            *value = 21;
        }
        assert_eq!(layer.modify(&77), None);
        assert_eq!(
            [layer.get(&0), layer.get(&1), layer.get(&2), layer.get(&9)],
            [Some(&0), None, Some(&21), Some(&90)]
        );
        let mut all: Vec<_> = layer.iter().map(|(k, v)| (*k, *v)).collect();
        all.sort_unstable();
        assert_eq!(all, [(0, 0), (2, 21), (3, 30), (9, 90)]);
        let changed = layer.into_changed();
        assert_eq!(table.get(&2), Some(&20));
        absorb(&mut table, changed);
        assert_eq!(table.into_iter().collect::<Vec<_>>(), all);
    }
}
