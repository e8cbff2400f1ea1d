//! A blocking JSON-RPC client for a node's port 26657.
//!
//! Plain HTTP by intent: the node listens on the loopback address unless told otherwise, and every
//! change of the ledger is signed before it comes here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a whole answer: more than the node's own limit for `broadcast_tx_commit`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Most requests in one batch that a node takes.
pub const MAX_BATCH: usize = 512;

/// JSON-RPC's code for a method that could not do what was asked.
const INTERNAL_ERROR: i64 = -32_603;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The address is not one this client can use.
    #[error("`{url}` is not an RPC address: {problem}; expected http://HOST:PORT")]
    BadUrl {
        /// As given.
        url: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nobody answers.
    #[error("no node answers at {url}: {reason}")]
    Unreachable {
        /// The address asked.
        url: String,
        /// The system's reason.
        reason: String,
    },
    /// Somebody answers, but not as a node of this network does.
    #[error("{url} answers, but not as a TrustNet node does: {problem}")]
    BadAnswer {
        /// The address asked.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The node answered with a JSON-RPC error.
    #[error("the node refused `{method}`: {message}")]
    Rpc {
        /// The method called.
        method: String,
        /// JSON-RPC error code.
        code: i64,
        /// The node's message.
        message: String,
    },
    /// The node answered a query with an error.
    #[error("{log}")]
    Query {
        /// The query's path.
        path: String,
        /// The ledger's code.
        code: u32,
        /// The node's message.
        log: String,
    },
}

/// What became of a transaction that was handed to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// 0 if accepted, else the ledger's code of the refusal.
    pub code: u32,
    /// The reason of a refusal.
    pub log: String,
    /// The transaction's id, hex.
    pub hash: String,
    /// The height of its block; 0 when the node did not wait for it.
    pub height: u64,
}

