//! The life of a node, step by step, through real transactions.
#![allow(clippy::unwrap_used)]

mod common;

use common::chain::{Chain, Extra, key};
use trustnet_ledger::{Action, NodeId, NodeKind, NodeStatus, TxError};

const KINDS: [NodeKind; 5] =
    [NodeKind::Validator, NodeKind::Archive, NodeKind::Rpc, NodeKind::Service, NodeKind::User];

/// A chain in which `x` is a node of this kind and status; `None` where the kind never has it.
fn with_node(kind: NodeKind, status: NodeStatus) -> Option<Chain> {
    let mut chain = Chain::new(4);
    chain.register("x", kind).unwrap();
    let x = key("x", 0);
    let node = chain.id("x");
    let start = |chain: &mut Chain| match kind {
        NodeKind::User => {}
        NodeKind::Validator => (0..3).for_each(|v| chain.admit("x", &format!("val-{v}")).unwrap()),
        _ => chain.run(&x, Action::Start { node }).unwrap(),
    };
    let ready = |chain: &mut Chain| {
        start(chain);
        if kind != NodeKind::User {
            chain.run(&x, Action::Ready { node }).unwrap();
        }
    };
    match status {
        NodeStatus::Pending | NodeStatus::Initializing if kind == NodeKind::User => return None,
        NodeStatus::Pending => {}
        NodeStatus::Initializing => start(&mut chain),
        NodeStatus::Active => ready(&mut chain),
        NodeStatus::Inactive => {
            ready(&mut chain);
            chain.run(&x, Action::Pause { node }).unwrap();
        }
        NodeStatus::Banned if kind != NodeKind::Validator => return None,
        NodeStatus::Banned => {
            ready(&mut chain);
            let extra = Extra { offenders: vec![key("x", 2).public()], ..Extra::default() };
            chain.block_at(chain.ledger.time_ms() + 1, &extra, &[]).unwrap();
        }
        NodeStatus::Destroyed => chain.run(&x, Action::Destroy { node }).unwrap(),
    }
    assert_eq!(chain.node("x").status, status);
    Some(chain)
}

/// What a step should do, by the table of the specification.
fn expected(kind: NodeKind, status: NodeStatus, step: &str) -> Result<NodeStatus, u32> {
    use NodeStatus::{Active, Banned, Destroyed, Inactive, Initializing, Pending};
    match (step, status) {
        ("start", Pending) if kind == NodeKind::Validator => Err(32),
        ("start", Pending) => Ok(Initializing),
        // One consent of four is recorded and leaves the newcomer PENDING.
        ("admit", _) if kind != NodeKind::Validator => Err(33),
        ("admit", Pending) => Ok(Pending),
        ("ready", Initializing) | ("resume", Inactive) | ("rate", Active) => Ok(Active),
        ("pause", Active) => Ok(Inactive),
        ("destroy", Pending | Initializing | Active | Inactive) => Ok(Destroyed),
        ("attest", Active) if kind == NodeKind::Validator => Ok(Active),
        ("attest", _) => Err(23),
        ("be rated", Banned | Destroyed) => Err(21),
        ("be rated", same) => Ok(same),
        _ => Err(9),
    }
}

