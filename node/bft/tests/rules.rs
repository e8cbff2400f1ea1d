//! The rules of Algorithm 1, line by line, for validator 3 of four equals unless another one is named.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use trustnet_bft::{Action, Event, Step};

#[test]
fn l11_a_non_proposer_enters_round_0_and_waits_for_the_proposal() {
    let mut node = Node::fresh(equal(4), 3);
    assert_eq!(node.feed(Event::Start), [new_round(0), schedule(0, Step::Propose)]);
    assert_eq!(node.state(), (0, Step::Propose, None, None));
    assert_eq!(node.feed(Event::Start), [], "it starts once");
}

#[test]
fn l18_the_proposer_asks_for_a_value_and_proposes_it_once() {
    let mut node = Node::fresh(equal(4), 0);
    assert_eq!(
        node.feed(Event::Start),
        [new_round(0), schedule(0, Step::Propose), Action::GetValue { height: HEIGHT, round: 0 }]
    );
    assert_eq!(node.feed(Event::Value { round: 1, value: A }), [], "an answer to another question");
    assert_eq!(node.feed(Event::Value { round: 0, value: A }), [proposed(0, 0, A, None)]);
    assert_eq!(node.feed(Event::Value { round: 0, value: B }), [], "a second answer");
    assert_eq!(node.core.memory().proposed, Some((A, None)));
    assert_eq!(
        node.feed(Event::Proposal { proposal: proposal(0, 0, A, None), valid: true }),
        [node.prevoted(0, A)]
    );
}

#[test]
fn l18_a_value_that_comes_after_the_timeout_is_not_proposed() {
    let mut node = Node::started(equal(4), 0);
    assert_eq!(node.expire(0, Step::Propose), [node.prevoted(0, None)]);
    assert_eq!(node.feed(Event::Value { round: 0, value: A }), []);
}

#[test]
fn l18_a_value_that_nobody_asked_for_is_not_proposed() {
    let mut node = Node::three_of_four();
    assert_eq!(node.feed(Event::Value { round: 0, value: A }), []);
}

#[test]
fn l22_a_valid_fresh_proposal_is_prevoted() {
    let mut node = Node::three_of_four();
    assert_eq!(node.propose(0, A, None), [node.prevoted(0, A)]);
    assert_eq!(node.state(), (0, Step::Prevote, None, None));
}

#[test]
fn l22_an_invalid_fresh_proposal_gets_nil() {
    let mut node = Node::three_of_four();
    assert_eq!(node.judged(0, A, None, false), [node.prevoted(0, None)]);
}

#[test]
fn l28_an_invalid_repeated_proposal_gets_nil_whatever_polka_it_has() {
    let mut node = Node::three_of_four();
    node.fail_round();
    assert_eq!(node.judged(1, A, 0, false), [node.prevoted(1, None)]);
    assert_eq!(node.certify(Prevote, 0, A, 0..3), [], "and that is final");
}

#[test]
fn l34_the_prevote_timer_starts_once_at_more_than_two_thirds_of_any_prevotes() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    assert_eq!(node.prevotes(0, A, [0]), []);
    assert_eq!(node.prevotes(0, B, [1]), [schedule(0, Step::Prevote)]);
    assert_eq!(node.prevotes(0, None, [2]), []);
}

#[test]
fn l34_the_prevote_timer_is_not_needed_once_precommitted() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    assert_eq!(node.prevotes(0, A, [0, 1]), [node.precommitted(0, A)]);
    assert_eq!(node.prevotes(0, A, [2]), []);
}

#[test]
fn l36_a_polka_locks_precommits_and_makes_valid() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    assert_eq!(node.prevotes(0, A, [0, 1]), [node.precommitted(0, A)]);
    assert_eq!(node.state(), (0, Step::Precommit, Some((0, A)), Some((0, A))));
}

#[test]
fn l36_a_polka_that_is_there_before_the_proposal_acts_as_soon_as_it_comes() {
    let mut node = Node::three_of_four();
    assert_eq!(node.prevotes(0, A, 0..3), []);
    assert_eq!(node.propose(0, A, None), [node.prevoted(0, A), node.precommitted(0, A)]);
}

#[test]
fn l36_a_polka_for_a_value_judged_invalid_neither_locks_nor_makes_valid() {
    let mut node = Node::three_of_four();
    node.judged(0, A, None, false);
    assert_eq!(node.prevotes(0, A, 0..3), [schedule(0, Step::Prevote)]);
    assert_eq!(node.state(), (0, Step::Prevote, None, None));
}

