//! `/ratings`, `/all-ratings`.

use serde::Deserialize;
use trustnet_ledger::{Direction, RatingCursor, RatingsPage};

use super::nodes::NodeRef;
use super::{QueryError, limit};
use crate::node::NodeView;

/// Ratings in one answer when no number is named.
const DEFAULT_RATINGS: usize = 100;
/// Most ratings of one node in one answer.
const MAX_RATINGS: usize = 1_000;
/// Most ratings of all nodes in one answer.
const MAX_ALL_RATINGS: usize = 5_000;

/// Whose ratings, and which part of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatingsArgument {
    node: NodeRef,
    #[serde(default = "received")]
    direction: Direction,
    #[serde(default)]
    after: Option<RatingCursor>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    history: bool,
}

fn received() -> Direction {
    Direction::In
}

/// `/ratings`
pub fn ratings(view: &NodeView<'_>, argument: &RatingsArgument) -> Result<RatingsPage, QueryError> {
    let node = argument.node.find(view)?;
    let most = limit(argument.limit, DEFAULT_RATINGS, MAX_RATINGS);
    Ok(view.engine.ledger().ratings_of(node, argument.direction, argument.after, most, argument.history))
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllRatingsArgument {
    after: Option<RatingCursor>,
    limit: Option<usize>,
}

/// `/all-ratings`
#[allow(clippy::unnecessary_wraps)]
pub fn all_ratings(view: &NodeView<'_>, argument: &AllRatingsArgument) -> Result<RatingsPage, QueryError> {
    let most = limit(argument.limit, MAX_RATINGS, MAX_ALL_RATINGS);
    Ok(view.engine.ledger().all_ratings(argument.after, most))
}
