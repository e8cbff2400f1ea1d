//! Leaves, checkpoints and proofs: what is stored is what the ledger is.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::chain::{Chain, Extra, HOUR_MS, assert_same, genesis, key, saw, validator_name};
use proptest::prelude::*;
use trustnet_ledger::{
    Action, Category, Ledger, LoadError, NodeKind, Observation, SignedTransaction, leaves, tree,
};

/// One random thing to put into a block. Most are possible, many are not.
#[derive(Clone, Debug)]
enum Move {
    Register(u8, u8),
    Rate(u8, u8, u8, u8),
    Step(u8, u8),
    Admit(u8, u8),
    Attest(u8, u8, u8),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => (0_u8..12, 0_u8..5).prop_map(|(n, k)| Move::Register(n, k)),
        5 => (0_u8..16, 0_u8..16, 1_u8..=5, 0_u8..3).prop_map(|(f, t, s, c)| Move::Rate(f, t, s, c)),
        3 => (0_u8..16, 0_u8..5).prop_map(|(n, s)| Move::Step(n, s)),
        1 => (0_u8..12, 0_u8..4).prop_map(|(n, v)| Move::Admit(n, v)),
        3 => (0_u8..4, any::<u8>(), any::<u8>()).prop_map(|(v, h, i)| Move::Attest(v, h, i)),
    ]
}

fn name(n: u8) -> String {
    // The last four numbers are the genesis validators.
    if n < 12 { format!("n-{n}") } else { validator_name(usize::from(n - 12)) }
}

