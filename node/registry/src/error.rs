//! What the registry answers when it does not do what was asked: the specification's code, an HTTP status, and a
//! sentence for the person who reads the client's output.

use std::io;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;

use crate::access::{RepoPattern, TagPattern};
use crate::digest::{Digest, DigestError};
use crate::limits::{MAX_MANIFEST_BYTES, MAX_TAG_PARAMETERS};
use crate::name::{NameError, Reference, RepoName, Tag};
use crate::upstream::UpstreamError;

/// Result of the registry.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Two digests that should be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What the client said.
    pub expected: Digest,
    /// What the content has.
    pub actual: Digest,
}

/// Why the registry refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A name, tag or digest that breaks the grammar.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A digest that breaks the grammar.
    #[error("{0}")]
    Digest(#[from] DigestError),
    /// Content does not have the digest that the client gave it.
    #[error("the content's digest is {}, not {}", .0.actual, .0.expected)]
    DigestMismatch(Box<Mismatch>),
    /// Nothing was ever pushed to this repository.
    #[error("there is no repository {0}")]
    RepositoryUnknown(RepoName),
    /// The repository does not hold this blob.
    #[error("blob {0} is not in this repository")]
    BlobUnknown(Digest),
    /// The repository does not hold this manifest.
    #[error("manifest {0} is not in this repository")]
    ManifestUnknown(Reference),
    /// A manifest names content that was not pushed before it.
    #[error("the manifest names {0}, which is not in this repository; push that first")]
    ManifestBlobUnknown(Digest),
    /// A manifest that cannot be accepted.
    #[error("the manifest is not valid: {0}")]
    ManifestInvalid(String),
    /// A manifest above the limit.
    #[error("the manifest is longer than {MAX_MANIFEST_BYTES} bytes")]
    ManifestTooLarge,
    /// More tags in one request than are taken.
    #[error("more than {MAX_TAG_PARAMETERS} tags in one request; push them in several")]
    TooManyTags,
    /// An archive that cannot be taken in or made.
    #[error("the archive cannot be used: {0}")]
    ArchiveInvalid(String),
    /// A blob above the operator's limit.
    #[error("the blob is longer than {0} bytes, the most that this registry takes")]
    BlobTooLarge(u64),
    /// No such upload is open in this repository.
    #[error("there is no such upload; it may have expired: start a new one")]
    UploadUnknown,
    /// A request on an upload that makes no sense.
    #[error("{0}")]
    UploadInvalid(&'static str),
    /// A chunk that does not begin where the last one ended.
    #[error("the chunk does not continue the upload, which has {offset} bytes so far")]
    OutOfOrder {
        /// Bytes received so far.
        offset: u64,
    },
    /// A body that is longer or shorter than was said.
    #[error("the length of the body is not what the request said")]
    SizeInvalid,
    /// A range that is not within the blob.
    #[error("the range is not within the blob's {total} bytes")]
    RangeInvalid {
        /// Length of the blob, in bytes.
        total: u64,
    },
    /// A query parameter that makes no sense.
    #[error("{0}")]
    BadParameter(&'static str),
    /// A path that the specification does not know.
    #[error("there is nothing at this address")]
    NotFound,
    /// A method that the address does not know.
    #[error("the address knows only {allow}")]
    Unsupported {
        /// The methods that it knows.
        allow: &'static str,
    },
    /// A client that sends too slowly.
    #[error("the body came too slowly; what has arrived is kept, continue from there")]
    TooSlow,
    /// The client went away, or its body broke off.
    #[error("the body broke off")]
    BodyBroken,
    /// More at once than the registry takes on.
    #[error("too many {0} at once; try again later")]
    TooMany(&'static str),
    /// The request says nothing, or nothing true, of who makes it, and it would have to.
    #[error("{reason}")]
    Unauthorized {
        /// What is missing.
        reason: String,
        /// What the client is asked for, as a `WWW-Authenticate` header; empty: nothing would help.
        challenge: String,
    },
    /// Whoever makes the request has no right to.
    #[error("{0}")]
    Denied(String),
    /// More requests than a client may make.
    #[error("too many requests; try again in {seconds} seconds")]
    TooOften {
        /// After how many seconds there is room for another.
        seconds: u64,
    },
    /// More than the operator lets repositories hold.
    #[error("{what} holds the {max} bytes that it may; delete something there, or ask for a larger quota")]
    QuotaExceeded {
        /// Whose quota it is.
        what: String,
        /// What may be held, in bytes.
        max: u64,
    },
    /// Less space is left on the disk than the operator wants free.
    #[error(
        "only {free} bytes are free on the registry's disk, of which {floor} stay free; uploads are taken again when there is more"
    )]
    SpaceLow {
        /// What is free, in bytes.
        free: u64,
        /// What has to stay free, in bytes.
        floor: u64,
    },
    /// A tag that never changes, by the operator's wish.
    #[error("the tag {0} is immutable: it cannot be changed or deleted, nor what it needs; push another tag")]
    TagImmutable(Tag),
    /// The operator would remove a tag that never changes, or what it needs, without having said so.
    #[error(
        "the tag {tag} is immutable, and so is what it needs: the settings say it with [[immutable]] of the tags {tags} of {repositories}; nothing was removed; to remove it all the same, add --force"
    )]
    RemovalImmutable {
        /// The first of those tags.
        tag: Tag,
        /// Of which repositories the rule speaks.
        repositories: RepoPattern,
        /// Of which of their tags.
        tags: TagPattern,
    },
    /// No space is left.
    #[error("the registry's disk is full: cannot {action} {path}")]
    DiskFull {
        /// What was tried, as a verb.
        action: &'static str,
        /// Which file had to grow.
        path: String,
    },
    /// The operating system refused a read, a write or a flush.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Which file or directory.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The metadata failed.
    #[error("the metadata failed: {0}")]
    Metadata(Box<redb::Error>),
    /// The metadata says something that it never should.
    #[error("the metadata is damaged: {0}")]
    MetadataDamaged(&'static str),
    /// Another process uses the directory.
    #[error("{0} is in use by another process; stop that registry, or use another directory")]
    InUse(String),
    /// A push or an import to a repository that is kept of an upstream.
    #[error("{0} is kept of an upstream registry; push there, or push or import it under another name")]
    ReadOnly(RepoName),
    /// An upstream did not give what is not here.
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    /// What failed for several clients at once.
    #[error("{0}")]
    Shared(Arc<RegistryError>),
    /// A task of ours ended before its work was done.
    #[error("a task ended before its work was done")]
    Interrupted,
}