#[test]
fn every_action_in_every_status_of_every_kind_does_what_the_table_says() {
    let mut pairs = 0;
    for kind in KINDS {
        for status in NodeStatus::ALL {
            let Some(chain) = with_node(kind, status) else { continue };
            let (node, validator) = (chain.id("x"), chain.id("val-0"));
            let own = |action| (key("x", 0), action);
            let steps = [
                ("start", own(Action::Start { node })),
                ("admit", (key("val-0", 0), Action::Admit { node, validator })),
                ("ready", own(Action::Ready { node })),
                ("pause", own(Action::Pause { node })),
                ("resume", own(Action::Resume { node })),
                ("destroy", own(Action::Destroy { node })),
                ("rate", own(chain.rating("x", "val-0", 4, trustnet_ledger::Category::Honesty))),
                (
                    "be rated",
                    (key("val-0", 0), chain.rating("val-0", "x", 4, trustnet_ledger::Category::Honesty)),
                ),
                (
                    "attest",
                    own(Action::Attest {
                        validator: node,
                        epoch: chain.ledger.epoch_of(chain.ledger.time_ms()) - 1,
                        observations: vec![],
                    }),
                ),
            ];
            for (name, (signer, action)) in steps {
                let mut chain = chain.clone();
                if name == "attest" {
                    // The epoch before the genesis's is settled; go on an hour.
                    let epoch = chain.ledger.epoch_of(chain.ledger.time_ms());
                    let time_ms = (epoch + 1) * common::chain::HOUR_MS;
                    chain.block_at(time_ms, &Extra::default(), &[]).unwrap();
                    let action = Action::Attest { validator: node, epoch, observations: vec![] };
                    check(chain, kind, status, name, &signer, action);
                } else {
                    check(chain, kind, status, name, &signer, action);
                }
                pairs += 1;
            }
        }
    }
    // 6 statuses of a validator, 5 of the three others (never banned here), 3 of a user.
    assert_eq!(pairs, 9 * (6 + 3 * 5 + 3));
}

fn check(
    mut chain: Chain,
    kind: NodeKind,
    status: NodeStatus,
    name: &str,
    signer: &trustnet_ledger::crypto::SecretKey,
    action: Action,
) {
    let before = chain.ledger.state_root();
    let result = chain.run(signer, action);
    match (result, expected(kind, status, name)) {
        (Ok(()), Ok(to)) => {
            assert_eq!(chain.node("x").status, to, "{kind} {status} {name}");
            chain.assert_reloads();
        }
        (Err(error), Err(code)) => {
            assert_eq!(error.code(), code, "{kind} {status} {name}: {error}");
            assert_eq!(chain.ledger.state_root(), before);
            assert_eq!(chain.node("x").status, status);
        }
        (result, expected) => panic!("{kind} {status} {name}: {result:?}, expected {expected:?}"),
    }
}

#[test]
fn only_the_operator_takes_a_nodes_steps() {
    for (status, step) in [
        (NodeStatus::Pending, "start"),
        (NodeStatus::Initializing, "ready"),
        (NodeStatus::Active, "pause"),
        (NodeStatus::Inactive, "resume"),
        (NodeStatus::Active, "destroy"),
    ] {
        let mut chain = with_node(NodeKind::Service, status).unwrap();
        let node = chain.id("x");
        let action = match step {
            "start" => Action::Start { node },
            "ready" => Action::Ready { node },
            "pause" => Action::Pause { node },
            "resume" => Action::Resume { node },
            _ => Action::Destroy { node },
        };
        for stranger in [key("val-0", 0), key("x", 1), key("nobody", 0)] {
            assert_eq!(chain.run(&stranger, action.clone()), Err(TxError::NotOperator(node)), "{step}");
        }
    }
    let mut chain = Chain::new(1);
    let nowhere = NodeId::default();
    assert_eq!(chain.run(&key("a", 0), Action::Start { node: nowhere }), Err(TxError::UnknownNode(nowhere)));
}

#[test]
fn a_validator_joins_with_more_than_two_thirds_and_has_the_newcomers_power() {
    let mut chain = Chain::new(3);
    chain.register("x", NodeKind::Validator).unwrap();
    chain.admit("x", "val-0").unwrap();
    assert_eq!(chain.admit("x", "val-0"), Err(TxError::AlreadyAdmitted(chain.id("val-0"))));
    chain.admit("x", "val-1").unwrap();
    assert_eq!(chain.node("x").status, NodeStatus::Pending, "exactly two thirds are not more");
    chain.admit("x", "val-2").unwrap();
    assert_eq!(chain.node("x").status, NodeStatus::Initializing);
    assert_eq!(chain.ledger.validators().len(), 3);
    chain.run(&key("x", 0), Action::Ready { node: chain.id("x") }).unwrap();
    let set = chain.ledger.validators();
    assert_eq!(set.len(), 4);
    let x = set.iter().find(|v| v.name == "x").unwrap();
    assert_eq!((x.power, x.validator_key), (10, key("x", 2).public()));
    assert!(set.is_sorted_by_key(|v| (std::cmp::Reverse(v.power), v.validator_key)));
    chain.assert_reloads();
}

