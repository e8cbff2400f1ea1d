//! Pitfalls 18 to 20, as far as they are the core's: durations are the caller's.

mod common;

use common::*;
use trustnet_bft::{Action, Event, Step, Timeout};

#[test]
fn pitfall_18_each_timer_is_set_once_per_round_and_step() {
    let mut node = Node::started(equal(7), 6);
    node.propose(0, A, None);
    let mut timers: Vec<Action> = Vec::new();
    for voter in 0..6 {
        timers.extend(node.prevotes(0, value(voter as u8), [voter]));
        timers.extend(node.precommits(0, None, [voter]));
    }
    timers.retain(|action| matches!(action, Action::Schedule(_)));
    assert_eq!(timers, [schedule(0, Step::Prevote), schedule(0, Step::Precommit)]);
}

#[test]
fn pitfall_18_the_timers_of_a_round_that_we_skip_to_are_set_anew() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, None, [0]);
    assert_eq!(node.prevotes(0, B, [1]), [schedule(0, Step::Prevote)]);
    node.precommits(1, None, [0]);
    assert_eq!(node.precommits(1, None, [1]), [new_round(1), schedule(1, Step::Propose)]);
    assert_eq!(node.precommits(1, None, [2]), [schedule(1, Step::Precommit)]);
    node.expire(1, Step::Propose);
    node.prevotes(1, A, [0]);
    assert_eq!(node.prevotes(1, B, [1]), [schedule(1, Step::Prevote)]);
}

#[test]
fn pitfall_18_stale_timers_are_ignored() {
    let mut node = Node::three_of_four();
    node.fail_round();
    node.propose(1, A, None);
    let before = node.core.memory();
    for (height, round, step) in [
        (HEIGHT, 0, Step::Propose),
        (HEIGHT, 0, Step::Prevote),
        (HEIGHT, 0, Step::Precommit),
        (HEIGHT, 1, Step::Propose),
        (HEIGHT, 2, Step::Propose),
        (HEIGHT - 1, 1, Step::Precommit),
        (HEIGHT + 1, 1, Step::Precommit),
    ] {
        assert_eq!(node.feed(Event::Timeout(Timeout { height, round, step })), []);
    }
    assert_eq!(node.core.memory(), before);
}

#[test]
fn pitfall_18_a_timer_of_another_height_is_ignored_even_where_ours_is_set() {
    let mut node = Node::three_of_four();
    node.precommits(0, None, 0..3);
    let before = node.core.memory();
    for height in [0, HEIGHT - 1, HEIGHT + 1, u64::MAX] {
        for step in [Step::Propose, Step::Precommit] {
            assert_eq!(node.feed(Event::Timeout(Timeout { height, round: 0, step })), []);
        }
    }
    assert_eq!(node.core.memory(), before);
    assert_eq!(node.expire(0, Step::Precommit), [new_round(1), schedule(1, Step::Propose)]);
}

#[test]
fn pitfall_18_a_timer_that_was_never_set_is_ignored() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    assert_eq!(node.expire(0, Step::Prevote), []);
    assert_eq!(node.expire(0, Step::Precommit), []);
    let mut node = Node::fresh(equal(4), 3);
    assert_eq!(node.expire(0, Step::Propose), [], "before the start");
}

#[test]
fn pitfall_19_timers_name_their_round_so_that_the_caller_can_let_them_grow() {
    let mut node = Node::three_of_four();
    for round in 1..20 {
        let actions = node.fail_round();
        assert!(actions.contains(&new_round(round)));
        assert!(actions.contains(&schedule(round, Step::Propose)));
    }
}

#[test]
fn pitfall_20_timers_of_the_voting_steps_do_not_start_with_the_step() {
    let mut node = Node::three_of_four();
    assert_eq!(node.propose(0, A, None), [node.prevoted(0, A)], "no timer with the prevote");
    assert_eq!(node.prevotes(0, A, [0, 1]), [node.precommitted(0, A)], "none with the precommit");
    assert_eq!(node.precommits(0, None, [0]), []);
    assert_eq!(node.precommits(0, None, [1]), [schedule(0, Step::Precommit)]);
}
