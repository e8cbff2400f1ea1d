//! The validators of a height: their powers, and what counts as enough of them.

use core::fmt;

use crate::rotation;
use crate::types::{Height, Index, MAX_VALIDATORS, Power, Round};

/// Largest total power of a set. It keeps `3 * power`, and the products of two powers in the rotation, far inside
/// `u128`, and a total inside the signed 64 bits of other people's JSON.
pub const MAX_TOTAL_POWER: Power = 1 << 60;

/// Why powers do not make a validator set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetError {
    /// There is no validator.
    Empty,
    /// More validators than the core is compiled for.
    TooMany {
        /// Validators given.
        len: usize,
        /// Validators that fit.
        max: usize,
    },
    /// A validator without power could sign, but never count.
    ZeroPower {
        /// The first such validator.
        index: Index,
    },
    /// The powers add up to more than [`MAX_TOTAL_POWER`].
    TotalTooLarge,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the validator set is empty: give at least one validator"),
            Self::TooMany { len, max } => {
                write!(f, "the validator set has {len} members, but at most {max} fit: remove some")
            }
            Self::ZeroPower { index } => {
                write!(f, "validator {index} has no power: give it some, or leave it out of the set")
            }
            Self::TotalTooLarge => {
                write!(f, "the powers add up to more than {MAX_TOTAL_POWER}: scale them down")
            }
        }
    }
}

impl core::error::Error for SetError {}

/// The powers of the validators of one height, by index. Never empty, every power positive, the total at most
/// [`MAX_TOTAL_POWER`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValidatorSet<const N: usize> {
    powers: heapless::Vec<Power, N>,
    total: Power,
}

impl<const N: usize> ValidatorSet<N> {
    /// A set from its powers, in the order of the indices.
    ///
    /// # Errors
    /// [`SetError`] if there are none or too many, if a power is 0, or if the total is too large.
    pub fn new(powers: &[Power]) -> Result<Self, SetError> {
        const { assert!(N > 0 && N <= MAX_VALIDATORS, "a set is compiled for 1 to MAX_VALIDATORS validators") };
        if powers.is_empty() {
            return Err(SetError::Empty);
        }
        let too_many = SetError::TooMany { len: powers.len(), max: N };
        let powers = heapless::Vec::from_slice(powers).map_err(|_| too_many)?;
        let mut total: Power = 0;
        for (index, &power) in powers.iter().enumerate() {
            if power == 0 {
                return Err(SetError::ZeroPower { index: index as Index });
            }
            total = total
                .checked_add(power)
                .filter(|&total| total <= MAX_TOTAL_POWER)
                .ok_or(SetError::TotalTooLarge)?;
        }
        Ok(Self { powers, total })
    }

    /// Number of validators, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a validator set is never empty")]
    pub fn len(&self) -> usize {
        self.powers.len()
    }

    /// Sum of all powers.
    pub fn total(&self) -> Power {
        self.total
    }

    /// Power of a validator, or `None` if there is none at this index.
    pub fn power(&self, index: Index) -> Option<Power> {
        self.powers.get(usize::from(index)).copied()
    }

    /// Is this more than 2/3 of the total? Any two such groups share an honest validator (the paper's `2f + 1`).
    pub fn has_quorum(&self, power: Power) -> bool {
        3 * u128::from(power) > 2 * u128::from(self.total)
    }

    /// Is this more than 1/3 of the total, so that at least one of them is honest (the paper's `f + 1`)?
    pub fn has_third(&self, power: Power) -> bool {
        3 * u128::from(power) > u128::from(self.total)
    }

    /// Largest power that may be faulty while consensus stays safe and live: the largest `w` with `3w < T`. With equal
    /// powers of 1 that is 0 of 1, 2 or 3, and 1 of 4.
    pub fn max_faulty_power(&self) -> Power {
        (self.total - 1) / 3
    }

    /// Who proposes in a round. Proportional to power over `total` consecutive heights, and plain round robin when all
    /// powers are equal. Stateless: depends on the arguments and the powers only.
    pub fn proposer(&self, height: Height, round: Round) -> Index {
        rotation::proposer(&self.powers, self.total, height, round)
    }

    /// The powers, by index.
    pub fn powers(&self) -> &[Power] {
        &self.powers
    }
}
