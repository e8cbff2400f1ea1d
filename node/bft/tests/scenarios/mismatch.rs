//! A polka for one value says nothing about another.
//!
//! Where the value is invalid, Malachite waits for its polka before it prevotes nil, and for ever if the polka is for another
//! value. Here an invalid value gets its nil at once: no polka could change that, and time is saved.

crate::table::tables! {
    a_proposal_after_the_polka_of_another_value_is_not_precommitted = "
        powers 2 3 2, me 2, proposers 1, from no_precommit_after_polka_and_proposal_different_values
        10 21 | start             | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose | prevote 0 nil            | 0 prevote
              | prevote 0 A by 0  |                          |
        35    | prevote 0 A by 1  | timer 0 prevote          |
        !36   | proposal 0 B      |                          |
    ";

    a_proposal_after_the_polka_of_another_value_does_not_become_valid = "
        powers 2 3 2, me 2, proposers 1, from no_valid_update_after_polka_and_proposal_different_values
        10 21 | start             | round 0, timer 0 propose | 0 propose
        59    | timeout 0 propose | prevote 0 nil            | 0 prevote
              | prevote 0 A by 0  |                          |
        35    | prevote 0 A by 1  | timer 0 prevote          |
        63    | timeout 0 prevote | precommit 0 nil          | 0 precommit
        !36   | proposal 0 B      |                          |
    ";

    a_value_proposed_again_on_the_polka_of_another_waits = "
        powers 2 3 2, me 2, proposers 1 0, from no_prevote_for_proposal_with_polka_for_different_value
        10 21 | start              | round 0, timer 0 propose | 0 propose
              | prevote 0 A by 0   |                          |
        !36   | prevote 0 A by 1   |                          |
        56 21 | prevote 1 C by 1   | round 1, timer 1 propose | 1 propose
        !28   | proposal 1 B pol 0 |                          |
        59    | timeout 1 propose  | prevote 1 nil            | 1 prevote
    ";

    a_value_proposed_again_on_the_certificate_of_another_waits = "
        powers 2 3 2, me 2, proposers 1 0, from no_prevote_for_proposal_with_polka_for_different_value_via_certificate
        10 21 | start              | round 0, timer 0 propose | 0 propose
        !36   | polka 0 A by 0 1   |                          |
        56 21 | prevote 1 C by 1   | round 1, timer 1 propose | 1 propose
        !28   | proposal 1 B pol 0 |                          |
        59    | timeout 1 propose  | prevote 1 nil            | 1 prevote
    ";

    an_invalid_value_proposed_again_on_the_polka_of_another_gets_nil = "
        powers 2 3 2, me 2, proposers 1 0, from no_prevote_for_invalid_proposal_with_polka_for_different_value
        10 21 | start                  | round 0, timer 0 propose | 0 propose
              | prevote 0 A by 0       |                          |
        !36   | prevote 0 A by 1       |                          |
        56 21 | prevote 1 C by 1       | round 1, timer 1 propose | 1 propose
        32    | proposal 1 B pol 0 bad | prevote 1 nil            | 1 prevote
    ";

    an_invalid_value_proposed_again_on_the_certificate_of_another_gets_nil = "
        powers 2 3 2, me 2, proposers 1 0, from no_prevote_for_invalid_proposal_with_polka_for_different_value_via_certificate
        10 21 | start                  | round 0, timer 0 propose | 0 propose
        !36   | polka 0 A by 0 1       |                          |
        56 21 | prevote 1 C by 1       | round 1, timer 1 propose | 1 propose
        32    | proposal 1 B pol 0 bad | prevote 1 nil            | 1 prevote
    ";

    an_invalid_value_proposed_again_gets_nil_before_its_certificate = "
        powers 2 3 2, me 2, proposers 1 1 0, from proposal_invalid_value_and_matching_pol_certificate
        10 21 | start                  | round 0, timer 0 propose | 0 propose
        56 21 | prevote 2 C by 1       | round 2, timer 2 propose | 2 propose
        32    | proposal 2 A pol 0 bad | prevote 2 nil            | 2 prevote
        !42   | polka 1 A by 0 1       |                          |
        !28   | polka 0 A by 0 1       |                          |
    ";
}
