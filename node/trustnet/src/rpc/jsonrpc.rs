//! JSON-RPC 2.0 framing: a body becomes calls, results become answers.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::args::{Arg, Params};
use super::error::RpcError;

/// Most requests of a batch that are kept while reading; more are only counted.
const KEPT_REQUESTS: usize = 1_024;

/// What a caller names its request by; echoed in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// Not known: the request could not be read.
    Unknown,
}

impl Id {
    /// The id of every answer to a URI call.
    pub const URI: Self = Self::Int(-1);

    fn to_value(&self) -> Value {
        match self {
            Self::Int(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Unknown => Value::Null,
        }
    }
}

/// One request of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A call that wants an answer.
    Call {
        /// To be echoed.
        id: Id,
        /// The method's name.
        method: String,
        /// Its arguments.
        params: Params,
    },
    /// Without id: wants no answer, and so is not carried out, as in `CometBFT`.
    Notification,
    /// Not a request.
    Invalid(Id, RpcError),
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// One request, answered by one object.
    Single(Request),
    /// A batch, answered by a list in the same order.
    Batch(Vec<Request>),
}

impl Body {
    /// Reads a body with at most `max_batch` requests.
    ///
    /// # Errors
    /// [`RpcError::Parse`] when it is not JSON, [`RpcError::InvalidRequest`] when it is JSON but not a
    /// request, or an empty or too large batch.
    pub fn parse(bytes: &[u8], max_batch: usize) -> Result<Self, RpcError> {
        let read: Read = serde_json::from_slice(bytes)
            .map_err(|error| RpcError::Parse(format!("error unmarshaling request: {error}")))?;
        match read {
            Read::Single(request) => Ok(Self::Single(request)),
            Read::Batch(_, 0) => Err(RpcError::InvalidRequest("the batch is empty".to_owned())),
            Read::Batch(_, count) if count > max_batch => Err(RpcError::InvalidRequest(format!(
                "batch request exceeds maximum ({max_batch}) allowed number of requests"
            ))),
            Read::Batch(requests, _) => Ok(Self::Batch(requests)),
            Read::Neither => {
                Err(RpcError::InvalidRequest("a request is an object, or a list of objects".to_owned()))
            }
        }
    }
}

/// A body as it is read, with the number of requests found (kept or not).
enum Read {
    Single(Request),
    Batch(Vec<Request>, usize),
    Neither,
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;

        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = Read;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request or a list of requests")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Read, A::Error> {
                read_request(map).map(Read::Single)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Read, A::Error> {
                let mut requests = Vec::new();
                let mut count = 0_usize;
                loop {
                    if requests.len() < KEPT_REQUESTS {
                        match seq.next_element()? {
                            Some(Element(request)) => requests.push(request),
                            None => return Ok(Read::Batch(requests, count)),
                        }
                    } else if seq.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(Read::Batch(requests, count));
                    }
                    count = count.saturating_add(1);
                }
            }

            fn visit_unit<E>(self) -> Result<Read, E> {
                Ok(Read::Neither)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Read, E> {
                Ok(Read::Neither)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Read, E> {
                Ok(Read::Neither)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Read, E> {
                Ok(Read::Neither)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Read, E> {
                Ok(Read::Neither)
            }

            fn visit_str<E>(self, _: &str) -> Result<Read, E> {
                Ok(Read::Neither)
            }
        }

        deserializer.deserialize_any(BodyVisitor)
    }
}

/// An element of a batch; one that is no object is an invalid request of its own.
struct Element(Request);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Read::deserialize(deserializer).map(|read| {
            Self(match read {
                Read::Single(request) => request,
                Read::Batch(..) | Read::Neither => not_a_request(Id::Unknown, "a request is an object"),
            })
        })
    }
}

fn not_a_request(id: Id, why: &str) -> Request {
    Request::Invalid(id, RpcError::InvalidRequest(why.to_owned()))
}

