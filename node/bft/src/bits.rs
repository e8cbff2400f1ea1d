//! A set of validators, as bits.

use crate::types::{Index, MAX_VALIDATORS};

/// A set of validator indices below `N`; `N` is at most [`MAX_VALIDATORS`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bits<const N: usize>(u128);

impl<const N: usize> Bits<N> {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// Bits that may be set; also refuses, at compile time, an `N` that does not fit.
    const MASK: u128 = {
        assert!(N > 0 && N <= MAX_VALIDATORS, "a core is compiled for 1 to MAX_VALIDATORS validators");
        u128::MAX >> (MAX_VALIDATORS - N)
    };

    /// The bit of one index, or 0 outside.
    const fn bit(index: Index) -> u128 {
        if (index as usize) < N { (1 << index) & Self::MASK } else { 0 }
    }

    /// Adds a member; an index of `N` or more is ignored.
    pub const fn insert(&mut self, index: Index) {
        self.0 |= Self::bit(index);
    }

    /// Is this validator a member?
    pub const fn contains(&self, index: Index) -> bool {
        self.0 & Self::bit(index) != 0
    }

    /// Number of members.
    pub const fn count(&self) -> usize {
        self.0.count_ones() as usize
    }

    /// Has it no members?
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Members of `self` that are not in `other`: with our bitmap and a peer's, what the peer misses.
    #[must_use]
    pub const fn difference(&self, other: &Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Index> + use<N> {
        let bits = *self;
        (0..N as Index).filter(move |&index| bits.contains(index))
    }

    /// Little-endian bytes: validator `i` is bit `i % 8` of byte `i / 8`.
    pub const fn to_bytes(self) -> [u8; MAX_VALIDATORS / 8] {
        self.0.to_le_bytes()
    }

    /// The inverse of [`Bits::to_bytes`]; bits of `N` and above are dropped.
    pub const fn from_bytes(bytes: [u8; MAX_VALIDATORS / 8]) -> Self {
        Self(u128::from_le_bytes(bytes) & Self::MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_ascending() {
        let mut bits = Bits::<128>::EMPTY;
        assert!(bits.is_empty());
        for index in [127, 0, 64, 63] {
            bits.insert(index);
        }
        assert!(bits.iter().eq([0, 63, 64, 127]));
        assert_eq!(bits.count(), 4);
        assert!(bits.contains(64) && !bits.contains(65));
    }

    #[test]
    fn an_index_outside_is_ignored() {
        let mut bits = Bits::<4>::EMPTY;
        for index in [4, 127, 128, Index::MAX] {
            bits.insert(index);
            assert!(!bits.contains(index));
        }
        assert!(bits.is_empty());
    }

    #[test]
    fn bytes_from_a_peer_lose_the_bits_outside() {
        let bits = Bits::<4>::from_bytes([0xFF; 16]);
        assert!(bits.iter().eq([0, 1, 2, 3]));
        assert_eq!(Bits::<4>::from_bytes(bits.to_bytes()), bits);
        assert_eq!(Bits::<128>::from_bytes([0xFF; 16]).count(), 128);
    }

    #[test]
    fn the_difference_is_what_the_other_misses() {
        let mut ours = Bits::<8>::EMPTY;
        let mut theirs = Bits::<8>::EMPTY;
        ours.insert(1);
        ours.insert(3);
        theirs.insert(3);
        theirs.insert(5);
        assert!(ours.difference(&theirs).iter().eq([1]));
    }
}
