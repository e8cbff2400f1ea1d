//! Paths and headers, for trustnet-fuzz.

use axum::http::{HeaderMap, HeaderValue, header};

use super::chunk::Chunk;
use super::query::{Query, encode};
use super::range;
use super::route::Route;

/// Length of the content that ranges are of.
const TOTAL: u64 = 1_000;

/// A path and a query.
///
/// # Panics
/// When the repository of a path is none, or what a query says changes when it is written again.
pub fn target(text: &str) {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    if let Ok(route) = Route::parse(path) {
        assert!(!route.methods().is_empty());
        if let Some(repo) = route.repository() {
            assert_eq!(repo.to_string().parse().as_ref(), Ok(repo));
            assert_eq!(route.clone().in_repository(repo.clone()), route);
        }
    }
    let Ok(query) = Query::parse(query) else { return };
    for name in ["digest", "mount", "from", "n", "last", "tag", "ns"] {
        if let Some(value) = query.get(name) {
            let again = format!("{name}={}", encode(value));
            let again = Query::parse(Some(&again)).expect("what was written for a query is one");
            assert_eq!(again.get(name), Some(value));
        }
    }
}

/// Headers of ranges.
///
/// # Panics
/// When a range is not within the content.
pub fn headers(text: &str) {
    if let Ok(Some((start, end))) = range::parse(text, TOTAL) {
        assert!(start < end && end <= TOTAL, "{start} to {end}");
    }
    let mut lines = text.split('\n');
    let mut headers = HeaderMap::new();
    for name in [header::CONTENT_RANGE, header::CONTENT_LENGTH] {
        if let Some(value) = lines.next().and_then(|line| HeaderValue::from_str(line).ok()) {
            headers.insert(name, value);
        }
    }
    if let Ok(Chunk { start: Some(start), len: Some(len) }) = Chunk::read(&headers) {
        assert!(len == 0 || start.checked_add(len - 1).is_some());
    }
}
