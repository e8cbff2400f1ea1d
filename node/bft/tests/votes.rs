//! Pitfalls 7 to 17 but 12 and 13: thresholds, equivocation, certificates, what peers may send.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use trustnet_bft::{
    Action, CertificateError, Event, Index, MAX_ROUND, Power, SetError, Signature, Step, ValidatorSet,
};

#[test]
fn pitfall_07_the_quorum_is_strictly_more_than_two_thirds_of_power() {
    for (powers, quorum, third) in [
        (&[1][..], 1, 1),
        (&[1, 1], 2, 1),
        (&[1, 1, 1], 3, 2),
        (&[1, 1, 1, 1], 3, 2),
        (&[1; 7], 5, 3),
        (&[10, 20, 30], 41, 21),
        (&[1 << 58, 1 << 58, 1 << 59], (1 << 61) / 3 + 1, (1 << 60) / 3 + 1),
    ] {
        let set = weighted(powers);
        assert!(set.has_quorum(quorum) && !set.has_quorum(quorum - 1), "{powers:?}");
        assert!(set.has_third(third) && !set.has_third(third - 1), "{powers:?}");
        let faulty = set.max_faulty_power();
        assert!(3 * faulty < set.total() && 3 * (faulty + 1) >= set.total(), "{powers:?}");
        assert!(set.has_quorum(set.total() - faulty), "the honest alone are a quorum");
        assert!(set.has_quorum(Power::MAX) && set.has_third(Power::MAX), "no overflow");
    }
}

#[test]
fn pitfall_07_counts_do_not_matter_but_powers_do() {
    // Validator 0 alone has 6 of 9: exactly 2/3, which is not enough.
    let mut node = Node::started(weighted(&[6, 1, 1, 1]), 3);
    node.propose(0, A, None);
    assert_eq!(node.state().1, Step::Prevote);
    assert_eq!(node.core.memory().prevoted, Some(Some(A)), "our own vote makes it 7");
    assert_eq!(node.prevotes(0, A, [0]), [node.precommitted(0, A)]);

    let mut node = Node::started(weighted(&[6, 1, 1, 1]), 3);
    assert_eq!(node.precommits(0, A, [0]), []);
    assert_eq!(node.precommits(0, A, [1]), [decide(0, A)]);

    // Three of four validators are not enough without the strong one.
    let mut node = Node::started(weighted(&[6, 1, 1, 1]), 3);
    assert_eq!(node.precommits(0, A, [1, 2, 3]), []);
}

#[test]
fn pitfall_08_a_certificate_counts_even_where_we_know_another_vote() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, [0]);
    // Validator 1 told us B, and the others A. Their polka must reach us all the same.
    node.prevotes(0, B, [1]);
    let first = vote(Prevote, 0, 1, Some(B));
    let second = vote(Prevote, 0, 1, Some(A));
    assert_eq!(
        node.certify(Prevote, 0, A, [0, 1, 2]),
        [Action::Equivocation { first, second }, node.precommitted(0, A)]
    );
    assert_eq!(node.core.polka_certificate(0).unwrap(), certificate(Prevote, 0, Some(A), 0..4));
}

#[test]
fn pitfall_08_a_commit_certificate_decides_in_spite_of_an_equivocator() {
    let mut node = Node::three_of_four();
    node.precommits(0, None, [1]);
    let actions = node.certify(Precommit, 0, A, [0, 1, 2]);
    assert!(matches!(actions[..], [Action::Equivocation { .. }, Action::Decide { round: 0, value: A }]));
    assert_eq!(node.core.commit_certificate().unwrap(), certificate(Precommit, 0, Some(A), [0, 1, 2]));
}

#[test]
fn pitfall_08_a_nil_certificate_works_as_well() {
    let mut node = Node::three_of_four();
    node.propose(0, A, None);
    node.prevotes(0, A, [1]);
    let actions = node.certify(Prevote, 0, None, [0, 1, 2]);
    assert!(actions.contains(&node.precommitted(0, None)));
    assert_eq!(node.core.certificate(Prevote, 0).unwrap(), certificate(Prevote, 0, None, 0..3));
    assert_eq!(node.core.polka_certificate(0), None, "it is no polka of a value");
}

