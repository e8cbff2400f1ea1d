//! What an import came to: the most and least trusted people and why, the checksum of all scores, and
//! whether all nodes agree.

use std::collections::HashMap;

use serde_json::{Value, json};
use trustnet_ledger::trust::{ReceivedRating, TrustParams, contributions};
use trustnet_ledger::{Category, NodeId};

use super::facts::{Scored, Trust, name_order};
use super::watch::Agreement;
use crate::import::chain::RatingFact;
use crate::import::csv::DAY_MS;
use crate::import::outcome::Summary;
use crate::screen::format::{centi, day, grouped, signed_centi, stars};

/// Contributions shown for each person.
const WHY_SHOWN: usize = 3;
/// A full vote, as the ledger counts it.
const FULL_VOTE: u64 = 65_536;

/// What one rating adds to a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Who gave it.
    pub rater: String,
    /// 1 to 5.
    pub stars: u8,
    /// What about.
    pub category: Category,
    /// UTC day of the rating.
    pub day: u32,
    /// Weight of the vote; 65,536 is a full one.
    pub vote_weight: u32,
    /// What it adds, centi-points.
    pub centi_points: i64,
}

/// A person with reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The person.
    pub scored: Scored,
    /// The weightiest ratings.
    pub reasons: Vec<Reason>,
    /// Ratings received by that day.
    pub ratings: usize,
}

/// The report of a finished import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub file: String,
    /// What the import did.
    pub summary: Summary,
    /// The day whose trust is shown.
    pub day: u32,
    /// How many people have a score.
    pub of: usize,
    /// Hash over all scores.
    pub checksum: String,
    /// The most trusted, best first.
    pub top: Vec<Explained>,
    /// The least trusted, worst first.
    pub bottom: Vec<Explained>,
    /// Whether all nodes agree.
    pub agreement: Agreement,
    /// How many nodes there are.
    pub nodes: usize,
}

impl Report {
    /// Puts a report together from what the chain said.
    pub fn new(
        file: &str,
        summary: Summary,
        trust: &Trust,
        ratings: &[RatingFact],
        category_weights: [u64; 3],
        (agreement, nodes): (Agreement, usize),
    ) -> Self {
        let explainer = Explainer::new(trust, ratings, TrustParams { category_weights });
        Self {
            file: file.to_owned(),
            summary,
            day: trust.day,
            of: trust.people.len(),
            checksum: trust.checksum.clone(),
            top: trust.top().iter().map(|scored| explainer.explain(scored)).collect(),
            bottom: trust.bottom().iter().map(|scored| explainer.explain(scored)).collect(),
            agreement,
            nodes,
        }
    }

    /// The report as lines of at most 80 characters (names and ids aside).
    pub fn lines(&self) -> Vec<String> {
        let s = &self.summary;
        let mut lines = vec![format!(
            "import of {}: {} people, {} ratings",
            self.file,
            grouped(s.people as u64),
            grouped(s.ratings as u64)
        )];
        lines.push(match s.committed() {
            0 => "  everything was there already".to_owned(),
            committed => format!(
                "  {} transactions committed in {}.{} s: {} tx/s ({} were there already)",
                grouped(committed as u64),
                s.elapsed.as_secs(),
                s.elapsed.subsec_millis() / 100,
                grouped(s.per_second()),
                grouped(s.present as u64)
            ),
        });
        lines.push(String::new());
        lines.push(format!(
            "trust on {}, the day of the last rating, of {} people",
            day(self.day),
            grouped(self.of as u64)
        ));
        lines.push("most trusted".to_owned());
        self.top.iter().for_each(|person| person_lines(person, &mut lines));
        if !self.bottom.is_empty() {
            lines.push("least trusted".to_owned());
            self.bottom.iter().for_each(|person| person_lines(person, &mut lines));
        }
        lines.push(String::new());
        lines.push(format!("checksum of all scores {}", self.checksum));
        lines.extend(agreement_lines(&self.agreement, self.nodes));
        lines
    }

    /// Whether nodes have different states, which must never happen.
    pub fn disagrees(&self) -> bool {
        matches!(self.agreement, Agreement::Different { .. })
    }

    /// The report for scripts.
    pub fn to_json(&self) -> Value {
        let person = |person: &Explained| {
            json!({
                "name": person.scored.row.name,
                "id": person.scored.id.to_string(),
                "score_centi": person.scored.row.score_centi,
                "confidence": person.scored.row.confidence,
                "stars_mean_milli": person.scored.row.mean_milli,
                "ratings": person.ratings,
                "why": person.reasons.iter().map(|reason| json!({
                    "rater": reason.rater,
                    "stars": reason.stars,
                    "category": reason.category.name(),
                    "day": day(reason.day),
                    "vote_weight": reason.vote_weight,
                    "centi_points": reason.centi_points,
                })).collect::<Vec<_>>(),
            })
        };
        let (same, height) = match &self.agreement {
            Agreement::Same { height, .. } => (Some(true), Some(*height)),
            Agreement::Different { height, .. } => (Some(false), Some(*height)),
            Agreement::Unknown => (None, None),
        };
        let roots = match &self.agreement {
            Agreement::Same { root, .. } => vec![root.clone()],
            Agreement::Different { roots, .. } => roots.clone(),
            Agreement::Unknown => Vec::new(),
        };
        json!({
            "import": self.summary.to_json(&self.file),
            "trust": {
                "day": day(self.day),
                "of": self.of,
                "checksum": self.checksum,
                "top": self.top.iter().map(person).collect::<Vec<_>>(),
                "bottom": self.bottom.iter().map(person).collect::<Vec<_>>(),
            },
            "agreement": { "nodes": self.nodes, "same_state_root": same, "height": height, "state_roots": roots },
        })
    }
}

