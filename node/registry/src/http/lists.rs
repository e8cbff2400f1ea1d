//! Lists: the tags of a repository, and what is attached to a manifest.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use tokio::sync::OwnedSemaphorePermit;

use super::body::PlacedBody;
use super::handler::Registry;
use super::query::{Query, encode};
use super::respond::{Answer, OCI_FILTERS};
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::limits::{MAX_TAG_BYTES, MAX_TAGS_PER_PAGE, SMALL_BYTES};
use crate::manifest::OCI_INDEX;
use crate::name::RepoName;

impl Registry {
    /// Ends an answer with a list. Lists take a place before they are read, and long ones keep it: a client that takes its
    /// time keeps them in memory.
    fn list(answer: Answer, content_type: &str, text: String, place: OwnedSemaphorePermit) -> Response {
        let len = text.len() as u64;
        if len <= SMALL_BYTES {
            return answer.text(content_type, text);
        }
        answer.body(content_type, Body::new(PlacedBody::new(text.into(), place)), len)
    }

    pub(super) async fn list_tags(&self, repo: RepoName, query: &Query) -> Result<Response> {
        let is_number = |n: &str| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit());
        let limit = match query.get("n") {
            None => MAX_TAGS_PER_PAGE,
            // One that does not fit is more than there are.
            Some(n) if is_number(n) => n.parse().unwrap_or(usize::MAX).min(MAX_TAGS_PER_PAGE),
            Some(_) => return Err(RegistryError::BadParameter("n is not a number of tags")),
        };
        let last = query.get("last").filter(|last| !last.is_empty()).map(str::to_owned);
        if last.as_ref().is_some_and(|last| last.len() > MAX_TAG_BYTES) {
            return Err(RegistryError::BadParameter("last is not a tag"));
        }
        let of = repo.clone();
        let place = self.download_place().await?;
        let (tags, is_more) =
            self.blocking(move |store| store.list_tags(&of, last.as_deref(), limit)).await?;
        let mut answer = Answer::new(StatusCode::OK);
        if let (true, Some(last)) = (is_more, tags.last()) {
            let link = format!("</v2/{repo}/tags/list?n={limit}&last={last}>; rel=\"next\"");
            answer = answer.header(header::LINK, link);
        }
        let tags: Vec<&str> = tags.iter().map(crate::name::Tag::as_str).collect();
        let text = serde_json::json!({ "name": repo.as_str(), "tags": tags }).to_string();
        Ok(Self::list(answer, "application/json", text, place))
    }

    pub(super) async fn list_referrers(
        &self,
        repo: RepoName,
        subject: Digest,
        query: &Query,
    ) -> Result<Response> {
        let wanted = query.get("artifactType").filter(|kind| !kind.is_empty()).map(str::to_owned);
        let after = query.get("last").map(str::parse::<Digest>).transpose()?;
        let (of, filter) = (repo.clone(), wanted.clone());
        let place = self.download_place().await?;
        let (text, next) = self
            .blocking(move |store| {
                let page = store.list_referrers(&of, &subject, filter.as_deref(), after.as_ref())?;
                let list = page.descriptors.join(",");
                let text = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{list}]}}"#);
                Ok((text, page.next))
            })
            .await?;
        let mut answer = Answer::new(StatusCode::OK);
        if wanted.is_some() {
            answer = answer.header(OCI_FILTERS, "artifactType");
        }
        if let Some(next) = next {
            let filter = wanted.map(|kind| format!("artifactType={}&", encode(&kind))).unwrap_or_default();
            let link = format!("</v2/{repo}/referrers/{subject}?{filter}last={next}>; rel=\"next\"");
            answer = answer.header(header::LINK, link);
        }
        Ok(Self::list(answer, OCI_INDEX, text, place))
    }
}
