//! Requests and answers, and all the ways in which there is no answer.

use super::*;
use crate::{MAX_BULK_REQUEST_BYTES, MAX_BULK_RESPONSE_BYTES, RequestError, RequestToken};

impl Node {
    async fn request(&mut self) -> (Bytes, RequestToken) {
        loop {
            if let Event::Request { bytes, token, .. } = self.event().await {
                return (bytes, token);
            }
        }
    }

    async fn response(&mut self) -> (u64, Result<Bytes, RequestError>) {
        loop {
            if let Event::Response { tag, result, .. } = self.event().await {
                return (tag, result);
            }
        }
    }
}

#[tokio::test]
async fn requests_are_answered_up_to_the_longest_answer() {
    let (mut a, mut b) = pair(config(1), config(2)).await;
    for len in [0, 1, 100_000, MAX_BULK_RESPONSE_BYTES] {
        let request = Bytes::from(vec![1; MAX_BULK_REQUEST_BYTES]);
        b.net.request(&id(1), request.clone(), 42);
        let (bytes, token) = a.request().await;
        assert_eq!(bytes, request);
        let response = Bytes::from(vec![2; len]);
        a.net.respond(token, response.clone());
        assert_eq!(b.response().await, (42, Ok(response)));
    }
    // The dialled side asks just as well.
    a.net.request(&id(2), Bytes::from_static(b"?"), 1);
    let (_, token) = b.request().await;
    b.net.respond(token, Bytes::from_static(b"!"));
    assert_eq!(a.response().await, (1, Ok(Bytes::from_static(b"!"))));
}

#[tokio::test]
async fn at_most_eight_requests_run_at_a_time_and_all_are_answered() {
    let (mut a, mut b) = pair(config(1), config(2)).await;
    for tag in 0..40 {
        b.net.request(&id(1), Bytes::new(), tag);
    }
    let mut tokens = Vec::new();
    for _ in 0..8 {
        tokens.push(a.request().await.1);
    }
    // The ninth comes only after an answer.
    assert!(timeout(Duration::from_millis(200), a.request()).await.is_err());
    let mut answered = 8;
    while let Some(token) = tokens.pop() {
        a.net.respond(token, Bytes::new());
        if answered < 40 {
            tokens.push(a.request().await.1);
            answered += 1;
        }
    }
    let mut tags = Vec::new();
    for _ in 0..40 {
        let (tag, result) = b.response().await;
        assert_eq!(result, Ok(Bytes::new()));
        tags.push(tag);
    }
    tags.sort_unstable();
    assert_eq!(tags, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_without_an_answer_times_out_on_both_sides() {
    let limits = |mut config: Config| {
        config.limits.request_time = Duration::from_millis(300);
        config
    };
    let (mut a, mut b) = pair(limits(config(1)), limits(config(2))).await;
    b.net.request(&id(1), Bytes::from_static(b"?"), 5);
    let (_, token) = a.request().await;
    let (tag, result) = b.response().await;
    assert_eq!(tag, 5);
    assert!(matches!(result, Err(RequestError::TimedOut | RequestError::Refused)), "{result:?}");
    a.net.respond(token, Bytes::from_static(b"too late"));
    b.net.request(&id(1), Bytes::from_static(b"again"), 6);
    let (_, token) = a.request().await;
    a.net.respond(token, Bytes::from_static(b"in time"));
    assert_eq!(b.response().await, (6, Ok(Bytes::from_static(b"in time"))));
}

#[tokio::test]
async fn requests_that_cannot_be_put_fail_with_their_reason() {
    let (mut a, mut b) = pair(config(1), config(2)).await;
    b.net.request(&id(9), Bytes::new(), 1);
    assert_eq!(b.response().await, (1, Err(RequestError::NotConnected)));
    b.net.request(&id(1), vec![0; MAX_BULK_REQUEST_BYTES + 1].into(), 2);
    assert_eq!(b.response().await, (2, Err(RequestError::TooLong)));
    b.net.request(&id(1), Bytes::new(), 3);
    drop(a.request().await.1);
    assert_eq!(b.response().await, (3, Err(RequestError::Refused)));
    b.net.request(&id(1), Bytes::new(), 4);
    let (_, token) = a.request().await;
    a.net.respond(token, vec![0; MAX_BULK_RESPONSE_BYTES + 1].into());
    assert_eq!(b.response().await, (4, Err(RequestError::Refused)));
}

#[tokio::test]
async fn requests_are_answered_with_a_failure_when_the_connection_ends() {
    let (mut a, mut b) = pair(config(1), config(2)).await;
    for tag in 0..20 {
        b.net.request(&id(1), Bytes::new(), tag);
    }
    let (_, _token) = a.request().await;
    a.net.disconnect(&id(2), "gone");
    let mut failed = 0;
    loop {
        match b.event().await {
            Event::Response { result, .. } => {
                assert_eq!(result, Err(RequestError::Disconnected));
                failed += 1;
            }
            Event::Down { .. } => break,
            _ => {}
        }
    }
    assert_eq!(failed, 20, "every request has its answer before the connection is down");
}

#[tokio::test]
async fn too_many_waiting_requests_are_refused_at_once() {
    let mut b_config = config(2);
    b_config.limits.requests_waiting = 4;
    let (_a, mut b) = pair(config(1), b_config).await;
    for tag in 0..100 {
        b.net.request(&id(1), Bytes::new(), tag);
    }
    assert_eq!(b.response().await.1, Err(RequestError::TooMany));
}
