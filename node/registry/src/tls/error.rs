//! What can go wrong with keys and certificates, and what to do then.

use std::io;

/// Result of this module.
pub type Result<T, E = TlsError> = std::result::Result<T, E>;

/// Why keys or certificates could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Which file or directory.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The authority's key cannot be read. It is never replaced silently: clients trust it.
    #[error(
        "the key of the certificate authority, {path}, cannot be used ({why}); import the authority from another node of the cluster, or restore the file from a backup; only if neither is there, remove {path} and its ca.pem, and a new authority is made that every client has to trust again"
    )]
    AuthorityKey {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The authority's certificate belongs to another key.
    #[error(
        "{path} is not the certificate of the key beside it; import the authority from another node of the cluster, or, if the key is the right one, remove {path}: it is made again from the key"
    )]
    AuthorityMismatch {
        /// Which file.
        path: String,
    },
    /// The authority's certificate has ended.
    #[error(
        "the certificate authority in {path} has ended; remove ca.key and ca.pem there, and have every client trust the new one that is made"
    )]
    AuthorityEnded {
        /// In which folder.
        path: String,
    },
    /// A bundle that is no authority of ours.
    #[error(
        "this is no certificate authority of a TrustNet registry: {0}; give what `ca export` of another node printed"
    )]
    Bundle(&'static str),
    /// Another authority is there already.
    #[error(
        "{path} holds another certificate authority, which clients may trust; say that it is to be replaced, and have them trust the new one"
    )]
    AuthorityExists {
        /// In which folder.
        path: String,
    },
    /// Not a name that a certificate can have.
    #[error("{0:?} is neither a host name nor an IP address; write it as registry.example.org or 192.0.2.7")]
    Name(String),
    /// More names than a certificate is made for.
    #[error("a certificate is made for at most {0} names; take some out of the settings")]
    TooManyNames(usize),
    /// A file of certificates that cannot be read.
    #[error("{path} holds no certificates that can be used ({why})")]
    Certificates {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Making a key or a certificate failed.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refused.
    #[error("cannot set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    pub(crate) fn io(action: &'static str, path: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}
