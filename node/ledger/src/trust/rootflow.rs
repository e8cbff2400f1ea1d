//! `RootFlow` v1: trust flows from roots along good ratings, weighs votes, and votes make the score.
//!
//! Integers only; every division rounds down. The bounds of trust/README.md ("Overflow") hold because
//! root weights are at most 10^6, category weights at most 10^6, and a node holds at most 100,000
//! ratings in a category: no product exceeds 64 bits.

use super::graph::TrustGraph;

/// Trust that the roots issue.
pub const MASS: u64 = 1 << 44;
/// Share of 256 that stays at every hop: trust halves.
pub const ALPHA: u64 = 128;
/// How far trust flows.
pub const HOPS: usize = 6;
/// How strongly trust flows along a rating of 1 to 5 stars.
pub const FLOW_WEIGHT: [u64; 6] = [0, 0, 0, 0, 1, 4];
/// What 1 to 5 stars are worth, centi-points.
pub const STAR_VALUE: [u64; 6] = [0, 0, 2_500, 5_000, 7_500, 10_000];
/// A rater gives at least so much out, in fresh 4-star ratings: one edge never carries too much.
pub const LEAST_OUT: u64 = 8;
/// Full-weight ratings that a node of standing `tau` can give.
pub const BUDGET: u64 = 50;
/// Share of the standing, in percent, that the nodes from `tau` upward hold.
pub const TAU_PERCENT: u64 = 95;
/// A full vote.
pub const FULL_WEIGHT: u64 = 1 << 16;
/// A fresh rating.
pub const FRESH: u64 = 1 << 10;
/// Half-life of a rating, days.
pub const HALF_LIFE_DAYS: u32 = 180;
/// What remains of an old rating.
pub const OLDEST: u64 = 64;
/// Score of the unknown node, centi-points.
pub const PRIOR: u64 = 5_000;
/// Strength of the prior, in full-weight fresh ratings.
pub const PRIOR_RATINGS: u64 = 3;
/// How much more a rating of 1 or 2 stars weighs.
pub const NEGATIVE_FACTOR: u64 = 2;
/// At this score and below a node passes no trust on, centi-points.
pub const GATE_CLOSED: u64 = 3_000;
/// From this score a node passes all its trust on, centi-points.
pub const GATE_OPEN: u64 = 5_000;
/// How often scores feed back into the flow.
pub const ROUNDS: usize = 2;
/// The most sponsors that a voter needs.
pub const MAX_SPONSORS: usize = 3;
/// The prior as a weight.
pub(super) const PRIOR_WEIGHT: u64 = PRIOR_RATINGS * FULL_WEIGHT * FRESH;

/// What a chain chooses about its trust score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustParams {
    /// Weight of each category, in the order of [`crate::rating::Category::ALL`]; at most 10^6 each,
    /// not all 0. Ratings in a category of weight 0 are not looked at.
    pub category_weights: [u64; 3],
}

impl TrustParams {
    /// All weights together.
    pub fn total_weight(&self) -> u64 {
        self.category_weights.iter().sum::<u64>().max(1)
    }
}

/// The result, by place in the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustScores {
    /// Trust that reached the node.
    pub standing: Vec<u64>,
    /// Weight of the node's vote; 65,536 is a full one.
    pub weight: Vec<u32>,
    /// The score, centi-points.
    pub score: Vec<u16>,
    /// How much evidence the score has, percent.
    pub confidence: Vec<u8>,
    /// The score of each category, centi-points.
    pub categories: Vec<[u16; 3]>,
    /// The standing that earns a full vote for up to [`BUDGET`] ratings.
    pub tau: u64,
    /// All standing.
    pub total: u64,
}

/// What remains of a rating after `days`: 1,024 at first, half after 180, never below 64.
pub fn decay(days: u32) -> u64 {
    let (halvings, rest) = (days / HALF_LIFE_DAYS, u64::from(days % HALF_LIFE_DAYS));
    let base = FRESH >> halvings.min(11);
    (base - base * rest / (2 * u64::from(HALF_LIFE_DAYS))).max(OLDEST)
}

/// How many voters have to rate a node well before it votes: f + 1 of 3f + 1 roots, at most 3.
pub fn sponsors_needed(roots: usize) -> usize {
    roots.div_ceil(3).min(MAX_SPONSORS)
}

