//! Pitfalls 12 and 13, and what goes with them: which rounds are kept, which are noted, which are forgotten.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use trustnet_bft::{Event, MAX_ROUND, Round, Step};

#[test]
fn pitfall_12_votes_stored_for_a_future_round_act_when_we_get_there() {
    let mut node = Node::three_of_four();
    node.propose(1, A, None);
    node.prevotes(1, A, [1]);
    node.precommits(1, A, [1]);
    assert_eq!(
        node.prevotes(1, A, [0]),
        [new_round(1), schedule(1, Step::Propose), node.prevoted(1, A), node.precommitted(1, A)]
    );
    assert_eq!(node.precommits(1, A, [0]), [decide(1, A)]);
}

#[test]
fn pitfall_12_far_votes_and_proposals_act_when_we_get_there() {
    let mut node = Node::three_of_four();
    node.propose(9, A, None);
    node.precommits(9, A, [1]);
    node.prevotes(9, A, [1]);
    assert_eq!(
        node.prevotes(9, A, [0]),
        [new_round(9), schedule(9, Step::Propose), node.prevoted(9, A), node.precommitted(9, A)]
    );
    assert_eq!(node.precommits(9, A, [0]), [decide(9, A)]);
}

#[test]
fn pitfall_13_a_validator_has_one_place_for_all_far_rounds() {
    let mut node = Node::three_of_four();
    for round in (3..1000).chain([MAX_ROUND]) {
        assert_eq!(node.prevotes(round, A, [0]), []);
    }
    assert!(!node.core.is_new(&vote(Prevote, 500, 0, Some(A)).vote), "older than its newest");
    assert!(!node.core.is_new(&vote(Prevote, MAX_ROUND, 0, Some(A)).vote), "known");
    assert!(node.core.is_new(&vote(Precommit, MAX_ROUND, 0, Some(A)).vote));
    // The place belongs to validator 0; 1 and 2 still get us to where they are.
    node.prevotes(300, A, [1]);
    assert_eq!(node.core.round(), 300);
    assert_eq!(node.core.vote_bitmap(Prevote, 300).iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn pitfall_13_rounds_beyond_the_last_are_ignored() {
    let mut node = Node::three_of_four();
    for round in [MAX_ROUND + 1, Round::MAX] {
        assert!(!node.core.is_new(&vote(Prevote, round, 0, Some(A)).vote));
        assert_eq!(node.prevotes(round, A, 0..3), []);
        assert_eq!(node.certify(Prevote, round, A, 0..3), []);
        assert_eq!(node.certify(Precommit, round, A, 0..3), []);
        let proposal = proposal(round, node.core.proposer(round), A, None);
        assert_eq!(node.feed(Event::Proposal { proposal, valid: true }), []);
    }
    assert_eq!(node.core.round(), 0);
}

#[test]
fn pitfall_13_the_last_round_has_no_next() {
    let mut node = Node::three_of_four();
    node.prevotes(MAX_ROUND, None, [0, 1]);
    assert_eq!(node.core.round(), MAX_ROUND);
    assert_eq!(node.fail_round(), []);
    assert_eq!(node.core.round(), MAX_ROUND);
}

#[test]
fn pitfall_15_a_contradiction_is_new_once_in_every_far_round() {
    let mut node = Node::three_of_four();
    for round in [30, 31, 500] {
        for kind in [Prevote, Precommit] {
            assert_eq!(node.votes(kind, round, Some(A), [1]), []);
            assert_eq!(node.votes(kind, round, Some(B), [1]).len(), 1, "evidence of round {round}");
            assert_eq!(node.votes(kind, round, None, [1]), []);
        }
    }
}

#[test]
fn of_two_proposals_of_a_far_round_the_first_is_kept() {
    let mut node = Node::three_of_four();
    node.propose(9, A, None);
    assert!(!node.core.is_new_proposal(&proposal(9, 1, B, None).proposal));
    node.propose(9, B, None);
    assert!(node.prevotes(9, None, [0]).contains(&node.prevoted(9, A)));
}

#[test]
fn forgotten_rounds_take_no_votes() {
    let mut node = Node::three_of_four();
    node.prevotes(0, A, [0]);
    node.prevotes(10, None, [0, 1]);
    assert_eq!(node.core.round(), 10);
    for round in [0, 1, 7] {
        assert!(!node.core.is_new(&vote(Prevote, round, 2, Some(A)).vote));
        assert_eq!(node.prevotes(round, A, 0..3), []);
        assert_eq!(node.precommits(round, A, 0..3), []);
        assert!(node.core.vote_bitmap(Prevote, round).is_empty());
    }
    assert!(node.core.is_new(&vote(Prevote, 8, 2, Some(A)).vote));
    // From two rounds before ours to two rounds after it, every vote has its place.
    for round in 8..=12 {
        node.precommits(round, A, [2]);
        assert!(node.core.vote_of(Precommit, round, 2).is_some(), "{round}");
    }
    node.precommits(13, A, [2]);
    assert_eq!(node.core.vote_of(Precommit, 13, 2), None, "further ahead it is only noted who is there");
}

#[test]
fn a_tally_that_is_used_again_starts_empty() {
    let mut node = Node::three_of_four();
    for round in 0..40 {
        for kind in [Prevote, Precommit] {
            assert!(node.core.vote_bitmap(kind, round).is_empty(), "{kind:?} {round}");
            assert_eq!(node.core.certificate(kind, round), None, "{kind:?} {round}");
        }
        assert_eq!(node.core.proposal(round), None, "{round}");
        let leader = node.core.proposer(round);
        // Everything that a tally can hold: two proposals, evidence, quorums.
        if leader != 3 {
            assert_eq!(
                node.propose(round, value(round as u8), None)[0],
                node.prevoted(round, value(round as u8))
            );
            assert_eq!(node.propose(round, B, None).len(), 1, "evidence");
        }
        assert_eq!(node.prevotes(round, None, [0]), []);
        assert_eq!(node.prevotes(round, B, [0]).len(), 1, "evidence");
        node.certify(Prevote, round, None, 0..3);
        assert_eq!(node.precommits(round, A, [0]), []);
        assert_eq!(node.precommits(round, B, [0]).len(), 1, "evidence");
        node.certify(Precommit, round, None, 0..3);
        node.expire(round, Step::Precommit);
        assert_eq!(node.core.round(), round + 1);
    }
}