fn read_request<'de, A: MapAccess<'de>>(mut map: A) -> Result<Request, A::Error> {
    let (mut id, mut method, mut params) = (Arg::Null, Arg::Null, Params::None);
    while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
        match key.as_ref() {
            "id" => id = map.next_value()?,
            "method" => method = map.next_value()?,
            "params" => params = map.next_value()?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    let id = match id {
        Arg::Null => return Ok(Request::Notification),
        Arg::Int(number) => Id::Int(number),
        Arg::Text(text) => Id::Text(text),
        Arg::Bool(_) | Arg::Uri(_) | Arg::Other(_) => {
            return Ok(not_a_request(Id::Unknown, "the id must be a text or a whole number below 2^63"));
        }
    };
    match method {
        Arg::Text(method) => Ok(Request::Call { id, method, params }),
        Arg::Null => Ok(Request::Invalid(id, RpcError::MethodNotFound)),
        _ => Err(A::Error::custom("the method must be a text")),
    }
}

/// An answer, ready to be written.
pub fn answer(id: &Id, result: Result<Value, &RpcError>) -> Value {
    let mut object = Map::new();
    object.insert("jsonrpc".to_owned(), "2.0".into());
    object.insert("id".to_owned(), id.to_value());
    match result {
        Ok(value) => object.insert("result".to_owned(), value),
        Err(error) => object.insert("error".to_owned(), error.to_value()),
    };
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn single(text: &str) -> Request {
        match Body::parse(text.as_bytes(), 8).unwrap() {
            Body::Single(request) => request,
            Body::Batch(_) => panic!("a batch"),
        }
    }

    fn call(id: Id, method: &str, params: Params) -> Request {
        Request::Call { id, method: method.to_owned(), params }
    }

    #[test]
    fn a_call_has_an_id_of_text_or_number() {
        assert_eq!(
            single(r#"{"jsonrpc":"2.0","id":7,"method":"health"}"#),
            call(Id::Int(7), "health", Params::None)
        );
        let request = single(r#"{"method":"block","params":["5"],"id":"a"}"#);
        assert_eq!(request, call(Id::Text("a".into()), "block", Params::Listed(vec![Arg::Text("5".into())])));
        assert_eq!(single(r#"{"id":3.0,"method":"x"}"#), call(Id::Int(3), "x", Params::None));
    }

    #[test]
    fn without_an_id_it_is_a_notification() {
        assert_eq!(single(r#"{"method":"health"}"#), Request::Notification);
        assert_eq!(single(r#"{"method":"health","id":null}"#), Request::Notification);
    }

    #[test]
    fn an_id_that_cannot_be_echoed_is_refused() {
        for id in ["1.5", "true", "[1]", "{}", "18446744073709551615"] {
            let request = single(&format!(r#"{{"id":{id},"method":"health"}}"#));
            assert!(matches!(request, Request::Invalid(Id::Unknown, RpcError::InvalidRequest(_))), "{id}");
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_a_parse_error() {
        for text in ["", "{", "nope", r#"{"id":1,"method":5}"#, "{}x", "\u{0}", r#"{"id":1,"method":"a"}{}"#]
        {
            assert_eq!(Body::parse(text.as_bytes(), 8).unwrap_err().code(), -32_700, "{text}");
        }
        assert_eq!(Body::parse(&[0xff, 0xfe], 8).unwrap_err().code(), -32_700);
    }

    #[test]
    fn json_that_is_no_request_is_an_invalid_request() {
        for text in ["5", "-5", "1.5", "null", "true", "\"x\"", "[]"] {
            assert_eq!(Body::parse(text.as_bytes(), 8).unwrap_err().code(), -32_600, "{text}");
        }
    }

    #[test]
    fn one_bad_element_does_not_spoil_its_batch() {
        let Body::Batch(requests) =
            Body::parse(br#"[{"id":1,"method":"a"},5,[],{"method":"b"}]"#, 8).unwrap()
        else {
            panic!("not a batch");
        };
        assert_eq!(requests.len(), 4);
        assert_eq!(requests[0], call(Id::Int(1), "a", Params::None));
        assert!(matches!(requests[1], Request::Invalid(Id::Unknown, RpcError::InvalidRequest(_))));
        assert!(matches!(requests[2], Request::Invalid(Id::Unknown, RpcError::InvalidRequest(_))));
        assert_eq!(requests[3], Request::Notification);
    }

    #[test]
    fn a_batch_has_an_upper_limit() {
        let batch = |count: usize| format!("[{}]", vec![r#"{"id":1,"method":"a"}"#; count].join(","));
        assert!(Body::parse(batch(8).as_bytes(), 8).is_ok());
        let error = Body::parse(batch(9).as_bytes(), 8).unwrap_err();
        assert_eq!(error.data(), "batch request exceeds maximum (8) allowed number of requests");
        assert!(Body::parse(batch(KEPT_REQUESTS + 5).as_bytes(), 8).is_err());
    }

    #[test]
    fn deep_nesting_is_refused_without_exhausting_the_stack() {
        let deep = "[".repeat(1_000_000);
        assert!(Body::parse(deep.as_bytes(), 8).is_err());
        let params = format!(
            r#"{{"id":1,"method":"a","params":[{}{}]}}"#,
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        assert_eq!(single(&params), call(Id::Int(1), "a", Params::Listed(vec![Arg::Other("a list")])));
    }

    #[test]
    fn an_answer_has_a_result_or_an_error() {
        let ok = answer(&Id::Int(1), Ok(serde_json::json!({})));
        assert_eq!(ok.to_string(), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        let failed = answer(&Id::Text("a".into()), Err(&RpcError::MethodNotFound));
        assert_eq!(
            failed.to_string(),
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32601,"message":"Method not found"}}"#
        );
        assert!(answer(&Id::Unknown, Err(&RpcError::MethodNotFound)).to_string().contains(r#""id":null"#));
    }
}