/// How strongly trust flows from one node to another whom it has rated: nothing after any bad
/// rating, else the mean over its `count` rated categories.
pub(crate) fn flow(sum: u64, count: u64, any_negative: bool) -> u64 {
    if any_negative { 0 } else { sum / count.max(1) }
}

/// The weight of a rating in the mean, but for the rater's vote.
pub(super) fn evidence(stars: u8, age_days: u32) -> u64 {
    decay(age_days) * if stars <= 2 { NEGATIVE_FACTOR } else { 1 }
}

/// A rating ready for the inner loops.
struct Vote {
    from: u32,
    /// Place of (rated, category) in the sums.
    slot: u32,
    evidence: u32,
    value: u32,
}

/// The flow edges of all nodes, grouped by giver.
struct Flow {
    start: Vec<usize>,
    to: Vec<u32>,
    strength: Vec<u64>,
    /// All that a node gives, at least [`LEAST_OUT`] fresh ratings.
    out: Vec<u64>,
    /// How many distinct nodes a node has rated.
    rated: Vec<u64>,
    votes: Vec<Vote>,
}

impl Flow {
    fn new(graph: &TrustGraph, params: &TrustParams, today: u32) -> Self {
        let n = graph.len();
        let mut flow = Self {
            start: Vec::with_capacity(n + 1),
            to: Vec::with_capacity(graph.ratings.len()),
            strength: Vec::with_capacity(graph.ratings.len()),
            out: vec![0; n],
            rated: vec![0; n],
            votes: Vec::with_capacity(graph.ratings.len()),
        };
        // One giver's (rated, sum, ratings, any bad) with, for each node, where it stands in that list.
        let mut pairs: Vec<(u32, u64, u64, bool)> = Vec::new();
        let mut place = vec![u32::MAX; n];
        let mut ratings = graph.ratings.iter().peekable();
        for from in 0..n {
            while let Some(edge) = ratings.next_if(|e| e.from as usize == from) {
                if params.category_weights[usize::from(edge.category)] == 0 {
                    continue;
                }
                let age = today.saturating_sub(edge.day);
                let stars = usize::from(edge.stars);
                let at = &mut place[edge.to as usize];
                if *at == u32::MAX {
                    *at = pairs.len() as u32;
                    pairs.push((edge.to, 0, 0, false));
                }
                let pair = &mut pairs[*at as usize];
                pair.1 += FLOW_WEIGHT[stars] * decay(age);
                pair.2 += 1;
                pair.3 |= edge.stars <= 2;
                flow.votes.push(Vote {
                    from: edge.from,
                    slot: edge.to * 3 + u32::from(edge.category),
                    evidence: evidence(edge.stars, age) as u32,
                    value: STAR_VALUE[stars] as u32,
                });
            }
            flow.start.push(flow.to.len());
            flow.rated[from] = pairs.len() as u64;
            for (to, sum, count, negative) in pairs.drain(..) {
                place[to as usize] = u32::MAX;
                let strength = self::flow(sum, count, negative);
                if strength > 0 {
                    flow.to.push(to);
                    flow.strength.push(strength);
                    flow.out[from] += strength;
                }
            }
            flow.out[from] = flow.out[from].max(LEAST_OUT * FRESH);
        }
        flow.start.push(flow.to.len());
        flow
    }

    fn edges(&self, from: usize) -> impl Iterator<Item = (usize, u64)> + '_ {
        let range = self.start[from]..self.start[from + 1];
        self.to[range.clone()].iter().zip(&self.strength[range]).map(|(to, p)| (*to as usize, *p))
    }

    /// Trust that reaches each node in [`HOPS`] hops.
    fn standing(&self, roots: &[u64], gate: &[u64]) -> Vec<u64> {
        let n = roots.len();
        let all: u64 = roots.iter().sum();
        let share = |weight: u64| (MASS * weight).checked_div(all).unwrap_or(0);
        let mut current: Vec<u64> = roots.iter().map(|weight| (share(*weight) * ALPHA) >> 8).collect();
        let mut next = vec![0; n];
        let mut standing = current.clone();
        for _ in 0..HOPS {
            for from in 0..n {
                if current[from] == 0 {
                    continue;
                }
                let passed = (((current[from] * (256 - ALPHA)) >> 8) * gate[from]) >> 8;
                let rate = (passed << 16) / self.out[from];
                if rate == 0 {
                    continue;
                }
                for (to, strength) in self.edges(from) {
                    next[to] += (rate * strength) >> 16;
                }
            }
            for (sum, new) in standing.iter_mut().zip(&next) {
                *sum += new;
            }
            std::mem::swap(&mut current, &mut next);
            next.fill(0);
        }
        standing
    }

    /// Who votes: the least set with the roots and everyone whom enough of its members rate well. A
    /// closed gate takes the vote, and the right to sponsor, away.
    fn voters(&self, roots: &[u64], gate: &[u64]) -> Vec<bool> {
        let needed = sponsors_needed(roots.iter().filter(|weight| **weight > 0).count());
        let mut votes: Vec<bool> = roots.iter().zip(gate).map(|(w, g)| *w > 0 && *g > 0).collect();
        let mut todo: Vec<usize> = (0..votes.len()).filter(|i| votes[*i]).collect();
        let mut sponsors = vec![0_usize; votes.len()];
        while let Some(voter) = todo.pop() {
            for (to, _) in self.edges(voter) {
                sponsors[to] += 1;
                if sponsors[to] >= needed && !votes[to] && gate[to] > 0 {
                    votes[to] = true;
                    todo.push(to);
                }
            }
        }
        votes
    }
}

