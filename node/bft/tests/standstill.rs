//! What a crash of all takes away, and how one validator in a later round gets the others on.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use trustnet_bft::{Action, Event, Rule, Step};

/// Validator 3 of four has prevoted nil in round 0; 0 and 1 have precommitted there.
fn waiting() -> Node {
    let mut node = Node::three_of_four();
    node.expire(0, Step::Propose);
    node.precommits(0, None, [0]);
    node
}

fn stand_still(node: &mut Node, round: u32) -> Vec<Action> {
    node.run(Event::Standstill { round })
}

#[test]
fn one_validator_ahead_is_followed_when_two_thirds_have_spoken_here_or_later() {
    let mut node = waiting();
    assert_eq!(node.prevotes(1, None, [2]), [], "no third of the power");
    assert_eq!(stand_still(&mut node, 0), [new_round(1), schedule(1, Step::Propose)]);
    assert!(node.core.rules().contains(Rule::L55Alone));
    assert_eq!(stand_still(&mut node, 1), [], "in step propose there is a timer");
}

#[test]
fn without_two_thirds_at_this_height_nobody_is_followed() {
    let mut node = Node::three_of_four();
    node.expire(0, Step::Propose);
    node.prevotes(1, None, [2]);
    assert_eq!(
        stand_still(&mut node, 0),
        [],
        "of 0 and 1 nothing is known: they may be at the height before"
    );
    node.precommits(0, None, [1]);
    assert_eq!(stand_still(&mut node, 0), [new_round(1), schedule(1, Step::Propose)]);
}

#[test]
fn with_nobody_ahead_a_standstill_changes_nothing() {
    let mut node = waiting();
    node.prevotes(0, A, [2]);
    let before = node.core.memory();
    assert_eq!(stand_still(&mut node, 0), []);
    assert_eq!(node.core.memory(), before);
}

#[test]
fn it_goes_up_by_one_round_however_far_ahead_somebody_claims_to_be() {
    let mut node = Node::started(equal(7), 6);
    node.expire(0, Step::Propose);
    node.precommits(0, None, [0, 1]);
    node.prevotes(900, None, [2]);
    node.prevotes(0, A, [3]);
    assert_eq!(stand_still(&mut node, 0), [new_round(1), schedule(1, Step::Propose)]);
}

#[test]
fn a_standstill_of_another_round_or_before_the_start_or_after_the_decision_is_ignored() {
    let mut node = waiting();
    node.prevotes(1, None, [2]);
    assert_eq!(stand_still(&mut node, 1), []);
    let mut fresh = Node::fresh(equal(4), 3);
    fresh.precommits(0, None, [0, 1]);
    fresh.prevotes(1, None, [2]);
    assert_eq!(stand_still(&mut fresh, 0), []);
    let mut decided = waiting();
    decided.certify(Precommit, 0, A, 0..3);
    assert_eq!(stand_still(&mut decided, 0), []);
}

#[test]
fn a_lock_is_kept_on_the_way() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, [0, 1]);
    assert_eq!(node.core.locked(), Some((0, A)));
    node.prevotes(1, None, [2]);
    stand_still(&mut node, 0);
    assert_eq!(node.state(), (1, Step::Propose, Some((0, A)), Some((0, A))));
    assert_eq!(node.propose(1, B, None), [node.prevoted(1, None)]);
}
