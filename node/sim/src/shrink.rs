//! From a failing run to the smallest that still fails: leaves out whatever is not needed for it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use crate::liveness::{Outcome, run};
use crate::plan::Plan;
use crate::tally::Tally;
use crate::timeline::Timeline;

/// A failing run, made small.
pub struct Shrunk {
    /// What is left of the plan.
    pub plan: Plan,
    /// The parts that were left out.
    pub without: Vec<String>,
    /// What it violates.
    pub violation: String,
}

/// Runs a plan; a panic of the product is a violation like any other.
pub fn run_caught(plan: &Plan, timeline: Timeline) -> Outcome {
    let plan = plan.clone();
    std::panic::catch_unwind(AssertUnwindSafe(|| run(plan, timeline))).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("unknown cause");
        Outcome {
            violation: Some(format!("panic: {text}")),
            tally: Tally::default(),
            timeline: Timeline::off(),
            virtual_ms: 0,
        }
    })
}

/// The kind of a violation: what stands before the colon.
pub fn kind(violation: &str) -> &str {
    violation.split(':').next().unwrap_or(violation)
}

/// Leaves parts out of a failing plan as long as it fails in the same way, for at most `limit`.
pub fn shrink(plan: &Plan, violation: &str, limit: Duration) -> Shrunk {
    let started = Instant::now();
    let mut least = Shrunk { plan: plan.clone(), without: Vec::new(), violation: violation.to_owned() };
    let mut progress = true;
    while progress {
        progress = false;
        for (part, _) in plan.parts() {
            if least.without.contains(&part) || started.elapsed() > limit {
                continue;
            }
            let mut candidate = least.plan.clone();
            if !candidate.leave_out(&part) {
                continue;
            }
            let outcome = run_caught(&candidate, Timeline::off());
            if let Some(found) = outcome.violation.filter(|found| kind(found) == kind(violation)) {
                least.plan = candidate;
                least.without.push(part);
                least.violation = found;
                progress = true;
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_violation_is_what_stands_before_the_colon() {
        assert_eq!(kind("agreement: at height 3"), "agreement");
        assert_eq!(kind("no colon"), "no colon");
    }
}
