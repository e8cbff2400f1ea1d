//! Hashes, keys and signatures: the one place where the choice of algorithms is written down.
//!
//! Hash: BLAKE3 over a domain string followed by the parts. Signing: ed25519-dalek. Validity:
//! ZIP 215 (ed25519-zebra), under which a batch and a single check always agree, so that two honest
//! validators can never disagree about a block. dalek's `verify_batch` is cofactorless and must
//! never decide validity (dalek #115).

use std::fmt;

use ed25519_dalek::Signer as _;

use crate::hex_bytes::hex_bytes;

/// Domain strings. None is a prefix of another, so no two uses can ever hash or sign the same bytes.
pub mod domain {
    /// Node id: operator public key, registration time, nonce (DESIGN section 5).
    pub const NODE_ID: &str = "trustnet node id";
    /// Transaction id, over the full signed bytes.
    pub const TX_ID: &str = "trustnet tx id";
    /// Block id, over the header's bytes.
    pub const BLOCK_ID: &str = "trustnet block id";
    /// Genesis hash, over the canonical encoding of the genesis.
    pub const GENESIS: &str = "trustnet genesis";
    /// Leaf of the state tree.
    pub const STATE_LEAF: &str = "trustnet state leaf";
    /// Inner node of the state tree.
    pub const STATE_INNER: &str = "trustnet state inner";
    /// Position of a key in the state tree.
    pub const STATE_KEY: &str = "trustnet state key";
    /// Hash of a validator set.
    pub const VALIDATORS: &str = "trustnet validators";
    /// Hash of a commit certificate.
    pub const COMMIT: &str = "trustnet commit";
    /// Hash of a block's evidence.
    pub const EVIDENCE_LIST: &str = "trustnet evidence list";
    /// Hash of a block's transaction results.
    pub const RESULTS: &str = "trustnet results";
    /// Signed: a block proposal.
    pub const SIGN_PROPOSAL: &str = "trustnet sign proposal";
    /// Signed: a prevote.
    pub const SIGN_PREVOTE: &str = "trustnet sign prevote";
    /// Signed: a precommit.
    pub const SIGN_PRECOMMIT: &str = "trustnet sign precommit";
    /// Signed: a transaction.
    pub const SIGN_TX: &str = "trustnet sign transaction";
    /// Signed: possession of a node or validator key at registration.
    pub const SIGN_POSSESSION: &str = "trustnet sign possession";
    /// Signed: the binding of a validator key to a connection's node key.
    pub const SIGN_HANDSHAKE: &str = "trustnet sign handshake";
    /// Signed: a peer's addresses.
    pub const SIGN_PEER_RECORD: &str = "trustnet sign peer record";
    /// Signed: a heartbeat.
    pub const SIGN_HEARTBEAT: &str = "trustnet sign heartbeat";
    /// Derived: a person's key from an import seed.
    pub const DERIVE_IMPORT: &str = "trustnet derive import key";
}

/// A 32-byte BLAKE3 hash. Shown as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash32(pub [u8; 32]);

hex_bytes!(Hash32, 32, "a hash");

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Inputs up to this length are hashed in one go from the stack, which takes half the time.
const SHORT_INPUT_BYTES: usize = 256;

/// BLAKE3 of a domain string followed by `parts`. Callers keep each domain's layout of fixed size,
/// or put the only variable part last.
pub fn hash(domain: &str, parts: &[&[u8]]) -> Hash32 {
    let len = domain.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    if len <= SHORT_INPUT_BYTES {
        let mut input = [0; SHORT_INPUT_BYTES];
        let mut end = 0;
        for part in std::iter::once(&domain.as_bytes()).chain(parts) {
            input[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        return Hash32(*blake3::hash(&input[..end]).as_bytes());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain.as_bytes());
    for part in parts {
        hasher.update(part);
    }
    Hash32(*hasher.finalize().as_bytes())
}

/// What a signature covers: the domain, the chain id (one length byte before it), then the fields.
pub fn sign_bytes(domain: &str, chain_id: &str, fields: &[&[u8]]) -> Vec<u8> {
    let size = fields.iter().map(|f| f.len()).sum::<usize>();
    let mut out = Vec::with_capacity(domain.len() + 1 + chain_id.len() + size);
    out.extend_from_slice(domain.as_bytes());
    out.push(u8::try_from(chain_id.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(chain_id.as_bytes());
    for field in fields {
        out.extend_from_slice(field);
    }
    out
}

/// An Ed25519 public key, as 32 bytes. Shown as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

hex_bytes!(PublicKey, 32, "a public key");

impl PublicKey {
    /// Whether `signature` by this key over `message` is valid under ZIP 215.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let Ok(key) = ed25519_zebra::VerificationKey::try_from(self.0) else {
            return false;
        };
        key.verify(&ed25519_zebra::Signature::from_bytes(&signature.0), message).is_ok()
    }

    /// Whether the key may be registered: a point of the curve that is not of small order.
    pub fn is_acceptable(&self) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }

    /// The 20-byte address that `CometBFT`'s shapes show for a validator: the first bytes of the key's hash.
    pub fn address(&self) -> [u8; 20] {
        let mut address = [0; 20];
        address.copy_from_slice(&hash("trustnet address", &[&self.0]).0[..20]);
        address
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex::encode(self.0))
    }
}

