//! Tokens that upstreams gave, until they end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// Tokens kept; each is for one repository of one upstream.
const MAX_TOKENS: usize = 256;
/// How long a token lives that does not say, as the specification of tokens has it.
const USUAL_LIFE: Duration = Duration::from_secs(60);
/// Longest time that a token is believed.
const MAX_LIFE: Duration = Duration::from_hours(1);
/// How much before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(10);
/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// What a token server answers.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Reads what a token server answered: the token, and how long it lives.
pub(super) fn read(body: &[u8]) -> Option<(String, Duration)> {
    let given: Given = serde_json::from_slice(body).ok()?;
    let token = given.token.filter(|token| !token.is_empty()).or(given.access_token)?;
    let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !is_plain {
        return None;
    }
    Some((token, given.expires_in.map_or(USUAL_LIFE, Duration::from_secs).min(MAX_LIFE)))
}

/// The `Authorization` headers that were accepted, by repository.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, (String, Instant)>>);

impl Tokens {
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<String> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(name).filter(|(_, until)| now < *until).map(|(header, _)| header.clone())
    }

    pub(super) fn put(&self, name: &str, header: String, life: Duration, now: Instant) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS {
            tokens.retain(|_, (_, until)| now < *until);
        }
        if tokens.len() < MAX_TOKENS {
            tokens.insert(name.to_owned(), (header, now + life.saturating_sub(MARGIN)));
        }
    }

    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_token_servers_say() {
        let token = |text: &str| read(text.as_bytes()).map(|(token, life)| (token, life.as_secs()));
        assert_eq!(token(r#"{"token":"a","expires_in":300,"issued_at":"x"}"#), Some(("a".to_owned(), 300)));
        assert_eq!(token(r#"{"access_token":"b"}"#), Some(("b".to_owned(), 60)));
        assert_eq!(
            token(r#"{"token":"","access_token":"b","expires_in":99999999}"#),
            Some(("b".to_owned(), 3600))
        );
        let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(MAX_TOKEN_BYTES + 1));
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"token":1}"#,
            r#"{"token":"a b"}"#,
            r#"{"token":"a\r\nx: y"}"#,
            r#"{"token":"a","expires_in":-1}"#,
            &long,
        ] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }

    #[test]
    fn tokens_end_and_are_bounded() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        tokens.put("a", "Bearer x".to_owned(), Duration::from_secs(60), now);
        assert_eq!(tokens.get("a", now).as_deref(), Some("Bearer x"));
        assert_eq!(tokens.get("b", now), None);
        assert_eq!(tokens.get("a", now + Duration::from_secs(50)), None);
        for n in 0..2 * MAX_TOKENS {
            tokens.put(&n.to_string(), String::new(), Duration::from_secs(60), now);
        }
        assert_eq!(tokens.0.lock().unwrap().len(), MAX_TOKENS);
        // Those that ended make room.
        let later = now + Duration::from_secs(100);
        tokens.put("new", String::new(), Duration::from_secs(60), later);
        assert!(tokens.get("new", later).is_some());
        tokens.forget("new");
        assert!(tokens.get("new", later).is_none());
    }
}
