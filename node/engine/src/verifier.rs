//! Who judges signatures.
//!
//! A verdict is a pure function of key, message and signature. A node computes each one ([`Ed25519`]); where
//! many replicas share a process, as in the simulator, one of them computes it for all.

use std::fmt::Debug;

use trustnet_ledger::crypto::{PublicKey, Signature, SignatureCheck, verify_many};

/// Judges signatures, always as [`PublicKey::verify`] would.
pub trait Verifier: Send + Sync + Debug {
    /// Whether `signature` by `key` over `message` is valid.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;

    /// Whether all of `checks` are valid.
    fn all_valid(&self, checks: &[SignatureCheck]) -> bool;
}

/// Computes every verdict, many at once in batches.
#[derive(Clone)]
pub struct Ed25519 {
    seed: [u8; 32],
}

impl Ed25519 {
    /// `seed` is secret randomness for the coefficients of batches.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed }
    }
}

impl Debug for Ed25519 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ed25519")
    }
}

impl Verifier for Ed25519 {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        key.verify(message, signature)
    }

    fn all_valid(&self, checks: &[SignatureCheck]) -> bool {
        verify_many(checks, self.seed).into_iter().all(|valid| valid)
    }
}
