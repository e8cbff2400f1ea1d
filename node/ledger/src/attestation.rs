//! What many validators saw, made into one number that liars cannot move.
//!
//! For each node and epoch the ledger takes the weighted lower median of what the attesting
//! validators saw, weighted by voting power. It counts only if those who saw the node hold more than
//! two thirds of the power. Who leaves a node out says nothing about it. What a node says of itself
//! does not count, unless it is the only validator. As long as liars hold less than a third of the
//! others' power, the median lies between two honest observations.

use std::collections::BTreeMap;

use crate::ids::NodeIndex;
use crate::tx::Observation;

/// The smallest value that at least half of the weight does not exceed; `None` without any weight.
pub fn weighted_lower_median(values: &mut [(u8, u64)]) -> Option<u8> {
    values.sort_unstable();
    let total: u128 = values.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let mut sum = 0;
    for (value, weight) in values.iter() {
        sum += u128::from(*weight);
        if sum > 0 && sum * 2 >= total {
            return Some(*value);
        }
    }
    None
}

/// What an epoch's attestations agree on, ascending by node: only the nodes that count.
///
/// `powers` are the ACTIVE validators; attestations of others have no weight.
pub fn settle<'a>(
    powers: &BTreeMap<NodeIndex, u64>,
    attestations: impl IntoIterator<Item = (NodeIndex, &'a [Observation])>,
) -> Vec<Observation> {
    let total: u128 = powers.values().map(|p| u128::from(*p)).sum();
    let alone = powers.len() == 1;
    let mut seen: BTreeMap<NodeIndex, Vec<(u64, Observation)>> = BTreeMap::new();
    for (attester, observations) in attestations {
        let Some(power) = powers.get(&attester) else { continue };
        for observation in observations {
            if observation.node != attester || alone {
                seen.entry(observation.node).or_default().push((*power, *observation));
            }
        }
    }
    let mut settled = Vec::with_capacity(seen.len());
    for (node, votes) in seen {
        let own = if alone { 0 } else { powers.get(&node).copied().unwrap_or(0) };
        let others = total - u128::from(own);
        let present: u128 = votes.iter().map(|(power, _)| u128::from(*power)).sum();
        if present * 3 <= others * 2 {
            continue;
        }
        let median = |field: fn(&Observation) -> u8| {
            let mut values: Vec<(u8, u64)> = votes.iter().map(|(power, o)| (field(o), *power)).collect();
            weighted_lower_median(&mut values).unwrap_or(0)
        };
        settled.push(Observation {
            node,
            heartbeats: median(|o| o.heartbeats),
            invalid: median(|o| o.invalid),
            abuse: median(|o| o.abuse),
        });
    }
    settled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn saw(node: NodeIndex, heartbeats: u8) -> Observation {
        Observation { node, heartbeats, invalid: 0, abuse: 0 }
    }

    fn equal(n: u32) -> BTreeMap<NodeIndex, u64> {
        (0..n).map(|i| (i, 10)).collect()
    }

    fn heartbeats(settled: &[Observation]) -> Vec<(NodeIndex, u8)> {
        settled.iter().map(|o| (o.node, o.heartbeats)).collect()
    }

    #[test]
    fn the_lower_median_is_taken_and_weights_count() {
        assert_eq!(weighted_lower_median(&mut [(9, 1), (1, 1)]), Some(1));
        assert_eq!(weighted_lower_median(&mut [(9, 1), (5, 1), (1, 1)]), Some(5));
        assert_eq!(weighted_lower_median(&mut [(9, 3), (5, 1), (1, 1)]), Some(9));
        assert_eq!(weighted_lower_median(&mut []), None);
        assert_eq!(weighted_lower_median(&mut [(3, 0)]), None);
    }

    #[test]
    fn two_thirds_of_the_power_are_not_enough_more_are() {
        let attest = |who: &[NodeIndex]| {
            let seen = [saw(100, 120)];
            let list: Vec<_> = who.iter().map(|v| (*v, seen.as_slice())).collect();
            heartbeats(&settle(&equal(6), list))
        };
        assert_eq!(attest(&[0, 1, 2, 3]), []);
        assert_eq!(attest(&[0, 1, 2, 3, 4]), [(100, 120)]);
        assert_eq!(attest(&[0, 1, 2, 3, 77, 78]), [], "outsiders have no weight");
    }

    #[test]
    fn who_leaves_a_node_out_says_nothing_about_it() {
        let (both, one) = ([saw(8, 120), saw(9, 120)], [saw(8, 120)]);
        let list = [(0, &both[..]), (1, &both[..]), (2, &one[..]), (3, &one[..])];
        assert_eq!(heartbeats(&settle(&equal(4), list)), [(8, 120)]);
    }

    #[test]
    fn what_a_node_says_of_itself_counts_only_when_it_is_alone() {
        let of_itself = [saw(0, 120)];
        assert_eq!(heartbeats(&settle(&equal(1), [(0, &of_itself[..])])), [(0, 120)]);
        let others = [saw(0, 7)];
        let list = [(0, &of_itself[..]), (1, &others[..]), (2, &others[..])];
        assert_eq!(heartbeats(&settle(&equal(3), list)), [(0, 7)]);
        assert_eq!(heartbeats(&settle(&equal(2), [(0, &of_itself[..])])), []);
        assert_eq!(heartbeats(&settle(&equal(2), [(1, &others[..])])), [(0, 7)]);
    }

    proptest! {
        /// n = 3f + 1 validators of equal power, f liars who say or withhold what they like, about a
        /// stranger or about one of the honest validators.
        #[test]
        fn a_median_that_f_liars_cannot_move(
            f in 0_u32..6,
            of_validator in any::<bool>(),
            honest in proptest::collection::vec(any::<u8>(), 16),
            lies in proptest::collection::vec(proptest::option::of(any::<u8>()), 5),
        ) {
            let n = 3 * f + 1;
            let target = if of_validator { n - 1 } else { 1_000 };
            let mut list = Vec::new();
            for v in 0..n {
                let value = if v < f { lies[v as usize] } else { Some(honest[v as usize]) };
                list.push((v, value.map(|h| vec![saw(target, h)]).unwrap_or_default()));
            }
            let truth: Vec<u8> = (f..n)
                .filter(|v| *v != target || n == 1)
                .map(|v| honest[v as usize])
                .collect();
            let settled = settle(&equal(n), list.iter().map(|(v, o)| (*v, o.as_slice())));
            if let Some(settled) = settled.first() {
                let (low, high) = (truth.iter().min(), truth.iter().max());
                prop_assert!(low <= Some(&settled.heartbeats) && Some(&settled.heartbeats) <= high);
            } else {
                prop_assert!(of_validator && n > 1, "2f+1 honest validators always count");
            }
        }

        /// Unequal powers: liars with less than a third of the others' power.
        #[test]
        fn weights_do_not_help_liars(
            powers in proptest::collection::vec(1_u64..1_000, 1..20),
            values in proptest::collection::vec(any::<u8>(), 20),
            liars in 0_usize..20,
        ) {
            let total: u64 = powers.iter().sum();
            let mut left = (total - 1) / 3;
            let lying: Vec<bool> = powers.iter().enumerate().map(|(i, p)| {
                let lies = i < liars && *p <= left;
                left -= if lies { *p } else { 0 };
                lies
            }).collect();
            let map: BTreeMap<u32, u64> = (0_u32..).zip(powers).collect();
            let list: Vec<_> = (0_u32..).zip(&values).take(map.len()).map(|(v, h)| (v, [saw(1_000, *h)])).collect();
            let honest = || values.iter().zip(&lying).filter(|(_, lies)| !**lies).map(|(v, _)| *v);
            let settled = settle(&map, list.iter().map(|(v, o)| (*v, o.as_slice())));
            prop_assert!(honest().min() <= Some(settled[0].heartbeats));
            prop_assert!(Some(settled[0].heartbeats) <= honest().max());
        }
    }
}
