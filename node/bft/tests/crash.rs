//! Pitfalls 21 to 27, as far as they are the core's: what is remembered, what is said again, and silence.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use trustnet_bft::{Action, Event, MAX_ROUND, Memory, Step};

const NOTHING: Memory = Memory {
    height: HEIGHT,
    round: 0,
    step: Step::Propose,
    proposed: None,
    prevoted: None,
    precommitted: None,
    locked: None,
    valid: None,
};

/// A crash: the validator starts again from its memory.
fn crash(node: &Node) -> Node {
    Node::restored(node.core.set().clone(), node.me, node.core.memory())
}

#[test]
fn pitfall_21_the_memory_holds_the_votes_before_they_can_be_signed() {
    let mut node = Node::three_of_four();
    node.prevotes(0, A, 0..3);
    let actions = node.feed(Event::Proposal { proposal: proposal(0, 0, A, None), valid: true });
    assert_eq!(actions, [node.prevoted(0, A), node.precommitted(0, A)]);
    assert_eq!(
        node.core.memory(),
        Memory {
            step: Step::Precommit,
            prevoted: Some(Some(A)),
            precommitted: Some(Some(A)),
            locked: Some((0, A)),
            valid: Some((0, A)),
            ..NOTHING
        }
    );
}

#[test]
fn pitfall_21_own_votes_count_only_when_they_come_back() {
    let mut node = Node::three_of_four();
    node.prevotes(0, A, [0, 1]);
    let actions = node.feed(Event::Proposal { proposal: proposal(0, 0, A, None), valid: true });
    assert_eq!(actions, [node.prevoted(0, A)]);
    assert!(!node.core.vote_bitmap(Prevote, 0).contains(3));
    assert_eq!(node.feed(Event::Vote(vote(Prevote, 0, 3, Some(A)))), [node.precommitted(0, A)]);
}

#[test]
fn pitfall_22_the_same_events_give_the_same_actions() {
    let run = || {
        let mut node = Node::fresh(equal(4), 1);
        let mut actions = node.run(Event::Start);
        actions.extend(node.expire(0, Step::Propose));
        actions.extend(node.precommits(0, None, 0..4));
        actions.extend(node.expire(0, Step::Precommit));
        actions.extend(node.run(Event::Value { round: 1, value: A }));
        actions.extend(node.prevotes(1, A, [2, 3]));
        actions.extend(node.precommits(1, A, [2, 3]));
        actions
    };
    assert_eq!(run().last(), Some(&decide(1, A)));
    assert_eq!(run(), run());
}

#[test]
fn pitfall_23_a_logged_certificate_brings_back_what_the_crash_took() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.certify(Prevote, 0, A, 0..3);
    let mut again = crash(&node);
    again.run(Event::Start);
    assert_eq!(again.core.polka_certificate(0), None);
    again.certify(Prevote, 0, A, 0..3);
    again.propose(0, A, None);
    assert_eq!(again.state(), node.state());
    assert_eq!(again.core.polka_certificate(0), node.core.polka_certificate(0));
}

#[test]
fn a_restored_validator_says_the_same_again() {
    let mut node = Node::started(equal(4), 0);
    node.run(Event::Value { round: 0, value: A });
    node.prevotes(0, A, [1, 2]);
    let mut again = crash(&node);
    assert_eq!(
        again.feed(Event::Start),
        [new_round(0), proposed(0, 0, A, None), node.prevoted(0, A), node.precommitted(0, A)]
    );
    assert_eq!(again.core.memory(), node.core.memory());
}

#[test]
fn a_restored_validator_in_the_propose_step_waits_for_the_proposal_again() {
    let mut node = Node::started(equal(4), 3);
    node.fail_round();
    let mut again = crash(&node);
    assert_eq!(again.feed(Event::Start), [new_round(1), schedule(1, Step::Propose)]);
    assert_eq!(again.propose(1, A, None), [node.prevoted(1, A)]);
}

#[test]
fn a_restored_proposer_repeats_its_proposal_and_asks_for_no_other() {
    let mut node = Node::started(equal(4), 0);
    node.feed(Event::Value { round: 0, value: A });
    let mut again = crash(&node);
    assert_eq!(again.feed(Event::Start), [new_round(0), proposed(0, 0, A, None), schedule(0, Step::Propose)]);
    assert_eq!(again.feed(Event::Value { round: 0, value: B }), []);
    assert_eq!(
        again.run(Event::Proposal { proposal: proposal(0, 0, A, None), valid: true }),
        [node.prevoted(0, A)]
    );
}

