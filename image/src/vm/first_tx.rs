//! The first transaction of a new network. An idle chain makes no blocks: that nodes agree is seen only when they have
//! something to agree on.

use std::time::{SystemTime, UNIX_EPOCH};

use trustnet::client::Client;
use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::{Action, NodeKind, SignedTransaction, Transaction};

/// The user that it registers. Nobody has its key, so it stays as it is.
const USER: &str = "vm-create";
/// How long before now it is dated: nodes take nothing from their future, and their clocks may be behind this one.
const BEFORE_MS: u64 = 2_000;

/// A transaction that every new network takes, and that changes no trust: it registers a user.
#[derive(Debug, Default)]
pub(super) struct FirstTransaction(Option<SignedTransaction>);

impl FirstTransaction {
    /// Hands it in. Again does no harm: it is made once, and counts once.
    pub(super) fn hand_in(&mut self, node: &Client, chain: &str) -> Result<(), String> {
        let transaction = match &self.0 {
            Some(transaction) => transaction,
            None => self.0.insert(make(chain)?),
        };
        match node.broadcast_sync(transaction.bytes()) {
            Ok(answer) if answer.code == 0 => Ok(()),
            Ok(answer) => Err(format!("the first transaction is not taken: {}", answer.log)),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn make(chain: &str) -> Result<SignedTransaction, String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|why| format!("no randomness: {why}"))?;
    let key = SecretKey::from_seed(&seed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let action = Action::Register {
        name: USER.to_owned(),
        owner: String::new(),
        kind: NodeKind::User,
        node_key: None,
        validator_key: None,
    };
    let time_ms = (now.as_millis() as u64).saturating_sub(BEFORE_MS);
    Ok(SignedTransaction::sign(Transaction { signer: key.public(), nonce: 1, time_ms, action }, &key, chain))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_that_the_ledger_takes() {
        let transaction = make("vms-1").unwrap();
        assert_eq!(SignedTransaction::decode(transaction.bytes()).unwrap().id(), transaction.id());
        assert_ne!(make("vms-1").unwrap().id(), transaction.id());
        trustnet_ledger::shape::check_name(USER).unwrap();
    }
}
