//! Signatures and verdicts, remembered: a fuzzer asks the same ones of few keys again and again, and each costs as much
//! as all the rest of an input.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use trustnet_engine::verifier::Verifier;
use trustnet_ledger::crypto::{Hash32, PublicKey, SecretKey, Signature, SignatureCheck, hash};

/// What is remembered at most; then all of it is forgotten.
const MAX_REMEMBERED: usize = 100_000;

static SIGNATURES: LazyLock<Mutex<HashMap<Hash32, Signature>>> = LazyLock::new(Mutex::default);

/// Signs, as [`SecretKey::sign`] would.
pub fn sign(secret: &SecretKey, message: &[u8]) -> Signature {
    let name = hash("fuzz signature", &[&secret.seed(), message]);
    *entry(&mut lock(&SIGNATURES)).entry(name).or_insert_with(|| secret.sign(message))
}

/// Judges signatures, as each of them alone would be judged.
#[derive(Debug, Default)]
pub struct Remembering {
    verdicts: Mutex<HashMap<Hash32, bool>>,
}

impl Verifier for Remembering {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let name = hash("fuzz verdict", &[&key.0, &signature.0, message]);
        *entry(&mut lock(&self.verdicts)).entry(name).or_insert_with(|| key.verify(message, signature))
    }

    fn all_valid(&self, checks: &[SignatureCheck]) -> bool {
        checks.iter().all(|check| self.verify(&check.key, &check.message, &check.signature))
    }
}

fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entry<T>(map: &mut HashMap<Hash32, T>) -> &mut HashMap<Hash32, T> {
    if map.len() >= MAX_REMEMBERED {
        map.clear();
    }
    map
}