#[test]
fn pitfall_08_two_contradicting_certificates_cost_neither_the_first_quorum_nor_the_evidence() {
    // Needs more than 1/3 Byzantine: what was true stays, and everybody who contradicts himself is reported.
    let mut node = Node::three_of_four();
    node.certify(Prevote, 0, A, 0..3);
    assert_eq!(node.certify(Prevote, 0, B, 0..3).len(), 3);
    assert_eq!(node.core.polka_certificate(0).unwrap(), certificate(Prevote, 0, Some(A), 0..3));
}

#[test]
fn pitfall_09_a_round_skip_counts_distinct_senders_over_prevotes_and_precommits() {
    let mut node = Node::three_of_four();
    assert_eq!(node.prevotes(1, A, [0]), []);
    assert_eq!(node.precommits(1, A, [0]), [], "the same sender twice is one sender");
    assert_eq!(node.prevotes(1, A, [0]), []);
    assert_eq!(node.precommits(1, None, [2])[0], new_round(1));
}

#[test]
fn pitfall_09_a_round_skip_counts_a_proposal_as_a_sign_of_life() {
    let mut node = Node::three_of_four();
    assert_eq!(node.propose(1, A, None), []);
    assert_eq!(
        node.prevotes(1, A, [0]),
        [new_round(1), schedule(1, Step::Propose), node.prevoted(1, A)],
        "1 proposed and 0 prevoted"
    );
}

#[test]
fn pitfall_09_senders_in_different_rounds_pull_to_the_lower_one() {
    let mut node = Node::three_of_four();
    node.prevotes(9, None, [0]);
    assert_eq!(node.prevotes(6, None, [1])[0], new_round(6));
    assert_eq!(node.prevotes(8, None, [2])[0], new_round(8), "and on, as others follow");
}

#[test]
fn pitfall_09_an_old_vote_that_comes_late_does_not_hide_where_its_sender_is() {
    let mut node = Node::three_of_four();
    node.prevotes(5, None, [0]);
    node.prevotes(0, None, [0]);
    assert_eq!(node.prevotes(5, None, [1])[0], new_round(5));
}

#[test]
fn pitfall_09_less_than_a_third_pulls_nobody() {
    let mut node = Node::started(equal(7), 6);
    for round in 1..50 {
        assert_eq!(node.prevotes(round, A, [0, 1]), []);
        assert_eq!(node.precommits(round, A, [0, 1]), []);
    }
    assert_eq!(node.core.round(), 0);
}

#[test]
fn pitfall_10_a_commit_outranks_the_round_skip_in_any_round() {
    for round in [0, 2, 4, 5, 6, 7, 8, 100, MAX_ROUND] {
        // In round 5, by a certificate.
        let mut node = Node::three_of_four();
        node.prevotes(5, None, [0, 1]);
        assert_eq!(node.certify(Precommit, round, A, 0..3), [decide(round, A)], "round {round}");
        assert_eq!(node.core.round(), 5, "it does not move");
        assert_eq!(node.core.commit_certificate().unwrap(), certificate(Precommit, round, Some(A), 0..3));
        assert_eq!(node.precommits(round, A, [3]), []);
        assert_eq!(node.core.commit_certificate().unwrap(), certificate(Precommit, round, Some(A), 0..4));
    }
}

#[test]
fn pitfall_10_single_precommits_decide_in_the_rounds_of_the_window() {
    for (round, actions) in [(3, 1), (4, 1), (5, 1), (6, 3), (7, 4)] {
        let mut node = Node::three_of_four();
        node.prevotes(5, None, [0, 1]);
        let all = node.precommits(round, A, 0..3);
        assert_eq!(all.last(), Some(&decide(round, A)));
        assert_eq!(all.len(), actions, "in a future round, the skip comes first (and we propose in round 7)");
    }
}

#[test]
fn pitfall_11_any_precommits_do_not_shadow_the_polka_that_waits_for_our_step() {
    for (polka, answer) in [(Some(A), Some(A)), (None, None)] {
        let mut node = Node::three_of_four();
        node.prevotes(0, polka, 0..3);
        assert_eq!(node.precommits(0, None, 0..3), [schedule(0, Step::Precommit)]);
        assert_eq!(node.propose(0, A, None), [node.prevoted(0, A), node.precommitted(0, answer)]);
    }
}

#[test]
fn pitfall_11_prevotes_of_any_kind_start_the_timer_when_our_step_comes() {
    let mut node = Node::three_of_four();
    node.prevotes(0, A, [0]);
    node.prevotes(0, B, [1]);
    assert_eq!(node.prevotes(0, None, [2]), []);
    assert_eq!(node.expire(0, Step::Propose), [node.prevoted(0, None), schedule(0, Step::Prevote)]);
}

