//! Whether and when a node that died is started again: a few times with growing pauses, then no more.

/// How often a node is started again before it is given up.
pub const MAX_RESTARTS: u32 = 5;
/// The first pause, in milliseconds; each further one is twice as long.
pub const FIRST_PAUSE_MS: u64 = 1_000;
/// A node that ran for so long (milliseconds) has recovered: its count begins anew.
pub const RECOVERED_MS: u64 = 60_000;
/// Exit code of a node whose data is damaged, belongs to another chain or is in use.
pub const EXIT_DATA: i32 = 5;
/// Exit code of a node that did not understand its command line or configuration.
pub const EXIT_USAGE: i32 = 2;

/// What to do about a node that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start it again at this time (milliseconds on the caller's clock).
    StartAt(u64),
    /// Leave it: a restart does not mend this.
    GiveUp,
}

/// The history of one node's starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restarts {
    count: u32,
    started_ms: u64,
}

impl Restarts {
    /// The node was started.
    pub fn started(&mut self, now_ms: u64) {
        self.started_ms = now_ms;
    }

    /// The node ended with this code (`None`: by a signal).
    pub fn died(&mut self, now_ms: u64, code: Option<i32>) -> Decision {
        // A home in use ends with the same code as damaged data: a node that an earlier run left behind
        // may still be closing it, which one more attempt finds out.
        let hopeless = code == Some(EXIT_USAGE) || (code == Some(EXIT_DATA) && self.count > 0);
        if hopeless {
            return Decision::GiveUp;
        }
        if now_ms.saturating_sub(self.started_ms) >= RECOVERED_MS {
            self.count = 0;
        }
        if self.count >= MAX_RESTARTS {
            return Decision::GiveUp;
        }
        let pause = FIRST_PAUSE_MS << self.count;
        self.count += 1;
        Decision::StartAt(now_ms + pause)
    }

    /// How many restarts in a row there were.
    pub fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_then_it_is_given_up() {
        let mut restarts = Restarts::default();
        let mut now = 0;
        let mut pauses = Vec::new();
        while let Decision::StartAt(at) = restarts.died(now, Some(1)) {
            pauses.push(at - now);
            now = at;
            restarts.started(now);
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000]);
        assert_eq!(restarts.count(), MAX_RESTARTS);
    }

    #[test]
    fn a_node_that_ran_for_a_minute_begins_anew() {
        let mut restarts = Restarts::default();
        for _ in 0..3 {
            restarts.died(0, None);
        }
        restarts.started(10);
        assert_eq!(restarts.died(10 + RECOVERED_MS, None), Decision::StartAt(10 + RECOVERED_MS + 1_000));
    }

    #[test]
    fn damaged_data_is_tried_once_more_and_a_wrong_command_line_never() {
        let mut restarts = Restarts::default();
        assert_eq!(restarts.died(0, Some(EXIT_DATA)), Decision::StartAt(1_000));
        assert_eq!(restarts.died(1_500, Some(EXIT_DATA)), Decision::GiveUp);
        assert_eq!(Restarts::default().died(0, Some(EXIT_USAGE)), Decision::GiveUp);
    }
}
