//! What a transaction needs to run, and that a refused one leaves no trace.
#![allow(clippy::unwrap_used)]

mod common;

use common::chain::{CHAIN_ID, Chain, Extra, HOUR_MS, START_MS, key, saw};
use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::{
    Action, BlockContext, Category, KeyProof, KeyRole, NodeKind, NodeStatus, SignedTransaction, Transaction,
    TxError, node_id,
};

fn with_users() -> Chain {
    let mut chain = Chain::new(2);
    for name in ["alice", "bob"] {
        chain.register(name, NodeKind::User).unwrap();
    }
    chain
}

#[test]
fn a_replayed_transaction_is_refused_at_once_and_for_ever() {
    let mut chain = with_users();
    let rating = chain.next_tx(&key("alice", 0), chain.rating("alice", "bob", 5, Category::Honesty));
    let used = TxError::NonceUsed { nonce: 2, next: 3 };
    assert_eq!(
        chain.execute(START_MS + HOUR_MS, &Extra::default(), &[rating.clone(), rating.clone()]).unwrap_err(),
        used
    );
    chain.block(std::slice::from_ref(&rating)).unwrap();
    assert_eq!(chain.block(std::slice::from_ref(&rating)), Err(used.clone()));
    assert_eq!(chain.ledger.check(&rating, None), Err(used.clone()));
    chain.rate("alice", "bob", 4).unwrap();
    assert_eq!(chain.block(&[rating]).unwrap_err().code(), 4);
}

#[test]
fn nonces_run_without_gaps_in_a_block_while_the_pool_may_look_ahead() {
    let mut chain = with_users();
    let alice = key("alice", 0);
    let rate = || chain.rating("alice", "bob", 5, Category::Honesty);
    let ahead = chain.tx(&alice, 4, START_MS, rate());
    assert_eq!(
        chain.execute(START_MS + HOUR_MS, &Extra::default(), std::slice::from_ref(&ahead)).unwrap_err(),
        TxError::NonceGap { nonce: 4, next: 2 }
    );
    assert_eq!(chain.ledger.check(&ahead, None), Ok(()));
    let row: Vec<SignedTransaction> = (2..5).map(|n| chain.tx(&alice, n, START_MS, rate())).collect();
    chain.block(&row).unwrap();
    assert_eq!(chain.ledger.nonce_of(&alice.public()), 4);
}

#[test]
fn the_pool_takes_what_the_signers_earlier_transactions_may_make_possible() {
    let chain = Chain::new(2);
    let signer = key("new", 0);
    let id = node_id(&signer.public(), START_MS, 1);
    let rate =
        |to| Action::Rate { from: id, to, stars: 5, category: Category::Honesty, reason: String::new() };
    let second = chain.tx(&signer, 2, START_MS, rate(chain.id("val-0")));
    assert_eq!(chain.ledger.check(&second, None), Err(TxError::UnknownNode(id)));
    assert_eq!(chain.ledger.check(&second, Some(1)), Ok(()));
    assert_eq!(chain.ledger.check(&second, Some(2)), Ok(()));
    let first = chain.tx(&signer, 1, START_MS, rate(chain.id("val-0")));
    assert_eq!(chain.ledger.check(&first, Some(1)), Err(TxError::UnknownNode(id)), "it is the next itself");
    let not_mine = chain.tx(&signer, 2, START_MS, Action::Pause { node: chain.id("val-0") });
    assert_eq!(chain.ledger.check(&not_mine, Some(1)).unwrap_err().code(), 8);
    let mut chain = chain;
    let registration = chain.registration("new", NodeKind::User, 1, START_MS);
    chain.block(&[registration, second]).unwrap();
    assert_eq!(chain.node("val-0").ratings_in, 1);
}

