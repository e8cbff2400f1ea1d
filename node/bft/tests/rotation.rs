//! Pitfall 31: who proposes.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use trustnet_bft::{Height, Index, Power, Round, ValidatorSet};

fn set(powers: &[Power]) -> ValidatorSet<128> {
    ValidatorSet::new(powers).unwrap()
}

/// The definition: all positions `(k + 1/2) / power` sorted, ties by index.
fn slots(powers: &[Power]) -> Vec<Index> {
    let mut positions: Vec<(Power, Power, Index)> = Vec::new();
    for (index, &power) in powers.iter().enumerate() {
        positions.extend((0..power).map(|k| (2 * k + 1, power, index as Index)));
    }
    positions.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
    positions.into_iter().map(|(_, _, index)| index).collect()
}

/// How often each of `n` validators proposes at `count` consecutive heights.
fn turns(set: &ValidatorSet<128>, from: Height, count: u64) -> Vec<u64> {
    let mut turns = vec![0; set.len()];
    for height in from..from + count {
        turns[usize::from(set.proposer(height, 0))] += 1;
    }
    turns
}

#[test]
fn equal_powers_take_turns() {
    for power in [1, 3, 1_000_000, 1 << 53] {
        for n in [1, 2, 3, 4, 7, 100, 128] {
            let set = set(&vec![power; n]);
            for height in [0, 1, 5, 1000, 123_456_789] {
                for round in [0, 1, 2, 130] {
                    assert_eq!(
                        u64::from(set.proposer(height, round)),
                        (height + u64::from(round)) % n as u64
                    );
                }
            }
        }
    }
}

#[test]
fn over_as_many_heights_as_there_is_power_everyone_has_its_share() {
    for powers in [&[1, 2, 3][..], &[7, 7, 7, 1], &[100, 1, 1, 1], &[13, 5, 89, 2, 1]] {
        let set = set(powers);
        for from in [0, 17, 1_000_003] {
            assert_eq!(turns(&set, from, set.total()), powers);
        }
    }
}

#[test]
fn consecutive_rounds_reach_every_validator() {
    let set = set(&[50, 1, 20, 3]);
    for height in [0, 33, 5000] {
        let mut seen = [false; 4];
        for round in 0..74 {
            seen[usize::from(set.proposer(height, round))] = true;
        }
        assert_eq!(seen, [true; 4]);
    }
}

#[test]
fn one_whale_leaves_the_others_their_share_evenly_spread() {
    let set = set(&[90, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(turns(&set, 0, 100), [90, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    // A whale among the smallest possible.
    let whale = (1 << 60) - 127;
    let set = ValidatorSet::<128>::new(&[&[whale][..], &[1; 127]].concat()).unwrap();
    assert_eq!(set.proposer(0, 0), 0);
    // All the small ones have their one position, 1/2, in the middle; the whale has it too, and a lower index.
    let middle = whale / 2;
    let around: Vec<Index> = (0..129).map(|i| set.proposer(middle + i, 0)).collect();
    assert!((1..128).all(|index| around.contains(&index)));
}

#[test]
fn the_turns_of_one_validator_are_evenly_spread() {
    let set = set(&[3, 6, 12, 24]);
    let heights: Vec<Height> = (0..45 * 4).filter(|&height| set.proposer(height, 0) == 0).collect();
    for pair in heights.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((12..=18).contains(&gap), "3 of 45: every 15, give or take: {gap}");
    }
}

#[test]
fn the_ends_of_the_number_range_are_safe() {
    for powers in [vec![1], vec![1 << 60], vec![(1 << 60) - 1, 1], vec![1 << 53; 128]] {
        let set = set(&powers);
        for height in [0, 1, Height::MAX - 1, Height::MAX] {
            for round in [0, 1, Round::MAX] {
                assert!(usize::from(set.proposer(height, round)) < powers.len());
            }
        }
    }
}

proptest! {
    #[test]
    fn the_search_finds_what_the_definition_says(
        powers in prop::collection::vec(prop_oneof![1..5_u64, 1..60_u64, 1..400_u64], 1..20),
        start in 0..1_000_000_u64,
    ) {
        let slots = slots(&powers);
        let set = set(&powers);
        for i in 0..slots.len() as u64 {
            let height = start + i;
            prop_assert_eq!(set.proposer(height, 0), slots[(height % set.total()) as usize]);
        }
    }

    #[test]
    fn any_powers_give_a_member(
        powers in prop::collection::vec(1..1_u64 << 53, 1..128),
        height: Height,
        round: Round,
    ) {
        let set = set(&powers);
        prop_assert!(usize::from(set.proposer(height, round)) < powers.len());
    }
}
