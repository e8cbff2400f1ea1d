//! Pitfalls 1 to 6 of consensus.md: locks, valid values, re-proposals. Validator 3 of four equals.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use trustnet_bft::{Event, Memory, Step};

/// Validator 3, locked on A in round 0, at the start of round 1.
fn locked_on_a() -> Node {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, [0, 1]);
    node.precommits(0, None, [0, 1]);
    node.expire(0, Step::Precommit);
    assert_eq!(node.state(), (1, Step::Propose, Some((0, A)), Some((0, A))));
    node
}

/// Validator 3, locked on A in round 0, at the start of a later round, into which others have pulled it.
fn locked_on_a_in_round(round: u32) -> Node {
    let mut node = locked_on_a();
    node.precommits(round, None, [0, 1]);
    assert_eq!(node.core.round(), round);
    node
}

#[test]
fn pitfall_01_a_lock_refuses_a_fresh_proposal_of_another_value() {
    let mut node = locked_on_a();
    assert_eq!(node.propose(1, B, None), [node.prevoted(1, None)]);
}

#[test]
fn pitfall_01_a_lock_accepts_a_fresh_proposal_of_its_value() {
    let mut node = locked_on_a();
    assert_eq!(node.propose(1, A, None), [node.prevoted(1, A)]);
}

#[test]
fn pitfall_01_a_lock_yields_to_a_newer_polka() {
    let mut node = locked_on_a_in_round(2);
    assert_eq!(node.certify(Prevote, 1, B, 0..3), []);
    assert_eq!(node.propose(2, B, 1), [node.prevoted(2, B)]);
    // And the polka of round 2 moves the lock.
    assert_eq!(node.prevotes(2, B, [0, 1])[0], node.precommitted(2, B));
    assert_eq!(node.state(), (2, Step::Precommit, Some((2, B)), Some((2, B))));
}

#[test]
fn pitfall_01_a_lock_yields_to_a_polka_of_its_own_round() {
    // Impossible with less than 1/3 Byzantine (two polkas in one round); the rule is `lockedRound <= vr` all the same.
    let mut node = Node::restored(
        equal(4),
        3,
        Memory {
            height: HEIGHT,
            round: 2,
            step: Step::Propose,
            proposed: None,
            prevoted: None,
            precommitted: None,
            locked: Some((1, A)),
            valid: Some((1, A)),
        },
    );
    node.run(Event::Start);
    node.certify(Prevote, 1, B, 0..3);
    assert_eq!(node.propose(2, B, 1), [node.prevoted(2, B)]);
}

#[test]
fn pitfall_01_a_lock_does_not_yield_to_an_older_polka() {
    // Locked on A in round 1, then B comes with a polka of round 0.
    let mut node = Node::three_of_four();
    node.fail_round();
    node.propose(1, A, None);
    node.prevotes(1, A, [0, 1]);
    node.precommits(1, None, [0, 1]);
    node.expire(1, Step::Precommit);
    assert_eq!(node.state(), (2, Step::Propose, Some((1, A)), Some((1, A))));
    node.certify(Prevote, 0, B, 0..3);
    assert_eq!(node.propose(2, B, 0), [node.prevoted(2, None)]);
}

#[test]
fn pitfall_01_an_older_polka_of_the_locked_value_is_accepted() {
    // L29, "or lockedValue = v".
    let mut node = Node::three_of_four();
    node.fail_round();
    node.propose(1, A, None);
    node.prevotes(1, A, [0, 1]);
    node.precommits(1, None, [0, 1]);
    node.expire(1, Step::Precommit);
    node.certify(Prevote, 0, A, 0..3);
    assert_eq!(node.propose(2, A, 0), [node.prevoted(2, A)]);
}

#[test]
fn pitfall_01_a_polka_by_too_few_is_no_polka() {
    let mut node = locked_on_a_in_round(2);
    node.prevotes(1, B, [0, 1]);
    assert_eq!(node.propose(2, B, 1), [], "it waits");
    assert_eq!(node.prevotes(1, B, [2]), [node.prevoted(2, B)], "until the third prevote comes");
}

