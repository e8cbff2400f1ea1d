//! What is not for us: other heights, other rounds, strangers. And what the next height takes over: nothing.
//!
//! Malachite returns an error for such inputs. Our core ignores them: `is_new` has told the caller before. And the proposer
//! of a round is computed from the set, so it is always a member.

crate::table::tables! {
    a_proposal_of_another_height_is_ignored = "
        powers 1 2, me 0, proposers 1, from driver_steps_not_proposer_other_height
        10 21 | start                  | round 0, timer 0 propose | 0 propose
        !22   | proposal 0 A bad above |                          |
        !22   | proposal 0 A above     |                          |
        24    | proposal 0 A           | prevote 0 A              | 0 prevote
    ";

    a_proposal_of_another_round_is_kept_for_it = "
        powers 1 1 1, me 2, proposers 0 1, from driver_steps_not_proposer_other_round
        10 21    | start            | round 0, timer 0 propose                | 0 propose
        !22      | proposal 1 A bad |                                         |
        56 21 26 | prevote 1 B by 0 | round 1, timer 1 propose, prevote 1 nil | 1 prevote
    ";

    a_proposal_by_a_stranger_is_ignored = "
        powers 2 3, me 0, proposers 1, from driver_steps_proposer_not_found
        10 21 | start             | round 0, timer 0 propose | 0 propose
        !22   | proposal 0 A by 2 |                          |
        !22   | proposal 0 A by 0 |                          |
        24    | proposal 0 A      | prevote 0 A              | 0 prevote
    ";

    a_lock_survives_the_proposal_of_a_stranger = "
        powers 1 1 1, me 0, proposers 0 1, from driver_preserves_round_state_when_proposer_not_found
        10 21 18 | start               | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A           | propose 0 A                       |
        24       | own proposal        | prevote 0 A                       | 0 prevote
                 | own prevote         |                                   |
                 | prevote 0 A by 1    |                                   |
        40       | prevote 0 A by 2    | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
        !22      | proposal 1 B by 7   |                                   |
        56 21    | precommit 1 B by 1 2 | round 1, timer 1 propose         | 1 propose lock 0 A valid 0 A
        !22      | proposal 1 B by 7   |                                   |
    ";

    a_vote_by_a_stranger_is_ignored = "
        powers 1 3, me 1, proposers 0, from driver_steps_validator_not_found
        10 21 | start                  | round 0, timer 0 propose | 0 propose
        !34   | prevote 0 A by 2 7 999 |                          |
        !55   | precommit 5 A by 2 7 999 |                        |
              | heard prevote 0        |                          |
    ";

    the_next_height_with_the_same_validators_starts_from_nothing = "
        powers 1 2 3, me 0, proposers 0, from move_to_height_preserves_validator_set
        10 21 18 | start            | round 0, timer 0 propose, build 0 | 0 propose
                 | prevote 0 A by 1 |                                   |
                 | next 1 2 3       |                                   | 0 propose
                 | heard prevote 0  |                                   |
        10 21    | start            | round 0, timer 0 propose          |
    ";

    // Validators 1 and 2 were a quorum, 5 of 6, and are none any more: 2 of 8.
    the_next_height_with_other_validators_counts_by_their_powers = "
        powers 1 2 3, me 0, proposers 0, from move_to_height_updates_validator_set
        10 21 18 | start                | round 0, timer 0 propose, build 0 | 0 propose
        51       | precommit 0 A by 1 2 | decide 0 A                        | 0 propose decided 0 A
                 | next 6 1 1           |                                   | 0 propose
        10 21    | start                | round 0, timer 0 propose          |
        !49      | precommit 0 B by 1 2 |                                   |
        51       | precommit 0 B by 0   | decide 0 B                        | 0 propose decided 0 B
    ";
}