#[test]
fn a_transaction_is_never_dated_after_its_block() {
    let chain = with_users();
    let block_ms = chain.ledger.time_ms() + 500;
    let rate =
        |time_ms| chain.tx(&key("alice", 0), 2, time_ms, chain.rating("alice", "bob", 5, Category::Honesty));
    let late = rate(block_ms + 1);
    let refused = chain.execute(block_ms, &Extra::default(), std::slice::from_ref(&late)).unwrap_err();
    assert_eq!(refused, TxError::FutureDated { time_ms: block_ms + 1, block_ms });
    assert_eq!(chain.ledger.check(&late, None), Ok(()), "the pool does not look at times");
    for time_ms in [block_ms, 0] {
        assert!(chain.execute(block_ms, &Extra::default(), &[rate(time_ms)]).is_ok());
    }
}

#[test]
fn a_registration_gives_an_id_that_anyone_recomputes_and_a_place_in_the_order() {
    let mut chain = Chain::new(2);
    chain.block(&[chain.registration("svc", NodeKind::Service, 1, 12_345)]).unwrap();
    let node = chain.node("svc");
    assert_eq!(node.id, node_id(&key("svc", 0).public(), 12_345, 1));
    assert_eq!((node.index, node.status, node.kind), (2, NodeStatus::Pending, NodeKind::Service));
    assert_eq!((node.registered_ms, node.registration_nonce), (12_345, 1));
    assert_eq!((node.reputation_mp, node.ledger_mp, node.peer_centi), (50_000, 50_000, 0));
    assert_eq!(chain.node("val-0").id, node_id(&key("val-0", 0).public(), START_MS, 0));
    chain.register("person", NodeKind::User).unwrap();
    assert_eq!(chain.node("person").status, NodeStatus::Active, "people have nothing to start");
}

#[test]
fn names_and_keys_are_registered_once_for_ever() {
    let mut chain = Chain::new(2);
    chain.register("svc", NodeKind::Service).unwrap();
    chain.run(&key("svc", 0), Action::Destroy { node: chain.id("svc") }).unwrap();
    let register = |name: &str, secret: &SecretKey, role: KeyRole| {
        let operator = key("other", 0);
        let proof = |secret: &SecretKey, role| {
            Some(KeyProof::sign(secret, role, CHAIN_ID, &operator.public(), 1, START_MS))
        };
        let (node_key, validator_key) = match role {
            KeyRole::Node => (proof(secret, role), proof(&key("other", 2), KeyRole::Validator)),
            KeyRole::Validator => (proof(&key("other", 1), KeyRole::Node), proof(secret, role)),
        };
        chain.tx(
            &operator,
            1,
            START_MS,
            Action::Register {
                name: name.into(),
                owner: String::new(),
                kind: NodeKind::Validator,
                node_key,
                validator_key,
            },
        )
    };
    let refused = |tx: SignedTransaction| {
        let pooled = chain.ledger.check(&tx, None).unwrap_err();
        assert_eq!(chain.execute(START_MS + HOUR_MS, &Extra::default(), &[tx]).unwrap_err(), pooled);
        pooled
    };
    assert_eq!(refused(register("svc", &key("other", 1), KeyRole::Node)), TxError::NameTaken("svc".into()));
    for taken in [key("svc", 1), key("val-0", 1), key("val-0", 2)] {
        for role in [KeyRole::Node, KeyRole::Validator] {
            assert_eq!(refused(register("other", &taken, role)), TxError::KeyTaken(taken.public()));
        }
    }
    let fresh = register("other", &key("other", 1), KeyRole::Node);
    assert!(chain.execute(START_MS + HOUR_MS, &Extra::default(), std::slice::from_ref(&fresh)).is_ok());
    // The same within one block.
    let rival = chain.registration("third", NodeKind::User, 1, START_MS);
    let mut same_name = rival.tx.clone();
    if let Action::Register { name, .. } = &mut same_name.action {
        *name = "other".into();
    }
    let same_name = SignedTransaction::sign(same_name, &key("third", 0), CHAIN_ID);
    let both = chain.execute(START_MS + HOUR_MS, &Extra::default(), &[fresh, same_name]);
    assert_eq!(both.unwrap_err(), TxError::NameTaken("other".into()));
}