/// What is said about the nodes' state roots.
pub fn agreement_lines(agreement: &Agreement, nodes: usize) -> Vec<String> {
    match agreement {
        Agreement::Same { height, root } if nodes == 1 => {
            vec![format!("state root at height {}: {root}", grouped(*height))]
        }
        Agreement::Same { height, root } => {
            vec![
                format!("all {nodes} nodes have the same state root at height {}:", grouped(*height)),
                format!("  {root}"),
            ]
        }
        Agreement::Different { height, roots } => {
            let mut lines = vec![format!("THE NODES DISAGREE at height {}:", grouped(*height))];
            lines.extend(roots.iter().zip(1..).map(|(root, number)| format!("  node-{number} {root}")));
            lines
        }
        Agreement::Unknown => {
            vec!["the nodes' state roots could not be compared: not all of them answered in time".to_owned()]
        }
    }
}

fn person_lines(person: &Explained, lines: &mut Vec<String>) {
    let row = &person.scored.row;
    let mean = row.mean_milli.map_or_else(|| "-".to_owned(), stars);
    lines.push(format!(
        "  {:<10} {:>6}  confidence {:>3} %  mean of stars {mean}  {} rating{}",
        row.name,
        centi(row.score_centi),
        row.confidence,
        grouped(person.ratings as u64),
        if person.ratings == 1 { "" } else { "s" }
    ));
    for reason in &person.reasons {
        let vote = u64::from(reason.vote_weight) * 100 / FULL_VOTE;
        lines.push(format!(
            "      {:>6}  {} gave {}* {} on {}, vote {}",
            signed_centi(reason.centi_points),
            reason.rater,
            reason.stars,
            reason.category.name(),
            day(reason.day),
            centi(vote)
        ));
    }
}

/// Finds the reasons for scores. The ledger's own formula is used on the ledger's own weights, so
/// that the reasons of any past day can be given, not only those of the last epoch.
struct Explainer<'a> {
    trust: &'a Trust,
    params: TrustParams,
    /// People in the order in which the reference lists raters: by name.
    order: Vec<&'a Scored>,
    place: HashMap<NodeId, u32>,
    received: HashMap<NodeId, Vec<&'a RatingFact>>,
}

impl<'a> Explainer<'a> {
    fn new(trust: &'a Trust, ratings: &'a [RatingFact], params: TrustParams) -> Self {
        let mut order: Vec<&Scored> = trust.people.iter().collect();
        order.sort_by(|a, b| name_order(&a.row.name, &b.row.name));
        let place = (0..).zip(&order).map(|(place, scored)| (scored.id, place)).collect();
        let shown: Vec<NodeId> = trust.top().iter().chain(&trust.bottom()).map(|scored| scored.id).collect();
        let mut received: HashMap<NodeId, Vec<&RatingFact>> = HashMap::new();
        for rating in ratings.iter().filter(|rating| shown.contains(&rating.to)) {
            received.entry(rating.to).or_default().push(rating);
        }
        Self { trust, params, order, place, received }
    }

    fn explain(&self, scored: &Scored) -> Explained {
        let counted = |rating: &&RatingFact| {
            let day = u32::try_from(rating.time_ms / DAY_MS).unwrap_or(u32::MAX);
            let from = *self.place.get(&rating.from)?;
            let vote_weight = self.order.get(from as usize)?.weight;
            let (category, stars) = (rating.category, rating.stars);
            (day <= self.trust.day).then_some(ReceivedRating { from, category, stars, day, vote_weight })
        };
        let received: Vec<ReceivedRating> =
            self.received.get(&scored.id).into_iter().flatten().filter_map(counted).collect();
        let list = contributions(&received, &self.params, self.trust.day);
        let reason = |c: &trustnet_ledger::trust::Contribution| Reason {
            rater: self.order.get(c.from as usize).map_or_else(String::new, |rater| rater.row.name.clone()),
            stars: c.stars,
            category: c.category,
            day: c.day,
            vote_weight: c.vote_weight,
            centi_points: i64::from(c.centi_points),
        };
        Explained {
            scored: scored.clone(),
            reasons: list.iter().take(WHY_SHOWN).map(reason).collect(),
            ratings: received.len(),
        }
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
