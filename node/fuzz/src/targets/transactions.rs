//! Signed transactions as they come from a wire.

use trustnet_ledger::crypto::{PublicKey, SecretKey, Signature, verify_many};
use trustnet_ledger::{Action, NodeKind, Observation, SignedTransaction, Transaction};

use crate::memory::bounded;
use crate::world::{self, CHAIN_ID, SEED};

/// Runs one input.
pub fn run(data: &[u8]) {
    let tx = match bounded(data, || SignedTransaction::decode(data)) {
        Ok(tx) => tx,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(tx.bytes(), data, "one value has one encoding");
    assert_eq!(SignedTransaction::from_parts(tx.tx.clone(), tx.signature), tx);
    let _ = tx.check_shape();
    let json = serde_json::to_string(&tx.tx).expect("every transaction has a JSON form");
    assert_eq!(serde_json::from_str::<Transaction>(&json).expect("which reads back"), tx.tx);
    // One honest node checks it alone, another in a batch.
    let check = tx.signature_check(CHAIN_ID);
    let alone = check.key.verify(&check.message, &check.signature);
    assert_eq!(verify_many(&[check.clone(), check], SEED), [alone, alone]);
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut txs = vec![world::rating(0, 1, 1, 5)];
    for kind in [NodeKind::User, NodeKind::Service, NodeKind::Validator] {
        txs.push(world::registration("someone", kind, 1, 1).0);
    }
    let (node, validator) = (world::validator_id(1), world::validator_id(0));
    let observation = |node| Observation { node, heartbeats: 120, invalid: 1, abuse: 0 };
    let actions = [
        Action::Start { node },
        Action::Admit { node, validator },
        Action::Ready { node },
        Action::Pause { node },
        Action::Resume { node },
        Action::Destroy { node },
        Action::Attest { validator, epoch: 498_611, observations: (0..3).map(observation).collect() },
    ];
    txs.extend(actions.map(|action| world::signed(&world::KEYS[0].operator, 300, world::START_MS, action)));
    let mut seeds: Vec<Vec<u8>> = txs.iter().map(|tx| tx.bytes().to_vec()).collect();
    seeds.extend(small_order().iter().map(|tx| tx.bytes().to_vec()));
    seeds
}

/// Keys and signatures of small order: where verifiers disagree if they disagree anywhere.
fn small_order() -> Vec<SignedTransaction> {
    let identity = std::array::from_fn(|i| u8::from(i == 0));
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    // The identity again, not reduced: y = p + 1.
    let mut unreduced = minus_one;
    unreduced[0] = 0xee;
    let points: [[u8; 32]; 4] = [identity, [0; 32], minus_one, unreduced];
    let honest = SecretKey::from_seed(&[5; 32]).public().0;
    let mut txs = Vec::new();
    for signer in points.into_iter().chain([honest]) {
        for r in points {
            let action = Action::Start { node: world::validator_id(0) };
            let tx = Transaction { signer: PublicKey(signer), nonce: 1, time_ms: 1, action };
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&r);
            txs.push(SignedTransaction::from_parts(tx, Signature(signature)));
        }
    }
    txs
}
