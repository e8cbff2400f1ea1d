//! What the trust score is computed from, in compact arrays.

/// One current rating between nodes given by their place in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatingEdge {
    /// The rater.
    pub from: u32,
    /// The rated.
    pub to: u32,
    /// Place of the category in [`crate::rating::Category::ALL`].
    pub category: u8,
    /// 1 to 5.
    pub stars: u8,
    /// UTC day of the rating's own time.
    pub day: u32,
}

/// Nodes, roots and current ratings.
///
/// The order of the nodes matters only for lists that sort equal contributions by rater; the order of
/// the ratings does not matter at all.
#[derive(Clone, Debug, Default)]
pub struct TrustGraph {
    /// Each node's weight as a root; 0 for the others.
    pub(super) roots: Vec<u64>,
    /// Which nodes are banned.
    pub(super) banned: Vec<bool>,
    /// Ratings by nodes that are not banned, grouped by rater.
    pub(super) ratings: Vec<RatingEdge>,
}

impl TrustGraph {
    /// A graph of `roots.len()` nodes. Of each (rater, rated, category) there must be one rating at
    /// most: the caller keeps the current one. Ratings of oneself, by banned nodes, or with numbers
    /// that mean nothing are left out. Missing entries of `banned` mean "not banned".
    pub fn new(roots: Vec<u64>, mut banned: Vec<bool>, ratings: &[RatingEdge]) -> Self {
        let nodes = roots.len();
        banned.resize(nodes, false);
        let counts = |edge: &RatingEdge| {
            let (from, to) = (edge.from as usize, edge.to as usize);
            from != to
                && from < nodes
                && to < nodes
                && !banned[from]
                && edge.category < 3
                && (1..=5).contains(&edge.stars)
        };
        // Counting sort by rater: stable, linear.
        let mut start = vec![0_usize; nodes + 1];
        for edge in ratings.iter().filter(|e| counts(e)) {
            start[edge.from as usize + 1] += 1;
        }
        for i in 0..nodes {
            start[i + 1] += start[i];
        }
        let blank = RatingEdge { from: 0, to: 0, category: 0, stars: 1, day: 0 };
        let mut grouped = vec![blank; start[nodes]];
        for edge in ratings.iter().filter(|e| counts(e)) {
            let at = &mut start[edge.from as usize];
            grouped[*at] = *edge;
            *at += 1;
        }
        Self { roots, banned, ratings: grouped }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// How many roots are not banned.
    pub fn voting_roots(&self) -> usize {
        self.roots.iter().zip(&self.banned).filter(|(weight, banned)| **weight > 0 && !**banned).count()
    }

    /// The ratings that can count, grouped by rater.
    pub fn ratings(&self) -> &[RatingEdge] {
        &self.ratings
    }
}
