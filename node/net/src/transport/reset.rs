//! The key for stateless resets (RFC 9000 section 10.3).

use quinn_proto::crypto::{CryptoError, HmacKey};
use trustnet_ledger::crypto::hash;

/// Keyed BLAKE3 in place of HMAC: BLAKE3 cannot be extended, so a key in front of the message is a MAC.
pub(super) struct ResetKey([u8; 32]);

impl ResetKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    fn mac(&self, data: &[u8]) -> [u8; 32] {
        hash("trustnet quic reset", &[&self.0, data]).0
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let mac = self.mac(data);
        for (out, byte) in signature_out.iter_mut().zip(mac) {
            *out = byte;
        }
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let difference = self.mac(data).iter().zip(signature).fold(0, |sum, (a, b)| sum | (a ^ b));
        if signature.len() == 32 && difference == 0 { Ok(()) } else { Err(CryptoError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reset_key_is_stable_for_a_node_and_verifies_only_its_own_marks() {
        let key = ResetKey([1; 32]);
        let mut mark = [0; 32];
        key.sign(b"id", &mut mark);
        assert!(key.verify(b"id", &mark).is_ok());
        assert!(key.verify(b"ie", &mark).is_err());
        assert!(key.verify(b"id", &mark[..31]).is_err());
        assert!(ResetKey([2; 32]).verify(b"id", &mark).is_err());
    }
}
