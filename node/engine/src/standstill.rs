//! Noticing that consensus on a height stands still.
//!
//! A validator keeps on disk what it signed in its last round. When all lose power at once, who was a round ahead cannot
//! repeat its votes of the round before, and the others may need just those. The core can follow it, when it is told
//! that waiting is in vain ([`bft::Event::Standstill`]).

use trustnet_bft as bft;

use crate::consensus::Feed;
use crate::engine::Engine;

/// Nothing has moved for so many times the timeouts of a whole round: then waiting is in vain.
const STANDSTILL_ROUNDS: u64 = 2;

/// Where consensus stands, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    height: u64,
    round: u32,
    step: bft::Step,
    since_mono_ms: u64,
}

impl Standing {
    /// Where the core is, `before` being what was noted last.
    fn note(before: Option<Self>, now: Self) -> Self {
        let here = |then: &Self| (then.height, then.round, then.step) == (now.height, now.round, now.step);
        before.filter(here).unwrap_or(now)
    }
}

impl Engine {
    /// Looks, now and then, whether anything has moved since the last time.
    pub(crate) fn notice_standstill(&mut self) {
        let (height, round, step) = (self.core.height(), self.core.round(), self.core.current_step());
        let now = Standing { height, round, step, since_mono_ms: self.now.mono_ms };
        let standing = Standing::note(self.standing, now);
        self.standing = Some(standing);
        let round_ms = [bft::Step::Propose, bft::Step::Prevote, bft::Step::Precommit]
            .map(|step| self.timeout_ms(step, round))
            .iter()
            .fold(0, |sum: u64, ms| sum.saturating_add(*ms));
        let stands_ms = self.now.mono_ms.saturating_sub(standing.since_mono_ms);
        if stands_ms >= round_ms.saturating_mul(STANDSTILL_ROUNDS) {
            self.drive(Feed::Standstill(round));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_counts_from_when_the_step_was_first_seen() {
        let at = |round, step, since_mono_ms| Standing { height: 5, round, step, since_mono_ms };
        let first = Standing::note(None, at(0, bft::Step::Prevote, 100));
        let later = Standing::note(Some(first), at(0, bft::Step::Prevote, 900));
        assert_eq!(later.since_mono_ms, 100);
        assert_eq!(Standing::note(Some(later), at(0, bft::Step::Precommit, 950)).since_mono_ms, 950);
        assert_eq!(Standing::note(Some(later), at(1, bft::Step::Prevote, 960)).since_mono_ms, 960);
        let next = Standing { height: 6, ..at(0, bft::Step::Prevote, 970) };
        assert_eq!(Standing::note(Some(later), next).since_mono_ms, 970);
    }
}