#[test]
fn pitfall_02_a_nil_polka_does_not_unlock() {
    let mut node = locked_on_a();
    node.expire(1, Step::Propose);
    node.prevotes(1, None, 0..3);
    assert_eq!(node.state(), (1, Step::Precommit, Some((0, A)), Some((0, A))));
    node.precommits(1, None, 0..3);
    node.expire(1, Step::Precommit);
    assert_eq!(node.propose(2, B, None), [node.prevoted(2, None)]);
}

#[test]
fn pitfall_02_the_locked_value_is_not_prevoted_without_a_proposal_of_it() {
    let mut node = locked_on_a();
    assert_eq!(node.expire(1, Step::Propose), [node.prevoted(1, None)]);
}

#[test]
fn pitfall_02_a_polka_for_an_unknown_value_does_not_unlock() {
    let mut node = locked_on_a();
    node.expire(1, Step::Propose);
    assert_eq!(node.prevotes(1, B, 0..3), [schedule(1, Step::Prevote)]);
    assert_eq!(node.state(), (1, Step::Prevote, Some((0, A)), Some((0, A))));
}

#[test]
fn pitfall_03_polka_after_precommit_still_sets_valid() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, None, [0]);
    node.prevotes(0, B, [1]);
    node.expire(0, Step::Prevote);
    assert_eq!(node.state(), (0, Step::Precommit, None, None));
    assert_eq!(node.certify(Prevote, 0, A, 0..3).len(), 2, "two pieces of evidence, no second precommit");
    assert_eq!(node.state(), (0, Step::Precommit, None, Some((0, A))));
}

#[test]
fn pitfall_03_the_valid_value_is_proposed_and_not_the_locked_one() {
    let mut node = locked_on_a();
    // Round 1: B gets its polka after our nil precommit. Valid is B, locked stays A.
    node.propose(1, B, None);
    node.prevotes(1, None, [0]);
    node.prevotes(1, B, [1]);
    node.expire(1, Step::Prevote);
    node.certify(Prevote, 1, B, 0..3);
    assert_eq!(node.state(), (1, Step::Precommit, Some((0, A)), Some((1, B))));
    node.precommits(3, None, [0]);
    assert_eq!(
        node.precommits(3, None, [1]),
        [
            new_round(3),
            schedule(3, Step::Propose),
            proposed(3, 3, B, 1),
            // Our polka of round 1 is newer than our lock: we may prevote our own proposal.
            node.prevoted(3, B),
        ]
    );
}

#[test]
fn pitfall_03_a_polka_that_completes_after_its_round_sets_valid_but_never_votes() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, [0]);
    node.precommits(0, None, 0..3);
    node.expire(0, Step::Precommit);
    assert_eq!(node.state(), (1, Step::Propose, None, None));
    assert_eq!(node.prevotes(0, A, [1]), []);
    assert_eq!(node.state(), (1, Step::Propose, None, Some((0, A))));
    // A lock it is not.
    assert_eq!(node.propose(1, B, None), [node.prevoted(1, B)]);
}

#[test]
fn pitfall_03_a_late_polka_for_a_value_that_we_do_not_hold_or_that_is_bad_does_not_set_valid() {
    let mut node = Node::three_of_four();
    node.judged(0, B, None, false);
    node.fail_round();
    node.prevotes(0, A, [0, 1, 2]);
    assert!(node.core.polka_certificate(0).is_some());
    assert_eq!(node.core.valid(), None);
    let mut node = Node::three_of_four();
    node.judged(0, B, None, false);
    node.fail_round();
    node.prevotes(0, B, [0, 1, 2]);
    assert_eq!(node.core.valid(), None);
}

#[test]
fn pitfall_03_valid_never_goes_back_to_an_older_polka() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.fail_round();
    node.propose(1, B, None);
    node.prevotes(1, B, [0, 1]);
    assert_eq!(node.state(), (1, Step::Precommit, Some((1, B)), Some((1, B))));
    node.prevotes(0, A, 0..3);
    assert!(node.core.polka_certificate(0).is_some());
    assert_eq!(node.core.valid(), Some((1, B)));
}

