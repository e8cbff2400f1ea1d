//! Commits (L49): of the current round, of rounds past and future, before and after their proposals, by votes and whole.
//!
//! Malachite decides when it holds the proposal and finds it valid, and until then starts the precommit timer or skips to the
//! round of the commit. Here more than 2/3 of precommits decide, whatever we hold: the caller fetches what is missing.

crate::table::tables! {
    a_commit_needs_no_proposal = "
        powers 2 3 2, me 2, proposers 1, from driver_steps_decide_current_with_no_locked_no_valid
        10 21 | start              | round 0, timer 0 propose | 0 propose
              | precommit 0 A by 0 |                          |
        51    | precommit 0 A by 1 | decide 0 A               | 0 propose decided 0 A
        !49   | proposal 0 A       |                          |
    ";

    the_last_precommit_of_the_round_before_decides = "
        powers 2 3 2, me 2, proposers 1 0, from driver_steps_decide_previous_with_no_locked_no_valid
        10 21 | start               | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose   | prevote 0 nil            | 0 prevote
              | prevote 0 A by 0    |                          |
        35    | prevote 0 A by 1    | timer 0 prevote          |
        63    | timeout 0 prevote   | precommit 0 nil          | 0 precommit
              | own precommit       |                          |
        48    | precommit 0 A by 1  | timer 0 precommit        |
        67 21 | timeout 0 precommit | round 1, timer 1 propose | 1 propose
        51    | precommit 0 A by 0  | decide 0 A               | 1 propose decided 0 A
    ";

    a_locked_validator_decides_the_round_before = "
        powers 2 3 2, me 2, proposers 1 0, from driver_steps_decide_previous_with_locked_and_valid
        10 21 | start              | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose  | prevote 0 nil            | 0 prevote
              | prevote 0 A by 0   |                          |
        35    | prevote 0 A by 1   | timer 0 prevote          |
        40    | proposal 0 A       | precommit 0 A            | 0 precommit lock 0 A valid 0 A
        56 21 | precommit 1 A by 1 | round 1, timer 1 propose | 1 propose lock 0 A valid 0 A
              | precommit 0 A by 0 |                          |
        51    | precommit 0 A by 1 | decide 0 A               | 1 propose lock 0 A valid 0 A decided 0 A
    ";

    a_commit_of_the_next_round_decides_instead_of_pulling_us = "
        powers 2 3 2, me 2, proposers 1 0, from proposal_mux_with_commit_quorum
        10 21 | start              | round 0, timer 0 propose | 0 propose
              | precommit 1 A by 0 |                          |
        51    | precommit 1 A by 1 | decide 1 A               | 0 propose decided 1 A
        !49   | proposal 1 A       |                          |
    ";

    a_value_once_judged_invalid_is_decided_by_the_others = "
        powers 2 3 2, me 2, proposers 1, from invalid_proposal_becomes_valid_decision_via_proposal
        10 21 | start              | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose  | prevote 0 nil            | 0 prevote
              | precommit 0 A by 0 |                          |
        !49   | proposal 0 A bad   |                          |
        !49   | proposal 0 A bad   |                          |
        51    | precommit 0 A by 1 | decide 0 A               | 0 prevote decided 0 A
    ";

    // The first verdict stands for as long as the core lives. A new life, with mended code, may judge anew.
    a_value_once_judged_invalid_is_judged_anew_after_a_restart = "
        powers 2 3 2, me 2, proposers 1, from invalid_proposal_becomes_valid_decision_via_votes
        10 21 | start              | round 0, timer 0 propose | 0 propose
        26    | proposal 0 A bad   | prevote 0 nil            | 0 prevote
        !36   | proposal 0 A       |                          |
              | prevote 0 A by 0   |                          |
        35    | prevote 0 A by 1   | timer 0 prevote          |
              | restart            | round 0, prevote 0 nil   |
              | proposal 0 A       |                          |
              | prevote 0 A by 0   |                          |
        40    | prevote 0 A by 1   | precommit 0 A            | 0 precommit lock 0 A valid 0 A
              | precommit 0 A by 0 |                          |
        51    | precommit 0 A by 1 | decide 0 A               | 0 precommit lock 0 A valid 0 A decided 0 A
    ";

    a_verdict_does_not_fall_back = "
        powers 2 3 2, me 2, proposers 1, from invalid_proposal_becomes_valid_decision_via_certificate
        10 21 | start             | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose | prevote 0 nil            | 0 prevote
        !36   | proposal 0 A bad  |                          |
              | restart           | round 0, prevote 0 nil   |
        !36   | proposal 0 A      |                          |
        !36   | proposal 0 A bad  |                          |
        40    | polka 0 A by 0 1  | precommit 0 A            | 0 precommit lock 0 A valid 0 A
        51    | commit 0 A by 0 1 | decide 0 A               | 0 precommit lock 0 A valid 0 A decided 0 A
    ";

    a_synced_certificate_decides_before_its_value_comes = "
        powers 2 3 2, me 2, proposers 1, from sync_decision_certificate_then_proposal
        10 21 | start             | round 0, timer 0 propose | 0 propose
        51    | commit 0 A by 0 1 | decide 0 A               | 0 propose decided 0 A
        !49   | proposal 0 A      |                          |
    ";

    a_commit_by_votes_of_the_next_round_decides_from_here = "
        powers 2 3 2, me 2, proposers 1 0, from round_1_decision_during_round_0
        10 21 | start              | round 0, timer 0 propose | 0 propose
              | precommit 1 A by 0 |                          |
        !49   | proposal 1 A       |                          |
        51    | precommit 1 A by 1 | decide 1 A               | 0 propose decided 1 A
    ";

    a_commit_certificate_of_the_next_round_decides_from_here = "
        powers 2 3 2, me 2, proposers 1 0, from round_1_decision_during_round_0_via_certificate
        10 21 | start             | round 0, timer 0 propose | 0 propose
        !49   | proposal 1 A      |                          |
        51    | commit 1 A by 0 1 | decide 1 A               | 0 propose decided 1 A
    ";

    a_commit_by_votes_of_a_value_judged_invalid_decides = "
        powers 2 3 2, me 2, proposers 1 0, from round_1_invalid_decision_during_round_0
        10 21 | start              | round 0, timer 0 propose | 0 propose
              | precommit 1 A by 0 |                          |
        !49   | proposal 1 A bad   |                          |
        51    | precommit 1 A by 1 | decide 1 A               | 0 propose decided 1 A
    ";

    a_commit_certificate_of_a_value_judged_invalid_decides = "
        powers 2 3 2, me 2, proposers 1 0, from round_1_invalid_decision_during_round_0_via_certificate
        10 21 | start             | round 0, timer 0 propose | 0 propose
        !49   | proposal 1 A bad  |                          |
        51    | commit 1 A by 0 1 | decide 1 A               | 0 propose decided 1 A
    ";

    a_commit_by_votes_of_the_next_round_comes_before_its_proposal = "
        powers 2 3 2, me 2, proposers 1 0, from round_1_decision_via_votes_proposal_arrives_later
        10 21 | start              | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose  | prevote 0 nil            | 0 prevote
              | precommit 1 A by 0 |                          |
        51    | precommit 1 A by 1 | decide 1 A               | 0 prevote decided 1 A
        !49   | proposal 1 A       |                          |
        !57   | timeout 0 propose  |                          |
    ";

    a_commit_certificate_of_the_next_round_comes_before_its_proposal = "
        powers 2 3 2, me 2, proposers 1 0, from round_1_decision_via_certificate_proposal_arrives_later
        10 21 | start             | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose | prevote 0 nil            | 0 prevote
        51    | commit 1 A by 0 1 | decide 1 A               | 0 prevote decided 1 A
        !49   | proposal 1 A      |                          |
        !55   | prevote 2 B by 0 1 |                         |
    ";

    // Malachite keeps a round certificate; here the votes themselves are kept.
    the_votes_that_pulled_us_are_there_to_show = "
        powers 2 3 2, me 2, proposers 1 0, from round_certificate_stored_on_precommit_value_fallback_to_skip_round
        10 21 | start                | round 0, timer 0 propose | 0 propose
              | precommit 1 A by 0   |                          |
        56 21 | prevote 1 A by 1     | round 1, timer 1 propose | 1 propose
              | heard precommit 1 by 0 |                        |
              | heard prevote 1 by 1 |                          |
        48    | precommit 1 nil by 1 | timer 1 precommit        |
              | heard precommit 1 by 0 1 |                      |
    ";

    the_certificate_of_a_round_that_we_never_entered_is_there_to_show = "
        powers 2 3 2, me 2, proposers 1 0, from round_certificate_stored_on_commit_certificate_fallback_to_skip_round
        10 21 | start             | round 0, timer 0 propose | 0 propose
        51    | commit 1 A by 0 1 | decide 1 A               | 0 propose decided 1 A
              | shows commit 1 A by 0 1 |                    |
    ";

    precommits_that_come_again_are_in_the_certificate_once = "
        powers 10 10 10 10, me 1, proposers 0, from commit_certificate_from_driver_verifies_after_reapplied_votes_from_round_certificate
        10 21 | start                | round 0, timer 0 propose | 0 propose
        24    | proposal 0 A         | prevote 0 A              | 0 prevote
              | own prevote          |                          |
              | prevote 0 A by 0     |                          |
        40    | prevote 0 A by 2     | precommit 0 A            | 0 precommit lock 0 A valid 0 A
              | own precommit        |                          |
              | precommit 0 A by 0   |                          |
        48    | precommit 0 nil by 3 | timer 0 precommit        |
        !49   | precommit 0 A by 0 1 |                          |
        !49   | precommit 0 nil by 3 |                          |
        51    | precommit 0 A by 2   | decide 0 A               | 0 precommit lock 0 A valid 0 A decided 0 A
              | shows commit 0 A by 0 1 2 |                     |
    ";
}
