//! The trust score a second time, written for obviousness from its description: maps of maps, wide
//! integers, no reuse of the product's code.

use std::collections::{BTreeMap, BTreeSet};

use trustnet_ledger::Category;

use super::Input;

/// Standing, weight, score, confidence, then the category scores in the order of `Category::ALL`.
pub type Row = (u128, u128, u128, u128, [u128; 3]);

/// Rows by id, and tau.
pub fn rootflow<Id: Ord + Clone>(input: &Input<Id>) -> (BTreeMap<Id, Row>, u128) {
    let current = input.current();
    let mut ids: BTreeSet<&Id> = input.roots.keys().collect();
    for (from, to, _) in current.keys() {
        ids.extend([from, to]);
    }
    let decay = |day: u32| {
        let age = u128::from(input.today.saturating_sub(day));
        let base = 1024_u128 >> (age / 180).min(11);
        (base - base * (age % 180) / 360).max(64)
    };
    let live: Vec<_> = current.iter().filter(|((from, ..), _)| !input.banned.contains(from)).collect();

    // Pairs: the stars and decayed flow of every category rated.
    let mut pairs: BTreeMap<(&Id, &Id), Vec<(u8, u128)>> = BTreeMap::new();
    for ((from, to, _), (stars, day)) in &live {
        pairs.entry((from, to)).or_default().push((*stars, decay(*day)));
    }
    let mut p: BTreeMap<(&Id, &Id), u128> = BTreeMap::new();
    for (pair, list) in &pairs {
        if list.iter().all(|(stars, _)| *stars > 2) {
            let points = |stars: u8| match stars {
                5 => 4,
                4 => 1,
                _ => 0,
            };
            let mean = list.iter().map(|(s, d)| points(*s) * d).sum::<u128>() / list.len() as u128;
            p.insert(*pair, mean);
        }
    }
    p.retain(|_, strength| *strength > 0);
    let out = |u: &Id| p.iter().filter(|((f, _), _)| *f == u).map(|(_, s)| s).sum::<u128>().max(8 * 1024);
    let out: BTreeMap<&Id, u128> = ids.iter().map(|u| (*u, out(u))).collect();
    let rated = |u: &Id| pairs.keys().filter(|(f, _)| *f == u).count() as u128;
    let rated: BTreeMap<&Id, u128> = ids.iter().map(|u| (*u, rated(u))).collect();

    let root =
        |u: &Id| if input.banned.contains(u) { 0 } else { u128::from(*input.roots.get(u).unwrap_or(&0)) };
    let all_roots: u128 = ids.iter().map(|u| root(u)).sum();
    let root_count = ids.iter().filter(|u| root(u) > 0).count();
    let needed = 3.min(root_count.div_ceil(3));
    let csum: u128 = input.weights.iter().map(|w| u128::from(*w)).sum();

    let mut gate: BTreeMap<&Id, u128> =
        ids.iter().map(|u| (*u, if input.banned.contains(*u) { 0 } else { 256 })).collect();
    let mut rows = BTreeMap::new();
    let mut tau = 1;
    for _ in 0..2 {
        let mut cur: BTreeMap<&Id, u128> = ids
            .iter()
            .map(|u| (*u, (((1_u128 << 44) * root(u)).checked_div(all_roots).unwrap_or(0) * 128) >> 8))
            .collect();
        let mut standing = cur.clone();
        for _ in 0..6 {
            let mut next: BTreeMap<&Id, u128> = BTreeMap::new();
            for ((u, v), strength) in &p {
                let passed = (((cur.get(u).unwrap_or(&0) * 128) >> 8) * gate[u]) >> 8;
                *next.entry(*v).or_default() += ((passed << 16) / out[u] * strength) >> 16;
            }
            for (v, new) in &next {
                *standing.get_mut(v).unwrap() += new;
            }
            cur = next;
        }
        let total: u128 = standing.values().sum();
        let mut sorted: Vec<u128> = standing.values().copied().collect();
        sorted.sort_unstable();
        sorted.reverse();
        tau = (0..sorted.len())
            .find(|i| sorted[..=*i].iter().sum::<u128>() >= (total * 95).div_ceil(100))
            .map_or(1, |i| sorted[i].max(1));

        let mut voters: BTreeSet<&Id> = ids.iter().copied().filter(|u| root(u) > 0 && gate[u] > 0).collect();
        loop {
            let more: Vec<&Id> = ids
                .iter()
                .copied()
                .filter(|v| !voters.contains(v) && gate[v] > 0 && needed > 0)
                .filter(|v| voters.iter().filter(|u| p.contains_key(&(**u, *v))).count() >= needed)
                .collect();
            if more.is_empty() {
                break;
            }
            voters.extend(more);
        }
        let weight = |u: &Id| {
            if !voters.contains(u) {
                0
            } else if root(u) > 0 {
                65_536
            } else {
                let x = ((standing[u] << 16) / tau).min(1 << 32);
                (x * 50 / rated[u].max(50)).min(65_536)
            }
        };
        let prior = 3_u128 * 65_536 * 1_024;
        for v in &ids {
            let mut categories = [0; 3];
            let (mut score, mut confidence) = (0, 0);
            for category in Category::ALL {
                let (mut value, mut evidence) = (prior * 5_000, 0);
                for ((from, to, c), (stars, day)) in &live {
                    if to == *v && *c == category {
                        let e = weight(from) * decay(*day) * if *stars <= 2 { 2 } else { 1 };
                        value += e * u128::from(*stars - 1) * 2_500;
                        evidence += e;
                    }
                }
                let w = u128::from(input.weights[category.index()]);
                categories[category.index()] = value / (prior + evidence);
                score += w * categories[category.index()];
                confidence += w * (evidence * 100 / (prior + evidence));
            }
            rows.insert((*v).clone(), (standing[v], weight(v), score / csum, confidence / csum, categories));
        }
        for v in &ids {
            let score = rows[*v].2;
            let open = if score <= 3_000 { 0 } else { ((score - 3_000) * 256 / 2_000).min(256) };
            gate.insert(*v, if input.banned.contains(*v) { 0 } else { open });
        }
    }
    (rows, tau)
}
