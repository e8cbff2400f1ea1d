//! Trust graphs for tests, with ids of any ordered kind, and the files that define what is right.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest, Sha256};
use trustnet_ledger::Category;
use trustnet_ledger::trust::{RatingEdge, TrustGraph, TrustParams, TrustScores, rootflow};

pub mod chain;
pub mod naive;

/// One rating: from, to, category, stars, day.
pub type NamedRating<Id> = (Id, Id, Category, u8, u32);

/// A trust graph as a person writes it: later ratings replace earlier ones.
#[derive(Clone, Debug)]
pub struct Input<Id> {
    pub ratings: Vec<NamedRating<Id>>,
    pub roots: BTreeMap<Id, u64>,
    pub banned: BTreeSet<Id>,
    pub today: u32,
    /// Reliability, performance, honesty.
    pub weights: [u64; 3],
}

/// What the product makes of it.
pub struct Computed<Id> {
    pub ids: Vec<Id>,
    pub graph: TrustGraph,
    pub params: TrustParams,
    pub scores: TrustScores,
}

impl<Id: Ord + Clone> Input<Id> {
    /// Current ratings by key: the last one given counts.
    pub fn current(&self) -> BTreeMap<(Id, Id, Category), (u8, u32)> {
        let mut current = BTreeMap::new();
        for (from, to, category, stars, day) in &self.ratings {
            if from != to && self.weights[category.index()] > 0 {
                current.insert((from.clone(), to.clone(), *category), (*stars, *day));
            }
        }
        current
    }

    pub fn compute(&self) -> Computed<Id> {
        let current = self.current();
        let mut ids: BTreeSet<Id> = self.roots.keys().cloned().collect();
        for (from, to, _) in current.keys() {
            ids.extend([from.clone(), to.clone()]);
        }
        let ids: Vec<Id> = ids.into_iter().collect();
        let place = |id: &Id| u32::try_from(ids.binary_search(id).unwrap()).unwrap();
        let edges: Vec<RatingEdge> = current
            .iter()
            .map(|((from, to, category), (stars, day))| RatingEdge {
                from: place(from),
                to: place(to),
                category: category.index() as u8,
                stars: *stars,
                day: *day,
            })
            .collect();
        let roots = ids.iter().map(|id| self.roots.get(id).copied().unwrap_or(0)).collect();
        let banned = ids.iter().map(|id| self.banned.contains(id)).collect();
        let graph = TrustGraph::new(roots, banned, &edges);
        let params = TrustParams { category_weights: self.weights };
        let scores = rootflow(&graph, &params, self.today);
        Computed { ids, graph, params, scores }
    }
}

impl<Id: Ord + Clone> Computed<Id> {
    pub fn place(&self, id: &Id) -> usize {
        self.ids.binary_search(id).unwrap()
    }

    pub fn checksum(&self, bytes: impl Fn(&Id) -> Vec<u8>) -> String {
        let mut hasher = Sha256::new();
        for (i, id) in self.ids.iter().enumerate() {
            hasher.update(bytes(id));
            hasher.update(self.scores.standing[i].to_be_bytes());
            hasher.update(self.scores.weight[i].to_be_bytes());
            hasher.update(self.scores.score[i].to_be_bytes());
            hasher.update([self.scores.confidence[i]]);
        }
        hex::encode(hasher.finalize())
    }
}

/// A file of `shared/trust`, looked for in `variable` and then upward from this package.
pub fn shared_file(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|dir| dir.join("shared/trust").join(name)).find(|path| path.is_file())
}

/// The graph of one entry of the vectors' `small`.
pub fn small_input(case: &Value) -> Input<String> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let number = |v: &Value| u32::try_from(v.as_u64().unwrap()).unwrap();
    let input = &case["input"];
    let rating = |r: &Value| {
        let stars = u8::try_from(number(&r[3])).unwrap();
        (text(&r[0]), text(&r[1]), r[2].as_str().unwrap().parse().unwrap(), stars, number(&r[4]))
    };
    Input {
        ratings: input["ratings"].as_array().unwrap().iter().map(rating).collect(),
        roots: input["roots"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(id, weight)| (id.clone(), weight.as_u64().unwrap()))
            .collect(),
        banned: input["banned"].as_array().into_iter().flatten().map(text).collect(),
        today: number(&input["today"]),
        weights: [40, 20, 40],
    }
}

/// Bitcoin OTC as the reference reads it: one category, the first 20 raters are the roots.
pub fn otc_input(csv: &str) -> Input<u64> {
    let mut rows: Vec<(u64, u64, u64, u8)> = csv
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let stars = match fields[2].parse::<i32>().unwrap() {
                ..=-5 => 1,
                -4..=-1 => 2,
                0 => 3,
                1..=4 => 4,
                5.. => 5,
            };
            let seconds = fields[3].split('.').next().unwrap().parse().unwrap();
            (seconds, fields[0].parse().unwrap(), fields[1].parse().unwrap(), stars)
        })
        .collect();
    rows.sort_by_key(|(seconds, from, to, _)| (*seconds, *from, *to));
    let mut roots = BTreeMap::new();
    for (_, from, ..) in &rows {
        if roots.len() < 20 {
            roots.insert(*from, 1);
        }
    }
    let day = |seconds: u64| u32::try_from(seconds / 86_400).unwrap();
    Input {
        ratings: rows.iter().map(|(s, f, t, stars)| (*f, *t, Category::Honesty, *stars, day(*s))).collect(),
        roots,
        banned: BTreeSet::new(),
        today: rows.iter().map(|r| day(r.0)).max().unwrap(),
        weights: [0, 0, 100],
    }
}
