//! Why a score is what it is: what each rating adds or takes.

use std::cmp::Reverse;

use serde::Serialize;

use super::graph::TrustGraph;
use super::rootflow::{PRIOR, PRIOR_WEIGHT, STAR_VALUE, TrustParams, TrustScores, evidence};
use crate::rating::Category;

/// A rating that a node has received, with the weight of the rater's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedRating {
    /// The rater: a number that orders raters.
    pub from: u32,
    /// What about.
    pub category: Category,
    /// 1 to 5.
    pub stars: u8,
    /// UTC day of the rating's own time.
    pub day: u32,
    /// Weight of the rater's vote; 65,536 is a full one.
    pub vote_weight: u32,
}

/// What one rating adds to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Contribution {
    /// The rater, as the graph or the ledger numbers it.
    pub from: u32,
    /// What about.
    pub category: Category,
    /// 1 to 5.
    pub stars: u8,
    /// UTC day of the rating.
    pub day: u32,
    /// Weight of the rater's vote; 65,536 is a full one.
    pub vote_weight: u32,
    /// What it adds to the score, centi-points, cut off towards 0.
    pub centi_points: i32,
}

/// What each of a node's ratings adds to its score: the most weighty first, then by rater, then by
/// the category's name. Ratings that add less than a hundredth of a point are left out.
pub fn contributions(received: &[ReceivedRating], params: &TrustParams, today: u32) -> Vec<Contribution> {
    let weigh =
        |r: &ReceivedRating| u64::from(r.vote_weight) * evidence(r.stars, today.saturating_sub(r.day));
    let mut totals = [PRIOR_WEIGHT; 3];
    for rating in received {
        totals[rating.category.index()] += weigh(rating);
    }
    let all_weights = params.total_weight();
    let points = |r: &ReceivedRating| {
        let value = STAR_VALUE[usize::from(r.stars.min(5))];
        let category = r.category.index();
        let product =
            u128::from(weigh(r) * value.abs_diff(PRIOR)) * u128::from(params.category_weights[category]);
        let amount = product / (u128::from(totals[category]) * u128::from(all_weights));
        let amount = i32::try_from(amount).unwrap_or(i32::MAX);
        if value > PRIOR { amount } else { -amount }
    };
    let mut list: Vec<Contribution> = received
        .iter()
        .map(|r| Contribution {
            from: r.from,
            category: r.category,
            stars: r.stars,
            day: r.day,
            vote_weight: r.vote_weight,
            centi_points: points(r),
        })
        .filter(|c| c.centi_points != 0)
        .collect();
    list.sort_by_key(|c| (Reverse(c.centi_points.unsigned_abs()), c.from, c.category.name()));
    list
}

/// What each rating of `node` adds to its score in `scores`, which [`super::rootflow()`] computed from
/// the same graph, parameters and day.
pub fn explain(
    graph: &TrustGraph,
    params: &TrustParams,
    today: u32,
    scores: &TrustScores,
    node: u32,
) -> Vec<Contribution> {
    let received: Vec<ReceivedRating> = graph
        .ratings()
        .iter()
        .filter(|edge| edge.to == node)
        .filter_map(|edge| {
            Some(ReceivedRating {
                from: edge.from,
                category: Category::from_index(edge.category)?,
                stars: edge.stars,
                day: edge.day,
                vote_weight: scores.weight.get(edge.from as usize).copied()?,
            })
        })
        .collect();
    contributions(&received, params, today)
}
