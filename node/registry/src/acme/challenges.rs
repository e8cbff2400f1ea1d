//! The answers that an authority looks for over HTTP: a table of tokens, filled while an order is open.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;

/// Where the answers are (RFC 8555, section 8.3).
const PATH: &str = "/.well-known/acme-challenge/";
/// Answers at once.
const MAX_TOKENS: usize = 100;
/// Longest token, in bytes; those of Let's Encrypt have 43.
const MAX_TOKEN_BYTES: usize = 256;

/// Answers to challenges, by their token.
#[derive(Debug, Default)]
pub struct Challenges(RwLock<BTreeMap<String, String>>);

impl Challenges {
    /// Answers a challenge. Says whether it can be: tokens are made of letters, digits, `-` and `_`.
    pub(super) fn add(&self, token: &str, answer: String) -> bool {
        let is_token = !token.is_empty()
            && token.len() <= MAX_TOKEN_BYTES
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let mut tokens = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !is_token || tokens.len() >= MAX_TOKENS {
            return false;
        }
        tokens.insert(token.to_owned(), answer);
        true
    }

    /// Answers no challenge any more.
    pub(super) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(PATH)?;
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }
}

/// The answer to a request below the path of challenges; `None` if it is for another one.
pub(crate) fn respond(challenges: &Challenges, method: &Method, path: &str) -> Option<Response> {
    if !path.starts_with(PATH) {
        return None;
    }
    let answer = challenges.get(path).filter(|_| method == Method::GET || method == Method::HEAD);
    let (status, text) = match answer {
        Some(answer) => (StatusCode::OK, answer),
        None => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Some(response)
}

/// Serves the answers, and nothing else, on a listener of their own: port 80 need not lead to the registry.
///
/// # Errors
/// As [`crate::serve`].
pub async fn serve_challenges(
    listener: tokio::net::TcpListener,
    challenges: Arc<Challenges>,
    limits: &crate::Limits,
) -> io::Result<()> {
    crate::http::serve_router(listener, router(challenges), limits).await
}

fn router(challenges: Arc<Challenges>) -> axum::Router {
    let answer = move |request: axum::extract::Request| {
        let challenges = Arc::clone(&challenges);
        async move {
            respond(&challenges, request.method(), request.uri().path()).unwrap_or_else(|| {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            })
        }
    };
    axum::Router::new().fallback(answer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_is_answered() {
        let challenges = Challenges::default();
        assert!(challenges.add("to_Ken-1", "to_Ken-1.print".to_owned()));
        let status = |method: Method, path: &str| {
            respond(&challenges, &method, path).map(|response| response.status().as_u16())
        };
        assert_eq!(status(Method::GET, "/.well-known/acme-challenge/to_Ken-1"), Some(200));
        assert_eq!(status(Method::POST, "/.well-known/acme-challenge/to_Ken-1"), Some(404));
        for path in ["", "x", "to_Ken-1/", "../to_Ken-1", "to_ken-1", "%74o_Ken-1"] {
            assert_eq!(
                status(Method::GET, &format!("/.well-known/acme-challenge/{path}")),
                Some(404),
                "{path}"
            );
        }
        assert_eq!(status(Method::GET, "/v2/"), None);
        challenges.clear();
        assert_eq!(status(Method::GET, "/.well-known/acme-challenge/to_Ken-1"), Some(404));
    }

    #[test]
    fn tokens_are_bounded() {
        let challenges = Challenges::default();
        for bad in ["", "a/b", "..", "a b", "ä", &"x".repeat(MAX_TOKEN_BYTES + 1)] {
            assert!(!challenges.add(bad, String::new()), "{bad}");
        }
        let added = (0..MAX_TOKENS + 5).filter(|n| challenges.add(&format!("t{n}"), String::new())).count();
        assert_eq!(added, MAX_TOKENS);
    }
}
