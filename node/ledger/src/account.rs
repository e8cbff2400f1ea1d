//! What the ledger keeps of a signing key: how many transactions it has signed.

use serde::{Deserialize, Serialize};

/// The account of one public key. Operator keys and validator keys each have their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Number of the key's last transaction; 0 before the first.
    pub nonce: u64,
}