#[test]
fn pitfall_14_every_validator_may_vote_for_another_value() {
    let mut node = Node::started(equal(8), 7);
    for voter in 0..7 {
        node.prevotes(0, value(voter as u8), [voter]);
        node.precommits(0, value(100 + voter as u8), [voter]);
    }
    for voter in 0..7 {
        assert_eq!(
            node.core.vote_of(Prevote, 0, voter),
            Some(vote(Prevote, 0, voter, Some(value(voter as u8))))
        );
    }
    assert_eq!(node.core.votes(Precommit, 0).count(), 7);
    assert_eq!(node.core.certificate(Prevote, 0), None);
}

#[test]
fn pitfall_15_strangers_duplicates_and_other_heights_are_known_before_the_signature_is_checked() {
    let mut node = Node::three_of_four();
    let good = vote(Prevote, 0, 1, Some(A)).vote;
    assert!(node.core.is_new(&good));
    for height in [HEIGHT - 1, HEIGHT + 1, 0, u64::MAX] {
        assert!(!node.core.is_new(&trustnet_bft::Vote { height, ..good }));
    }
    for validator in [4, 7, 8, 127, 128, Index::MAX] {
        assert!(!node.core.is_new(&trustnet_bft::Vote { validator, ..good }));
        assert_eq!(node.prevotes(0, A, [validator]), []);
        assert_eq!(node.core.vote_of(Prevote, 0, validator), None);
    }
    node.prevotes(0, A, [1]);
    assert!(!node.core.is_new(&good));
    assert_eq!(node.core.votes(Prevote, 0).count(), 1);
}

#[test]
fn pitfall_15_a_contradiction_is_new_once() {
    for (round, who) in [(0, "current"), (1, "next"), (30, "far")] {
        for kind in [Prevote, Precommit] {
            let mut node = Node::three_of_four();
            let first = vote(kind, round, 1, Some(A));
            let second = vote(kind, round, 1, None);
            node.votes(kind, round, Some(A), [1]);
            assert!(node.core.is_new(&second.vote), "{who}");
            assert_eq!(node.votes(kind, round, None, [1]), [Action::Equivocation { first, second }], "{who}");
            for third in [None, Some(A), Some(B)] {
                assert!(!node.core.is_new(&vote(kind, round, 1, third).vote), "{who}");
                assert_eq!(node.votes(kind, round, third, [1]), [], "{who}");
            }
            // Still so when the round becomes the current one, and the first vote is the one that counts.
            node.votes(kind, round, Some(A), [2]);
            assert_eq!(node.core.round(), round);
            assert_eq!(node.votes(kind, round, Some(B), [1]), [], "{who}");
            assert_eq!(node.core.vote_of(kind, round, 1), Some(first), "{who}");
        }
    }
}

#[test]
fn the_same_vote_with_another_signature_is_a_duplicate() {
    let mut node = Node::three_of_four();
    node.prevotes(0, A, [1]);
    let mut again = vote(Prevote, 0, 1, Some(A));
    again.signature = Signature([0xFF; 64]);
    assert_eq!(node.feed(Event::Vote(again)), []);
    assert_eq!(node.core.vote_of(Prevote, 0, 1), Some(vote(Prevote, 0, 1, Some(A))));
}

#[test]
fn a_proposer_that_contradicts_itself_is_reported_once() {
    let mut node = Node::three_of_four();
    assert_eq!(node.propose(0, A, None).len(), 1);
    let (first, second) = (proposal(0, 0, A, None), proposal(0, 0, B, None));
    assert_eq!(node.propose(0, A, None), [], "a duplicate");
    assert_eq!(node.judged(0, A, None, false), [], "the first verdict stands");
    assert!(node.core.is_new_proposal(&second.proposal));
    assert_eq!(node.propose(0, B, None), [Action::ProposalEquivocation { first, second }]);
    assert!(!node.core.is_new_proposal(&second.proposal));
    assert_eq!(node.propose(0, B, None), []);
    assert_eq!(node.propose(0, value(9), None), []);
    assert_eq!(node.core.proposal(0), Some(first));
}