#[test]
fn a_proof_of_possession_fits_one_registration_only() {
    let chain = Chain::new(1);
    let (operator, secret) = (key("x", 0), key("x", 1));
    let signed_for = |role, chain_id: &str, signer: &SecretKey, nonce, time_ms| {
        KeyProof::sign(&secret, role, chain_id, &signer.public(), nonce, time_ms)
    };
    let good = signed_for(KeyRole::Node, CHAIN_ID, &operator, 1, START_MS);
    let mut other_key = good;
    other_key.key = key("y", 1).public();
    let wrong = [
        signed_for(KeyRole::Validator, CHAIN_ID, &operator, 1, START_MS),
        signed_for(KeyRole::Node, "test-2", &operator, 1, START_MS),
        signed_for(KeyRole::Node, CHAIN_ID, &key("y", 0), 1, START_MS),
        signed_for(KeyRole::Node, CHAIN_ID, &operator, 2, START_MS),
        signed_for(KeyRole::Node, CHAIN_ID, &operator, 1, START_MS + 1),
        other_key,
    ];
    let register = |proof| {
        let action = Action::Register {
            name: "x".into(),
            owner: String::new(),
            kind: NodeKind::Rpc,
            node_key: Some(proof),
            validator_key: None,
        };
        chain.ledger.check(&chain.tx(&operator, 1, START_MS, action), None)
    };
    assert_eq!(register(good), Ok(()));
    for proof in wrong {
        assert_eq!(register(proof), Err(TxError::BadProof(KeyRole::Node)));
    }
}

#[test]
fn ratings_come_from_others_only() {
    let mut chain = with_users();
    // A second node of Alice's operator.
    let operator = key("alice", 0);
    let proof = KeyProof::sign(&key("alice-2", 1), KeyRole::Node, CHAIN_ID, &operator.public(), 2, START_MS);
    let second = Action::Register {
        name: "alice-2".into(),
        owner: String::new(),
        kind: NodeKind::Rpc,
        node_key: Some(proof),
        validator_key: None,
    };
    chain.block(&[chain.tx(&operator, 2, START_MS, second)]).unwrap();
    assert_eq!(chain.rate("alice", "alice", 5), Err(TxError::SelfRating(chain.id("alice"))));
    assert_eq!(chain.rate("alice", "alice-2", 5), Err(TxError::SelfRating(chain.id("alice-2"))));
    let forged = chain.rating("bob", "alice", 5, Category::Honesty);
    assert_eq!(chain.run(&operator, forged), Err(TxError::NotOperator(chain.id("bob"))));
    chain.rate("bob", "alice-2", 5).unwrap();
    assert_eq!(chain.node("alice-2").ratings_in, 1, "a PENDING node can be rated");
    assert_eq!(chain.ledger.account(&operator.public()).nodes, [chain.id("alice"), chain.id("alice-2")]);
}

#[test]
fn one_rating_is_current_and_all_are_kept() {
    let mut chain = with_users();
    for stars in [5, 1, 3] {
        chain.rate("alice", "bob", stars).unwrap();
    }
    chain.run(&key("alice", 0), chain.rating("alice", "bob", 2, Category::Reliability)).unwrap();
    let bob = chain.node("bob");
    assert_eq!((bob.ratings_in, bob.stars_mean_milli), (2, Some(2_500)));
    assert_eq!(chain.node("alice").ratings_out, 2);
    assert_eq!((chain.ledger.rating_count(), chain.ledger.node_count()), (2, 4));
    let list = |history| {
        let page = chain.ledger.ratings_of(bob.index, trustnet_ledger::Direction::In, None, 100, history);
        page.items.iter().map(|r| (r.category.name(), r.stars, r.current)).collect::<Vec<_>>()
    };
    assert_eq!(list(false), [("reliability", 2, true), ("honesty", 3, true)]);
    assert_eq!(
        list(true),
        [("reliability", 2, true), ("honesty", 5, false), ("honesty", 1, false), ("honesty", 3, true)]
    );
}