#[test]
fn a_restored_proposer_that_had_not_proposed_asks_again() {
    let node = Node::started(equal(4), 0);
    let mut again = crash(&node);
    assert!(again.feed(Event::Start).contains(&Action::GetValue { height: HEIGHT, round: 0 }));
}

#[test]
fn a_restored_validator_never_contradicts_its_votes() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    let mut again = crash(&node);
    again.run(Event::Start);
    // Everything speaks for nil, and for B.
    assert_eq!(again.propose(0, B, None), []);
    assert_eq!(again.expire(0, Step::Propose), []);
    assert_eq!(again.prevotes(0, None, 0..3), [schedule(0, Step::Prevote), again.precommitted(0, None)]);
    let mut again = crash(&again);
    again.run(Event::Start);
    assert_eq!(again.propose(0, B, None), []);
    assert_eq!(again.prevotes(0, B, 0..3), []);
    assert_eq!(again.core.memory().precommitted, Some(None));
    assert_eq!(again.core.locked(), None);
}

#[test]
fn a_restored_validator_keeps_its_lock() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, 0..2);
    node.precommits(0, None, 0..2);
    node.expire(0, Step::Precommit);
    let mut again = crash(&node);
    again.run(Event::Start);
    assert_eq!(again.propose(1, B, None), [node.prevoted(1, None)]);
}

#[test]
fn a_restored_validator_behind_the_others_votes_in_one_round_only() {
    // `Node::feed` asserts that no vote of round 0 is emitted after the memory has moved to round 8.
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    let mut again = crash(&node);
    again.prevotes(8, None, [0, 1]);
    assert_eq!(again.feed(Event::Start), [new_round(8), schedule(8, Step::Propose)]);
    assert_eq!(again.core.memory().prevoted, None);
}

#[test]
fn messages_replayed_before_the_start_do_no_harm() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, 0..2);
    let mut again = crash(&node);
    assert_eq!(again.propose(0, A, None), []);
    assert_eq!(again.prevotes(0, A, 0..4), []);
    assert_eq!(
        again.feed(Event::Start),
        [new_round(0), node.prevoted(0, A), node.precommitted(0, A)],
        "the same two votes, each once"
    );
    assert_eq!(again.core.memory(), node.core.memory());
}

#[test]
fn a_memory_that_makes_no_sense_is_survived() {
    let wild = Memory {
        round: u32::MAX,
        step: Step::Precommit,
        prevoted: Some(None),
        locked: Some((u32::MAX, A)),
        valid: Some((u32::MAX - 1, B)),
        ..NOTHING
    };
    let mut node = Node::restored(equal(4), 3, wild);
    assert_eq!(node.core.round(), MAX_ROUND);
    node.run(Event::Start);
    node.prevotes(MAX_ROUND, A, 0..3);
    assert_eq!(node.certify(Precommit, MAX_ROUND, A, 0..3), [decide(MAX_ROUND, A)]);
}

#[test]
fn a_memory_whose_step_is_behind_its_votes_is_not_contradicted_either() {
    let memory = Memory { prevoted: Some(Some(A)), precommitted: Some(None), ..NOTHING };
    let mut node = Node::restored(equal(4), 3, memory);
    assert_eq!(
        node.feed(Event::Start),
        [new_round(0), node.prevoted(0, A), node.precommitted(0, None), schedule(0, Step::Propose)]
    );
    assert_eq!(node.propose(0, B, None), []);
    assert_eq!(node.prevotes(0, B, 0..3), []);
    assert_eq!((node.core.memory().prevoted, node.core.memory().precommitted), (Some(Some(A)), Some(None)));
}

#[test]
fn pitfall_26_a_vote_of_ours_that_we_do_not_remember_is_never_contradicted() {
    // Our memory is lost, or a copy of us is about: what we hear from ourselves we stand by.
    let mut node = Node::three_of_four();
    assert_eq!(node.feed(Event::Vote(vote(Prevote, 0, 3, None))), []);
    assert_eq!(node.propose(0, A, None), [], "A would be the second vote");
    assert_eq!(node.core.memory().prevoted, Some(None));
    assert_eq!(node.state().1, Step::Prevote);
    node.feed(Event::Vote(vote(Precommit, 0, 3, None)));
    assert_eq!(node.prevotes(0, A, 0..3), [schedule(0, Step::Prevote)]);
    assert_eq!(node.core.memory().precommitted, Some(None));
}