#[test]
fn a_proposal_by_the_wrong_validator_is_ignored() {
    let mut node = Node::three_of_four();
    for proposer in [1, 2, 3, 4, 99] {
        let proposal = proposal(0, proposer, A, None);
        assert!(!node.core.is_new_proposal(&proposal.proposal));
        assert_eq!(node.feed(Event::Proposal { proposal, valid: true }), []);
    }
    assert_eq!(node.core.proposal(0), None);
}

#[test]
fn pitfall_16_votes_of_other_heights_are_the_callers_to_keep() {
    let mut node = Node::three_of_four();
    for height in [HEIGHT - 1, HEIGHT + 1] {
        for voter in 0..3 {
            let other = sign(trustnet_bft::Vote { height, ..vote(Precommit, 0, voter, Some(A)).vote });
            assert_eq!(node.feed(Event::Vote(other)), []);
        }
        let mut other = certificate(Precommit, 0, Some(A), 0..3);
        other.height = height;
        assert_eq!(node.feed(Event::Certificate(&other)), []);
    }
    assert_eq!(node.core.decided(), None);
}

#[test]
fn pitfall_17_a_certificate_with_a_wrong_shape_does_nothing() {
    let set = equal(4);
    for (signers, error) in [
        (vec![], CertificateError::NoQuorum { power: 0, total: 4 }),
        (vec![0, 1], CertificateError::NoQuorum { power: 2, total: 4 }),
        (vec![0, 1, 1], CertificateError::NotAscending { index: 1 }),
        (vec![0, 2, 1], CertificateError::NotAscending { index: 1 }),
        (vec![0, 1, 2, 4], CertificateError::NotAMember { index: 4 }),
        (vec![0, 1, 2, Index::MAX], CertificateError::NotAMember { index: Index::MAX }),
    ] {
        for (kind, round) in [(Prevote, 0), (Precommit, 0), (Precommit, 9), (Prevote, 9)] {
            let certificate = certificate(kind, round, Some(A), signers.iter().copied());
            assert_eq!(certificate.check_shape(&set), Err(error));
            assert!(error.to_string().contains("drop it"), "{error}");
            let mut node = Node::three_of_four();
            assert_eq!(node.feed(Event::Certificate(&certificate)), []);
            assert_eq!((node.core.round(), node.core.decided()), (0, None));
            assert_eq!(node.core.votes(kind, round).count(), 0);
        }
    }
    assert_eq!(certificate(Precommit, 0, None, [0, 1, 3]).power(&set), Ok(3));
}

#[test]
fn pitfall_17_a_signer_of_certificate_and_vote_counts_once() {
    let mut node = Node::started(equal(7), 6);
    node.precommits(0, A, [0, 1, 2, 3]);
    node.precommits(0, A, [0, 1, 2, 3]);
    assert_eq!(node.core.decided(), None);
    assert_eq!(node.precommits(0, A, [4]), [decide(0, A)]);
}

#[test]
fn a_bad_validator_set_is_refused() {
    for (powers, error) in [
        (&[][..], SetError::Empty),
        (&[1; 9], SetError::TooMany { len: 9, max: 8 }),
        (&[1, 0, 1], SetError::ZeroPower { index: 1 }),
        (&[1 << 60, 1], SetError::TotalTooLarge),
        (&[Power::MAX, Power::MAX], SetError::TotalTooLarge),
    ] {
        assert_eq!(ValidatorSet::<N>::new(powers).unwrap_err(), error);
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(ValidatorSet::<N>::new(&[1 << 60]).unwrap().total(), 1 << 60);
}

/// Pitfalls 5 and 10: what a certificate shows of a round that is long over is of use, and must not be turned away because
/// no vote of that round is kept any more (simulator, seed 466: half of the network never saw the proof of a lock).
#[test]
fn pitfall_05_a_certificate_of_a_forgotten_round_is_new_until_it_is_taken() {
    let mut node = Node::three_of_four();
    node.prevotes(10, None, [0, 1]);
    assert_eq!(node.core.round(), 10);
    let polka = certificate(Prevote, 1, Some(A), 0..3);
    let nil = certificate(Prevote, 1, None, 0..3);
    assert!(!node.core.is_new_certificate(&nil), "nil in a round that is over is of no use");
    assert!(node.core.is_new_certificate(&polka));
    assert!(node.core.is_new_certificate(&certificate(Precommit, 2, Some(A), 0..3)));
    node.feed(Event::Certificate(&polka));
    assert!(!node.core.is_new_certificate(&polka), "taken");
    assert_eq!(node.core.polka_certificate(1), Some(polka));
}
