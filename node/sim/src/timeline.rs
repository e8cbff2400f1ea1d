//! What happened, for people: kept only when somebody asks for it.

use std::cell::RefCell;

/// The lines of a run.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    lines: Option<RefCell<Vec<String>>>,
}

/// The most lines that are kept: the last ones.
const MAX_LINES: usize = 200_000;

impl Timeline {
    /// Keeps nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Keeps all lines.
    pub fn on() -> Self {
        Self { lines: Some(RefCell::default()) }
    }

    /// Whether lines are kept.
    pub fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line. Its text is made only if it is kept.
    pub fn say(&self, now_ms: u64, what: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let line = format!("{:>9.3}  {}", std::time::Duration::from_millis(now_ms).as_secs_f64(), what());
            let mut lines = lines.borrow_mut();
            if lines.len() >= MAX_LINES {
                lines.drain(..MAX_LINES / 2);
            }
            lines.push(line);
        }
    }

    /// The lines.
    pub fn lines(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }
}