#[test]
fn pitfall_26_a_proposal_of_ours_that_we_do_not_remember_is_never_contradicted() {
    let mut node = Node::fresh(equal(4), 0);
    node.feed(Event::Proposal { proposal: proposal(0, 0, B, None), valid: true });
    assert_eq!(
        node.feed(Event::Start),
        [new_round(0), schedule(0, Step::Propose), node.prevoted(0, B)],
        "it asks for no value"
    );
    assert_eq!(node.core.memory().proposed, Some((B, None)));

    let mut node = Node::started(equal(4), 0);
    node.feed(Event::Proposal { proposal: proposal(0, 0, B, None), valid: true });
    assert_eq!(node.feed(Event::Value { round: 0, value: A }), [], "the answer comes too late");
}

#[test]
fn pitfall_27_a_silent_validator_follows_but_says_nothing() {
    let mut node = Node::fresh(equal(4), 0);
    node.core.silence(true);
    assert!(node.core.is_silent());
    assert_eq!(node.feed(Event::Start), [new_round(0), schedule(0, Step::Propose)]);
    assert_eq!(node.feed(Event::Value { round: 0, value: A }), []);
    assert_eq!(node.expire(0, Step::Propose), []);
    assert_eq!(node.prevotes(0, None, 1..4), []);
    assert_eq!(node.state().1, Step::Precommit);
    assert_eq!(node.core.memory(), Memory { step: Step::Precommit, ..NOTHING });
    assert_eq!(node.precommits(0, A, 1..4), [decide(0, A)]);
}

#[test]
fn pitfall_27_after_silence_steps_that_have_passed_stay_silent() {
    let mut node = Node::three_of_four();
    node.core.silence(true);
    assert_eq!(node.propose(0, A, None), []);
    assert_eq!(node.state().1, Step::Prevote);
    node.core.silence(false);
    assert_eq!(node.expire(0, Step::Propose), [], "no prevote any more");
    // The precommit step has not passed.
    assert_eq!(node.prevotes(0, A, 0..3), [node.precommitted(0, A)]);
    assert_eq!(node.core.memory().prevoted, None);

    let mut node = Node::three_of_four();
    node.core.silence(true);
    node.propose(0, A, None);
    node.prevotes(0, A, 0..3);
    node.core.silence(false);
    assert_eq!(node.precommits(0, None, [0]), [], "no precommit any more");
    node.precommits(0, None, [1, 2]);
    assert_eq!(node.expire(0, Step::Precommit), [new_round(1), schedule(1, Step::Propose)]);
    assert_eq!(node.propose(1, A, None), [node.prevoted(1, A)], "in the next round it votes");
}

#[test]
fn pitfall_27_a_prevote_timer_that_fires_after_silence_does_not_precommit() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, None, [0]);
    assert_eq!(node.prevotes(0, B, [1]), [schedule(0, Step::Prevote)]);
    node.core.silence(true);
    node.expire(0, Step::Prevote);
    assert_eq!(node.state().1, Step::Precommit);
    node.core.silence(false);
    assert_eq!(node.expire(0, Step::Prevote), [], "the step has passed");
    assert_eq!(node.core.memory().precommitted, None);
}

#[test]
fn pitfall_27_silence_that_ends_in_the_propose_step_lets_the_proposer_speak_at_the_next_event() {
    let mut node = Node::fresh(equal(4), 0);
    node.core.silence(true);
    node.feed(Event::Start);
    node.core.silence(false);
    // It has not asked for a value yet, so one that comes now answers nothing.
    let question = [Action::GetValue { height: HEIGHT, round: 0 }];
    assert_eq!(node.feed(Event::Value { round: 0, value: A }), question);
    assert_eq!(node.prevotes(0, None, [1]), []);
    assert_eq!(node.feed(Event::Value { round: 0, value: A }), [proposed(0, 0, A, None)]);
}

#[test]
fn pitfall_27_a_silent_restored_validator_repeats_nothing() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    let mut again = crash(&node);
    again.core.silence(true);
    assert_eq!(again.feed(Event::Start), [new_round(0)]);
    assert_eq!(again.core.memory(), node.core.memory(), "and forgets nothing");
}
