//! A store in memory, and pushes without a network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::memory::Memory;
use crate::catalog::Pushed;
use crate::digest::{Algorithm, Digest};
use crate::error::Result;
use crate::ingest::for_each_part;
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::name::{Reference, RepoName, Tag};
use crate::store::{Options, Store};
use crate::upload_id::UploadId;
use crate::uptime::Clock;

pub(super) const LEASE: Duration = Duration::from_secs(100);

/// A clock that a test moves.
#[derive(Clone, Default)]
pub(super) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(super) fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn elapsed_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(super) fn options(hand: &Hand) -> Options {
    Options {
        lease: LEASE,
        cache_bytes: 256 * 1024,
        max_sessions: 8,
        upload_rest: 10 * LEASE,
        clock: Arc::new(hand.clone()),
    }
}

pub(super) fn open(memory: &Memory, hand: &Hand) -> Result<Store> {
    Store::open(memory.clone(), &options(hand))
}

pub(super) fn fresh() -> (Memory, Hand, Store) {
    let (memory, hand) = (Memory::default(), Hand::default());
    let store = open(&memory, &hand).unwrap();
    (memory, hand, store)
}

pub(super) fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

pub(super) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(super) fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// Bytes that are not the same anywhere.
pub(super) fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

pub(super) fn push_blob(store: &Store, to: &RepoName, content: &[u8]) -> Result<Digest> {
    let (digest, id) = (sha256(content), UploadId::random().unwrap());
    let mut ingest = store.uploads.scratch(id, Algorithm::Sha256)?;
    let result = ingest.append(content).and_then(|()| store.push_blob(to, ingest, digest)).map(|()| digest);
    store.uploads.remove_files(id);
    result
}

pub(super) fn push_manifest(
    store: &Store,
    to: &RepoName,
    text: &str,
    media_type: &str,
    tags: &[Tag],
) -> Result<Pushed> {
    let id = UploadId::random().unwrap();
    let mut ingest = store.uploads.scratch(id, Algorithm::Sha256)?;
    let result = ingest
        .append(text.as_bytes())
        .and_then(|()| store.push_manifest(to, ingest, (None, tags), Some(media_type)));
    store.uploads.remove_files(id);
    result
}

/// Keeps a manifest as a pull from an upstream does.
pub(super) fn keep_manifest(store: &Store, to: &RepoName, text: &str, tag: Option<&Tag>) -> Result<()> {
    let id = UploadId::random().unwrap();
    let mut ingest = store.uploads.scratch(id, Algorithm::Sha256)?;
    let result =
        ingest.append(text.as_bytes()).and_then(|()| store.keep_manifest(to, ingest, (None, tag), None));
    store.uploads.remove_files(id);
    result
}

fn descriptor(kind: &str, content: &[u8]) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, sha256(content), content.len())
}

/// An image of a configuration and layers, attached to `subject` if there is one.
pub(super) fn image(config: &[u8], layers: &[&[u8]], subject: Option<&str>) -> String {
    let layers: Vec<_> = layers.iter().map(|layer| descriptor("application/x.layer", layer)).collect();
    let subject =
        subject.map(|subject| format!(r#","subject":{}"#, descriptor(OCI_MANIFEST, subject.as_bytes())));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":[{}]{}}}"#,
        descriptor("application/x.config", config),
        layers.join(","),
        subject.unwrap_or_default()
    )
}

pub(super) fn index(images: &[&str]) -> String {
    let images: Vec<_> = images.iter().map(|image| descriptor(OCI_MANIFEST, image.as_bytes())).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#, images.join(","))
}

/// Whether a repository gives a blob; if so, it must be whole.
pub(super) fn has_blob(store: &Store, of: &RepoName, digest: &Digest) -> bool {
    use crate::error::RegistryError;
    match store.open_blob(of, digest) {
        Ok((file, _)) => {
            let mut bytes = Vec::new();
            for_each_part(&*file, "blob", |part| bytes.extend_from_slice(part)).unwrap();
            assert_eq!(Digest::of(digest.algorithm(), &bytes), *digest, "what is served is whole");
            true
        }
        Err(RegistryError::BlobUnknown(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Which manifest a reference means; it must be whole, and so must what it needs.
pub(super) fn manifest(store: &Store, of: &RepoName, reference: &Reference) -> Option<Digest> {
    use crate::error::RegistryError;
    match store.find_manifest(of, reference) {
        Ok(found) => {
            let (file, _) = store.open_manifest(&found).unwrap();
            let mut bytes = Vec::new();
            for_each_part(&*file, "manifest", |part| bytes.extend_from_slice(part)).unwrap();
            assert_eq!(Digest::of(found.digest.algorithm(), &bytes), found.digest, "what is served is whole");
            Some(found.digest)
        }
        Err(RegistryError::ManifestUnknown(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn tagged(store: &Store, of: &RepoName, name: &str) -> Option<Digest> {
    manifest(store, of, &Reference::Tag(tag(name)))
}