#[test]
fn attestations_need_the_right_epoch_signer_and_nodes() {
    let mut chain = Chain::new(3);
    chain.register("bob", NodeKind::User).unwrap();
    let epoch = chain.ledger.epoch_of(START_MS);
    let at = |chain: &Chain, hours: u64, tx: &SignedTransaction| {
        chain
            .execute(START_MS + hours * HOUR_MS + 60_000, &Extra::default(), std::slice::from_ref(tx))
            .map(|_| ())
    };
    let good = chain.attestation("val-0", epoch, vec![saw(1, 120), saw(3, 0)]);
    assert_eq!(at(&chain, 1, &good), Ok(()));
    let early = chain.tx(&key("val-0", 2), 1, START_MS, good.tx.action.clone());
    let wrong = |expected| Err(TxError::WrongEpoch { epoch, expected });
    assert_eq!(at(&chain, 0, &early), wrong(epoch - 1));
    assert_eq!(at(&chain, 2, &good), wrong(epoch + 1));

    // The operator's key is as good as the voting key; nobody else's is.
    let by = |signer: &SecretKey| {
        chain.tx(signer, chain.ledger.nonce_of(&signer.public()) + 1, START_MS, good.tx.action.clone())
    };
    assert_eq!(at(&chain, 1, &by(&key("val-0", 0))), Ok(()));
    for stranger in [key("val-1", 2), key("val-0", 1), key("bob", 0)] {
        assert_eq!(at(&chain, 1, &by(&stranger)), Err(TxError::NotOperator(chain.id("val-0"))));
    }
    let by_user = Action::Attest { validator: chain.id("bob"), epoch, observations: vec![] };
    let by_user = chain.next_tx(&key("bob", 0), by_user);
    assert_eq!(at(&chain, 1, &by_user), Err(TxError::NotValidator(chain.id("bob"))));
    let unknown = chain.attestation("val-0", epoch, vec![saw(4, 1)]);
    assert_eq!(at(&chain, 1, &unknown), Err(TxError::UnknownIndex(4)));

    // Once per validator and epoch, by whichever key; once settled, never.
    chain.block_at(START_MS + HOUR_MS, &Extra::default(), &[good]).unwrap();
    let again = chain.next_tx(
        &key("val-0", 0),
        Action::Attest { validator: chain.id("val-0"), epoch, observations: vec![] },
    );
    assert_eq!(
        chain.block(std::slice::from_ref(&again)),
        Err(TxError::AlreadyAttested { validator: chain.id("val-0"), epoch })
    );
    let rest = ["val-1", "val-2"].map(|v| chain.attestation(v, epoch, vec![]));
    chain.block(&rest).unwrap();
    assert_eq!(chain.block(std::slice::from_ref(&again)), Err(TxError::EpochSettled(epoch)));
    assert_eq!(chain.ledger.check(&again, None), Err(TxError::EpochSettled(epoch)));
}

/// Every refusal, one after another, in a draft that goes on with good transactions: the result is
/// that of the good ones alone.
#[test]
fn refused_transactions_leave_no_trace_in_a_draft() {
    let chain = with_users();
    let good: Vec<SignedTransaction> = vec![
        chain.next_tx(&key("alice", 0), chain.rating("alice", "bob", 5, Category::Honesty)),
        chain.registration("carol", NodeKind::Validator, 1, START_MS),
        chain.next_tx(&key("bob", 0), chain.rating("bob", "alice", 1, Category::Honesty)),
    ];
    let bad: Vec<SignedTransaction> = vec![
        good[0].clone(),
        chain.registration("alice", NodeKind::User, 2, START_MS),
        chain.tx(&key("alice", 0), 9, START_MS, chain.rating("alice", "bob", 5, Category::Honesty)),
        chain.tx(&key("val-0", 0), 1, u64::MAX, Action::Pause { node: chain.id("val-0") }),
        chain.next_tx(&key("val-0", 0), Action::Start { node: chain.id("val-0") }),
        chain
            .next_tx(&key("val-0", 0), Action::Admit { node: chain.id("bob"), validator: chain.id("val-0") }),
        chain.next_tx(&key("val-0", 0), chain.rating("val-0", "val-0", 5, Category::Honesty)),
        chain.next_tx(&key("val-0", 0), chain.rating("val-0", "bob", 6, Category::Honesty)),
        chain.next_tx(
            &key("val-0", 0),
            Action::Attest { validator: chain.id("val-0"), epoch: 3, observations: vec![] },
        ),
    ];
    let context = BlockContext {
        height: chain.ledger.height() + 1,
        time_ms: chain.ledger.time_ms() + 5,
        signers: &[],
        previous_tx_count: 0,
        offenders: &[],
    };
    let mut clean = chain.ledger.begin(&context);
    let mut disturbed = chain.ledger.begin(&context);
    for tx in &good {
        clean.apply(tx).unwrap();
        disturbed.apply(tx).unwrap();
        for tx in &bad {
            assert!(disturbed.apply(tx).is_err(), "{:?}", tx.tx.action);
        }
    }
    assert_eq!(disturbed.tx_count(), 3);
    let (clean, disturbed) = (clean.finish(), disturbed.finish());
    assert_eq!(clean.state_root, disturbed.state_root);
    assert_eq!(clean.log_root, disturbed.log_root);
    assert_eq!(clean.results_hash, disturbed.results_hash);
    assert_eq!(clean.events, disturbed.events);
}