fn transaction(chain: &Chain, step: &Move, time_ms: u64) -> Option<SignedTransaction> {
    let kinds = [NodeKind::Validator, NodeKind::Archive, NodeKind::Rpc, NodeKind::Service, NodeKind::User];
    let id = |n: u8| chain.ledger.node_by_name(&name(n)).map(|v| v.id);
    match *step {
        Move::Register(n, kind) => {
            let nonce = chain.ledger.nonce_of(&key(&name(n), 0).public()) + 1;
            Some(chain.registration(&name(n), kinds[usize::from(kind)], nonce, time_ms - u64::from(kind)))
        }
        Move::Rate(from, to, stars, category) => {
            let reason = "x".repeat(usize::from(stars) * usize::from(from));
            let category = Category::ALL[usize::from(category)];
            let action = Action::Rate { from: id(from)?, to: id(to)?, stars, category, reason };
            Some(chain.next_tx(&key(&name(from), 0), action))
        }
        Move::Step(n, step) => {
            let node = id(n)?;
            let action = match step {
                0 => Action::Start { node },
                1 => Action::Ready { node },
                2 => Action::Pause { node },
                3 => Action::Resume { node },
                _ => Action::Destroy { node },
            };
            Some(chain.next_tx(&key(&name(n), 0), action))
        }
        Move::Admit(n, v) => {
            let validator = id(12 + v)?;
            Some(chain.next_tx(&key(&name(12 + v), 0), Action::Admit { node: id(n)?, validator }))
        }
        Move::Attest(v, heartbeats, invalid) => {
            let epoch = chain.ledger.epoch_of(time_ms) - 1;
            let all = (0..chain.ledger.node_count()).map(|node| Observation {
                node,
                heartbeats: heartbeats % 121,
                invalid: u8::from(invalid > 250),
                abuse: 0,
            });
            Some(chain.attestation(&name(12 + v), epoch, all.collect()))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Random blocks with refused transactions in between: what was stored loads into the same
    /// ledger, executing again gives the same, and the tree is that of the leaves.
    #[test]
    fn a_reloaded_ledger_is_the_live_one_and_goes_on_alike(
        blocks in proptest::collection::vec(
            (proptest::collection::vec(moves(), 0..12), 0_u64..9, any::<u16>(), 0_u8..30), 1..25)
    ) {
        let mut genesis = genesis(4);
        genesis.params.trust_epoch_blocks = 3;
        let mut chain = Chain::from_genesis(genesis);
        let steps = [1, 1_000, 600_000, HOUR_MS, HOUR_MS, 2 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS, 40 * 24 * HOUR_MS];
        for (moves, step, count, offender) in blocks {
            let time_ms = chain.ledger.time_ms() + steps[step as usize];
            let validator = |n: usize| key(&validator_name(n), 2).public();
            let extra = Extra {
                signers: (0..4).filter(|n| usize::from(count) >> n & 1 == 1).map(validator).collect(),
                previous_tx_count: u32::from(count),
                offenders: (offender < 4).then(|| validator(usize::from(offender))).into_iter().collect(),
            };
            // Two of one signer in a block: the second has a used nonce, and is refused.
            let txs: Vec<_> = moves.iter().filter_map(|m| transaction(&chain, m, time_ms)).collect();
            let reloaded = (chain.ledger.height() > 0)
                .then(|| Ledger::load(&chain.genesis, chain.stored.clone().into_iter()).unwrap());
            let run = |ledger: &Ledger| {
                let mut draft = ledger.begin(&trustnet_ledger::BlockContext {
                    height: ledger.height() + 1,
                    time_ms,
                    signers: &extra.signers,
                    previous_tx_count: extra.previous_tx_count,
                    offenders: &extra.offenders,
                });
                let results: Vec<_> = txs.iter().map(|tx| draft.apply(tx)).collect();
                (results, draft.finish())
            };
            let (results, execution) = run(&chain.ledger);
            // What the pool lets pass as next in line runs, unless the block changed something before.
            for (tx, result) in txs.iter().zip(&results) {
                if let Err(error) = chain.ledger.check(tx, None) {
                    prop_assert!(result.is_err() || error.may_heal() || error.code() == 29, "{error}");
                }
            }
            if let Some(reloaded) = reloaded {
                assert_same(&reloaded, &chain.ledger);
                let (again, same) = run(&reloaded);
                prop_assert_eq!(again, results);
                prop_assert_eq!(same.state_root, execution.state_root);
                prop_assert_eq!(same.results_hash, execution.results_hash);
                prop_assert_eq!(same.log_root, execution.log_root);
                prop_assert_eq!(&same.validators, &execution.validators);
            }
            chain.commit(execution);
            prop_assert!(!chain.ledger.validators().is_empty());
            let whole: BTreeMap<_, _> = chain.ledger.leaves().collect();
            prop_assert_eq!(&whole, &chain.stored);
        }
        chain.assert_reloads();
    }
}

/// A chain with something in every table.
fn busy() -> Chain {
    let mut chain = Chain::new(3);
    for name in ["alice", "bob"] {
        chain.register(name, NodeKind::User).unwrap();
    }
    chain.rate("alice", "bob", 5).unwrap();
    chain.rate("alice", "bob", 4).unwrap();
    chain.rate("val-0", "alice", 5).unwrap();
    chain.register("new", NodeKind::Validator).unwrap();
    chain.admit("new", "val-0").unwrap();
    let epoch = chain.ledger.epoch_of(chain.ledger.time_ms());
    let tx = chain.attestation("val-1", epoch, vec![saw(0, 100)]);
    chain.block_at((epoch + 1) * HOUR_MS, &Extra::default(), &[tx]).unwrap();
    chain
}

#[test]
fn the_first_block_hands_out_every_leaf_and_later_ones_only_what_changed() {
    let mut chain = Chain::new(3);
    let first = chain.execute(chain.ledger.time_ms() + 1, &Extra::default(), &[]).unwrap();
    let handed = chain.ledger.commit(first);
    assert!(handed.iter().all(|(_, value)| value.is_some()));
    assert_eq!(handed.len(), chain.ledger.leaves().count());
    let second = chain.execute(chain.ledger.time_ms() + 1, &Extra::default(), &[]).unwrap();
    assert_eq!(chain.ledger.commit(second).len(), 3, "meta, log and seal");
}

#[test]
fn leaves_come_in_any_order() {
    let chain = busy();
    let mut leaves: Vec<_> = chain.stored.clone().into_iter().collect();
    leaves.reverse();
    leaves.rotate_left(7);
    assert_same(&Ledger::load(&chain.genesis, leaves.into_iter()).unwrap(), &chain.ledger);
}

#[test]
fn a_missing_changed_or_foreign_leaf_is_noticed() {
    let chain = busy();
    let load =
        |stored: BTreeMap<Vec<u8>, Vec<u8>>| Ledger::load(&chain.genesis, stored.into_iter()).map(|_| ());
    assert_eq!(load(chain.stored.clone()), Ok(()));
    assert!(matches!(load(BTreeMap::new()), Err(LoadError::Inconsistent(_))));
    let tables: std::collections::BTreeSet<u8> = chain.stored.keys().map(|k| k[0]).collect();
    assert_eq!(tables.len(), 11, "every table has a leaf");
    for key in chain.stored.keys() {
        let mut missing = chain.stored.clone();
        missing.remove(key);
        assert!(load(missing).is_err(), "without {key:?}");
        for at in 0..chain.stored[key].len() {
            let mut changed = chain.stored.clone();
            changed.get_mut(key).unwrap()[at] ^= 1;
            assert!(load(changed).is_err(), "{key:?} byte {at}");
        }
        let mut moved = chain.stored.clone();
        let value = moved.remove(key).unwrap();
        moved.insert([key.as_slice(), &[0]].concat(), value);
        assert!(matches!(load(moved), Err(LoadError::Leaf { .. })), "{key:?} with a longer key");
    }
    let mut foreign = chain.stored.clone();
    foreign.insert(vec![200, 1], vec![1]);
    assert!(matches!(load(foreign), Err(LoadError::Leaf { .. })));
    let mut twice: Vec<_> = chain.stored.clone().into_iter().collect();
    twice.push(twice[3].clone());
    assert!(Ledger::load(&chain.genesis, twice.into_iter()).is_err());
}

#[test]
fn another_chains_checkpoint_is_refused_by_name() {
    let chain = busy();
    let mut other = chain.genesis.clone();
    other.chain_id = "test-2".into();
    let error = Ledger::load(&other, chain.stored.clone().into_iter()).unwrap_err();
    assert!(matches!(error, LoadError::OtherChain { .. }), "{error}");
}

#[test]
fn anyone_can_check_a_leaf_or_its_absence_against_the_root() {
    let chain = busy();
    let root = chain.ledger.state_root();
    let bob = chain.node("bob");
    let alice = chain.node("alice").index;
    let rating = |count| leaves::rating_key(bob.index, alice, Category::Honesty, count);
    let present = [
        leaves::meta_key(),
        leaves::members_key(),
        leaves::node_key(bob.index),
        leaves::reputation_key(bob.index),
        leaves::trust_key(0),
        leaves::account_key(&key("alice", 0).public()),
        rating(0),
        rating(1),
    ];
    for leaf in present {
        let value = chain.ledger.leaf(&leaf).unwrap();
        let proof = chain.ledger.prove(&leaf);
        assert!(tree::verify(&root, &leaf, Some(value), &proof), "{leaf:?}");
        assert!(!tree::verify(&root, &leaf, None, &proof));
    }
    for absent in [rating(2), leaves::node_key(99), leaves::account_key(&key("x", 0).public())] {
        let proof = chain.ledger.prove(&absent);
        assert_eq!(chain.ledger.leaf(&absent), None);
        assert!(tree::verify(&root, &absent, None, &proof));
        assert!(!tree::verify(&root, &absent, Some(b""), &proof));
    }
}

#[test]
fn empty_blocks_are_executable_and_change_height_and_time_only() {
    let mut chain = busy();
    let before: BTreeMap<_, _> = chain.ledger.leaves().collect();
    let (log, validators) = (chain.ledger.log_root(), chain.ledger.validators().to_vec());
    chain.block(&[]).unwrap();
    let after: BTreeMap<_, _> = chain.ledger.leaves().collect();
    let changed: Vec<u8> =
        after.iter().filter(|(k, v)| before.get(*k) != Some(v)).map(|(k, _)| k[0]).collect();
    assert_eq!(changed, [0, 1], "the seal and the meta leaf");
    assert_eq!((chain.ledger.log_root(), chain.ledger.validators()), (log, &*validators));
}
