//! What must hold for every graph.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Input, naive};
use proptest::prelude::*;
use trustnet_ledger::Category;
use trustnet_ledger::trust::{RatingEdge, TrustGraph, TrustParams, explain, rootflow};

/// Graphs with three categories, unequal roots, replaced ratings, self-ratings and banned nodes.
fn graphs(nodes: u8, ratings: usize) -> impl Strategy<Value = Input<u8>> {
    let rating = (0..nodes, 0..nodes, 0_usize..3, prop_oneof![1_u8..=5, Just(5), Just(4)], 0_u32..1_100);
    (
        proptest::collection::vec(rating, 0..ratings),
        proptest::collection::btree_map(0..nodes, 1_u64..5, 0..9),
        proptest::collection::btree_set(0..nodes, 0..3),
        prop_oneof![Just([40, 20, 40]), Just([0, 0, 100]), Just([1, 0, 7]), Just([1, 1, 1])],
    )
        .prop_map(|(ratings, roots, banned, weights)| Input {
            ratings: ratings.into_iter().map(|(f, t, c, s, d)| (f, t, Category::ALL[c], s, d)).collect(),
            roots,
            banned,
            today: 1_000,
            weights,
        })
}

fn agrees_with_naive(input: &Input<u8>) -> Result<(), TestCaseError> {
    let computed = input.compute();
    let (rows, tau) = naive::rootflow(input);
    let scores = &computed.scores;
    prop_assert_eq!(u128::from(scores.tau), tau);
    prop_assert_eq!(computed.ids.len(), rows.len());
    for (i, id) in computed.ids.iter().enumerate() {
        let row = (
            u128::from(scores.standing[i]),
            u128::from(scores.weight[i]),
            u128::from(scores.score[i]),
            u128::from(scores.confidence[i]),
            scores.categories[i].map(u128::from),
        );
        prop_assert_eq!(row, rows[id], "node {}", id);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_naive_second_implementation_agrees_on_sparse_graphs(input in graphs(40, 150)) {
        agrees_with_naive(&input)?;
    }

    #[test]
    fn a_naive_second_implementation_agrees_on_dense_graphs(input in graphs(12, 200)) {
        agrees_with_naive(&input)?;
    }

    #[test]
    fn the_order_of_nodes_and_ratings_does_not_matter(input in graphs(30, 150), seed in any::<u64>()) {
        let straight = input.compute();
        let n = straight.ids.len();
        // Fisher-Yates with a linear congruence: any permutation will do.
        let mut state = seed;
        let mut order: Vec<usize> = (0..n).collect();
        let mut edges = straight.graph.ratings().to_vec();
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for i in (1..n).rev() {
            order.swap(i, random(i + 1));
        }
        for i in (1..edges.len()).rev() {
            edges.swap(i, random(i + 1));
        }
        let mut new_place = vec![0_u32; n];
        for (new, old) in order.iter().enumerate() {
            new_place[*old] = new as u32;
        }
        let edges: Vec<RatingEdge> = edges
            .iter()
            .map(|e| RatingEdge { from: new_place[e.from as usize], to: new_place[e.to as usize], ..*e })
            .collect();
        let roots = order.iter().map(|old| input.roots.get(&straight.ids[*old]).copied().unwrap_or(0)).collect();
        let banned = order.iter().map(|old| input.banned.contains(&straight.ids[*old])).collect();
        let graph = TrustGraph::new(roots, banned, &edges);
        let shuffled = rootflow(&graph, &straight.params, input.today);
        prop_assert_eq!(shuffled.tau, straight.scores.tau);
        prop_assert_eq!(shuffled.total, straight.scores.total);
        for (new, old) in order.iter().enumerate() {
            prop_assert_eq!(shuffled.standing[new], straight.scores.standing[*old]);
            prop_assert_eq!(shuffled.weight[new], straight.scores.weight[*old]);
            prop_assert_eq!(shuffled.score[new], straight.scores.score[*old]);
            prop_assert_eq!(shuffled.confidence[new], straight.scores.confidence[*old]);
            prop_assert_eq!(shuffled.categories[new], straight.scores.categories[*old]);
        }
    }

    #[test]
    fn a_replaced_rating_leaves_no_trace(input in graphs(20, 80)) {
        let mut only_current = input.clone();
        only_current.ratings = input.current().into_iter().map(|((f, t, c), (s, d))| (f, t, c, s, d)).collect();
        prop_assert_eq!(only_current.compute().scores, input.compute().scores);
    }

    #[test]
    fn a_banned_node_has_no_voice(input in graphs(20, 80), node in 0_u8..20) {
        let mut banned = input.clone();
        banned.banned.insert(node);
        let mut silent = banned.clone();
        silent.ratings.retain(|(from, ..)| *from != node);
        let (banned, silent) = (banned.compute(), silent.compute());
        for (i, id) in silent.ids.iter().enumerate() {
            let j = banned.place(id);
            prop_assert_eq!(banned.scores.score[j], silent.scores.score[i]);
            prop_assert_eq!(banned.scores.standing[j], silent.scores.standing[i]);
        }
        if let Ok(i) = banned.ids.binary_search(&node) {
            prop_assert_eq!(banned.scores.weight[i], 0);
        }
    }

    /// Without one rating from an honest node, any number of fakes changes nobody's score.
    #[test]
    fn fakes_without_an_attack_edge_change_nothing(
        input in graphs(20, 100),
        fakes in proptest::collection::vec((100_u8..150, 0_u8..150, 1_u8..=5), 1..300),
    ) {
        let mut attacked = input.clone();
        for (from, to, stars) in fakes {
            let to = if (20..100).contains(&to) { to + 50 } else { to };
            attacked.ratings.push((from, to, Category::Honesty, stars, 1_000));
        }
        let (before, after) = (input.compute(), attacked.compute());
        prop_assert_eq!(before.scores.tau, after.scores.tau);
        for (i, id) in before.ids.iter().enumerate() {
            let j = after.place(id);
            prop_assert_eq!(before.scores.score[i], after.scores.score[j]);
            prop_assert_eq!(before.scores.confidence[i], after.scores.confidence[j]);
            prop_assert_eq!(before.scores.weight[i], after.scores.weight[j]);
        }
        for (i, id) in after.ids.iter().enumerate() {
            if *id >= 100 {
                prop_assert_eq!((after.scores.standing[i], after.scores.weight[i]), (0, 0));
                // Honest nodes may rate fakes badly; nobody rated them well, so none is above 50.
            }
        }
    }

    /// Standing of a set without roots is at most what flows in over its border, whatever its size
    /// (trust/README.md, "Sybil bound"); here one border edge of 4 or 5 stars.
    #[test]
    fn the_standing_of_fakes_is_bounded_by_the_attack_edge(
        input in graphs(15, 120),
        fooled in 0_u8..15,
        stars in 4_u8..=5,
        fakes in proptest::collection::vec((100_u8..130, 100_u8..130), 0..200),
    ) {
        let mut attacked = input.clone();
        attacked.ratings.push((fooled, 100, Category::Honesty, stars, 1_000));
        for (from, to) in fakes {
            attacked.ratings.push((from, to, Category::Honesty, 5, 1_000));
        }
        let after = attacked.compute();
        let standing = |id: &u8| after.ids.binary_search(id).map_or(0, |i| after.scores.standing[i]);
        let of_fakes: u64 = after.ids.iter().filter(|id| **id >= 100).map(standing).sum();
        let share = if stars == 5 { 2 } else { 8 };
        prop_assert!(of_fakes <= standing(&fooled) / share, "{of_fakes} of {}", standing(&fooled));
    }

    #[test]
    fn the_contributions_add_up_to_the_score(input in graphs(20, 120)) {
        let computed = input.compute();
        for (i, _) in computed.ids.iter().enumerate() {
            let list = explain(&computed.graph, &computed.params, input.today, &computed.scores, i as u32);
            let sum: i64 = list.iter().map(|c| i64::from(c.centi_points)).sum();
            let score = i64::from(computed.scores.score[i]) - 5_000;
            let ratings: i64 = computed.graph.ratings().iter().map(|e| i64::from(e.to as usize == i)).sum();
            // One hundredth for each rating cut off, and up to two for the rounding of the score.
            prop_assert!((score - sum).abs() <= ratings + 2, "{score} against {sum} of {ratings}");
        }
    }
}

/// The largest allowed weights and in-degrees stay within 64 bits (debug builds check every step).
#[test]
fn the_largest_numbers_do_not_overflow() {
    let nodes = 100_002_u32;
    let mut roots = vec![0; nodes as usize];
    roots[..50_000].fill(1_000_000);
    let edge = |from, to, stars| RatingEdge { from, to, category: 0, stars, day: 0 };
    let mut edges: Vec<RatingEdge> = (0..100_000).map(|i| edge(i, nodes - 1, 1 + (i % 5) as u8)).collect();
    edges.extend((0..100_000).map(|i| edge(i, nodes - 2, 1)));
    edges.extend((0..50_000).map(|i| edge(i, (i + 1) % 50_000, 5)));
    let params = TrustParams { category_weights: [1_000_000; 3] };
    let graph = TrustGraph::new(roots, Vec::new(), &edges);
    let scores = rootflow(&graph, &params, 0);
    assert!(scores.score.iter().all(|s| *s <= 10_000));
    let list = explain(&graph, &params, 0, &scores, nodes - 2);
    assert!(list.iter().all(|c| c.centi_points < 0));
}

#[test]
fn meaningless_edges_are_left_out() {
    let edge = |from, to, category, stars| RatingEdge { from, to, category, stars, day: 0 };
    let edges = [
        edge(0, 0, 0, 5),
        edge(0, 9, 0, 5),
        edge(9, 0, 0, 5),
        edge(0, 1, 3, 5),
        edge(0, 1, 0, 0),
        edge(0, 1, 0, 6),
    ];
    let graph = TrustGraph::new(vec![1, 0], vec![], &edges);
    assert!(graph.ratings().is_empty());
    assert_eq!(rootflow(&graph, &TrustParams { category_weights: [1, 1, 1] }, 0).score, [5_000, 5_000]);
    assert!(TrustGraph::new(Vec::new(), vec![], &edges).is_empty());
}

#[test]
fn an_input_names_each_node_once() {
    let input = Input {
        ratings: vec![("b", "a", Category::Honesty, 5, 1)],
        roots: BTreeMap::from([("b", 1)]),
        banned: BTreeSet::new(),
        today: 1,
        weights: [1, 1, 1],
    };
    assert_eq!(input.compute().ids, ["a", "b"]);
}
