//! The registry's own HTTP client: for upstream registries and for ACME servers. One connection a request, HTTP/1.1,
//! over TLS or plain; bounded in time, in the size of heads, and in where it goes.
//!
//! ```text
//!   target     URLs, as far as we follow them
//!   address    which addresses an answer from elsewhere may lead to
//!   dial       names to addresses to connections
//!   send       one request, its answer
//! ```
//!
//! hyper and rustls are in the program anyway; a client on them streams a blob through two buffers, where a blocking
//! one would take a thread for each.

mod address;
mod dial;
mod send;
mod target;

pub(crate) use address::Reach;
pub(crate) use dial::Dialer;
pub(crate) use send::{Received, Send, collect};
pub(crate) use target::Target;

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientError {
    /// Not a URL that is followed.
    #[error("{0}")]
    Target(String),
    /// The address is one that this request must not lead to.
    #[error(
        "{host} is at {address}, where an answer from elsewhere must not lead; if that is meant, configure that address itself"
    )]
    Forbidden { host: String, address: std::net::IpAddr },
    /// Nobody there, or the way is broken.
    #[error("cannot reach {host}: {why}")]
    Unreachable { host: String, why: String },
    /// No answer in time.
    #[error("{host} did not answer in time")]
    Timeout { host: String },
    /// An answer that makes no sense.
    #[error("{host} gave an answer that makes no sense: {why}")]
    Answer { host: String, why: String },
}