#[test]
fn l44_a_nil_polka_gets_a_nil_precommit() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    assert_eq!(node.prevotes(0, None, 0..3), [schedule(0, Step::Prevote), node.precommitted(0, None)]);
    assert_eq!(node.state(), (0, Step::Precommit, None, None));
}

#[test]
fn l44_a_nil_polka_that_is_there_before_our_prevote_acts_right_after_it() {
    let mut node = Node::three_of_four();
    assert_eq!(node.prevotes(0, None, 0..3), []);
    assert_eq!(node.propose(0, A, None), [node.prevoted(0, A), node.precommitted(0, None)]);
}

#[test]
fn l47_the_precommit_timer_starts_in_any_step_at_more_than_two_thirds_of_any_precommits() {
    let mut node = Node::three_of_four();
    assert_eq!(node.precommits(0, None, [0, 1]), []);
    assert_eq!(node.precommits(0, A, [2]), [schedule(0, Step::Precommit)]);
    assert_eq!(node.state().1, Step::Propose);
}

#[test]
fn l49_more_than_two_thirds_of_precommits_decide() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, 0..3);
    assert_eq!(node.precommits(0, A, [0, 1]), [decide(0, A)]);
    assert_eq!(node.core.decided(), Some((0, A)));
    let commit = node.core.commit_certificate().unwrap();
    assert_eq!(commit, certificate(Precommit, 0, Some(A), [0, 1, 3]));
    assert_eq!(commit.check_shape(node.core.set()), Ok(()));
}

#[test]
fn l49_a_decision_needs_no_proposal() {
    let mut node = Node::three_of_four();
    assert_eq!(node.precommits(0, A, [0, 1]), []);
    assert_eq!(node.precommits(0, A, [2]), [decide(0, A)]);
    let mut node = Node::three_of_four();
    assert_eq!(node.certify(Precommit, 0, A, 0..3), [decide(0, A)]);
}

#[test]
fn l55_more_than_a_third_in_a_later_round_pull_us_there() {
    let mut node = Node::three_of_four();
    assert_eq!(node.prevotes(5, A, [0]), []);
    assert_eq!(node.precommits(5, None, [1]), [new_round(5), schedule(5, Step::Propose)]);
    assert_eq!(node.core.round(), 5);
    assert_eq!(
        node.core.vote_bitmap(Prevote, 5).iter().collect::<Vec<_>>(),
        [0],
        "what pulled us is not lost"
    );
    assert_eq!(node.core.vote_bitmap(Precommit, 5).iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn l55_the_proposer_of_the_round_we_are_pulled_to_proposes() {
    let mut node = Node::three_of_four();
    node.prevotes(3, None, [0]);
    assert_eq!(
        node.prevotes(3, None, [1]),
        [new_round(3), schedule(3, Step::Propose), Action::GetValue { height: HEIGHT, round: 3 }]
    );
}

#[test]
fn l57_without_a_proposal_in_time_prevote_nil() {
    let mut node = Node::three_of_four();
    assert_eq!(node.expire(0, Step::Propose), [node.prevoted(0, None)]);
    assert_eq!(node.propose(0, A, None), [], "a late proposal gets no second prevote");
}

#[test]
fn l61_without_a_polka_in_time_precommit_nil() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, None, [0]);
    node.prevotes(0, B, [1]);
    assert_eq!(node.expire(0, Step::Prevote), [node.precommitted(0, None)]);
    assert_eq!(node.expire(0, Step::Prevote), [], "a timer that fires twice");
}

#[test]
fn l65_without_a_decision_in_time_enter_the_next_round() {
    let mut node = Node::three_of_four();
    assert_eq!(node.fail_round(), [new_round(1), schedule(1, Step::Propose)]);
    assert_eq!(node.state(), (1, Step::Propose, None, None));
}

#[test]
fn after_the_decision_only_votes_and_certificates_are_looked_at() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, 0..2);
    node.precommits(0, A, 0..2);
    assert_eq!(node.core.commit_certificate().unwrap().signatures.len(), 3);
    let before = node.core.memory();

    assert_eq!(node.propose(1, B, None), []);
    for step in [Step::Propose, Step::Prevote, Step::Precommit] {
        assert_eq!(node.expire(0, step), []);
    }
    assert_eq!(node.feed(Event::Value { round: 0, value: B }), []);
    assert_eq!(node.feed(Event::Start), []);
    assert_eq!(node.prevotes(7, B, 0..3), [], "no round skip");
    assert_eq!(node.certify(Precommit, 1, B, 0..3), [], "no second decision");
    assert_eq!(node.core.memory(), before);
    // And nothing of it is kept, or worth a look at its signature.
    assert_eq!((node.core.proposal(1), node.core.certificate(Precommit, 1)), (None, None));
    assert!(!node.core.is_new_proposal(&proposal(1, 1, B, None).proposal));
    assert!(!node.core.is_new(&vote(Prevote, 8, 0, Some(B)).vote));

    let equivocation =
        Action::Equivocation { first: vote(Precommit, 0, 1, Some(A)), second: vote(Precommit, 0, 1, None) };
    assert_eq!(node.precommits(0, None, [1]), [equivocation], "evidence is still collected");
    assert_eq!(node.precommits(0, A, [2]), [], "a late precommit");
    assert_eq!(node.core.commit_certificate().unwrap(), certificate(Precommit, 0, Some(A), 0..4));
}