#[test]
fn drafts_and_abandoned_executions_do_not_touch_the_ledger() {
    let mut chain = with_users();
    let before: Vec<_> = chain.ledger.leaves().collect();
    let tx = chain.next_tx(&key("alice", 0), chain.rating("alice", "bob", 5, Category::Honesty));
    let first =
        chain.execute(chain.ledger.time_ms() + 1, &Extra::default(), std::slice::from_ref(&tx)).unwrap();
    let second = chain.execute(chain.ledger.time_ms() + 2, &Extra::default(), &[]).unwrap();
    assert_ne!(first.state_root, second.state_root);
    assert!(chain.ledger.leaves().eq(before));
    chain.commit(second);
    assert_eq!(chain.node("bob").ratings_in, 0);
}

#[test]
#[should_panic(expected = "executed over another state")]
fn an_execution_over_an_older_state_is_never_committed() {
    let mut chain = with_users();
    let old = chain.execute(chain.ledger.time_ms() + 1, &Extra::default(), &[]).unwrap();
    chain.block(&[]).unwrap();
    chain.ledger.commit(old);
}

#[test]
fn the_log_holds_the_very_bytes_of_all_transactions_in_order() {
    let mut chain = Chain::new(1);
    let mut all: Vec<Vec<u8>> = Vec::new();
    assert_eq!(chain.ledger.log_root(), trustnet_ledger::merkle::root([]));
    for block in 0..5 {
        let txs: Vec<SignedTransaction> = (0..block)
            .map(|n| chain.registration(&format!("u-{block}-{n}"), NodeKind::User, 1, START_MS))
            .collect();
        all.extend(txs.iter().map(SignedTransaction::encode));
        chain.block(&txs).unwrap();
        assert_eq!(chain.ledger.log_size(), all.len() as u64);
        assert_eq!(chain.ledger.log_root(), trustnet_ledger::merkle::root(all.iter().map(Vec::as_slice)));
    }
}

#[test]
fn error_numbers_never_change() {
    let id = trustnet_ledger::NodeId::default();
    let codes = [
        (TxError::BadSignature, 3),
        (TxError::UnknownNode(id), 7),
        (TxError::NotOperator(id), 8),
        (TxError::SelfRating(id), 10),
        (TxError::NameTaken(String::new()), 11),
        (TxError::BadName, 17),
        (TxError::RatingsFull(id), 22),
        (TxError::LastValidator(id), 24),
        (TxError::NodesFull, 34),
    ];
    for (error, code) in codes {
        assert_eq!(error.code(), code);
        assert!(error.to_string().len() > 20, "{error}");
    }
    let tx = Transaction {
        signer: key("a", 0).public(),
        nonce: 0,
        time_ms: 0,
        action: Action::Start { node: id },
    };
    let zero = SignedTransaction::sign(tx, &key("a", 0), CHAIN_ID);
    assert_eq!(zero.check_shape().unwrap_err().code(), 4);
}
