//! Certificates: votes of more than 2/3 of the power for the same thing.

use core::fmt;

use crate::types::{Height, Index, Power, Round, Signature, ValueId, VoteKind};
use crate::validators::ValidatorSet;

/// Equal votes of more than 2/3 of the power: a polka (prevotes) or a commit (precommits).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate<const N: usize> {
    /// Prevotes or precommits.
    pub kind: VoteKind,
    /// Height voted on.
    pub height: Height,
    /// Round voted in.
    pub round: Round,
    /// What all of them voted for; `None` is nil.
    pub value: Option<ValueId>,
    /// Who voted, ascending and without repetition, with the signatures.
    pub signatures: heapless::Vec<(Index, Signature), N>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateError {
    /// The signers are not in strictly ascending order, so one may be counted twice.
    NotAscending {
        /// First signer that is not above the one before.
        index: Index,
    },
    /// A signer is not in the validator set.
    NotAMember {
        /// The signer.
        index: Index,
    },
    /// The signers hold no more than 2/3 of the power.
    NoQuorum {
        /// Power of the signers.
        power: Power,
        /// Power of the whole set.
        total: Power,
    },
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAscending { index } => {
                write!(f, "the certificate lists signer {index} out of order or twice: drop it")
            }
            Self::NotAMember { index } => {
                write!(
                    f,
                    "the certificate lists signer {index}, who is not a validator of its height: drop it"
                )
            }
            Self::NoQuorum { power, total } => {
                write!(f, "the certificate has {power} of {total} power, not more than 2/3: drop it")
            }
        }
    }
}

impl core::error::Error for CertificateError {}

impl<const N: usize> Certificate<N> {
    /// Power of the signers. Says nothing about their signatures.
    ///
    /// # Errors
    /// [`CertificateError::NotAscending`] or [`CertificateError::NotAMember`].
    pub fn power(&self, set: &ValidatorSet<N>) -> Result<Power, CertificateError> {
        let mut previous = None;
        // Ascending members of the set: the sum is at most the total of the set and cannot overflow.
        let mut sum: Power = 0;
        for &(index, _) in &self.signatures {
            if previous.is_some_and(|previous| previous >= index) {
                return Err(CertificateError::NotAscending { index });
            }
            previous = Some(index);
            sum += set.power(index).ok_or(CertificateError::NotAMember { index })?;
        }
        Ok(sum)
    }

    /// Everything but the signatures: signers ascending, members, and more than 2/3 of the power. Cheap: do it before
    /// the signatures are verified.
    ///
    /// # Errors
    /// [`CertificateError`] says what is wrong.
    pub fn check_shape(&self, set: &ValidatorSet<N>) -> Result<(), CertificateError> {
        let power = self.power(set)?;
        if set.has_quorum(power) {
            Ok(())
        } else {
            Err(CertificateError::NoQuorum { power, total: set.total() })
        }
    }
}
