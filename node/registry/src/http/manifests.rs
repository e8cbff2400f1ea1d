//! Manifests: pushed, sent, deleted.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;

use super::blobs::Outgoing;
use super::chunk::{content_length, text};
use super::handler::Registry;
use super::query::Query;
use super::receive::{Terms, receive};
use super::respond::{Answer, OCI_SUBJECT, OCI_TAG};
use super::uploads::Scratch;
use crate::digest::Algorithm;
use crate::error::{RegistryError, Result};
use crate::limits::{MAX_MANIFEST_BYTES, MAX_TAG_PARAMETERS, SMALL_BYTES};
use crate::name::{Reference, RepoName, Tag};

impl Registry {
    pub(super) async fn get_manifest(
        &self,
        parts: &Parts,
        repo: RepoName,
        reference: Reference,
    ) -> Result<Response> {
        let is_head = parts.method == Method::HEAD;
        let (found, outgoing) = self
            .blocking(move |store| {
                let found = store.find_manifest(&repo, &reference)?;
                if is_head {
                    return Ok((found, None));
                }
                let (file, len) = store.open_manifest(&found)?;
                Ok((found, Some(Outgoing::prepare(file, (0, len))?)))
            })
            .await?;
        let answer = Answer::new(StatusCode::OK).digest(&found.digest);
        let answer = answer.header(header::ETAG, format!("\"{}\"", found.digest));
        match outgoing {
            None => Ok(answer.body(&found.media_type, Body::empty(), found.len)),
            Some(outgoing) => self.send(answer, &found.media_type, outgoing, (0, found.len)).await,
        }
    }

    pub(super) async fn put_manifest(
        &self,
        parts: &Parts,
        body: &mut Body,
        repo: RepoName,
        reference: Reference,
        query: &Query,
    ) -> Result<Response> {
        let (expected, tags) = match reference {
            Reference::Tag(tag) => (None, vec![tag]),
            Reference::Digest(digest) => {
                if query.all("tag").count() > MAX_TAG_PARAMETERS {
                    return Err(RegistryError::TooManyTags);
                }
                let tags = query.all("tag").map(str::parse);
                let mut tags = tags.collect::<std::result::Result<Vec<Tag>, _>>()?;
                tags.sort();
                tags.dedup();
                (Some(digest), tags)
            }
        };
        let exact = content_length(&parts.headers)?;
        if exact.is_some_and(|len| len > MAX_MANIFEST_BYTES) {
            return Err(RegistryError::ManifestTooLarge);
        }
        let content_type = text(&parts.headers, &header::CONTENT_TYPE)?;
        let content_type = content_type.map(|kind| kind.split(';').next().unwrap_or(kind).trim().to_owned());
        let _place =
            if exact.is_some_and(|len| len <= SMALL_BYTES) { None } else { Some(self.upload_place().await?) };
        let store = Arc::clone(&self.store);
        let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let scratch = self.blocking(move |_| Scratch::new(&store, algorithm)).await?;
        let terms = Terms {
            max_bytes: MAX_MANIFEST_BYTES,
            too_long: RegistryError::ManifestTooLarge,
            exact,
            batch_time: self.limits.batch_time,
            takeover: None,
        };
        let scratch = receive(body, scratch, terms).await?;
        let (to, pushed_tags) = (repo.clone(), tags.clone());
        let pushed = self
            .blocking(move |store| {
                scratch.end(|ingest| {
                    store.push_manifest(&to, ingest, (expected, &pushed_tags), content_type.as_deref())
                })
            })
            .await?;
        let mut answer = Answer::new(StatusCode::CREATED)
            .location(format!("/v2/{repo}/manifests/{}", pushed.digest))
            .digest(&pushed.digest);
        if let Some(subject) = pushed.subject {
            answer = answer.header(OCI_SUBJECT, subject.to_string());
        }
        if expected.is_some() {
            answer = tags.iter().fold(answer, |answer, tag| answer.header(OCI_TAG, tag.as_str()));
        }
        Ok(answer.empty())
    }

    pub(super) async fn delete_manifest(&self, repo: RepoName, reference: Reference) -> Result<Response> {
        self.blocking(move |store| store.delete_manifest(&repo, &reference)).await?;
        Ok(Answer::new(StatusCode::ACCEPTED).empty())
    }
}
