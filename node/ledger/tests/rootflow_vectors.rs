//! The trust score against the vectors that define it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Input, otc_input, shared_file, small_input};
use serde_json::{Value, json};
use trustnet_ledger::trust::{decay, explain};

fn check_small(vectors: &Value) -> usize {
    for pair in vectors["decay"].as_array().unwrap() {
        let age = u32::try_from(pair[0].as_u64().unwrap()).unwrap();
        assert_eq!(decay(age), pair[1].as_u64().unwrap(), "age {age}");
    }
    let cases = vectors["small"].as_object().unwrap();
    for (name, case) in cases {
        check_case(name, &small_input(case), &case["expect"]);
    }
    cases.len()
}

fn check_case(name: &str, input: &Input<String>, expect: &Value) {
    let computed = input.compute();
    let scores = &computed.scores;
    assert_eq!(json!(scores.tau), expect["tau"], "{name}: tau");
    assert_eq!(json!(scores.total), expect["total"], "{name}: total");
    let nodes: serde_json::Map<String, Value> = computed
        .ids
        .iter()
        .enumerate()
        .map(|(i, id)| {
            let [reliability, performance, honesty] = scores.categories[i];
            let row = json!([
                scores.standing[i],
                scores.weight[i],
                scores.score[i],
                scores.confidence[i],
                honesty,
                reliability,
                performance
            ]);
            (id.clone(), row)
        })
        .collect();
    assert_eq!(Value::Object(nodes), expect["nodes"], "{name}: nodes");
    assert_eq!(computed.checksum(|id| id.as_bytes().to_vec()), expect["checksum"], "{name}: checksum");
    let mut why = serde_json::Map::new();
    for (i, id) in (0..).zip(&computed.ids) {
        let list: Vec<Value> = explain(&computed.graph, &computed.params, input.today, scores, i)
            .iter()
            .map(|c| json!([computed.ids[c.from as usize], c.category.name(), c.stars, c.centi_points]))
            .collect();
        if !list.is_empty() {
            why.insert(id.clone(), list.into());
        }
    }
    assert_eq!(Value::Object(why), expect["why"], "{name}: why");
}

#[test]
fn the_small_graphs_give_exactly_the_expected_numbers() {
    let vectors: Value = serde_json::from_str(include_str!("data/rootflow_small.json")).unwrap();
    assert_eq!(check_small(&vectors), 13);
}

#[test]
fn the_shared_vectors_agree() {
    let Some(path) = shared_file("TRUSTNET_TRUST_VECTORS", "vectors.json") else {
        println!("fell back to the committed small graphs: no shared/trust/vectors.json");
        return;
    };
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(check_small(&vectors) >= 13);
}

#[test]
fn bitcoin_otc_gives_the_expected_checksum_and_lists() {
    let (Some(csv), Some(vectors)) = (
        shared_file("TRUSTNET_OTC_CSV", "soc-sign-bitcoinotc.csv"),
        shared_file("TRUSTNET_TRUST_VECTORS", "vectors.json"),
    ) else {
        println!("fell back: no Bitcoin OTC data in shared/trust, nothing compared");
        return;
    };
    let expect: Value = serde_json::from_str(&std::fs::read_to_string(vectors).unwrap()).unwrap();
    let expect = &expect["otc"];
    let input = otc_input(&std::fs::read_to_string(csv).unwrap());
    let computed = input.compute();
    let scores = &computed.scores;
    let count = computed.ids.len();

    assert_eq!(
        computed.checksum(|id| id.to_be_bytes().to_vec()),
        "2eade13689d65e5f9e6dc60f36f5f60fd59421d8efdf3a1fdd52f34a45ad3a74"
    );
    assert_eq!(
        (json!(count), json!(input.ratings.len())),
        (expect["nodes"].clone(), expect["ratings"].clone())
    );
    assert_eq!(json!(input.today), expect["today"]);
    assert_eq!(json!(input.roots.keys().collect::<Vec<_>>()), expect["roots"]);
    assert_eq!(
        (json!(scores.tau), json!(scores.total)),
        (expect["tau"].clone(), expect["total_standing"].clone())
    );
    assert_eq!(scores.tau, 1_476_986_385);
    let full = scores.weight.iter().filter(|w| **w == 65_536).count();
    assert_eq!(json!(full), expect["full_weight_raters"]);
    let mean = scores.score.iter().map(|s| u64::from(*s)).sum::<u64>() / count as u64;
    assert_eq!(json!(mean), expect["mean_score"]);

    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(scores.score[*i]), computed.ids[*i]));
    let row = |i: &usize| {
        json!([
            computed.ids[*i],
            scores.score[*i],
            scores.confidence[*i],
            scores.weight[*i],
            scores.standing[*i]
        ])
    };
    assert_eq!(json!(order[..20].iter().map(row).collect::<Vec<_>>()), expect["top20"]);
    assert_eq!(json!(order[count - 20..].iter().map(row).collect::<Vec<_>>()), expect["bottom20"]);
    for (node, key) in [(order[0], "why_top"), (order[count - 1], "why_bottom")] {
        let list: Vec<Value> =
            explain(&computed.graph, &computed.params, input.today, scores, u32::try_from(node).unwrap())
                .iter()
                .take(5)
                .map(|c| json!([computed.ids[c.from as usize], c.category.name(), c.stars, c.centi_points]))
                .collect();
        assert_eq!(json!(list), expect[key], "{key}");
    }
}