/// A node's JSON-RPC.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    /// A client of the node at `url` (`http://host:port`; `host:port` will do).
    ///
    /// # Errors
    /// [`ClientError::BadUrl`].
    pub fn new(url: &str) -> Result<Self, ClientError> {
        Self::with_timeouts(url, CONNECT_TIMEOUT, ANSWER_TIMEOUT)
    }

    /// A client that waits this long for a connection and for a whole answer.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`].
    pub fn with_timeouts(url: &str, connect: Duration, answer: Duration) -> Result<Self, ClientError> {
        let bad = |problem| ClientError::BadUrl { url: url.to_owned(), problem };
        let address = match url.split_once("://") {
            None => url,
            Some(("http" | "tcp", address)) => address,
            Some(("https", _)) => {
                return Err(bad("this client speaks plain HTTP; use a tunnel (ssh -L) for other machines"));
            }
            Some(_) => return Err(bad("the scheme is unknown")),
        };
        let address = address.trim_end_matches('/');
        if address.is_empty() || address.starts_with(':') || address.contains(char::is_whitespace) {
            return Err(bad("there is no host"));
        }
        let full = format!("http://{address}");
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(connect))
            .timeout_global(Some(answer))
            // A proxy named in the environment knows nothing of this machine's loopback address.
            .proxy(None)
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self { agent, url: full })
    }

    /// The address asked.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method and gives its `result`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn call(&self, method: &str, params: &Value) -> Result<Value, ClientError> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        result_of(&self.url, method, self.post(&request)?)
    }

    /// Calls one method several times in one request (at most [`MAX_BATCH`]); results in the order of `params`.
    ///
    /// # Errors
    /// [`ClientError`] when the request as a whole fails; single failures are in the list.
    pub fn batch(
        &self,
        method: &str,
        params: &[Value],
    ) -> Result<Vec<Result<Value, ClientError>>, ClientError> {
        if params.is_empty() {
            return Ok(Vec::new());
        }
        let requests: Vec<Value> = params
            .iter()
            .enumerate()
            .map(|(id, params)| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
            .collect();
        let Value::Array(answers) = self.post(&Value::Array(requests))? else {
            return Err(self.bad_answer("a batch was answered with a single answer"));
        };
        // JSON-RPC lets a server answer in any order; the id says what belongs to what.
        let mut results: Vec<Option<Result<Value, ClientError>>> = vec![None; params.len()];
        for answer in answers {
            let id = answer["id"].as_u64().and_then(|id| usize::try_from(id).ok());
            if let Some(slot) = id.and_then(|id| results.get_mut(id)) {
                *slot = Some(result_of(&self.url, method, answer));
            }
        }
        let missing = || Err(self.bad_answer("a request of the batch was not answered"));
        Ok(results.into_iter().map(|result| result.unwrap_or_else(missing)).collect())
    }

    /// Asks the ledger (`abci_query`): `argument` goes as JSON, the answer comes as JSON.
    ///
    /// # Errors
    /// [`ClientError::Query`] with the ledger's code, or any other [`ClientError`].
    pub fn query<T: DeserializeOwned>(
        &self,
        path: &str,
        argument: &impl Serialize,
    ) -> Result<T, ClientError> {
        let argument = serde_json::to_vec(argument).map_err(|error| self.bad_answer(error.to_string()))?;
        let params = json!({ "path": path, "data": hex::encode(argument), "height": "0", "prove": false });
        let result = self.call("abci_query", &params)?;
        let response = &result["response"];
        let code = code_of(response);
        if code != 0 {
            let log = response["log"].as_str().unwrap_or("no reason given").to_owned();
            return Err(ClientError::Query { path: path.to_owned(), code, log });
        }
        let bytes = BASE64
            .decode(response["value"].as_str().unwrap_or_default())
            .map_err(|error| self.bad_answer(format!("the answer to {path} is not base64: {error}")))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            self.bad_answer(format!("the answer to {path} is not what was expected: {error}"))
        })
    }

    /// Hands in a signed transaction and waits until it is in a block.
    ///
    /// # Errors
    /// [`ClientError`]; a refusal by the ledger is not an error but a [`Broadcast`] with its code.
    pub fn broadcast_commit(&self, transaction: &[u8]) -> Result<Broadcast, ClientError> {
        let params = json!({ "tx": BASE64.encode(transaction) });
        let result = self.call("broadcast_tx_commit", &params)?;
        // CometBFT 0.38 says tx_result, older ones deliver_tx.
        let delivered = result.get("tx_result").or_else(|| result.get("deliver_tx"));
        let failed =
            [result.get("check_tx"), delivered].into_iter().flatten().find(|part| code_of(part) != 0);
        Ok(Broadcast {
            code: failed.map_or(0, code_of),
            log: failed.and_then(|part| part["log"].as_str()).unwrap_or_default().to_owned(),
            hash: result["hash"].as_str().unwrap_or_default().to_lowercase(),
            height: number(&result["height"]).unwrap_or(0),
        })
    }

    /// Hands in a signed transaction; answers after the node's checks, before it is in a block.
    ///
    /// # Errors
    /// As [`Self::broadcast_commit`].
    pub fn broadcast_sync(&self, transaction: &[u8]) -> Result<Broadcast, ClientError> {
        let params = json!({ "tx": BASE64.encode(transaction) });
        Ok(broadcast_of(&self.call("broadcast_tx_sync", &params)?))
    }

    /// Hands in up to [`MAX_BATCH`] signed transactions in one request.
    ///
    /// # Errors
    /// As [`Self::batch`].
    pub fn broadcast_sync_batch(
        &self,
        transactions: &[Vec<u8>],
    ) -> Result<Vec<Result<Broadcast, ClientError>>, ClientError> {
        let params: Vec<Value> = transactions.iter().map(|tx| json!({ "tx": BASE64.encode(tx) })).collect();
        let results = self.batch("broadcast_tx_sync", &params)?;
        Ok(results.into_iter().map(|result| result.map(|value| broadcast_of(&value))).collect())
    }

    /// The chain id that signatures must cover.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn chain_id(&self) -> Result<String, ClientError> {
        let result = self.call("genesis", &json!({}))?;
        let chain_id = result["genesis"]["chain_id"].as_str();
        chain_id.map(ToOwned::to_owned).ok_or_else(|| self.bad_answer("its genesis has no chain_id"))
    }

    fn bad_answer(&self, problem: impl Into<String>) -> ClientError {
        ClientError::BadAnswer { url: self.url.clone(), problem: problem.into() }
    }

    fn post(&self, request: &Value) -> Result<Value, ClientError> {
        let unreachable = |error: ureq::Error| ClientError::Unreachable {
            url: self.url.clone(),
            reason: reason_of(&error),
        };
        let mut response = self.agent.post(&self.url).send_json(request).map_err(unreachable)?;
        let status = response.status();
        let body =
            response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(unreachable)?;
        serde_json::from_slice(&body)
            .map_err(|_| self.bad_answer(format!("HTTP {status} without a JSON body")))
    }
}

/// The system's words for what went wrong, without the library's wrapping.
fn reason_of(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        ureq::Error::Io(io) => io.to_string(),
        ureq::Error::HostNotFound => "the host is not known".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        other => other.to_string(),
    }
}

fn result_of(url: &str, method: &str, mut answer: Value) -> Result<Value, ClientError> {
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        let text = |key: &str| error[key].as_str().unwrap_or_default().trim().to_owned();
        // CometBFT puts the interesting part into `data`, under a general message.
        let code = error["code"].as_i64().unwrap_or(0);
        let message = match (text("message"), text("data")) {
            (message, data) if data.is_empty() => message,
            // "Internal error" is what CometBFT calls every method that could not do what was asked.
            (_, data) if code == INTERNAL_ERROR => data,
            (message, data) => format!("{message}: {data}"),
        };
        return Err(ClientError::Rpc { method: method.to_owned(), code, message });
    }
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(ClientError::BadAnswer {
            url: url.to_owned(),
            problem: format!("its answer to `{method}` has neither result nor error"),
        }),
    }
}

fn broadcast_of(result: &Value) -> Broadcast {
    Broadcast {
        code: code_of(result),
        log: result["log"].as_str().unwrap_or_default().to_owned(),
        hash: result["hash"].as_str().unwrap_or_default().to_lowercase(),
        height: 0,
    }
}

fn code_of(value: &Value) -> u32 {
    number(&value["code"]).and_then(|code| u32::try_from(code).ok()).unwrap_or(0)
}

/// A number that may come as a number or, as `CometBFT` writes 64-bit ones, as a string.
pub fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
