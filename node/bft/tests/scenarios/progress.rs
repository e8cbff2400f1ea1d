//! The ordinary way through a round, its timeouts, and thresholds that are reached before the step which they matter in.

crate::table::tables! {
    a_proposer_builds_proposes_and_decides = "
        powers 1 2 3, me 0, proposers 0, from driver_steps_proposer
        10 21 18 | start              | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A          | propose 0 A                       |
        24       | own proposal       | prevote 0 A                       | 0 prevote
                 | own prevote        |                                   |
                 | prevote 0 A by 1   |                                   |
        40       | prevote 0 A by 2   | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit      |                                   |
                 | precommit 0 A by 1 |                                   |
        51       | precommit 0 A by 2 | decide 0 A                        | 0 precommit lock 0 A valid 0 A decided 0 A
                 | shows commit 0 A by 0 1 2 |                            |
    ";

    a_proposer_whose_value_is_not_ready_prevotes_nil = "
        powers 1 2 3, me 0, proposers 0, from driver_steps_proposer_timeout_get_value
        10 21 18 | start             | round 0, timer 0 propose, build 0 | 0 propose
        59       | timeout 0 propose | prevote 0 nil                     | 0 prevote
        !18      | value 0 A         |                                   |
    ";

    a_proposer_that_never_gets_a_value_waits = "
        powers 1 2 3, me 0, proposers 0, from driver_steps_no_value_to_propose
        10 21 18 | start                | round 0, timer 0 propose, build 0 | 0 propose
        !18      | prevote 0 nil by 1   |                                   |
        !18      | precommit 0 nil by 1 |                                   |
    ";

    a_valid_proposal_is_prevoted_precommitted_and_decided = "
        powers 1 2 3, me 1, proposers 0, from driver_steps_not_proposer_valid
        10 21 | start              | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A       | prevote 0 A              | 0 prevote
              | own prevote        |                          |
              | prevote 0 A by 0   |                          |
        40    | prevote 0 A by 2   | precommit 0 A            | 0 precommit lock 0 A valid 0 A
              | own precommit      |                          |
              | precommit 0 A by 0 |                          |
        51    | precommit 0 A by 2 | decide 0 A               | 0 precommit lock 0 A valid 0 A decided 0 A
    ";

    an_invalid_proposal_gets_nil_even_if_the_others_prevote_it = "
        powers 1 2 3, me 1, proposers 0, from driver_steps_not_proposer_invalid
        10 21 | start             | round 0, timer 0 propose | 0 propose
        26    | proposal 0 A bad  | prevote 0 nil            | 0 prevote
              | own prevote       |                          |
              | prevote 0 A by 0  |                          |
        35    | prevote 0 A by 2  | timer 0 prevote          |
        63    | timeout 0 prevote | precommit 0 nil          | 0 precommit
    ";

    a_round_without_a_proposal_times_out_into_the_next = "
        powers 1 3 1, me 2, proposers 0 1, from driver_steps_not_proposer_timeout_multiple_rounds
        10 21 | start                | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose    | prevote 0 nil            | 0 prevote
              | own prevote          |                          |
              | prevote 0 A by 0     |                          |
        45    | prevote 0 nil by 1   | precommit 0 nil          | 0 precommit
              | own precommit        |                          |
              | precommit 0 A by 0   |                          |
        48    | precommit 0 nil by 1 | timer 0 precommit        |
        67 21 | timeout 0 precommit  | round 1, timer 1 propose | 1 propose
    ";

    a_nil_polka_waits_for_our_prevote = "
        powers 2 3 2, me 2, proposers 1, from driver_steps_polka_nil_and_timeout_propose
        10 21 | start              | round 0, timer 0 propose       | 0 propose
        !44   | prevote 0 nil by 0 |                                |
        !44   | prevote 0 nil by 1 |                                |
        59 45 | timeout 0 propose  | prevote 0 nil, precommit 0 nil | 0 precommit
    ";

    a_polka_waits_for_its_proposal = "
        powers 2 3 2, me 2, proposers 1, from driver_steps_polka_value_then_proposal
        10 21 | start            | round 0, timer 0 propose   | 0 propose
        !36   | prevote 0 A by 0 |                            |
        !36   | prevote 0 A by 1 |                            |
        24 40 | proposal 0 A     | prevote 0 A, precommit 0 A | 0 precommit lock 0 A valid 0 A
    ";

    prevotes_of_all_kinds_wait_for_our_prevote = "
        powers 2 3 2, me 2, proposers 1, from driver_steps_polka_any_then_proposal_other
        10 21 | start              | round 0, timer 0 propose     | 0 propose
        !34   | prevote 0 nil by 0 |                              |
        !34   | prevote 0 A by 1   |                              |
        24 35 | proposal 0 A       | prevote 0 A, timer 0 prevote | 0 prevote
    ";

    a_proposal_for_the_next_round_waits_for_it = "
        powers 2 3 2, me 2, proposers 1 0, from driver_step_change_mux_with_proposal
        10 21    | start                | round 0, timer 0 propose              | 0 propose
        !44      | prevote 0 nil by 0   |                                       |
        !44      | prevote 0 nil by 1   |                                       |
        59 45    | timeout 0 propose    | prevote 0 nil, precommit 0 nil        | 0 precommit
                 | precommit 0 nil by 0 |                                       |
        48       | precommit 0 nil by 1 | timer 0 precommit                     |
        !22      | proposal 1 A         |                                       |
        67 21 24 | timeout 0 precommit  | round 1, timer 1 propose, prevote 1 A | 1 prevote
    ";

    // Malachite sets the prevote timer on the way to the precommit.
    a_polka_of_the_next_round_pulls_us_there_and_acts_at_once = "
        powers 2 3 2, me 2, proposers 1 0, from driver_step_change_mux_with_proposal_and_polka
        10 21       | start            | round 0, timer 0 propose                             | 0 propose
        !22         | proposal 1 A     |                                                      |
        !55         | prevote 1 A by 0 |                                                      |
        56 21 24 40 | prevote 1 A by 1 | round 1, timer 1 propose, prevote 1 A, precommit 1 A | 1 precommit lock 1 A valid 1 A
    ";

    a_polka_that_pulled_us_waits_for_its_proposal = "
        powers 2 3 2, me 2, proposers 1 0, from proposal_mux_with_polka
        10 21 | start            | round 0, timer 0 propose   | 0 propose
        !55   | prevote 1 A by 0 |                            |
        56 21 | prevote 1 A by 1 | round 1, timer 1 propose   | 1 propose
        24 40 | proposal 1 A     | prevote 1 A, precommit 1 A | 1 precommit lock 1 A valid 1 A
    ";

    proposal_and_polka_certificate_work_in_either_order = "
        powers 2 3 2, me 2, proposers 1 0, from prevote_and_precommit_upon_proposal_and_polka_cert
        10 21 | start            | round 0, timer 0 propose   | 0 propose
        24    | proposal 0 A     | prevote 0 A                | 0 prevote
        40    | polka 0 A by 0 1 | precommit 0 A              | 0 precommit lock 0 A valid 0 A
        56 21 | prevote 1 A by 1 | round 1, timer 1 propose   | 1 propose lock 0 A valid 0 A
        !36   | polka 1 A by 0 1 |                            |
        24 40 | proposal 1 A     | prevote 1 A, precommit 1 A | 1 precommit lock 1 A valid 1 A
    ";

    // Here and in the three below Malachite counts the prevote of the tested validator itself before it has voted. For us
    // that would be a vote from before a lost memory, so another validator casts it.
    a_nil_polka_is_not_shadowed_by_a_quorum_of_precommits = "
        powers 2 3 2, me 2, proposers 1, from polka_nil_and_prevote_step_precommit_nil
        10 21 | start                | round 0, timer 0 propose       | 0 propose
              | prevote 0 nil by 1   |                                |
        !44   | prevote 0 nil by 0   |                                |
              | precommit 0 nil by 1 |                                |
        48    | precommit 0 nil by 0 | timer 0 precommit              |
        59 45 | timeout 0 propose    | prevote 0 nil, precommit 0 nil | 0 precommit
    ";

    prevotes_of_all_kinds_are_not_shadowed_by_a_quorum_of_precommits = "
        powers 2 3 2, me 2, proposers 1, from polka_any_and_prevote_step_timeout_prevote
        10 21 | start                | round 0, timer 0 propose       | 0 propose
              | prevote 0 nil by 1   |                                |
        !34   | prevote 0 A by 0     |                                |
              | precommit 0 nil by 1 |                                |
        48    | precommit 0 nil by 0 | timer 0 precommit              |
        59 35 | timeout 0 propose    | prevote 0 nil, timer 0 prevote | 0 prevote
    ";

    a_polka_without_its_proposal_starts_the_prevote_timer = "
        powers 2 3 2, me 2, proposers 1, from polka_value_no_proposal_and_prevote_step_timeout_prevote
        10 21 | start                | round 0, timer 0 propose       | 0 propose
              | prevote 0 A by 1     |                                |
        !34   | prevote 0 A by 0     |                                |
              | precommit 0 nil by 1 |                                |
        48    | precommit 0 nil by 0 | timer 0 precommit              |
        59 35 | timeout 0 propose    | prevote 0 nil, timer 0 prevote | 0 prevote
    ";

    prevotes_of_a_future_round_are_not_shadowed_by_its_precommits = "
        powers 2 3 2, me 2, proposers 1 0, from polka_any_precommit_any_future_round
        10 21    | start                | round 0, timer 0 propose                    | 0 propose
                 | prevote 1 A by 0     |                                             |
        !55      | precommit 1 nil by 0 |                                             |
        56 21 48 | precommit 1 nil by 1 | round 1, timer 1 propose, timer 1 precommit | 1 propose
        !34      | prevote 1 A by 1     |                                             |
        59 35    | timeout 1 propose    | prevote 1 nil, timer 1 prevote              | 1 prevote
    ";

    a_nil_polka_of_a_future_round_is_not_shadowed_by_its_precommits = "
        powers 2 3 2, me 2, proposers 1 0, from polka_nil_precommit_any_future_round
        10 21    | start                | round 0, timer 0 propose                    | 0 propose
                 | prevote 1 nil by 0   |                                             |
        !55      | precommit 1 nil by 0 |                                             |
        56 21 48 | precommit 1 nil by 1 | round 1, timer 1 propose, timer 1 precommit | 1 propose
        !44      | prevote 1 nil by 1   |                                             |
        59 45    | timeout 1 propose    | prevote 1 nil, precommit 1 nil              | 1 precommit
    ";
}