/// The least standing among the nodes that together hold 95 % of it; at least 1.
fn tau(standing: &[u64], total: u64) -> u64 {
    let mut sorted = standing.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let needed = (total * TAU_PERCENT).div_ceil(100);
    let mut sum = 0;
    for standing in sorted {
        sum += standing;
        if sum >= needed {
            return standing.max(1);
        }
    }
    1
}

fn vote_weights(flow: &Flow, roots: &[u64], votes: &[bool], standing: &[u64], tau: u64) -> Vec<u32> {
    let weight = |i: usize| {
        if !votes[i] {
            0
        } else if roots[i] > 0 {
            FULL_WEIGHT
        } else {
            let x = ((standing[i] << 16) / tau).min(1 << 32);
            (x * BUDGET / flow.rated[i].max(BUDGET)).min(FULL_WEIGHT)
        }
    };
    (0..roots.len()).map(|i| weight(i) as u32).collect()
}

/// Computes the trust scores of `today` (UTC day). A pure function of its arguments.
pub fn rootflow(graph: &TrustGraph, params: &TrustParams, today: u32) -> TrustScores {
    let n = graph.len();
    let flow = Flow::new(graph, params, today);
    let roots: Vec<u64> =
        graph.roots.iter().zip(&graph.banned).map(|(w, banned)| if *banned { 0 } else { *w }).collect();
    let all_weights = params.total_weight();
    let mut gate: Vec<u64> = graph.banned.iter().map(|banned| if *banned { 0 } else { 256 }).collect();
    let mut scores = TrustScores {
        score: vec![0; n],
        confidence: vec![0; n],
        categories: vec![[0; 3]; n],
        tau: 1,
        ..TrustScores::default()
    };
    // For each (node, category): sum of evidence times value, sum of evidence.
    let mut sums = vec![(0_u64, 0_u64); 3 * n];
    for _ in 0..ROUNDS {
        scores.standing = flow.standing(&roots, &gate);
        scores.total = scores.standing.iter().sum();
        scores.tau = tau(&scores.standing, scores.total);
        let votes = flow.voters(&roots, &gate);
        scores.weight = vote_weights(&flow, &roots, &votes, &scores.standing, scores.tau);
        sums.fill((PRIOR_WEIGHT * PRIOR, PRIOR_WEIGHT));
        for vote in &flow.votes {
            let e = u64::from(scores.weight[vote.from as usize]) * u64::from(vote.evidence);
            let sum = &mut sums[vote.slot as usize];
            sum.0 += e * u64::from(vote.value);
            sum.1 += e;
        }
        for node in 0..n {
            let (mut score, mut confidence) = (0, 0);
            for (category, weight) in params.category_weights.iter().enumerate() {
                let (value, total) = sums[3 * node + category];
                let of_category = value / total;
                scores.categories[node][category] = of_category as u16;
                score += of_category * weight;
                confidence += (total - PRIOR_WEIGHT) * 100 / total * weight;
            }
            let score = score / all_weights;
            scores.score[node] = score as u16;
            scores.confidence[node] = (confidence / all_weights) as u8;
            gate[node] = if graph.banned[node] || score <= GATE_CLOSED {
                0
            } else {
                ((score - GATE_CLOSED) * 256 / (GATE_OPEN - GATE_CLOSED)).min(256)
            };
        }
    }
    scores
}
