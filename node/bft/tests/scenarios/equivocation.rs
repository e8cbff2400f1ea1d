//! Validators that say two things. The first vote of each counts, both proposals are kept, and each is reported once.

crate::table::tables! {
    the_first_of_two_prevotes_counts = "
        powers 2 3 2, me 2, proposers 1, from driver_equivocate_vote
        10 21 | start            | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A     | prevote 0 A              | 0 prevote
              | prevote 0 A by 1 |                          |
              | prevote 0 B by 1 | two prevotes of 1        |
        40    | prevote 0 A by 0 | precommit 0 A            | 0 precommit lock 0 A valid 0 A
    ";

    the_first_of_two_proposals_wins = "
        powers 2 3 2, me 2, proposers 1, from driver_equivocating_proposer_others_vote_first
        10 21 | start            | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A     | prevote 0 A              | 0 prevote
        !22   | proposal 0 A     |                          |
              | proposal 0 B     | two proposals of 1       |
              | prevote 0 A by 1 |                          |
        40    | prevote 0 A by 0 | precommit 0 A            | 0 precommit lock 0 A valid 0 A
    ";

    // We prevote one value, and precommit and decide the other.
    the_second_of_two_proposals_wins = "
        powers 2 3 2, me 2, proposers 1, from driver_equivocating_proposer_others_vote_second
        10 21 | start              | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A       | prevote 0 A              | 0 prevote
              | own prevote        |                          |
              | proposal 0 B       | two proposals of 1       |
        35    | prevote 0 B by 1   | timer 0 prevote          |
        40    | prevote 0 B by 0   | precommit 0 B            | 0 precommit lock 0 B valid 0 B
              | precommit 0 B by 1 |                          |
        51    | precommit 0 B by 0 | decide 0 B               | 0 precommit lock 0 B valid 0 B decided 0 B
    ";

    the_second_of_two_proposals_becomes_valid_by_votes = "
        powers 2 3 2, me 2, proposers 1, from driver_equivocating_proposer_valid_value
        10 21 | start             | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A      | prevote 0 A              | 0 prevote
              | own prevote       |                          |
        35    | prevote 0 B by 1  | timer 0 prevote          |
              | proposal 0 B      | two proposals of 1       |
        63    | timeout 0 prevote | precommit 0 nil          | 0 precommit
        43    | prevote 0 B by 0  |                          | 0 precommit valid 0 B
    ";

    // The certificate overrules what validator 1 told us before.
    the_second_of_two_proposals_becomes_valid_by_a_certificate = "
        powers 2 3 2, me 2, proposers 1, from driver_equivocating_proposer_valid_value_with_polka_cert
        10 21 | start              | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A       | prevote 0 A              | 0 prevote
              | own prevote        |                          |
        35    | prevote 0 nil by 1 | timer 0 prevote          |
              | proposal 0 B       | two proposals of 1       |
        63    | timeout 0 prevote  | precommit 0 nil          | 0 precommit
        43    | polka 0 B by 0 1   | two prevotes of 1        | 0 precommit valid 0 B
              | shows polka 0 B by 0 1 |                      |
    ";

    a_second_proposal_by_another_validator_is_no_proposal = "
        powers 2 3 2, me 2, proposers 1, from driver_conflicting_proposal_panic
        10 21 | start             | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A      | prevote 0 A              | 0 prevote
        !22   | proposal 0 B by 0 |                          |
    ";

    each_contradicting_proposer_is_reported_once_a_round = "
        powers 2 3 2, me 2, proposers 1 1 0, from test_proposal_evidence_deduplication
        10 21    | start        | round 0, timer 0 propose              | 0 propose
        24       | proposal 0 A | prevote 0 A                           | 0 prevote
                 | proposal 0 B | two proposals of 1                    |
        !22      | proposal 0 B |                                       |
        !22      | proposal 0 A |                                       |
        !22      | proposal 0 C |                                       |
        56 21 24 | proposal 1 A | round 1, timer 1 propose, prevote 1 A | 1 prevote
                 | proposal 1 B | two proposals of 1                    |
        !22      | proposal 2 A |                                       |
                 | proposal 2 B | two proposals of 0                    |
        !22      | proposal 0 A |                                       |
    ";
}
