//! The neighbours of `TestStateLock_*` in `CometBFT` v1.0: valid values, missing proposals, commits of other rounds.

crate::table::tables! {
    // CometBFT notes the value as valid once it holds the block. Here, as in the paper, that takes the proposal.
    a_polka_without_its_proposal_is_not_prevoted = "
        powers 1 1 1 1, me 0, proposers 3 0 1, from TestState_MissingProposalValidBlockReceivedTimeout
        10 21 | start                | round 0, timer 0 propose       | 0 propose
        56 21 | prevote 2 A by 1 2 3 | round 2, timer 2 propose       | 2 propose
        59 35 | timeout 2 propose    | prevote 2 nil, timer 2 prevote | 2 prevote
    ";

    a_polka_whose_proposal_comes_after_the_timeout_is_precommitted = "
        powers 1 1 1 1, me 0, proposers 3 0 1, from TestState_MissingProposalValidBlockReceivedPrecommit
        10 21 | start                | round 0, timer 0 propose       | 0 propose
        56 21 | prevote 2 A by 1 2 3 | round 2, timer 2 propose       | 2 propose
        59 35 | timeout 2 propose    | prevote 2 nil, timer 2 prevote | 2 prevote
        40    | proposal 2 A         | precommit 2 A                  | 2 precommit lock 2 A valid 2 A
    ";

    a_value_with_a_newer_polka_than_the_lock_is_prevoted_and_not_locked = "
        powers 1 1 1 1, me 0, proposers 0 1 2, from TestState_PrevotePOLFromPreviousRound
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A                | propose 0 A                       |
        24       | own proposal             | prevote 0 A                       | 0 prevote
                 | own prevote              |                                   |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                     | 0 precommit lock 0 A valid 0 A
                 | own precommit            |                                   |
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose lock 0 A valid 0 A
        !36      | prevote 1 B by 1 2 3     |                                   |
        59 35    | timeout 1 propose        | prevote 1 nil, timer 1 prevote    | 1 prevote lock 0 A valid 0 A
        48       | precommit 1 nil by 1 2 3 | timer 1 precommit                 |
        67 21    | timeout 1 precommit      | round 2, timer 2 propose          | 2 propose lock 0 A valid 0 A
        30 43    | proposal 2 B pol 1       | prevote 2 B                       | 2 prevote lock 0 A valid 1 B
                 | own prevote              |                                   |
                 | own prevote              |                                   |
        35 45    | prevote 2 nil by 1 2 3   | timer 2 prevote, precommit 2 nil  | 2 precommit lock 0 A valid 1 B
    ";

    the_valid_value_is_proposed_again_rounds_later = "
        powers 1 1 1 1, me 0, proposers 0 1 2 3 0, from TestProposeValidBlock
        10 21 18 | start                    | round 0, timer 0 propose, build 0           | 0 propose
        19       | value 0 A                | propose 0 A                                 |
        24       | own proposal             | prevote 0 A                                 | 0 prevote
                 | own prevote              |                                             |
        40       | prevote 0 A by 1 2 3     | precommit 0 A                               | 0 precommit lock 0 A valid 0 A
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                           |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose                    | 1 propose lock 0 A valid 0 A
        59       | timeout 1 propose        | prevote 1 nil                               | 1 prevote lock 0 A valid 0 A
        48       | precommit 1 nil by 1 2 3 | timer 1 precommit                           |
        56 21 48 | precommit 3 nil by 1 2 3 | round 3, timer 3 propose, timer 3 precommit | 3 propose lock 0 A valid 0 A
        67 21 16 | timeout 3 precommit      | round 4, timer 4 propose, propose 4 A pol 0 | 4 propose lock 0 A valid 0 A
    ";

    a_delayed_prevote_makes_the_value_valid = "
        powers 1 1 1 1, me 0, proposers 0, from TestSetValidBlockOnDelayedPrevote
        10 21 18 | start              | round 0, timer 0 propose, build 0 | 0 propose
        19       | value 0 A          | propose 0 A                       |
        24       | own proposal       | prevote 0 A                       | 0 prevote
                 | own prevote        |                                   |
                 | prevote 0 A by 1   |                                   |
        35       | prevote 0 nil by 2 | timer 0 prevote                   |
        63       | timeout 0 prevote  | precommit 0 nil                   | 0 precommit
        43       | prevote 0 A by 3   |                                   | 0 precommit valid 0 A
    ";

    a_delayed_proposal_makes_the_value_valid = "
        powers 1 1 1 1, me 0, proposers 1, from TestSetValidBlockOnDelayedProposal
        10 21 | start                | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose    | prevote 0 nil            | 0 prevote
        35    | prevote 0 A by 1 2 3 | timer 0 prevote          |
        63    | timeout 0 prevote    | precommit 0 nil          | 0 precommit
        43    | proposal 0 A         |                          | 0 precommit valid 0 A
    ";

    a_commit_is_known_before_its_block = "
        powers 1 1 1 1, me 0, proposers 1, from TestEmitNewValidBlockEventOnCommitWithoutBlock
        10 21 | start                | round 0, timer 0 propose | 0 propose
        51    | precommit 0 A by 1 2 3 | decide 0 A             | 0 propose decided 0 A
    ";

    nil_precommits_alone_end_the_round_by_its_timer = "
        powers 1 1 1 1, me 0, proposers 0 1, from TestWaitingTimeoutOnNilPolka
        10 21 18 | start                    | round 0, timer 0 propose, build 0 | 0 propose
        48       | precommit 0 nil by 1 2 3 | timer 0 precommit                 |
        67 21    | timeout 0 precommit      | round 1, timer 1 propose          | 1 propose
    ";

    prevotes_of_the_next_round_pull_us_but_do_not_vote_for_us = "
        powers 1 1 1 1, me 0, proposers 0 1, from TestWaitingTimeoutProposeOnNewRound
        10 21 18 | start                | round 0, timer 0 propose, build 0 | 0 propose
        59       | timeout 0 propose    | prevote 0 nil                     | 0 prevote
        56 21    | prevote 1 nil by 1 2 3 | round 1, timer 1 propose        | 1 propose
        59 45    | timeout 1 propose    | prevote 1 nil, precommit 1 nil    | 1 precommit
    ";

    precommits_of_the_next_round_pull_us_and_end_it = "
        powers 1 1 1 1, me 0, proposers 0 1 2, from TestRoundSkipOnNilPolkaFromHigherRound
        10 21 18 | start                    | round 0, timer 0 propose, build 0           | 0 propose
        59       | timeout 0 propose        | prevote 0 nil                               | 0 prevote
        56 21 48 | precommit 1 nil by 1 2 3 | round 1, timer 1 propose, timer 1 precommit | 1 propose
        67 21    | timeout 1 precommit      | round 2, timer 2 propose                    | 2 propose
    ";

    a_nil_polka_of_the_current_round_waits_for_the_proposal_or_the_timeout = "
        powers 1 1 1 1, me 0, proposers 1, from TestWaitTimeoutProposeOnNilPolkaForTheCurrentRound
        10 21 | start                  | round 0, timer 0 propose       | 0 propose
        !44   | prevote 0 nil by 1 2 3 |                                |
        59 45 | timeout 0 propose      | prevote 0 nil, precommit 0 nil | 0 precommit
    ";

    a_commit_of_the_round_before_decides = "
        powers 1 1 1 1, me 0, proposers 1 2, from TestCommitFromPreviousRound
        10 21 | start                  | round 0, timer 0 propose | 0 propose
        56 21 | prevote 1 nil by 1 2   | round 1, timer 1 propose | 1 propose
        51    | precommit 0 A by 1 2 3 | decide 0 A               | 1 propose decided 0 A
        !49   | proposal 0 A           |                          |
    ";
}
