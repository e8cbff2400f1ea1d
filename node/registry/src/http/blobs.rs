//! Blobs: sent whole or in part, deleted.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use super::body::FileBody;
use super::chunk::text;
use super::handler::Registry;
use super::range;
use super::respond::Answer;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::files::FileHandle;
use crate::limits::SMALL_BYTES;
use crate::name::RepoName;

pub(super) const OCTETS: &str = "application/octet-stream";
/// What a digest names never changes.
pub(super) const FOR_EVER: &str = "max-age=31536000, immutable";

/// Content on its way to a client.
pub(super) enum Outgoing {
    /// Read already, since it is short.
    Small(Bytes),
    /// To be read as the client takes it.
    Large(Box<dyn FileHandle>),
}

impl Outgoing {
    /// Reads the bytes from `start` to `end` if they are few.
    pub(super) fn prepare(file: Box<dyn FileHandle>, (start, end): (u64, u64)) -> Result<Self> {
        if end - start > SMALL_BYTES {
            return Ok(Self::Large(file));
        }
        let mut bytes = vec![0; (end - start) as usize];
        file.read_at(&mut bytes, start).map_err(|e| RegistryError::io("read", "a file", e))?;
        Ok(Self::Small(bytes.into()))
    }
}

/// Which bytes of `total` a request asks for.
fn wanted(parts: &Parts, etag: &str, total: u64) -> Result<Option<(u64, u64)>> {
    let Some(range) = text(&parts.headers, &header::RANGE)? else { return Ok(None) };
    // A part of something else is of no use to a client that has a part of this.
    match text(&parts.headers, &header::IF_RANGE)? {
        Some(condition) if condition != etag => Ok(None),
        _ => range::parse(range, total),
    }
}

impl Registry {
    /// Ends an answer with bytes from `start` to `end` of a file.
    pub(super) async fn send(
        &self,
        answer: Answer,
        content_type: &str,
        outgoing: Outgoing,
        (start, end): (u64, u64),
    ) -> Result<Response> {
        let len = end - start;
        Ok(match outgoing {
            Outgoing::Small(bytes) => answer.body(content_type, bytes, len),
            Outgoing::Large(file) => {
                let place = self.download_place().await?;
                answer.body(
                    content_type,
                    axum::body::Body::new(FileBody::new(file, (start, end), place)),
                    len,
                )
            }
        })
    }

    pub(super) async fn get_blob(&self, parts: &Parts, repo: RepoName, digest: Digest) -> Result<Response> {
        let etag = format!("\"{digest}\"");
        let answer = |status| {
            Answer::new(status)
                .digest(&digest)
                .header(header::ETAG, &etag)
                .header(header::ACCEPT_RANGES, "bytes")
                .header(header::CACHE_CONTROL, FOR_EVER)
        };
        if parts.method == Method::HEAD {
            let len = self.blocking(move |store| store.stat_blob(&repo, &digest)).await?;
            return Ok(answer(StatusCode::OK).body(OCTETS, axum::body::Body::empty(), len));
        }
        let (file, total) = self.blocking(move |store| store.open_blob(&repo, &digest)).await?;
        let part = wanted(parts, &etag, total)?;
        let (start, end) = part.unwrap_or((0, total));
        let outgoing = self.blocking(move |_| Outgoing::prepare(file, (start, end))).await?;
        let answer = match part {
            None => answer(StatusCode::OK),
            Some(_) => answer(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {start}-{}/{total}", end - 1)),
        };
        self.send(answer, OCTETS, outgoing, (start, end)).await
    }

    pub(super) async fn delete_blob(&self, repo: RepoName, digest: Digest) -> Result<Response> {
        self.blocking(move |store| store.delete_blob(&repo, &digest)).await?;
        Ok(Answer::new(StatusCode::ACCEPTED).digest(&digest).empty())
    }
}
