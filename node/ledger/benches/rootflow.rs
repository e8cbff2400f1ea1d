//! Time of a full trust computation: Bitcoin OTC (when the file is found) and synthetic graphs.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use trustnet_ledger::trust::{RatingEdge, TrustGraph, TrustParams, rootflow};

/// Ratings between pairs drawn from a fixed sequence, low numbers more often; `categories` ratings for
/// each pair.
fn synthetic(nodes: u32, pairs: u32, categories: u8) -> TrustGraph {
    let mut state = 1_u64;
    let mut random = |below: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as u32) % below
    };
    let mut seen = std::collections::HashSet::new();
    let mut edges = Vec::new();
    while seen.len() < pairs as usize {
        let (from, to) = (random(nodes).min(random(nodes)), random(nodes).min(random(nodes)));
        if from == to || !seen.insert((from, to)) {
            continue;
        }
        for category in 0..categories {
            let stars = [1, 2, 3, 4, 4, 4, 5, 5, 5, 5][random(10) as usize];
            edges.push(RatingEdge { from, to, category, stars, day: 19_000 + random(1_000) });
        }
    }
    let roots = (0..nodes).map(|i| u64::from(i < 20)).collect();
    TrustGraph::new(roots, Vec::new(), &edges)
}

fn benches(c: &mut Criterion) {
    if let Some(path) = common::shared_file("TRUSTNET_OTC_CSV", "soc-sign-bitcoinotc.csv") {
        let input = common::otc_input(&std::fs::read_to_string(path).unwrap());
        let computed = input.compute();
        c.bench_function("otc_5881_nodes_35592_ratings", |b| {
            b.iter(|| rootflow(black_box(&computed.graph), &computed.params, input.today));
        });
    }
    let params = TrustParams { category_weights: [40, 20, 40] };
    for (name, nodes, pairs, categories) in [
        ("10k_nodes_100k_ratings", 10_000, 100_000, 1),
        ("10k_nodes_100k_edges_3_categories", 10_000, 100_000, 3),
        ("100k_nodes_1m_edges", 100_000, 1_000_000, 1),
    ] {
        let graph = synthetic(nodes, pairs, categories);
        c.bench_function(name, |b| b.iter(|| rootflow(black_box(&graph), &params, 20_000)));
    }
}

criterion_group! { name = group; config = Criterion::default().sample_size(20); targets = benches }
criterion_main!(group);
