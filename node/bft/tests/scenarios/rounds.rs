//! From one round into another: skips (L55), and values that are proposed again (L16, L28).

crate::table::tables! {
    a_third_of_the_power_in_the_next_round_pulls_us = "
        powers 1 1 1, me 2, proposers 0 1, from driver_steps_skip_round_skip_threshold
        10 21 | start             | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose | prevote 0 nil            | 0 prevote
              | own prevote       |                          |
        !55   | prevote 1 A by 0  |                          |
        56 21 | prevote 1 A by 1  | round 1, timer 1 propose | 1 propose
    ";

    two_thirds_of_the_power_in_the_next_round_pull_us = "
        powers 1 2 1, me 2, proposers 1 0, from driver_steps_skip_round_quorum_threshold
        10 21 | start             | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose | prevote 0 nil            | 0 prevote
              | own prevote       |                          |
        !55   | prevote 1 A by 0  |                          |
        56 21 | prevote 1 A by 1  | round 1, timer 1 propose | 1 propose
    ";

    the_timers_of_a_round_that_is_skipped_are_forgotten = "
        powers 1 1 1, me 2, proposers 0 1, from driver_skip_round_clears_scheduled_timeouts
        10 21 | start              | round 0, timer 0 propose | 0 propose
        !55   | prevote 1 A by 0   |                          |
        56 21 | prevote 1 A by 1   | round 1, timer 1 propose | 1 propose
        !57   | timeout 0 propose  |                          |
        59    | timeout 1 propose  | prevote 1 nil            | 1 prevote
        35    | own prevote        | timer 1 prevote          |
    ";

    a_locked_proposer_proposes_its_value_again = "
        powers 2 2 3, me 1, proposers 0 1, from driver_steps_polka_previous_with_locked
        10 21    | start              | round 0, timer 0 propose                      | 0 propose
        24       | proposal 0 A       | prevote 0 A                                   | 0 prevote
                 | prevote 0 A by 2   |                                               |
        40       | prevote 0 A by 0   | precommit 0 A                                 | 0 precommit lock 0 A valid 0 A
        56 21 16 | precommit 1 B by 2 | round 1, timer 1 propose, propose 1 A pol 0   | 1 propose lock 0 A valid 0 A
        30       | own proposal       | prevote 1 A                                   | 1 prevote lock 0 A valid 0 A
    ";

    // Malachite's proposer holds 3/7 of the power. Here that would pull us by its proposal alone, which is a message of a
    // later round too (L55), so these are four equals. The polka that completes late makes its value valid as well.
    the_last_prevote_of_an_earlier_polka_releases_our_prevote = "
        powers 1 1 1 1, me 3, proposers 0 1, from driver_steps_polka_previous_not_locked_vote_last_l30
        10 21 | start              | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A       | prevote 0 A              | 0 prevote
              | own prevote        |                          |
              | prevote 0 A by 1   |                          |
        !55   | proposal 1 A pol 0 |                          |
        56 21 | precommit 1 B by 0 | round 1, timer 1 propose | 1 propose
        30 43 | prevote 0 A by 2   | prevote 1 A              | 1 prevote valid 0 A
    ";

    the_last_prevote_of_an_earlier_polka_comes_when_we_are_locked_later = "
        powers 2 2 3, me 0, proposers 1 2 2, from driver_steps_polka_previous_locked_vote_last_l32
        10 21 | start                | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose    | prevote 0 nil            | 0 prevote
              | own prevote          |                          |
        !22   | proposal 0 A         |                          |
        35    | prevote 0 A by 2     | timer 0 prevote          |
        63    | timeout 0 prevote    | precommit 0 nil          | 0 precommit
              | own precommit        |                          |
        48    | precommit 0 nil by 2 | timer 0 precommit        |
        67 21 | timeout 0 precommit  | round 1, timer 1 propose | 1 propose
        24    | proposal 1 B         | prevote 1 B              | 1 prevote
              | prevote 1 B by 2     |                          |
        40    | own prevote          | precommit 1 B            | 1 precommit lock 1 B valid 1 B
              | own precommit        |                          |
        48    | precommit 1 nil by 2 | timer 1 precommit        |
        67 21 | timeout 1 precommit  | round 2, timer 2 propose | 2 propose lock 1 B valid 1 B
        !28   | proposal 2 A pol 0   |                          |
        32    | prevote 0 A by 1     | prevote 2 nil            | 2 prevote lock 1 B valid 1 B
    ";

    an_invalid_value_proposed_again_gets_nil_in_spite_of_its_polka = "
        powers 2 3 2, me 2, proposers 1 0, from driver_steps_polka_previous_invalid_proposal
        10 21 | start                  | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose      | prevote 0 nil            | 0 prevote
              | prevote 0 A by 0       |                          |
        35    | prevote 0 A by 1       | timer 0 prevote          |
        56 21 | prevote 1 A by 1       | round 1, timer 1 propose | 1 propose
        32    | proposal 1 A pol 0 bad | prevote 1 nil            | 1 prevote
    ";

    a_locked_validator_refuses_a_fresh_proposal_of_another_value = "
        powers 2 3 2, me 2, proposers 1 0, from driver_steps_polka_previous_new_proposal
        10 21 | start            | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A     | prevote 0 A              | 0 prevote
              | prevote 0 A by 0 |                          |
        40    | prevote 0 A by 1 | precommit 0 A            | 0 precommit lock 0 A valid 0 A
        56 21 | prevote 1 A by 1 | round 1, timer 1 propose | 1 propose lock 0 A valid 0 A
        26    | proposal 1 B     | prevote 1 nil            | 1 prevote lock 0 A valid 0 A
    ";

    a_valid_value_is_proposed_and_prevoted_without_a_lock = "
        powers 2 2 3, me 1, proposers 0 1, from driver_steps_polka_previous_with_no_locked
        10 21    | start             | round 0, timer 0 propose                    | 0 propose
        59       | timeout 0 propose | prevote 0 nil                               | 0 prevote
                 | prevote 0 A by 2  |                                             |
        35       | prevote 0 A by 0  | timer 0 prevote                             |
        63       | timeout 0 prevote | precommit 0 nil                             | 0 precommit
        43       | proposal 0 A      |                                             | 0 precommit valid 0 A
        56 21 16 | prevote 1 A by 2  | round 1, timer 1 propose, propose 1 A pol 0 | 1 propose valid 0 A
        30       | own proposal      | prevote 1 A                                 | 1 prevote valid 0 A
    ";
}