#[test]
fn pitfall_03_valid_never_goes_back_after_a_crash_either() {
    // The polka of the valid value is lost with the log; an older one comes first.
    let memory = Memory { round: 2, valid: Some((1, B)), ..locked_on_a().core.memory() };
    let mut node = Node::restored(equal(4), 3, memory);
    node.run(Event::Start);
    node.propose(0, A, None);
    node.certify(Prevote, 0, A, 0..3);
    assert!(node.core.polka_certificate(0).is_some());
    assert_eq!(node.core.valid(), Some((1, B)));
}

#[test]
fn pitfall_03_a_polka_of_the_round_makes_valid_only_after_our_prevote() {
    let mut node = locked_on_a_in_round(2);
    assert_eq!(node.propose(2, B, 1), [], "it waits for the polka of round 1");
    assert_eq!(node.prevotes(2, B, 0..3), []);
    assert_eq!(node.state(), (2, Step::Propose, Some((0, A)), Some((0, A))));
    assert_eq!(node.expire(2, Step::Propose)[..2], [node.prevoted(2, None), node.precommitted(2, B)]);
    assert_eq!(node.state(), (2, Step::Precommit, Some((2, B)), Some((2, B))));
}

#[test]
fn pitfall_04_a_pol_round_that_is_not_before_the_round_is_ignored() {
    for pol_round in [2, 3, u32::MAX] {
        let mut node = Node::three_of_four();
        node.precommits(2, None, [0, 1]);
        assert_eq!(node.propose(2, A, pol_round), []);
        assert_eq!(node.core.proposal(2), None);
        assert!(!node.core.is_new_proposal(&proposal(2, 2, A, pol_round).proposal));
        // It does not take the place of a proper one.
        assert_eq!(node.propose(2, B, None), [node.prevoted(2, B)]);
    }
}

#[test]
fn pitfall_04_a_repeated_proposal_without_its_polka_waits_for_the_timeout() {
    let mut node = locked_on_a_in_round(2);
    assert_eq!(node.propose(2, B, 1), []);
    assert_eq!(node.state().1, Step::Propose);
    assert_eq!(node.expire(2, Step::Propose), [node.prevoted(2, None)]);
    assert_eq!(node.certify(Prevote, 1, B, 0..3), [], "too late to prevote");
}

#[test]
fn pitfall_05_the_polka_may_come_before_or_after_the_proposal_however_old_it_is() {
    for certificate_first in [false, true] {
        let mut node = Node::three_of_four();
        node.precommits(40, None, [0, 1]);
        if certificate_first {
            assert_eq!(node.certify(Prevote, 7, A, 0..3), []);
            assert_eq!(node.propose(40, A, 7), [node.prevoted(40, A)]);
        } else {
            assert_eq!(node.propose(40, A, 7), []);
            assert_eq!(node.certify(Prevote, 7, A, 0..3), [node.prevoted(40, A)]);
        }
        assert_eq!(node.core.polka_certificate(7).unwrap(), certificate(Prevote, 7, Some(A), 0..3));
    }
}

#[test]
fn pitfall_05_an_old_polka_may_also_come_vote_by_vote() {
    let mut node = Node::three_of_four();
    node.precommits(40, None, [0, 1]);
    assert_eq!(node.prevotes(7, A, 0..3), [], "nobody has asked for round 7");
    node.propose(40, A, 7);
    assert_eq!(node.prevotes(7, A, 0..3), [node.prevoted(40, A)]);
}

#[test]
fn pitfall_05_the_polka_of_our_valid_value_is_kept_for_any_number_of_rounds() {
    let mut node = locked_on_a();
    for round in [2, 9, 400, 70_000] {
        node.precommits(round, None, [0, 1]);
        assert_eq!(node.core.polka_certificate(0).unwrap(), certificate(Prevote, 0, Some(A), [0, 1, 3]));
    }
    node.precommits(70_003, None, [0]);
    let actions = node.precommits(70_003, None, [1]);
    assert!(actions.contains(&proposed(70_003, 3, A, 0)));
    assert!(actions.contains(&node.prevoted(70_003, A)));
}