impl RegistryError {
    /// Wraps an error of the operating system, telling a full disk apart.
    pub(crate) fn io(action: &'static str, path: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path: path.to_owned() }
            }
            _ => Self::Io { action, path: path.to_owned(), source },
        }
    }

    /// The error itself, of one that several clients share.
    pub(crate) fn innermost(&self) -> &Self {
        match self {
            Self::Shared(error) => error.innermost(),
            error => error,
        }
    }

    /// Whether it says that there is no room to keep something.
    pub(crate) fn is_no_room(&self) -> bool {
        matches!(self.innermost(), Self::QuotaExceeded { .. } | Self::SpaceLow { .. } | Self::DiskFull { .. })
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Shared(error) => error.status(),
            Self::Upstream(error) => match error {
                UpstreamError::Unknown => StatusCode::NOT_FOUND,
                UpstreamError::Denied { .. } => StatusCode::FORBIDDEN,
                UpstreamError::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
                UpstreamError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
                UpstreamError::Unreachable(_) | UpstreamError::Wrong { .. } => StatusCode::BAD_GATEWAY,
            },
            Self::Name(_)
            | Self::Digest(_)
            | Self::DigestMismatch(_)
            | Self::ManifestInvalid(_)
            | Self::ArchiveInvalid(_)
            | Self::UploadInvalid(_)
            | Self::SizeInvalid
            | Self::BadParameter(_)
            | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::RepositoryUnknown(_)
            | Self::BlobUnknown(_)
            | Self::ManifestUnknown(_)
            | Self::ManifestBlobUnknown(_)
            | Self::UploadUnknown
            | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unsupported { .. } | Self::ReadOnly(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::ManifestTooLarge | Self::BlobTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyTags => StatusCode::URI_TOO_LONG,
            Self::OutOfOrder { .. } | Self::RangeInvalid { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooMany(_) | Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Denied(_) | Self::QuotaExceeded { .. } => StatusCode::FORBIDDEN,
            Self::TagImmutable(_) | Self::RemovalImmutable { .. } => StatusCode::CONFLICT,
            Self::DiskFull { .. } | Self::SpaceLow { .. } => StatusCode::INSUFFICIENT_STORAGE,
            Self::Io { .. }
            | Self::Metadata(_)
            | Self::MetadataDamaged(_)
            | Self::InUse(_)
            | Self::Interrupted => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The specification's code. It has none for a failure of the registry itself; `UNKNOWN` is what clients know
    /// from others.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shared(error) => error.code(),
            Self::Upstream(error) => match error {
                UpstreamError::Unknown => "NAME_UNKNOWN",
                UpstreamError::Denied { .. } => "DENIED",
                UpstreamError::Busy { .. } => "TOOMANYREQUESTS",
                UpstreamError::Timeout { .. }
                | UpstreamError::Unreachable(_)
                | UpstreamError::Wrong { .. } => "UNKNOWN",
            },
            Self::Name(NameError::Repository | NameError::Tag) => "NAME_INVALID",
            Self::Name(NameError::Digest(_)) | Self::Digest(_) | Self::DigestMismatch(_) => "DIGEST_INVALID",
            Self::RepositoryUnknown(_) => "NAME_UNKNOWN",
            Self::BlobUnknown(_) => "BLOB_UNKNOWN",
            Self::ManifestUnknown(_) => "MANIFEST_UNKNOWN",
            Self::ManifestBlobUnknown(_) => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid(_) | Self::ArchiveInvalid(_) => "MANIFEST_INVALID",
            Self::ManifestTooLarge | Self::BlobTooLarge(_) | Self::SizeInvalid => "SIZE_INVALID",
            Self::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::UploadInvalid(_)
            | Self::OutOfOrder { .. }
            | Self::RangeInvalid { .. }
            | Self::TooSlow
            | Self::BodyBroken => "BLOB_UPLOAD_INVALID",
            Self::BadParameter(_)
            | Self::NotFound
            | Self::Unsupported { .. }
            | Self::ReadOnly(_)
            | Self::TooManyTags => "UNSUPPORTED",
            Self::TooMany(_) | Self::TooOften { .. } => "TOOMANYREQUESTS",
            Self::Unauthorized { .. } => "UNAUTHORIZED",
            // The specification's code for what is refused though it is well-formed.
            Self::Denied(_)
            | Self::QuotaExceeded { .. }
            | Self::TagImmutable(_)
            | Self::RemovalImmutable { .. }
            | Self::SpaceLow { .. }
            | Self::DiskFull { .. } => "DENIED",
            Self::Io { .. }
            | Self::Metadata(_)
            | Self::MetadataDamaged(_)
            | Self::InUse(_)
            | Self::Interrupted => "UNKNOWN",
        }
    }

    /// What the client reads. Paths and errors of this machine stay in its own log.
    pub fn message(&self) -> String {
        match self {
            Self::Shared(error) => error.message(),
            Self::DiskFull { .. } => "the registry's disk is full".to_owned(),
            error if error.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                "the registry failed; its log says why".to_owned()
            }
            error => error.to_string(),
        }
    }

    /// The body of the answer, in the form that the specification gives.
    pub fn body(&self) -> String {
        json!({ "errors": [{ "code": self.code(), "message": self.message() }] }).to_string()
    }
}

macro_rules! from_redb {
    ($($kind:ident),*) => {
        $(impl From<redb::$kind> for RegistryError {
            fn from(error: redb::$kind) -> Self {
                Self::Metadata(Box::new(error.into()))
            }
        })*
    };
}

from_redb!(Error, DatabaseError, TransactionError, TableError, StorageError, CommitError, SetDurabilityError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_specifications() {
        let error = RegistryError::Digest(DigestError::Unsupported);
        let expected = r#"{"errors":[{"code":"DIGEST_INVALID","message":"only sha256 and sha512 digests are supported"}]}"#;
        assert_eq!(error.body(), expected);
    }

    #[test]
    fn paths_of_this_machine_are_not_told() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = RegistryError::io("write", "/secret/place", source);
        assert!(error.to_string().contains("/secret/place"));
        assert!(!error.body().contains("secret"));
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let full = RegistryError::io("write", "/secret", io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.status(), StatusCode::INSUFFICIENT_STORAGE);
        assert!(!full.body().contains("secret"));
    }
}
