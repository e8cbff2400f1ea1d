//! Credentials that were found good a moment ago. A client sends its password with every request; to check it each time
//! would take most of a second of a board's time.

use std::collections::HashMap;

use ring::hmac;

/// How long a credential is remembered, in milliseconds.
const KEPT_MS: u64 = 5 * 60 * 1_000;

/// By what a credential is remembered: never itself, but a hash under a key that is made anew at every start.
pub(super) type Mark = [u8; 32];

/// Makes the mark of a credential's parts.
pub(super) fn mark(key: &hmac::Key, parts: &[&[u8]]) -> Mark {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        // Each with its length, so that no two lists of parts are alike.
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut mark = [0; 32];
    mark.copy_from_slice(context.sign().as_ref());
    mark
}

/// What is known of at most `max` credentials.
#[derive(Debug)]
pub(super) struct Remembered<T> {
    max: usize,
    table: HashMap<Mark, (T, u64)>,
}

impl<T: Clone> Remembered<T> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, table: HashMap::new() }
    }

    pub(super) fn get(&self, mark: &Mark, now_ms: u64) -> Option<T> {
        self.table.get(mark).filter(|(_, until_ms)| now_ms < *until_ms).map(|(known, _)| known.clone())
    }

    pub(super) fn put(&mut self, mark: Mark, known: T, now_ms: u64) {
        if self.table.len() >= self.max {
            self.table.retain(|_, (_, until_ms)| now_ms < *until_ms);
        }
        if self.table.len() >= self.max {
            let oldest = self.table.iter().min_by_key(|(_, (_, until_ms))| *until_ms);
            if let Some(oldest) = oldest.map(|(mark, _)| *mark) {
                self.table.remove(&oldest);
            }
        }
        self.table.insert(mark, (known, now_ms.saturating_add(KEPT_MS)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        assert_eq!(mark(&key, &[b"a", b"b"]), mark(&key, &[b"a", b"b"]));
        let others: [&[&[u8]]; 4] = [&[b"ab"], &[b"", b"ab"], &[b"ab", b""], &[b"b", b"a"]];
        assert!(others.iter().all(|other| mark(&key, other) != mark(&key, &[b"a", b"b"])));
        let other_key = hmac::Key::new(hmac::HMAC_SHA256, b"other");
        assert_ne!(mark(&key, &[b"a"]), mark(&other_key, &[b"a"]));
    }

    #[test]
    fn what_is_known_ends_and_is_bounded() {
        let mut remembered = Remembered::new(10);
        remembered.put([0; 32], "known", 0);
        assert_eq!(remembered.get(&[0; 32], KEPT_MS - 1), Some("known"));
        assert_eq!(remembered.get(&[0; 32], KEPT_MS), None);
        assert_eq!(remembered.get(&[1; 32], 0), None);
        for number in 1..=100 {
            remembered.put([number; 32], "other", u64::from(number));
            assert!(remembered.table.len() <= 10);
        }
        assert_eq!(remembered.get(&[100; 32], 100), Some("other"));
        assert_eq!(remembered.get(&[90; 32], 100), None, "the oldest made way");
    }
}
