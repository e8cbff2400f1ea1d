//! Questions about ratings: lists in pages, and why a score is what it is.

use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, NodeIndex};
use crate::ledger::Ledger;
use crate::query::NodeView;
use crate::rating::{Category, Rating, RatingKey};
use crate::trust::rootflow::{FLOW_WEIGHT, PRIOR, decay, flow};
use crate::trust::{ReceivedRating, contributions, sponsors_needed};

/// The most entries of one page.
pub const MAX_PAGE: usize = 5_000;

/// Whose ratings are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Those that the node received.
    In,
    /// Those that it gave.
    Out,
}

/// Where a page ended: the next begins after it. Shown as four numbers, `rated-rater-category-count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatingCursor {
    to: NodeIndex,
    from: NodeIndex,
    category: Category,
    count: u32,
}

/// A text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the cursor of a page of ratings; use the `next` of the page before, or leave it out")]
pub struct CursorError;

impl fmt::Display for RatingCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.to, self.from, self.category.index(), self.count)
    }
}

impl FromStr for RatingCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Vec<u32> =
            text.split('-').take(5).map(str::parse).collect::<Result<_, _>>().map_err(|_| CursorError)?;
        let [to, from, category, count] = numbers[..] else { return Err(CursorError) };
        let category = u8::try_from(category).ok().and_then(Category::from_index).ok_or(CursorError)?;
        Ok(Self { to, from, category, count })
    }
}

impl Serialize for RatingCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RatingCursor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One rating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RatingView {
    /// The rater's id.
    pub from: NodeId,
    /// The rater's name.
    pub from_name: String,
    /// The rated node's id.
    pub to: NodeId,
    /// The rated node's name.
    pub to_name: String,
    /// What about.
    pub category: Category,
    /// 1 to 5.
    pub stars: u8,
    /// The rating's own time, Unix milliseconds.
    pub time_ms: u64,
    /// Height of its block.
    pub height: u64,
    /// Its transaction's place in the block.
    pub index: u32,
    /// Why, in the rater's words.
    pub reason: String,
    /// Whether no later one replaces it.
    pub current: bool,
    /// Weight of the rater's vote as of the last trust epoch; 65,536 is a full one.
    pub vote_weight: u32,
}

/// A page of ratings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RatingsPage {
    /// The ratings.
    pub items: Vec<RatingView>,
    /// Where the next page begins; nothing after the last.
    pub next: Option<RatingCursor>,
}

/// What one rating adds to a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhyRating {
    /// The rater's id.
    pub from: NodeId,
    /// The rater's name.
    pub name: String,
    /// What about.
    pub category: Category,
    /// 1 to 5.
    pub stars: u8,
    /// UTC day of the rating.
    pub day: u32,
    /// Weight of the rater's vote; 65,536 is a full one.
    pub vote_weight: u32,
    /// What it adds, centi-points, cut off towards 0.
    pub centi_points: i32,
}

/// Why a node's trust is what it is, as of the last trust epoch: `base + sum` is the score, but for at
/// most a hundredth of a point for each rating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The node.
    pub view: NodeView,
    /// Height of the trust epoch.
    pub height: u64,
    /// UTC day as of which trust was computed.
    pub day: u32,
    /// Score of a node without ratings, centi-points.
    pub base_centi: i32,
    /// All contributions of a hundredth of a point or more, the weightiest first.
    pub contributions: Vec<WhyRating>,
    /// Their sum, centi-points.
    pub sum_centi: i32,
    /// Ratings received that counted.
    pub ratings: u32,
    /// Ratings received from nodes without a vote.
    pub voteless: u32,
    /// Voters that rate the node well, and so vouch for its own vote.
    pub sponsors: u32,
    /// How many it needs.
    pub sponsors_needed: u32,
}

impl Ledger {
    /// Ratings that a node received or gave, up to `limit` (at most [`MAX_PAGE`]) after a cursor; with
    /// `history` also the replaced ones.
    pub fn ratings_of(
        &self,
        node: NodeIndex,
        direction: Direction,
        after: Option<RatingCursor>,
        limit: usize,
        history: bool,
    ) -> RatingsPage {
        match direction {
            Direction::In => {
                let least = RatingKey { to: node, from: 0, category: Category::Reliability };
                let start = after.map_or(least, |a| RatingKey { to: node, ..key_of(&a) });
                let keys = self.state.ratings.range(start..).map(|(key, _)| *key);
                self.page(keys.take_while(|key| key.to == node), after, limit, history)
            }
            Direction::Out => {
                let least = (node, 0, Category::Reliability);
                let start = after.map_or(least, |a| (node, a.to, a.category));
                let keys = self.state.given.range(start..).take_while(|(from, ..)| *from == node);
                let keys =
                    keys.map(|(from, to, category)| RatingKey { to: *to, from: *from, category: *category });
                self.page(keys, after, limit, history)
            }
        }
    }

