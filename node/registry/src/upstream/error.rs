//! What an upstream did not give, and why.

/// Why there is no answer from an upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It says that there is no such thing.
    #[error("upstream has no such thing")]
    Unknown,
    /// It wants to know who asks, or knows and refuses.
    #[error(
        "upstream {host} refuses access to {name}; if it is private, set username and password_file of this upstream, else check the name"
    )]
    Denied {
        /// Which upstream.
        host: String,
        /// Which repository, as the upstream calls it.
        name: String,
    },
    /// It was asked too often.
    #[error("upstream {host} was asked too often; try again in {seconds} s")]
    Busy {
        /// Which upstream.
        host: String,
        /// When it may be asked again, in seconds.
        seconds: u64,
    },
    /// It did not answer in time.
    #[error("upstream {host} did not answer in time")]
    Timeout {
        /// Which upstream.
        host: String,
    },
    /// It cannot be reached.
    #[error("upstream cannot be reached: {0}")]
    Unreachable(String),
    /// It answered something that must not be kept.
    #[error("upstream {host} gave something that cannot be kept: {why}")]
    Wrong {
        /// Which upstream.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}
