//! Signatures judged once for all replicas of a run.
//!
//! A verdict depends on nothing but key, message and signature, and a vote is heard by every replica. So the
//! first to ask has it computed (ZIP 215, as in the product), and the others share it. What an honest replica
//! or a client of the run has just signed is valid by construction, and noted as such.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use trustnet_engine::verifier::Verifier;
use trustnet_ledger::crypto::{PublicKey, Signature, SignatureCheck};

/// The verdicts of one run.
#[derive(Debug, Default)]
pub struct Verdicts {
    known: Mutex<HashMap<[u8; 16], bool>>,
}

fn name(key: &PublicKey, message: &[u8], signature: &Signature) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.0).update(&signature.0).update(message);
    let mut name = [0; 16];
    name.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    name
}

impl Verdicts {
    /// Notes a signature that was just made with the secret key.
    pub fn signed(&self, key: &PublicKey, message: &[u8], signature: &Signature) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name(key, message, signature), true);
    }
}

impl Verifier for Verdicts {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(name(key, message, signature)).or_insert_with(|| key.verify(message, signature))
    }

    fn all_valid(&self, checks: &[SignatureCheck]) -> bool {
        checks.iter().all(|check| self.verify(&check.key, &check.message, &check.signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trustnet_ledger::crypto::SecretKey;

    #[test]
    fn verdicts_are_those_of_the_real_check_and_are_kept_apart() {
        let verdicts = Verdicts::default();
        let (one, two) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let signature = one.sign(b"message");
        assert!(verdicts.verify(&one.public(), b"message", &signature));
        assert!(!verdicts.verify(&two.public(), b"message", &signature));
        assert!(!verdicts.verify(&one.public(), b"massage", &signature));
        let mut bent = signature;
        bent.0[3] ^= 1;
        assert!(!verdicts.verify(&one.public(), b"message", &bent));
        assert!(verdicts.verify(&one.public(), b"message", &signature), "asked again");
    }
}
