//! What goes wrong with a call, as JSON-RPC 2.0 and `CometBFT` number and word it.

use serde_json::{Value, json};

/// A JSON-RPC error. The text goes into `data`, where `CometBFT` puts the detail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The body is not JSON.
    #[error("Parse error. Invalid JSON: {0}")]
    Parse(String),
    /// The JSON is not a request, or is over a limit.
    #[error("Invalid Request: {0}")]
    InvalidRequest(String),
    /// There is no such method.
    #[error("Method not found")]
    MethodNotFound,
    /// The arguments do not fit the method.
    #[error("Invalid params: {0}")]
    InvalidParams(String),
    /// The method could not do what was asked.
    #[error("Internal error: {0}")]
    Internal(String),
    /// The server has too much to do, or is stopping.
    #[error("Server error: {0}")]
    Server(String),
}

impl RpcError {
    /// The number of the error.
    pub fn code(&self) -> i32 {
        match self {
            Self::Parse(_) => -32_700,
            Self::InvalidRequest(_) => -32_600,
            Self::MethodNotFound => -32_601,
            Self::InvalidParams(_) => -32_602,
            Self::Internal(_) => -32_603,
            Self::Server(_) => -32_000,
        }
    }

    /// The fixed words that belong to the number.
    pub fn message(&self) -> &'static str {
        match self {
            Self::Parse(_) => "Parse error. Invalid JSON",
            Self::InvalidRequest(_) => "Invalid Request",
            Self::MethodNotFound => "Method not found",
            Self::InvalidParams(_) => "Invalid params",
            Self::Internal(_) => "Internal error",
            Self::Server(_) => "Server error",
        }
    }

    /// What exactly happened; empty for [`RpcError::MethodNotFound`].
    pub fn data(&self) -> &str {
        match self {
            Self::Parse(text)
            | Self::InvalidRequest(text)
            | Self::InvalidParams(text)
            | Self::Internal(text)
            | Self::Server(text) => text,
            Self::MethodNotFound => "",
        }
    }

    /// The `error` member of an answer; `data` is left out when empty, as in `CometBFT`.
    pub fn to_value(&self) -> Value {
        let mut value = json!({ "code": self.code(), "message": self.message() });
        if !self.data().is_empty() {
            value["data"] = self.data().into();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_those_of_cometbft() {
        let all = [
            (RpcError::Parse("x".into()), -32_700, "Parse error. Invalid JSON"),
            (RpcError::InvalidRequest("x".into()), -32_600, "Invalid Request"),
            (RpcError::MethodNotFound, -32_601, "Method not found"),
            (RpcError::InvalidParams("x".into()), -32_602, "Invalid params"),
            (RpcError::Internal("x".into()), -32_603, "Internal error"),
            (RpcError::Server("x".into()), -32_000, "Server error"),
        ];
        for (error, code, message) in all {
            let value = error.to_value();
            assert_eq!((value["code"].as_i64(), value["message"].as_str()), (Some(code), Some(message)));
        }
    }

    #[test]
    fn an_error_without_detail_has_no_data() {
        assert_eq!(
            RpcError::MethodNotFound.to_value().to_string(),
            r#"{"code":-32601,"message":"Method not found"}"#
        );
    }
}
