//! A transaction on the wire: version byte, canonical encoding, signature.

use std::sync::Arc;

use crate::codec::{self, CodecError};
use crate::crypto::{Hash32, SecretKey, Signature, SignatureCheck, domain, hash, sign_bytes};
use crate::shape;
use crate::tx::{Action, Transaction};
use crate::tx_error::TxError;

/// The largest transaction, in bytes: an attestation.
pub const MAX_TX_BYTES: usize = 16 * 1024;
/// The largest transaction of every other kind, in bytes.
pub const MAX_SIMPLE_TX_BYTES: usize = 1024;
/// Version of the transaction format.
pub const TX_VERSION: u8 = 1;
/// Length of a signature.
const SIGNATURE_BYTES: usize = 64;

/// A transaction with its signature, the very bytes received and their hash.
///
/// Wire: `version 1 | postcard(Transaction) | signature (64)`. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// What is asked.
    pub tx: Transaction,
    /// The signer's signature over [`tx_sign_bytes`].
    pub signature: Signature,
    bytes: Arc<[u8]>,
    id: Hash32,
}

/// What a transaction's signature covers: the canonical encoding of the transaction.
pub fn tx_sign_bytes(chain_id: &str, body: &[u8]) -> Vec<u8> {
    sign_bytes(domain::SIGN_TX, chain_id, &[body])
}

impl SignedTransaction {
    /// Reads a transaction from the wire: bounded and canonical. The signature is not checked.
    ///
    /// # Errors
    /// [`TxError::TooLarge`] or [`TxError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TxError> {
        let len = bytes.len();
        if len > MAX_TX_BYTES {
            return Err(TxError::TooLarge { len, max: MAX_TX_BYTES });
        }
        let malformed = TxError::Malformed(CodecError::Malformed);
        let (&version, rest) = bytes.split_first().ok_or(malformed.clone())?;
        if version != TX_VERSION {
            return Err(TxError::Malformed(CodecError::Version(version)));
        }
        let (body, signature) = rest.split_last_chunk::<SIGNATURE_BYTES>().ok_or(malformed)?;
        let tx: Transaction = codec::decode(body, MAX_TX_BYTES).map_err(TxError::Malformed)?;
        check_size(&tx, len)?;
        let id = hash(domain::TX_ID, &[bytes]);
        Ok(Self { tx, signature: Signature(*signature), bytes: bytes.into(), id })
    }

    /// Signs a transaction for a chain. The key should be that of `tx.signer`.
    pub fn sign(tx: Transaction, key: &SecretKey, chain_id: &str) -> Self {
        let body = codec::encode(&tx);
        let signature = key.sign(&tx_sign_bytes(chain_id, &body));
        Self::assemble(tx, &body, signature)
    }

    /// Joins a transaction with a signature made elsewhere (a wallet, a hardware key).
    pub fn from_parts(tx: Transaction, signature: Signature) -> Self {
        let body = codec::encode(&tx);
        Self::assemble(tx, &body, signature)
    }

    fn assemble(tx: Transaction, body: &[u8], signature: Signature) -> Self {
        let mut bytes = Vec::with_capacity(1 + body.len() + SIGNATURE_BYTES);
        bytes.push(TX_VERSION);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&signature.0);
        let id = hash(domain::TX_ID, &[&bytes]);
        Self { tx, signature, bytes: bytes.into(), id }
    }

    /// The wire bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// The wire bytes, borrowed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The transaction's id: a hash over its wire bytes.
    pub fn id(&self) -> Hash32 {
        self.id
    }

    /// The signature to check, for [`crate::crypto::verify_many`].
    pub fn signature_check(&self, chain_id: &str) -> SignatureCheck {
        let body = &self.bytes[1..self.bytes.len() - SIGNATURE_BYTES];
        SignatureCheck {
            key: self.tx.signer,
            message: tx_sign_bytes(chain_id, body),
            signature: self.signature,
        }
    }

    /// Checks the rules of the fields that need no state, and the size.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_shape(&self) -> Result<(), TxError> {
        check_size(&self.tx, self.bytes.len())?;
        shape::check(&self.tx)
    }
}

