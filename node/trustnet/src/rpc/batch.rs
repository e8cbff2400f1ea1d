//! Batches: answered in the order of the requests, within a time and a size.

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::error::RpcError;
use super::http::Http;
use super::join::{Later, join_in_order};
use super::jsonrpc::{Id, Request, answer};
use super::methods;

/// Carries out a batch. Returns the answers as text (empty when no request wants one), and whether all
/// of them will hold for ever.
///
/// Broadcasts that follow each other are carried out together, as they only wait for the pool;
/// everything else goes one by one, so that a batch is never more than one call in memory.
pub async fn run(http: &Http, requests: Vec<Request>) -> (String, bool) {
    let until = Instant::now() + http.limits.batch_time;
    let mut answers = Answers::new(http.limits.max_answer_bytes);
    let mut requests = requests.into_iter().peekable();
    while let Some(request) = requests.next() {
        let mut together = vec![request];
        if is_broadcast(&together[0]) {
            while let Some(next) = requests.next_if(is_broadcast) {
                together.push(next);
            }
        }
        let ids: Vec<Id> = together.iter().map(id_of).collect();
        if answers.is_full() {
            for id in &ids {
                answers.push_error(id);
            }
            continue;
        }
        let calls = together
            .into_iter()
            .map(|request| -> Later<'_, Option<(Value, bool)>> { Box::pin(http.single(request)) })
            .collect();
        if let Ok(results) = timeout_at(until, join_in_order(calls)).await {
            for (id, result) in ids.iter().zip(results) {
                if let Some((value, immutable)) = result {
                    answers.push(id, &value.to_string(), immutable);
                }
            }
            continue;
        }
        let error = RpcError::Server("the batch takes too long; send fewer requests at once".to_owned());
        for id in ids.iter().filter(|id| **id != Id::Unknown) {
            answers.push(id, &answer(id, Err(&error)).to_string(), false);
        }
    }
    answers.finish()
}

fn is_broadcast(request: &Request) -> bool {
    matches!(request, Request::Call { method, .. } if methods::find(method).is_some_and(|m| m.name.is_broadcast()))
}

fn id_of(request: &Request) -> Id {
    match request {
        Request::Call { id, .. } | Request::Invalid(id, _) => id.clone(),
        Request::Notification => Id::Unknown,
    }
}

/// The answers so far, and how much room is left for more.
struct Answers {
    text: String,
    max_bytes: usize,
    full: bool,
    immutable: bool,
}

impl Answers {
    fn new(max_bytes: usize) -> Self {
        Self { text: String::new(), max_bytes, full: false, immutable: true }
    }

    fn is_full(&self) -> bool {
        self.full
    }

    fn push(&mut self, id: &Id, answer: &str, immutable: bool) {
        if self.full || self.text.len() + answer.len() > self.max_bytes {
            self.full = true;
            self.push_error(id);
            return;
        }
        self.append(answer);
        self.immutable &= immutable;
    }

    fn push_error(&mut self, id: &Id) {
        if *id == Id::Unknown {
            return;
        }
        let error = RpcError::Server(format!(
            "the answers of this batch are longer than {} bytes; send fewer requests at once",
            self.max_bytes
        ));
        self.immutable = false;
        let text = answer(id, Err(&error)).to_string();
        self.append(&text);
    }

    fn append(&mut self, answer: &str) {
        self.text.push(if self.text.is_empty() { '[' } else { ',' });
        self.text.push_str(answer);
    }

    fn finish(mut self) -> (String, bool) {
        if self.text.is_empty() {
            return (self.text, false);
        }
        self.text.push(']');
        (self.text, self.immutable)
    }
}