    /// All current ratings, up to `limit` (at most [`MAX_PAGE`]) after a cursor.
    pub fn all_ratings(&self, after: Option<RatingCursor>, limit: usize) -> RatingsPage {
        let start = after.map_or(Bound::Unbounded, |a| Bound::Included(key_of(&a)));
        let keys = self.state.ratings.range((start, Bound::Unbounded)).map(|(key, _)| *key);
        self.page(keys, after, limit, false)
    }

    /// One page of the ratings under `keys`, which begin with the cursor's.
    fn page(
        &self,
        keys: impl Iterator<Item = RatingKey>,
        after: Option<RatingCursor>,
        limit: usize,
        history: bool,
    ) -> RatingsPage {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page = RatingsPage { items: Vec::new(), next: None };
        let mut last = None;
        for key in keys {
            let list = self.state.ratings.get(&key).map_or(&[][..], Vec::as_slice);
            let first = if history { 0 } else { list.len().saturating_sub(1) };
            let seen = after.filter(|a| key_of(a) == key).map_or(0, |a| a.count as usize + 1);
            // Of a key that the last page ended in, a newer current rating is not a new entry.
            let seen = if history || seen == 0 { seen } else { list.len() };
            for (count, rating) in list.iter().enumerate().skip(first.max(seen)) {
                if page.items.len() == limit {
                    page.next = last;
                    return page;
                }
                page.items.extend(self.rating_view(&key, rating, count + 1 == list.len()));
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                last = Some(RatingCursor { to: key.to, from: key.from, category: key.category, count });
            }
        }
        page
    }

    fn rating_view(&self, key: &RatingKey, rating: &Rating, current: bool) -> Option<RatingView> {
        let (from, to) = (self.state.nodes.get(&key.from)?, self.state.nodes.get(&key.to)?);
        Some(RatingView {
            from: from.id,
            from_name: from.name.clone(),
            to: to.id,
            to_name: to.name.clone(),
            category: key.category,
            stars: rating.stars,
            time_ms: rating.time_ms,
            height: rating.height,
            index: rating.index,
            reason: rating.reason.to_string(),
            current,
            vote_weight: self.state.trust_of(key.from).weight,
        })
    }

    /// Why a node's trust is what it is: from its ratings and the raters' votes of the last trust epoch.
    pub fn why(&self, node: NodeIndex) -> Option<Why> {
        let view = self.node_by_index(node)?;
        let (height, day) = (self.state.meta.trust_height, self.state.meta.trust_day);
        let weights = self.chain.trust.category_weights;
        let received: Vec<ReceivedRating> = self
            .state
            .ratings
            .range(RatingKey { to: node, from: 0, category: Category::Reliability }..)
            .take_while(|(key, _)| key.to == node)
            .filter(|(key, _)| weights[key.category.index()] > 0)
            .filter_map(|(key, list)| {
                let rating = list.iter().rfind(|rating| rating.height <= height)?;
                Some(ReceivedRating {
                    from: key.from,
                    category: key.category,
                    stars: rating.stars,
                    day: rating.day(),
                    vote_weight: self.state.trust_of(key.from).weight,
                })
            })
            .collect();
        let list: Vec<WhyRating> = contributions(&received, &self.chain.trust, day)
            .into_iter()
            .filter_map(|c| {
                let rater = self.state.nodes.get(&c.from)?;
                Some(WhyRating {
                    from: rater.id,
                    name: rater.name.clone(),
                    category: c.category,
                    stars: c.stars,
                    day: c.day,
                    vote_weight: c.vote_weight,
                    centi_points: c.centi_points,
                })
            })
            .collect();
        let roots = self.chain.roots.keys().filter_map(|id| self.state.ids.get(id));
        let voting_roots = roots.filter(|index| self.state.trust_of(**index).weight > 0).count();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some(Why {
            view,
            height,
            day,
            base_centi: PRIOR as i32,
            sum_centi: list.iter().map(|c| c.centi_points).sum(),
            contributions: list,
            ratings: count(received.len()),
            voteless: count(received.iter().filter(|r| r.vote_weight == 0).count()),
            sponsors: count(sponsors(&received, day)),
            sponsors_needed: count(sponsors_needed(voting_roots)),
        })
    }
}

fn key_of(cursor: &RatingCursor) -> RatingKey {
    RatingKey { to: cursor.to, from: cursor.from, category: cursor.category }
}

/// How many raters with a vote let trust flow to the node. The ratings are grouped by rater.
fn sponsors(received: &[ReceivedRating], day: u32) -> usize {
    received
        .chunk_by(|a, b| a.from == b.from)
        .filter(|ratings| {
            let strength = |r: &ReceivedRating| {
                FLOW_WEIGHT[usize::from(r.stars.min(5))] * decay(day.saturating_sub(r.day))
            };
            let sum = ratings.iter().map(strength).sum();
            let negative = ratings.iter().any(|r| r.stars <= 2);
            ratings[0].vote_weight > 0 && flow(sum, ratings.len() as u64, negative) > 0
        })
        .count()
}