fn check_size(tx: &Transaction, len: usize) -> Result<(), TxError> {
    let max = if matches!(tx.action, Action::Attest { .. }) { MAX_TX_BYTES } else { MAX_SIMPLE_TX_BYTES };
    if len > max { Err(TxError::TooLarge { len, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::verify_many;
    use crate::ids::NodeId;
    use crate::rating::Category;
    use crate::tx::Observation;

    fn rate(reason: String) -> Transaction {
        Transaction {
            signer: SecretKey::from_seed(&[1; 32]).public(),
            nonce: 3,
            time_ms: 300,
            action: Action::Rate {
                from: NodeId(Hash32([0x11; 32])),
                to: NodeId(Hash32([0x22; 32])),
                stars: 4,
                category: Category::Honesty,
                reason,
            },
        }
    }

    fn signed(reason: &str) -> SignedTransaction {
        SignedTransaction::sign(rate(reason.into()), &SecretKey::from_seed(&[1; 32]), "test-1")
    }

    #[test]
    fn the_wire_layout_never_changes() {
        let bytes = signed("ok").encode();
        let mut expected = vec![1];
        expected.extend_from_slice(&SecretKey::from_seed(&[1; 32]).public().0);
        expected.extend_from_slice(&[3, 0xac, 0x02, 1]);
        expected.extend_from_slice(&[0x11; 32]);
        expected.extend_from_slice(&[0x22; 32]);
        expected.extend_from_slice(&[4, 2, 2, b'o', b'k']);
        assert_eq!(bytes[..expected.len()], expected);
        assert_eq!(bytes.len(), expected.len() + 64);
    }

    /// The numbers of actions, kinds, categories and statuses are part of what is signed and stored.
    #[test]
    fn the_wire_numbers_never_change() {
        use crate::node::{NodeKind, NodeStatus};
        let (node, validator) = (NodeId::default(), NodeId::default());
        let kind = NodeKind::User;
        let register = Action::Register {
            name: "a".into(),
            owner: String::new(),
            kind,
            node_key: None,
            validator_key: None,
        };
        let actions = [
            register,
            rate(String::new()).action,
            Action::Start { node },
            Action::Admit { node, validator },
            Action::Ready { node },
            Action::Pause { node },
            Action::Resume { node },
            Action::Destroy { node },
            Action::Attest { validator, epoch: 1, observations: vec![] },
        ];
        for (number, action) in (0_u8..).zip(&actions) {
            assert_eq!(codec::encode(action)[0], number, "{}", action.name());
        }
        assert_eq!(codec::encode(&actions[0]), [0, 1, b'a', 0, 4, 0, 0]);
        let kinds = [NodeKind::Validator, NodeKind::Archive, NodeKind::Rpc, NodeKind::Service, kind];
        assert_eq!(codec::encode(&kinds), [0, 1, 2, 3, 4]);
        assert_eq!(codec::encode(&NodeStatus::ALL), [0, 1, 2, 3, 4, 5]);
        assert_eq!(codec::encode(&Category::ALL), [0, 1, 2]);
    }

    #[test]
    fn a_transaction_survives_the_wire_and_its_signature_holds_on_its_chain_only() {
        let tx = signed("ok");
        let read = SignedTransaction::decode(tx.bytes()).unwrap();
        assert_eq!(read, tx);
        assert_eq!(read.id(), hash(domain::TX_ID, &[tx.bytes()]));
        assert_eq!(verify_many(&[read.signature_check("test-1")], [0; 32]), [true]);
        assert_eq!(verify_many(&[read.signature_check("test-2")], [0; 32]), [false]);
    }

    #[test]
    fn another_version_is_named_as_such() {
        let mut bytes = signed("").encode();
        bytes[0] = 2;
        assert_eq!(SignedTransaction::decode(&bytes), Err(TxError::Malformed(CodecError::Version(2))));
        assert!(matches!(SignedTransaction::decode(&[]), Err(TxError::Malformed(_))));
        assert!(matches!(SignedTransaction::decode(&[1; 64]), Err(TxError::Malformed(_))));
    }

    #[test]
    fn size_limits_go_by_kind() {
        let long = signed(&"x".repeat(1_000));
        assert!(matches!(SignedTransaction::decode(long.bytes()), Err(TxError::TooLarge { max: 1_024, .. })));
        let huge = vec![1; MAX_TX_BYTES + 1];
        assert!(matches!(SignedTransaction::decode(&huge), Err(TxError::TooLarge { max: MAX_TX_BYTES, .. })));
        let observations = (0..1_024)
            .map(|i| Observation { node: u32::MAX - 1_024 + i, heartbeats: 120, invalid: 255, abuse: 255 })
            .collect();
        let mut tx = rate(String::new());
        tx.action = Action::Attest { validator: NodeId::default(), epoch: u64::MAX, observations };
        let full = SignedTransaction::sign(tx, &SecretKey::from_seed(&[1; 32]), "c");
        assert_eq!(SignedTransaction::decode(full.bytes()), Ok(full.clone()));
        assert_eq!(full.check_shape(), Ok(()));
    }

    proptest! {
        #[test]
        fn changed_bytes_are_another_transaction_or_none(at in 0_usize..180, flip in 1_u8..=255) {
            let tx = signed("ok");
            let mut bytes = tx.encode();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok(read) = SignedTransaction::decode(&bytes) {
                prop_assert_ne!(read.id(), tx.id());
                prop_assert_eq!(read.encode(), bytes);
                let check = read.signature_check("test-1");
                prop_assert!(!check.key.verify(&check.message, &check.signature));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = SignedTransaction::decode(&bytes);
        }
    }
}