#[test]
fn a_late_commit_certificate_completes_ours() {
    let mut node = Node::three_of_four();
    node.certify(Precommit, 0, A, [0, 1, 2]);
    assert_eq!(node.certify(Precommit, 0, A, [0, 1, 3]), []);
    assert_eq!(node.core.commit_certificate().unwrap(), certificate(Precommit, 0, Some(A), 0..4));
}

#[test]
fn the_next_height_starts_from_nothing_in_place() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, 0..3);
    node.precommits(0, A, 0..3);
    node.core.next_height(equal(7), Some(2));
    assert_eq!((node.core.height(), node.core.me(), node.core.set().len()), (HEIGHT + 1, Some(2), 7));
    assert_eq!((node.state(), node.core.decided()), ((0, Step::Propose, None, None), None));
    assert!(node.core.vote_bitmap(Prevote, 0).is_empty() && node.core.proposal(0).is_none());
    assert!(node.core.commit_certificate().is_none());
    assert_eq!(node.feed(Event::Vote(vote(Prevote, 0, 0, None))), [], "a vote of the old height");
    assert!(node.core.vote_bitmap(Prevote, 0).is_empty());
    assert!(matches!(node.feed(Event::Start)[..], [Action::NewRound { round: 0 }, Action::Schedule(_)]));
}

#[test]
fn the_next_height_forgets_how_far_the_last_one_went() {
    let mut node = Node::three_of_four();
    node.prevotes(40, None, [0, 1]);
    node.certify(Prevote, 7, A, 0..3);
    node.prevotes(90, None, [2]);
    assert_eq!(node.core.round(), 40);
    node.core.reset(HEIGHT, equal(4), Some(3));
    assert_eq!(node.feed(Event::Start), [new_round(0), schedule(0, Step::Propose)], "nobody is ahead");
    assert!(node.core.is_new(&vote(Prevote, 90, 2, None).vote), "nothing of the far rounds is known");
    assert!(node.core.vote_bitmap(Prevote, 7).is_empty());
    node.prevotes(40, None, [0, 1]);
    assert!(!node.core.is_new(&vote(Prevote, 7, 2, Some(A)).vote), "and nothing of the old ones is wanted");
}

#[test]
fn messages_that_come_before_the_start_count_when_it_comes() {
    let mut node = Node::fresh(equal(4), 3);
    assert_eq!(node.propose(0, A, None), []);
    assert_eq!(node.prevotes(0, A, 0..3), []);
    assert_eq!(
        node.feed(Event::Start),
        [new_round(0), schedule(0, Step::Propose), node.prevoted(0, A), node.precommitted(0, A)]
    );
}

#[test]
fn a_start_behind_the_others_goes_straight_to_their_round() {
    let mut node = Node::fresh(equal(4), 3);
    node.certify(Prevote, 9, A, 0..3);
    node.propose(9, A, None);
    assert_eq!(
        node.feed(Event::Start),
        [new_round(9), schedule(9, Step::Propose), node.prevoted(9, A), node.precommitted(9, A)]
    );
}

#[test]
fn a_commit_decides_even_before_the_start() {
    let mut node = Node::fresh(equal(4), 3);
    assert_eq!(node.certify(Precommit, 2, A, 0..3), [decide(2, A)]);
    assert_eq!(node.feed(Event::Start), []);
}

#[test]
fn an_observer_follows_but_says_nothing() {
    let mut node = Node::fresh(equal(4), 9);
    assert_eq!(node.core.me(), None, "an index outside the set is no validator");
    assert_eq!(node.feed(Event::Start), [new_round(0), schedule(0, Step::Propose)]);
    assert_eq!(node.propose(0, A, None), []);
    assert_eq!(node.prevotes(0, A, 0..3), []);
    assert_eq!(node.state(), (0, Step::Precommit, Some((0, A)), Some((0, A))));
    assert_eq!(node.precommits(0, A, 0..3), [decide(0, A)]);
}
