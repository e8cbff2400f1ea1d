//! Pitfall 38: small networks. Every message is delivered at once, some validators are dead.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::collections::VecDeque;
use trustnet_bft::{Action, Event, Power, Round, SignedProposal, SignedVote, Timeout, ValidatorSet, ValueId};

enum Message {
    Vote(SignedVote),
    Proposal(SignedProposal),
}

/// Runs a network to the end: the decision of every live validator. Timers fire, the earliest round and step first, when
/// nothing else is left to do.
fn run(set: &ValidatorSet<N>, dead: &[usize], rounds: Round) -> Vec<Option<(Round, ValueId)>> {
    let live: Vec<usize> = (0..set.len()).filter(|index| !dead.contains(index)).collect();
    let mut nodes: Vec<Node> = live.iter().map(|&index| Node::fresh(set.clone(), index as u16)).collect();
    let mut messages: VecDeque<Message> = VecDeque::new();
    let mut timers: Vec<(usize, Timeout)> = Vec::new();
    let mut todo: VecDeque<(usize, Vec<Action>)> = VecDeque::new();
    for (at, node) in nodes.iter_mut().enumerate() {
        todo.push_back((at, node.feed(Event::Start)));
    }
    loop {
        while let Some((at, actions)) = todo.pop_front() {
            for action in actions {
                match action {
                    Action::GetValue { round, .. } => {
                        let value = value(10 * nodes[at].me as u8 + round as u8);
                        todo.push_back((at, nodes[at].feed(Event::Value { round, value })));
                    }
                    Action::Propose(proposal) => {
                        messages.push_back(Message::Proposal(sign_proposal(proposal)));
                    }
                    Action::Vote(vote) => messages.push_back(Message::Vote(sign(vote))),
                    Action::Schedule(timeout) => timers.push((at, timeout)),
                    Action::NewRound { .. } | Action::Decide { .. } => {}
                    evidence => panic!("honest validators contradict nobody: {evidence:?}"),
                }
            }
        }
        if let Some(message) = messages.pop_front() {
            for (at, node) in nodes.iter_mut().enumerate() {
                let event = match &message {
                    Message::Vote(vote) => Event::Vote(*vote),
                    Message::Proposal(proposal) => Event::Proposal { proposal: *proposal, valid: true },
                };
                todo.push_back((at, node.feed(event)));
            }
            continue;
        }
        timers.sort_by_key(|&(at, timeout)| (timeout.round, timeout.step, at));
        if timers.is_empty()
            || timers[0].1.round >= rounds
            || nodes.iter().all(|n| n.core.decided().is_some())
        {
            return nodes.iter().map(|node| node.core.decided()).collect();
        }
        let (at, timeout) = timers.remove(0);
        todo.push_back((at, nodes[at].feed(Event::Timeout(timeout))));
    }
}

#[test]
fn pitfall_38_a_single_validator_decides_with_nothing_but_its_own_messages() {
    let mut node = Node::fresh(equal(1), 0);
    assert_eq!(
        node.run(Event::Start),
        [
            new_round(0),
            schedule(0, trustnet_bft::Step::Propose),
            Action::GetValue { height: HEIGHT, round: 0 }
        ]
    );
    assert_eq!(
        node.run(Event::Value { round: 0, value: A }),
        [proposed(0, 0, A, None), node.prevoted(0, A), node.precommitted(0, A), decide(0, A)]
    );
    assert_eq!(node.core.commit_certificate().unwrap().signatures.len(), 1);
    node.core.next_height(equal(1), Some(0));
    assert_eq!(node.feed(Event::Start).len(), 3, "and goes on");
}

#[test]
fn a_single_validator_whose_value_comes_too_late_tries_again() {
    let mut node = Node::started(equal(1), 0);
    let actions = node.expire(0, trustnet_bft::Step::Propose);
    assert!(actions.contains(&schedule(0, trustnet_bft::Step::Precommit)));
    node.expire(0, trustnet_bft::Step::Precommit);
    assert_eq!(node.run(Event::Value { round: 1, value: A }).last(), Some(&decide(1, A)));
}

#[test]
fn all_alive_decide_in_round_0() {
    for n in 1..=8 {
        let decisions = run(&equal(n), &[], 1);
        assert_eq!(decisions, vec![Some((0, value(0))); n], "{n}");
    }
    for powers in [&[5, 1, 1][..], &[1, 2, 3, 4], &[100, 1, 1, 1, 1, 1, 1, 1]] {
        let decisions = run(&weighted(powers), &[], 1);
        assert!(decisions[0].is_some() && decisions.windows(2).all(|pair| pair[0] == pair[1]), "{powers:?}");
    }
}

#[test]
fn pitfall_38_a_network_survives_what_it_promises_to_and_no_more() {
    // (validators, dead, does it decide?)
    for (n, dead, decides) in [
        (2, 1, false),
        (3, 1, false),
        (4, 1, true),
        (4, 2, false),
        (6, 1, true),
        (6, 2, false),
        (7, 2, true),
        (7, 3, false),
        (8, 2, true),
    ] {
        let set = equal(n);
        assert_eq!(set.max_faulty_power() >= dead as Power, decides, "{n} {dead}");
        // The first ones are dead, so the first rounds fail.
        let decisions = run(&set, &(0..dead).collect::<Vec<_>>(), 4);
        assert_eq!(decisions.len(), n - dead);
        for decision in &decisions {
            assert_eq!(decision.is_some(), decides, "{n} validators, {dead} dead");
            assert_eq!(*decision, decisions[0]);
        }
    }
}

#[test]
fn a_heavy_validator_is_needed_and_light_ones_are_not() {
    let set = weighted(&[6, 1, 1, 1]);
    assert!(run(&set, &[3], 9).iter().all(Option::is_some));
    assert!(run(&set, &[2, 3], 9).iter().all(Option::is_some));
    assert!(run(&set, &[0], 9).iter().all(Option::is_none));
}
