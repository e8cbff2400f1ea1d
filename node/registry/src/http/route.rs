//! Paths, read from the right: what stands before `/blobs/`, `/manifests/` and the others is the repository's name.

use axum::http::Method;

use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::name::{Reference, RepoName};
use crate::upload_id::UploadId;

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/health`
    Health,
    /// `/token`
    Token,
    /// `/v2/`
    Base,
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepoName, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Start(RepoName),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepoName, UploadId),
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest(RepoName, Reference),
    /// `/v2/<name>/tags/list`
    Tags(RepoName),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepoName, Digest),
}

impl Route {
    /// Reads a path as it came in the request.
    pub(super) fn parse(path: &str) -> Result<Self> {
        let decoded = super::query::decode(path, false).ok_or(RegistryError::NotFound)?;
        let path = decoded.as_str();
        match path {
            "/health" => return Ok(Self::Health),
            "/token" => return Ok(Self::Token),
            "/v2" | "/v2/" => return Ok(Self::Base),
            _ => {}
        }
        let path = path.strip_prefix("/v2/").ok_or(RegistryError::NotFound)?;
        if let Some(name) = path.strip_suffix("/tags/list") {
            return Ok(Self::Tags(name.parse()?));
        }
        if let Some(name) =
            path.strip_suffix("/blobs/uploads/").or_else(|| path.strip_suffix("/blobs/uploads"))
        {
            return Ok(Self::Start(name.parse()?));
        }
        let (rest, last) = path.rsplit_once('/').ok_or(RegistryError::NotFound)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            return Ok(Self::Upload(name.parse()?, last.parse().map_err(|_| RegistryError::UploadUnknown)?));
        }
        let (name, kind) = rest.rsplit_once('/').ok_or(RegistryError::NotFound)?;
        match kind {
            "blobs" => Ok(Self::Blob(name.parse()?, last.parse()?)),
            "manifests" => Ok(Self::Manifest(name.parse()?, last.parse()?)),
            "referrers" => Ok(Self::Referrers(name.parse()?, last.parse()?)),
            _ => Err(RegistryError::NotFound),
        }
    }

    /// The repository that it is about.
    pub(super) fn repository(&self) -> Option<&RepoName> {
        match self {
            Self::Health | Self::Base | Self::Token => None,
            Self::Blob(repo, _)
            | Self::Start(repo)
            | Self::Upload(repo, _)
            | Self::Manifest(repo, _)
            | Self::Tags(repo)
            | Self::Referrers(repo, _) => Some(repo),
        }
    }

    /// The same in another repository.
    pub(super) fn in_repository(self, repo: RepoName) -> Self {
        match self {
            Self::Health | Self::Base | Self::Token => self,
            Self::Blob(_, digest) => Self::Blob(repo, digest),
            Self::Start(_) => Self::Start(repo),
            Self::Upload(_, id) => Self::Upload(repo, id),
            Self::Manifest(_, reference) => Self::Manifest(repo, reference),
            Self::Tags(_) => Self::Tags(repo),
            Self::Referrers(_, digest) => Self::Referrers(repo, digest),
        }
    }

    /// The methods that it knows, for the `Allow` header.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Token => "GET",
            Self::Health | Self::Base | Self::Tags(_) | Self::Referrers(..) => "GET, HEAD",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::Start(_) => "POST",
            Self::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
        }
    }

    /// Whether it knows a method.
    pub(super) fn knows(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|known| known == method.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ID: &str = "ffffffff-ffff-4fff-bfff-ffffffffffff";

    #[test]
    fn names_may_look_like_paths() {
        let name: RepoName = "a/blobs/uploads/manifests".parse().unwrap();
        let (digest, id) = (DIGEST.parse().unwrap(), ID.parse().unwrap());
        let cases = [
            (format!("/v2/{name}/blobs/{DIGEST}"), Route::Blob(name.clone(), digest)),
            (format!("/v2/{name}/blobs/{}", DIGEST.replace(':', "%3A")), Route::Blob(name.clone(), digest)),
            (format!("/v2/{name}/blobs/uploads/"), Route::Start(name.clone())),
            (format!("/v2/{name}/blobs/uploads"), Route::Start(name.clone())),
            (format!("/v2/{name}/blobs/uploads/{ID}"), Route::Upload(name.clone(), id)),
            (format!("/v2/{name}/manifests/v1"), Route::Manifest(name.clone(), "v1".parse().unwrap())),
            (format!("/v2/{name}/tags/list"), Route::Tags(name.clone())),
            (format!("/v2/{name}/referrers/{DIGEST}"), Route::Referrers(name, digest)),
            ("/v2/".to_owned(), Route::Base),
            ("/health".to_owned(), Route::Health),
            ("/token".to_owned(), Route::Token),
        ];
        for (path, route) in cases {
            assert_eq!(Route::parse(&path).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn methods() {
        let knows = |path: &str, method: Method| Route::parse(path).unwrap().knows(&method);
        let blob = format!("/v2/a/blobs/{DIGEST}");
        assert!(knows(&blob, Method::GET) && knows(&blob, Method::HEAD) && knows(&blob, Method::DELETE));
        assert!(!knows(&blob, Method::POST) && !knows(&blob, Method::from_bytes(b"get").unwrap()));
        assert!(!knows(&blob, Method::OPTIONS));
        assert!(knows("/token", Method::GET) && !knows("/token", Method::HEAD));
        assert!(knows("/v2/a/blobs/uploads/", Method::POST) && !knows("/v2/a/blobs/uploads/", Method::GET));
    }

    #[test]
    fn tricks_are_refused() {
        let bad = [
            "",
            "/",
            "/v1/",
            "/v2/a",
            "/v2/a/b",
            "//",
            "/v2//blobs/x",
            "/v2/../manifests/x",
            "/v2/a/../b/tags/list",
            "/v2/%2e%2e/tags/list",
            "/v2/a%2f..%2fb/tags/list",
            "/v2/a%00/tags/list",
            "/v2/a%/tags/list",
            "/v2/a%zz/tags/list",
            "/v2/a%ff/tags/list",
            "/v2/a/manifests/",
            "/v2/a/manifests/..",
            "/v2/a/manifests/%2e%2e%2fx",
            "/v2/a/blobs/uploads/../x",
            "/v2/a/blobs/uploads/x",
            "/v2/A/tags/list",
            "/v2/a/blobs/sha256:x",
            "/v2/tags/list",
            "/v2/manifests/x",
        ];
        for path in bad {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }
}
