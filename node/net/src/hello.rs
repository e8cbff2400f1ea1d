//! The greeting: the first frame on the control stream, once in each direction.

use serde::{Deserialize, Serialize};
use trustnet_ledger::codec::{self, CodecError};

use crate::PeerId;
use crate::config::{MAX_CHAIN_ID_BYTES, MAX_HELLO_APP_BYTES};
use crate::record::{MAX_RECORD_BYTES, PeerRecord};

/// The greeting's version.
const HELLO_VERSION: u8 = 1;
/// Longest greeting, in bytes: version, chain id, record, application blob, and their length prefixes.
pub(crate) const MAX_HELLO_BYTES: usize =
    1 + 1 + MAX_CHAIN_ID_BYTES + MAX_RECORD_BYTES + 2 + MAX_HELLO_APP_BYTES;

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    version: u8,
    /// The chain's whole name; the handshake has compared 32 bits of the genesis hash only.
    pub(crate) chain_id: String,
    /// Who and where.
    pub(crate) record: PeerRecord,
    /// The application's blob.
    pub(crate) app: Vec<u8>,
}

/// Why a greeting was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloError {
    /// Not a greeting.
    #[error("the greeting cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// The peer is on another chain.
    #[error("the peer is on another chain")]
    OtherChain,
    /// The record is not by the peer, or out of bounds.
    #[error("the greeting's peer record is not valid")]
    Record,
    /// The application's blob is too long.
    #[error("the greeting's application part is too long")]
    App,
}

impl Hello {
    pub(crate) fn new(chain_id: String, record: PeerRecord, app: Vec<u8>) -> Self {
        Self { version: HELLO_VERSION, chain_id, record, app }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads the greeting of the peer that proved to be `peer`.
    pub(crate) fn decode(bytes: &[u8], chain_id: &str, peer: PeerId) -> Result<Self, HelloError> {
        // The version is the first byte; a later one may have another layout.
        match bytes.first() {
            Some(&HELLO_VERSION) => {}
            Some(&version) => return Err(CodecError::Version(version).into()),
            None => return Err(CodecError::Malformed.into()),
        }
        let hello: Self = codec::decode(bytes, MAX_HELLO_BYTES)?;
        if hello.chain_id != chain_id {
            return Err(HelloError::OtherChain);
        }
        if hello.app.len() > MAX_HELLO_APP_BYTES {
            return Err(HelloError::App);
        }
        if hello.record.id != peer || !hello.record.is_valid(chain_id) {
            return Err(HelloError::Record);
        }
        Ok(hello)
    }
}

#[cfg(test)]
mod tests {
    use trustnet_ledger::crypto::SecretKey;

    use super::*;

    fn hello() -> Hello {
        let secret = SecretKey::from_seed(&[1; 32]);
        let addrs = vec!["10.0.0.1:26656".parse().unwrap(), "[fd10::1]:26656".parse().unwrap()];
        Hello::new("home".into(), PeerRecord::sign(&secret, "home", addrs, 5), b"app".to_vec())
    }

    #[test]
    fn golden_bytes() {
        let hello = hello();
        let mut expected = vec![1, 4];
        expected.extend_from_slice(b"home");
        expected.extend_from_slice(&hello.record.id.0.0);
        expected.push(2);
        // Address family, address, port as a variable-length integer (26656 = 0xa0 0xd0 0x01).
        expected.extend_from_slice(&[0, 10, 0, 0, 1, 0xa0, 0xd0, 0x01]);
        expected
            .extend_from_slice(&[1, 0xfd, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xa0, 0xd0, 0x01]);
        expected.push(5);
        expected.extend_from_slice(&hello.record.signature.0);
        expected.extend_from_slice(b"\x03app");
        assert_eq!(hello.encode(), expected);
        assert_eq!(Hello::decode(&expected, "home", hello.record.id), Ok(hello));
    }

    #[test]
    fn the_longest_greeting_fits_its_frame() {
        let secret = SecretKey::from_seed(&[1; 32]);
        let chain = "c".repeat(MAX_CHAIN_ID_BYTES);
        let addrs = (1..=8).map(|n| format!("[2001:db8::{n}]:65535").parse().unwrap()).collect();
        let record = PeerRecord::sign(&secret, &chain, addrs, u64::MAX);
        let hello = Hello::new(chain.clone(), record, vec![7; MAX_HELLO_APP_BYTES]);
        let bytes = hello.encode();
        assert_eq!(bytes.len(), MAX_HELLO_BYTES);
        assert_eq!(Hello::decode(&bytes, &chain, hello.record.id), Ok(hello));
    }

    #[test]
    fn greetings_of_others_are_refused() {
        let hello = hello();
        let bytes = hello.encode();
        let me = hello.record.id;
        let other = PeerId(SecretKey::from_seed(&[2; 32]).public());
        assert_eq!(Hello::decode(&bytes, "hume", me), Err(HelloError::OtherChain));
        assert_eq!(Hello::decode(&bytes, "home", other), Err(HelloError::Record));
        assert_eq!(Hello::decode(&[], "home", me), Err(CodecError::Malformed.into()));
        assert_eq!(Hello::decode(&[2, 0], "home", me), Err(CodecError::Version(2).into()));
        let trailing = [bytes, vec![0]].concat();
        assert_eq!(Hello::decode(&trailing, "home", me), Err(CodecError::NotCanonical.into()));
    }

    #[test]
    fn a_long_application_part_is_refused_even_when_the_whole_is_short_enough() {
        let mut hello = hello();
        hello.app = vec![0; MAX_HELLO_APP_BYTES + 1];
        assert_eq!(Hello::decode(&hello.encode(), "home", hello.record.id), Err(HelloError::App));
    }
}