hex_bytes!(Signature, 64, "a signature");

/// A secret key. Never shown, never serialised; wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// The key whose seed is `seed` (RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed, for writing a key file.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`. Deterministic: the same message always gives the same signature.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(public {})", self.public())
    }
}

/// One signature to check in a batch.
#[derive(Clone, Debug)]
pub struct SignatureCheck {
    /// The key that is said to have signed.
    pub key: PublicKey,
    /// The signed bytes.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Signature,
}

/// How many signatures one batch equation takes: the gain has flattened out by then (net-storage.md 3).
pub const SIGNATURE_BATCH: usize = 64;

/// Checks many signatures, each result as [`PublicKey::verify`] would give it. `seed` makes the
/// batch's random coefficients; it must be unpredictable to whoever made the signatures.
///
/// A failed batch is halved until the culprits stand alone.
pub fn verify_many(checks: &[SignatureCheck], seed: [u8; 32]) -> Vec<bool> {
    let mut results = vec![true; checks.len()];
    for (index, chunk) in checks.chunks(SIGNATURE_BATCH).enumerate() {
        let base = index * SIGNATURE_BATCH;
        verify_chunk(chunk, &mut results[base..base + chunk.len()], seed);
    }
    results
}

fn verify_chunk(checks: &[SignatureCheck], results: &mut [bool], seed: [u8; 32]) {
    if let [check] = checks {
        results[0] = check.key.verify(&check.message, &check.signature);
        return;
    }
    if checks.is_empty() || batch_is_valid(checks, seed) {
        return;
    }
    let half = checks.len() / 2;
    let (left, right) = results.split_at_mut(half);
    verify_chunk(&checks[..half], left, seed);
    verify_chunk(&checks[half..], right, seed);
}

fn batch_is_valid(checks: &[SignatureCheck], seed: [u8; 32]) -> bool {
    let mut coefficients = blake3::Hasher::new_keyed(&seed);
    let mut verifier = ed25519_zebra::batch::Verifier::new();
    for check in checks {
        coefficients.update(&check.signature.0);
        let key = ed25519_zebra::VerificationKeyBytes::from(check.key.0);
        let signature = ed25519_zebra::Signature::from_bytes(&check.signature.0);
        verifier.queue((key, signature, &check.message));
    }
    verifier.verify(Coefficients(coefficients.finalize_xof())).is_ok()
}

/// The batch's random coefficients: BLAKE3 keyed with the caller's seed, over the signatures.
struct Coefficients(blake3::OutputReader);

impl rand_core::TryRng for Coefficients {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(dst);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Coefficients {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn checks(count: u8) -> Vec<SignatureCheck> {
        (0..count)
            .map(|i| {
                let key = SecretKey::from_seed(&[i; 32]);
                let message = vec![i; 40];
                SignatureCheck { key: key.public(), signature: key.sign(&message), message }
            })
            .collect()
    }

    #[test]
    fn a_good_batch_passes_and_single_checks_agree() {
        let checks = checks(150);
        assert!(verify_many(&checks, [7; 32]).into_iter().all(|ok| ok));
        assert!(checks.iter().all(|c| c.key.verify(&c.message, &c.signature)));
    }

    #[test]
    fn the_culprits_of_a_bad_batch_are_found_and_nobody_else() {
        let mut checks = checks(130);
        for bad in [0, 63, 64, 129] {
            checks[bad].message.push(1);
        }
        let results = verify_many(&checks, [7; 32]);
        for (index, ok) in results.iter().enumerate() {
            assert_eq!(*ok, ![0, 63, 64, 129].contains(&index), "signature {index}");
        }
    }

    #[test]
    fn a_hash_is_that_of_the_parts_in_a_row_whatever_their_length() {
        for len in [0, 1, 200, 244, 245, 246, 5_000] {
            let tail = vec![7; len];
            let whole = [b"domain".as_slice(), b"part", &tail].concat();
            assert_eq!(hash("domain", &[b"part", &tail]).0, *blake3::hash(&whole).as_bytes(), "{len}");
        }
    }

    #[test]
    fn small_order_keys_are_not_acceptable() {
        assert!(!PublicKey([0; 32]).is_acceptable());
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(!PublicKey(identity).is_acceptable());
        assert!(SecretKey::from_seed(&[1; 32]).public().is_acceptable());
    }

    #[test]
    fn a_signature_encodes_to_its_64_bytes() {
        let signature = SecretKey::from_seed(&[1; 32]).sign(b"x");
        let bytes = postcard::to_allocvec(&signature).unwrap();
        assert_eq!(bytes, signature.0);
        assert_eq!(postcard::from_bytes::<Signature>(&bytes).unwrap(), signature);
    }

    #[test]
    fn debug_output_of_a_secret_key_does_not_hold_the_secret() {
        let key = SecretKey::from_seed(&[9; 32]);
        assert!(!format!("{key:?}").contains(&hex::encode([9u8; 32])));
    }
}
