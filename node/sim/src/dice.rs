//! Seeded chance. Each concern draws from its own stream, so that leaving one fault out changes no other.

/// A stream of random numbers for one concern of one run.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The stream of `concern` in the run of `seed`.
    pub fn new(seed: u64, concern: &str) -> Self {
        let hash = blake3::hash(&[&seed.to_le_bytes(), concern.as_bytes()].concat());
        let mut word = [0; 8];
        word.copy_from_slice(&hash.as_bytes()[..8]);
        Self(fastrand::Rng::with_seed(u64::from_le_bytes(word)))
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.0.u32(0..1_000) < per_mille
    }

    /// True in `per_million` of a million cases.
    pub fn rarely(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.0.u32(0..1_000_000) < per_million
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.u64(low..=high.max(low))
    }

    /// A place in a list of `len`.
    pub fn below(&mut self, len: usize) -> usize {
        self.0.usize(0..len.max(1))
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Random bytes, at most `most`.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.0.usize(0..=most);
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes);
        bytes
    }

    /// Shuffles a list.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}