#[test]
fn consent_can_be_completed_after_the_set_has_shrunk() {
    let mut chain = Chain::new(4);
    chain.register("x", NodeKind::Validator).unwrap();
    chain.admit("x", "val-0").unwrap();
    chain.admit("x", "val-1").unwrap();
    for v in ["val-2", "val-3"] {
        chain.run(&key(v, 0), Action::Pause { node: chain.id(v) }).unwrap();
    }
    assert_eq!(chain.node("x").status, NodeStatus::Pending);
    chain.admit("x", "val-0").unwrap();
    assert_eq!(chain.node("x").status, NodeStatus::Initializing);
}

#[test]
fn only_active_validators_consent_and_only_with_their_operators_key() {
    let mut chain = Chain::new(4);
    chain.register("x", NodeKind::Validator).unwrap();
    chain.register("y", NodeKind::User).unwrap();
    let (node, validator) = (chain.id("x"), chain.id("val-0"));
    let admit = Action::Admit { node, validator };
    assert_eq!(chain.run(&key("val-1", 0), admit.clone()), Err(TxError::NotOperator(validator)));
    assert_eq!(chain.run(&key("val-0", 2), admit), Err(TxError::NotOperator(validator)));
    let by_user = Action::Admit { node, validator: chain.id("y") };
    assert_eq!(chain.run(&key("y", 0), by_user), Err(TxError::NotValidator(chain.id("y"))));
    chain.run(&key("val-0", 0), Action::Pause { node: validator }).unwrap();
    assert_eq!(chain.admit("x", "val-0"), Err(TxError::NotValidator(validator)));
}

#[test]
fn the_last_active_validator_neither_pauses_nor_ends() {
    let mut chain = Chain::new(2);
    let id = |chain: &Chain, n: &str| chain.id(n);
    chain.run(&key("val-0", 0), Action::Pause { node: id(&chain, "val-0") }).unwrap();
    assert_eq!(chain.ledger.validators().len(), 1);
    let last = chain.id("val-1");
    for action in [Action::Pause { node: last }, Action::Destroy { node: last }] {
        assert_eq!(chain.run(&key("val-1", 0), action), Err(TxError::LastValidator(last)));
    }
    chain.run(&key("val-0", 0), Action::Resume { node: id(&chain, "val-0") }).unwrap();
    chain.run(&key("val-1", 0), Action::Destroy { node: last }).unwrap();
    assert_eq!(chain.ledger.validators()[0].name, "val-0");
    assert_eq!(chain.node("val-1").status, NodeStatus::Destroyed, "the record stays");
}

#[test]
fn a_chain_whose_last_validators_are_banned_keeps_its_set_and_the_bans() {
    let mut chain = Chain::new(2);
    let before = chain.ledger.validators().to_vec();
    let extra =
        Extra { offenders: vec![key("val-0", 2).public(), key("val-1", 2).public()], ..Extra::default() };
    chain.block_at(chain.ledger.time_ms() + 1, &extra, &[]).unwrap();
    assert_eq!(chain.ledger.validators(), before);
    for name in ["val-0", "val-1"] {
        assert_eq!(chain.node(name).status, NodeStatus::Banned);
    }
    chain.assert_reloads();
    chain.block(&[]).unwrap();
    assert_eq!(chain.ledger.validators(), before);
    chain.assert_reloads();
}

#[test]
fn the_set_is_full_at_128() {
    let mut chain = Chain::new(128);
    chain.register("x", NodeKind::Validator).unwrap();
    let node = chain.id("x");
    for v in 0..86 {
        chain.admit("x", &format!("val-{v}")).unwrap();
    }
    assert_eq!(chain.node("x").status, NodeStatus::Initializing);
    assert_eq!(chain.run(&key("x", 0), Action::Ready { node }), Err(TxError::ValidatorsFull(128)));
    let leaver = chain.id("val-5");
    chain.run(&key("val-5", 0), Action::Pause { node: leaver }).unwrap();
    chain.run(&key("x", 0), Action::Ready { node }).unwrap();
    assert_eq!(
        chain.run(&key("val-5", 0), Action::Resume { node: leaver }),
        Err(TxError::ValidatorsFull(128))
    );
}
