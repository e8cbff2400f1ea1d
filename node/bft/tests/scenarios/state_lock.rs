//! `CometBFT` v1.0's `TestStateLock_*`: what a lock does, and does not do, over several rounds.
//!
//! `CometBFT` also precommits nil when it sees more than 2/3 of nil precommits, before its own prevote step has ended. The
//! paper does not; here the precommit timer starts (L47), and the round ends with it.

crate::table::tables! {
    two_validators_that_never_agree_keep_the_first_lock = "
        powers 1 1, me 0, proposers 0 1 0 1, from TestStateLock_NoPOL
        10 21 18 | start               | round 0, timer 0 propose, build 0           | 0 propose
        19       | value 0 A           | propose 0 A                                 |
        24       | own proposal        | prevote 0 A                                 | 0 prevote
                 | own prevote         |                                             |
        40       | prevote 0 A by 1    | precommit 0 A                               | 0 precommit lock 0 A valid 0 A
                 | own precommit       |                                             |
        48       | precommit 0 B by 1  | timer 0 precommit                           |
        67 21    | timeout 0 precommit | round 1, timer 1 propose                    | 1 propose lock 0 A valid 0 A
        59       | timeout 1 propose   | prevote 1 nil                               | 1 prevote lock 0 A valid 0 A
                 | own prevote         |                                             |
        35       | prevote 1 B by 1    | timer 1 prevote                             |
        63       | timeout 1 prevote   | precommit 1 nil                             | 1 precommit lock 0 A valid 0 A
                 | own precommit       |                                             |
        48       | precommit 1 B by 1  | timer 1 precommit                           |
        67 21 16 | timeout 1 precommit | round 2, timer 2 propose, propose 2 A pol 0 | 2 propose lock 0 A valid 0 A
        30       | own proposal        | prevote 2 A                                 | 2 prevote lock 0 A valid 0 A
                 | own prevote         |                                             |
        35       | prevote 2 B by 1    | timer 2 prevote                             |
        63       | timeout 2 prevote   | precommit 2 nil                             | 2 precommit lock 0 A valid 0 A
                 | own precommit       |                                             |
        48       | precommit 2 B by 1  | timer 2 precommit                           |
        67 21    | timeout 2 precommit | round 3, timer 3 propose                    | 3 propose lock 0 A valid 0 A
        26       | proposal 3 C        | prevote 3 nil                               | 3 prevote lock 0 A valid 0 A
                 | own prevote         |                                             |
        35       | prevote 3 C by 1    | timer 3 prevote                             |
        63       | timeout 3 prevote   | precommit 3 nil                             | 3 precommit lock 0 A valid 0 A
                 | own precommit       |                                             |
        48       | precommit 3 C by 1  | timer 3 precommit                           |
    ";

    a_newer_polka_with_its_proposal_moves_the_lock = "
        powers 1 1 1 1, me 0, proposers 0 1, from TestStateLock_POLUpdateLock
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose lock 0 A valid 0 A
        26       | proposal 1 B             | prevote 1 nil                     | 1 prevote lock 0 A valid 0 A
                 | own prevote              |                                   |
        35 40    | prevote 1 B by 1 2 3     | timer 1 prevote, precommit 1 B    | 1 precommit lock 1 B valid 1 B
    ";

    a_newer_polka_of_the_locked_value_makes_the_lock_newer = "
        powers 1 1 1 1, me 0, proposers 0 1, from TestStateLock_POLRelock
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose lock 0 A valid 0 A
        30       | proposal 1 A pol 0       | prevote 1 A                       | 1 prevote lock 0 A valid 0 A
                 | own prevote              |                                   |
        40       | prevote 1 A by 1 2 3     | precommit 1 A                     | 1 precommit lock 1 A valid 1 A
    ";

    a_locked_validator_that_misses_the_proposal_prevotes_nil = "
        powers 1 1 1 1, me 0, proposers 0 1, from TestStateLock_PrevoteNilWhenLockedAndMissProposal
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose lock 0 A valid 0 A
        59       | timeout 1 propose        | prevote 1 nil                     | 1 prevote lock 0 A valid 0 A
                 | own prevote              |                                   |
        45       | prevote 1 nil by 1 2 3   | precommit 1 nil                   | 1 precommit lock 0 A valid 0 A
    ";

    a_locked_validator_that_sees_another_proposal_prevotes_nil = "
        powers 1 1 1 1, me 0, proposers 0 1, from TestStateLock_PrevoteNilWhenLockedAndDifferentProposal
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose lock 0 A valid 0 A
        26       | proposal 1 B             | prevote 1 nil                     | 1 prevote lock 0 A valid 0 A
                 | own prevote              |                                   |
        45       | prevote 1 nil by 1 2 3   | precommit 1 nil                   | 1 precommit lock 0 A valid 0 A
    ";

    nil_polkas_do_not_unlock = "
        powers 1 1 1 1, me 0, proposers 0 1 2, from TestStateLock_POLDoesNotUnlock
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 3   | timer 0 precommit                 |
                 | precommit 0 A by 2       |                                   |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose lock 0 A valid 0 A
        26       | proposal 1 B             | prevote 1 nil                     | 1 prevote lock 0 A valid 0 A
                 | own prevote              |                                   |
        45       | prevote 1 nil by 1 2 3   | precommit 1 nil                   | 1 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 1 nil by 1 2 3 | timer 1 precommit                 |
        67 21    | timeout 1 precommit      | round 2, timer 2 propose          | 2 propose lock 0 A valid 0 A
        26       | proposal 2 C             | prevote 2 nil                     | 2 prevote lock 0 A valid 0 A
                 | own prevote              |                                   |
        45       | prevote 2 nil by 1 2 3   | precommit 2 nil                   | 2 precommit lock 0 A valid 0 A
    ";

    a_polka_without_its_proposal_does_not_move_the_lock = "
        powers 1 1 1 1, me 0, proposers 0 1, from TestStateLock_MissingProposalWhenPOLSeenDoesNotUpdateLock
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose lock 0 A valid 0 A
        59       | timeout 1 propose        | prevote 1 nil                     | 1 prevote lock 0 A valid 0 A
                 | own prevote              |                                   |
        35       | prevote 1 B by 1 2 3     | timer 1 prevote                   |
        63       | timeout 1 prevote        | precommit 1 nil                   | 1 precommit lock 0 A valid 0 A
    ";

    // CometBFT precommits here, because it holds the block. The paper's L36 asks for the proposal of the round, and so do
    // we: nil, and the lock stays as old as it was. When the round is over, the polka makes the valid value newer.
    a_polka_of_the_locked_value_without_its_proposal_is_not_precommitted = "
        powers 1 1 1 1, me 0, proposers 0 1 2, from TestStateLock_MissingProposalWhenPOLForLockedBlock
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose lock 0 A valid 0 A
        59       | timeout 1 propose        | prevote 1 nil                     | 1 prevote lock 0 A valid 0 A
                 | own prevote              |                                   |
        35       | prevote 1 A by 1 2 3     | timer 1 prevote                   |
        63       | timeout 1 prevote        | precommit 1 nil                   | 1 precommit lock 0 A valid 0 A
        48       | precommit 1 nil by 1 2 3 | timer 1 precommit                 |
        67 21 43 | timeout 1 precommit      | round 2, timer 2 propose          | 2 propose lock 0 A valid 1 A
    ";

    a_polka_of_a_value_that_was_proposed_earlier_does_not_lock = "
        powers 1 1 1 1, me 0, proposers 0 1, from TestStateLock_DoesNotLockOnOldProposal
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        35 45    | prevote 0 nil by 1 2 3   | timer 0 prevote, precommit 0 nil  | 0 precommit
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose
        59       | timeout 1 propose        | prevote 1 nil                     | 1 prevote
                 | own prevote              |                                   |
        35       | prevote 1 A by 1 2 3     | timer 1 prevote                   |
        63       | timeout 1 prevote        | precommit 1 nil                   | 1 precommit
    ";

    a_polka_older_than_the_lock_changes_nothing = "
        powers 1 1 1 1, me 0, proposers 0 1 2, from TestStateLock_POLSafety1
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose
        24       | proposal 1 B             | prevote 1 B                       | 1 prevote
                 | own prevote              |                                   |
        40       | prevote 1 B by 1 2 3     | precommit 1 B                     | 1 precommit lock 1 B valid 1 B
        48       | precommit 1 nil by 1 2 3 | timer 1 precommit                 |
        67 21    | timeout 1 precommit      | round 2, timer 2 propose          | 2 propose lock 1 B valid 1 B
        59       | timeout 2 propose        | prevote 2 nil                     | 2 prevote lock 1 B valid 1 B
        !42      | prevote 0 A by 1 2 3     |                                   |
                 | own prevote              |                                   |
        45       | prevote 2 nil by 1 2     | precommit 2 nil                   | 2 precommit lock 1 B valid 1 B
    ";

    a_proposal_on_a_polka_older_than_the_lock_is_refused = "
        powers 1 1 1 1, me 0, proposers 0 1 2, from TestStateLock_POLSafety2
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
                 | precommit 0 nil by 1 3   |                                   |
        48       | precommit 0 A by 2       | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose
        24       | proposal 1 B             | prevote 1 B                       | 1 prevote
                 | own prevote              |                                   |
        40       | prevote 1 B by 1 2 3     | precommit 1 B                     | 1 precommit lock 1 B valid 1 B
        !42      | prevote 0 A by 1 2 3     |                                   |
        48       | precommit 1 nil by 1 2 3 | timer 1 precommit                 |
        67 21    | timeout 1 precommit      | round 2, timer 2 propose          | 2 propose lock 1 B valid 1 B
        32       | proposal 2 A pol 0       | prevote 2 nil                     | 2 prevote lock 1 B valid 1 B
                 | own prevote              |                                   |
        45       | prevote 2 nil by 1 2     | precommit 2 nil                   | 2 precommit lock 1 B valid 1 B
    ";
}
