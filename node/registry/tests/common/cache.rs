//! A cache of an upstream, and upstreams with an image.

#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use trustnet_registry::{Extras, Limits, Options, UpstreamSettings, Upstreams};

use crate::common::*;
use crate::elsewhere::{self, Reply};

pub fn settings(url: &str) -> UpstreamSettings {
    UpstreamSettings::new("up.example", url)
}

pub fn extras(settings: UpstreamSettings) -> Extras {
    Extras { upstreams: Arc::new(Upstreams::open(&[settings]).unwrap()), ..Extras::default() }
}

pub fn cache_with(settings: UpstreamSettings, limits: Limits) -> Server {
    Server::with_extras(limits, &Options::default(), extras(settings))
}

pub fn cache(url: &str) -> Server {
    cache_with(settings(url), Limits::default())
}

/// The path of something in the cache's copy of the upstream's repository `a/b`.
pub fn path(rest: impl std::fmt::Display) -> String {
    format!("/v2/up.example/a/b/{rest}")
}

/// An upstream with one image: tag `v1`, its manifest, its blobs.
pub fn one_image(seed: u64) -> (String, Vec<u8>, Vec<u8>) {
    let (config, layer) = (content(seed, 300), content(seed + 1, 700_000));
    (image(&config, &[&layer], ""), config, layer)
}

pub fn manifest_reply(text: &str) -> Reply {
    Reply::ok(text)
        .with("Content-Type", OCI_MANIFEST)
        .with("Docker-Content-Digest", sha256(text.as_bytes()).to_string())
}

/// Serves `text` as tag `v1` and by digest, and `blobs`.
pub fn plain(text: &str, blobs: &[&[u8]]) -> impl Fn(&elsewhere::Asked) -> Reply + Send + Sync + 'static {
    let text = text.to_owned();
    let blobs: Vec<Vec<u8>> = blobs.iter().map(|blob| blob.to_vec()).collect();
    move |asked| {
        let digest = sha256(text.as_bytes());
        if asked.path == "/v2/a/b/manifests/v1" || asked.path == format!("/v2/a/b/manifests/{digest}") {
            return manifest_reply(&text);
        }
        let blob = blobs.iter().find(|blob| asked.path == format!("/v2/a/b/blobs/{}", sha256(blob)));
        blob.map_or_else(|| Reply::new(404, "{}"), |blob| Reply::ok(blob.clone()))
    }
}