#[test]
fn pitfall_05_a_restarted_validator_remembers_that_it_saw_the_polka() {
    let memory = locked_on_a().core.memory();
    for memory in [Memory { locked: None, ..memory }, Memory { valid: None, ..memory }] {
        let mut node = Node::restored(equal(4), 3, memory);
        node.run(Event::Start);
        assert_eq!(node.propose(1, A, 0), [node.prevoted(1, A)]);
    }
    let mut node = Node::restored(equal(4), 3, Memory { locked: None, valid: None, ..memory });
    node.run(Event::Start);
    assert_eq!(node.propose(1, A, 0), []);
}

#[test]
fn pitfall_05_the_polka_of_a_proposal_for_the_next_round_is_kept_until_we_get_there() {
    // Our valid value is newer than both polkas, so that neither is kept for being valid.
    let memory = Memory { round: 40, valid: Some((20, B)), ..locked_on_a().core.memory() };
    let mut node = Node::restored(equal(4), 3, memory);
    node.run(Event::Start);
    node.propose(41, A, 7);
    node.certify(Prevote, 7, A, 0..3);
    // Another old polka does not push it out.
    node.certify(Prevote, 5, B, 0..3);
    assert!(node.core.polka_certificate(5).is_some() && node.core.polka_certificate(7).is_some());
    node.fail_round();
    assert_eq!(node.state().1, Step::Prevote);
    assert_eq!(node.core.memory().prevoted, Some(Some(A)));
}

#[test]
fn pitfall_05_an_old_polka_is_kept_from_the_moment_it_makes_its_value_valid() {
    let mut node = Node::three_of_four();
    node.precommits(40, None, [0, 1]);
    node.propose(40, A, None);
    node.certify(Prevote, 7, A, 0..3);
    assert_eq!(node.core.valid(), Some((7, A)));
    // The next certificate of a forgotten round takes the place of the last one, but not of this one.
    node.certify(Prevote, 5, B, 0..3);
    assert!(node.core.polka_certificate(5).is_some() && node.core.polka_certificate(7).is_some());
}

#[test]
fn pitfall_05_a_nil_certificate_of_a_forgotten_round_does_not_take_the_place_of_a_polka() {
    let mut node = Node::three_of_four();
    node.precommits(40, None, [0, 1]);
    node.certify(Prevote, 7, A, 0..3);
    assert_eq!(node.certify(Prevote, 5, None, 0..3), []);
    assert_eq!(node.certify(Precommit, 5, None, 0..3), []);
    assert_eq!(node.propose(40, A, 7), [node.prevoted(40, A)]);
}

#[test]
fn pitfall_06_a_polka_for_one_value_says_nothing_about_another() {
    let mut node = Node::three_of_four();
    node.precommits(1, None, [0, 1]);
    node.certify(Prevote, 0, A, 0..3);
    assert_eq!(node.propose(1, B, 0), [], "no prevote on the strength of the polka of A");
    assert_eq!(node.expire(1, Step::Propose), [node.prevoted(1, None)]);

    let mut node = Node::three_of_four();
    node.propose(0, B, None);
    assert_eq!(node.prevotes(0, A, 0..3), [schedule(0, Step::Prevote)], "no lock either");
    assert_eq!(node.state(), (0, Step::Prevote, None, None));
}

#[test]
fn the_second_proposal_of_an_equivocator_can_win_the_polka() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    assert_eq!(node.propose(0, B, None).len(), 1, "evidence");
    assert_eq!(node.prevotes(0, B, 0..3), [schedule(0, Step::Prevote), node.precommitted(0, B)]);
    assert_eq!(node.core.locked(), Some((0, B)));
}

#[test]
fn agreement_holds_when_one_has_decided_and_the_others_go_on() {
    // CometBFT's POL safety scenario: A was locked by more than 2/3 in round 0, one validator decided it. In round 1 the
    // Byzantine proposer tries B; the locked ones refuse, so B can never get a polka.
    let mut node = locked_on_a();
    assert_eq!(node.propose(1, B, None), [node.prevoted(1, None)]);
    assert_eq!(node.prevotes(1, None, [1, 2]), [node.precommitted(1, None)]);
    assert_eq!(node.core.locked(), Some((0, A)));
    assert_eq!(node.certify(Precommit, 0, A, 1..4).last(), Some(&decide(0, A)), "the commit of round 0");
}
